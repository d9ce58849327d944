"""Where the log goes while a command shows something else on the terminal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogBeginner, textFileLogObserver
from zope.interface import provider


def log_to(path: Path, listener: Callable[[str], object]) -> None:
    """From now on, and for the life of the process. ``listener`` is told every line too."""

    @provider(ILogObserver)
    def tell(event: LogEvent) -> None:
        listener(formatEvent(event))

    file = path.open("w", encoding="utf-8")
    globalLogBeginner.beginLoggingTo([textFileLogObserver(file), tell], redirectStandardIO=False)
