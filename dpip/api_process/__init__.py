"""The API apart from the controller: ``IController`` over Perspective Broker.

An API process takes uploads into the image store and gives downloads out of it; the controller hears of them
in control messages alone. :mod:`messages` says what crosses, :mod:`exchange` how; :mod:`controller` is the
controller as the API process sees it, :mod:`session` its link to the real one. The controller's side is
:mod:`dpip.controller.api_processes`.
"""
