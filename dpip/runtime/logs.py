"""Logs of bounded size, for people, or as JSON for programs."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import Any, Final

from twisted.internet.interfaces import IReactorTime
from twisted.logger import (
    FileLogObserver,
    FilteringLogObserver,
    ILogFilterPredicate,
    ILogObserver,
    LogEvent,
    Logger,
    PredicateResult,
    formatEvent,
    textFileLogObserver,
)
from twisted.python.logfile import LogFile
from zope.interface import provider

LINES_PER_MINUTE: Final = 30
FILE_BYTES: Final = 10_000_000
OLDER_FILES: Final = 9


class ProcessLog:
    """A process's log in the file at ``path``, or on the standard output if that is empty.

    After ``FILE_BYTES`` it goes on in a new file; ``OLDER_FILES`` older ones are kept as ``path.1``,
    ``path.2`` …, where twistd would keep all. With ``json`` each line is a JSON object.
    """

    path = ""
    json = False

    def __call__(self) -> ILogObserver:
        return FilteringLogObserver(self._writer(), [is_wanted])

    def _writer(self) -> FileLogObserver:
        file: Any = sys.stdout
        if self.path:
            file = LogFile.fromFullPath(self.path, rotateLength=FILE_BYTES, maxRotatedFiles=OLDER_FILES)
        return FileLogObserver(file, json_line) if self.json else textFileLogObserver(file)


@provider(ILogFilterPredicate)
def is_wanted(event: LogEvent) -> Any:
    """Leave out what Twisted says of each attempt to connect: we say why one has failed, and only once."""
    retries = str(event.get("log_format", "")).startswith("Scheduling retry ")
    return PredicateResult.no if retries else PredicateResult.maybe


def json_line(event: LogEvent) -> str:
    """Return a JSON object with ``time`` (RFC 3339, UTC), ``level``, ``system`` and ``message``, a failure's
    ``traceback``, and each value of the message by its name, as ``id`` for that of a request."""
    facts = {name: value for name, value in event.items() if not name.startswith("log_")}
    line: dict[str, Any] = {
        "time": datetime.fromtimestamp(event["log_time"], UTC).isoformat(timespec="milliseconds"),
        "level": event["log_level"].name if "log_level" in event else "info",
        "system": event.get("log_namespace", event.get("log_system", "-")),
        "message": formatEvent(event),
        **{name: value for name, value in facts.items() if isinstance(value, str | int | float)},
    }
    if "log_failure" in event:
        line["traceback"] = event["log_failure"].getTraceback()
    return json.dumps(line, default=str) + "\n"


def log_format(text: str) -> str:
    """Check an option's value. Raises ValueError."""
    if text not in ("text", "json"):
        raise ValueError("text or json is expected")
    return text


LOG_FORMAT_OPTION: Final = ["log-format", None, "text", "text for people, json for programs.", log_format]

process_log = ProcessLog()
"""The log of this process: twistd takes no object as its logger, only the name of one."""


class LogRateLimit:
    """Allows ``most`` lines a minute, and logs in the next one how many there were beyond: ``what``."""

    def __init__(
        self,
        log: Logger,
        clock: IReactorTime,
        most: int = LINES_PER_MINUTE,
        what: str = "more lines like these",
    ) -> None:
        self._log, self._clock, self._most, self._what = log, clock, most, what
        self._minute, self._lines = -1, 0

    def allows(self) -> bool:
        minute = int(self._clock.seconds() // 60)
        if minute != self._minute:
            if self._lines > self._most:
                self._log.warn("{more} {what}", more=self._lines - self._most, what=self._what)
            self._minute, self._lines = minute, 0
        self._lines += 1
        return self._lines <= self._most


class LimitedLog(LogRateLimit):
    """Logs lines, no more than the limit allows."""

    def __call__(self, line: str) -> None:
        if self.allows():
            self._log.info("{line}", line=line)
