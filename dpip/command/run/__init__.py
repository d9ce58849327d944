"""``dpip run``: files and folders through a filter.

``command`` has the options. ``inputs`` finds the files, ``images`` sends those that the ``journal`` does not
know as finished, and puts results at their ``destinations``. An ``executor`` has them filtered: by a server,
or by this machine (``local``). ``display`` shows how far that is, and ``report`` says how it went.
"""
