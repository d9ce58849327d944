"""Why a process cannot start, and how it ends then."""

from __future__ import annotations

import os
from typing import Any

from twisted.internet.error import CannotListenError
from twisted.logger import Logger
from twisted.python.failure import Failure

log = Logger()


class CannotStart(SystemExit):
    """The process cannot start, for the given reason: twistd prints it and ends with status 1."""


def cannot_listen(option: str, error: CannotListenError) -> CannotStart:
    return CannotStart(
        f"Cannot listen on --{option} {error.interface or '*'}:{error.port}: {error.socketError}. "
        "Is another process using that port? Choose another one, or end that process."
    )


def end_process(failure: Failure, reactor: Any) -> None:
    """Log the reason, and end with exit status 1."""
    log.critical("Cannot start: {reason}", reason=failure.getErrorMessage())
    if not isinstance(failure.value, SystemExit):
        log.failure("The details", failure)
    reactor.addSystemEventTrigger("after", "shutdown", os._exit, 1)
    reactor.stop()
