"""``dpip run`` filters files and folders.

``command`` is the command. ``inputs`` finds the files (``films`` reads frames), ``images`` sends those that
the ``journal`` does not list as finished, and writes results to their ``destinations``. The ``executor`` is a
server or this machine (``local``), as the ``options`` say. ``display`` shows the progress, ``report`` the
outcome.
"""
