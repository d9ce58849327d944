"""The API apart from the controller: ``IController`` over Perspective Broker.

An API process takes uploads into the image store and gives downloads out of it; the controller hears of them
in control messages alone. :mod:`dpip.link.api_messages` says what crosses, :mod:`dpip.link.exchange` how. The
controller's side is :mod:`dpip.controller.api_processes`.
"""
