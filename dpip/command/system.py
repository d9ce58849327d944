"""The system that a command works with: a server, or DPIP whole in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from attrs import define, field
from twisted.logger import Logger
from twisted.python.failure import Failure

from dpip.client import Client, ClientError
from dpip.command.embedded import embedded
from dpip.command.log import log_to
from dpip.command.logins import Login
from dpip.command.progress import Display, Stage
from dpip.command.rundisplay import RunDisplay, duration
from dpip.command.server import connected, warn

LOCAL_BATCH: Final = 200
"""Pictures that the embedded system keeps at a time, originals and results: the disk need not hold all."""
_COMPILING: Final = "Compiling"

log = Logger()


@define(eq=False)
class System:
    """``login`` is None for this machine, whose log then goes to the file ``log_path``."""

    login: Login | None
    display: Display
    log_path: Path
    slots: int | None = None
    connections: int = 4
    patience: float = 300.0
    shown: RunDisplay | None = field(default=None, init=False)
    _starting: Stage | None = field(default=None, init=False)
    _warned: bool = field(default=False, init=False)

    @property
    def batch(self) -> int | None:
        """After how many pictures to begin a new workload, None for never."""
        return LOCAL_BATCH if self.login is None else None

    @asynccontextmanager
    async def running(self, reactor: Any) -> AsyncIterator[Client]:
        """Raises ClickException, ClientError."""
        if self.login is not None:
            async with connected(
                reactor,
                self.login,
                patience=self.patience,
                connections=self.connections,
                trouble=self._trouble,
            ) as client:
                yield client
            return
        log_to(self.log_path, self._heard)
        self._starting = self.display.begin("system", "starting on this machine")
        try:
            async with embedded(reactor, self.slots) as client:
                self._starting.finish("ready on this machine")
                yield client
        except ClientError as error:
            log.error("The run failed", log_failure=Failure(error))
            raise
        self.log_path.unlink(missing_ok=True)

    def _heard(self, line: str) -> None:
        if line.startswith(_COMPILING) and self._starting is not None:
            self._starting.say("compiling the filters, once (up to a minute)")

    def _trouble(self, error: ClientError) -> None:
        if self.shown is not None:
            self.shown.trouble(error)
        if not self._warned:
            self._warned = True
            warn(f"{error} Trying again for up to {duration(self.patience)}.")
