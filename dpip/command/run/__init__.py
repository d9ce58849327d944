"""``dpip run``: files and folders through a filter.

``command`` is the command. ``inputs`` finds the files (``films`` are read as frames), ``images`` sends those
that the ``journal`` does not know as finished, and puts results at their ``destinations``. As the ``options``
say, an ``executor`` has them filtered by a server, or by this machine (``local``). ``display`` shows how far
that is, and ``report`` says how it went.
"""
