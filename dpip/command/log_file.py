"""Logging to a file while a command shows its progress on the terminal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    LogEvent,
    LogLevel,
    LogLevelFilterPredicate,
    globalLogBeginner,
    textFileLogObserver,
)
from zope.interface import provider


def log_to(path: Path, listener: Callable[[str], object]) -> None:
    """Log to a file until the process ends; ``listener`` is called with what the compute processes say."""

    @provider(ILogObserver)
    def tell(event: LogEvent) -> None:
        if "line" in event:
            listener(str(event["line"]))

    written = textFileLogObserver(path.open("w", encoding="utf-8"))
    wanted = FilteringLogObserver(written, [LogLevelFilterPredicate(LogLevel.info)])
    globalLogBeginner.beginLoggingTo([wanted, tell], redirectStandardIO=False)
