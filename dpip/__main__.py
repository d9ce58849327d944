"""Runs the ``dpip`` command as ``python -m dpip``, for where it is not on the path."""

from dpip.command import main

if __name__ == "__main__":
    main()
