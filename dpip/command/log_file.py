"""Where the log goes while a command shows something else on the terminal."""

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
    """From now on, for the life of the process. ``listener`` is told what the compute processes say."""

    @provider(ILogObserver)
    def tell(event: LogEvent) -> None:
        if "line" in event:
            listener(str(event["line"]))

    written = textFileLogObserver(path.open("w", encoding="utf-8"))
    wanted = FilteringLogObserver(written, [LogLevelFilterPredicate(LogLevel.info)])
    globalLogBeginner.beginLoggingTo([wanted, tell], redirectStandardIO=False)
