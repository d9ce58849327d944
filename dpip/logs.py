"""Logging that stays bounded whatever happens outside."""

from __future__ import annotations

from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.logger import FileLogObserver, Logger, textFileLogObserver
from twisted.python.logfile import LogFile

LINES_PER_MINUTE: Final = 30
FILE_BYTES: Final = 10_000_000
OLDER_FILES: Final = 9


class BoundedFile:
    """A process's log in the file at ``path``, which goes on in a new one after so many bytes and keeps so
    many older ones, as ``path.1``, ``path.2`` …; twistd by itself would keep all."""

    path = ""

    def __call__(self) -> FileLogObserver:
        file = LogFile.fromFullPath(self.path, rotateLength=FILE_BYTES, maxRotatedFiles=OLDER_FILES)
        return textFileLogObserver(file)


bounded_file = BoundedFile()
"""The process's own: twistd takes no object as its logger, only the name of one."""


class Sparingly:
    """Says lines, but at most :data:`LINES_PER_MINUTE`; then how many it kept to itself."""

    def __init__(self, log: Logger, clock: IReactorTime) -> None:
        self._log, self._clock = log, clock
        self._minute, self._said = -1, 0

    def __call__(self, line: str) -> None:
        minute = int(self._clock.seconds() // 60)
        if minute != self._minute:
            if self._said > LINES_PER_MINUTE:
                self._log.warn("{more} more lines like these", more=self._said - LINES_PER_MINUTE)
            self._minute, self._said = minute, 0
        self._said += 1
        if self._said <= LINES_PER_MINUTE:
            self._log.info("{line}", line=line)
