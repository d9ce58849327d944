"""What a command works with: a server, or this machine alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias

from attrs import define, field, frozen

from dpip.client import Client, ClientError, Conveyor, Counts, Sender
from dpip.command.log import log_to
from dpip.command.logins import Login
from dpip.command.progress import Display, Stage
from dpip.command.rundisplay import RunDisplay, duration
from dpip.command.server import connected, warn
from dpip.command.workbench import Workbench, bench

_COMPILING: Final = "Compiling"


@frozen
class Order:
    """What is to be done with a sender's pictures; see :class:`dpip.client.Conveyor` for how a server does
    it. On this machine there are no workloads, and nothing is sent: ``name`` and the rest say nothing."""

    steps: Sequence[Mapping[str, Any]]
    output: Mapping[str, Any]
    name: str
    window: int = 500
    batch: int | None = None
    delete: bool = False
    in_order: bool = False


class Line(Protocol):
    """Pictures on their way, from a sender and back to it."""

    changed: Callable[[], object]
    counts: Counts

    @property
    def workload_ids(self) -> Sequence[str]: ...

    async def run(self) -> None:
        """Until each has ended."""


LineFor: TypeAlias = Callable[[Sender, Order], Line]


@define(eq=False)
class System:
    """``login`` is None for this machine, whose log then goes to the file ``log_path``, and what is on its
    way into a directory beside it."""

    login: Login | None
    display: Display
    log_path: Path
    slots: int | None = None
    connections: int = 4
    patience: float = 300.0
    shown: RunDisplay | None = field(default=None, init=False)
    _starting: Stage | None = field(default=None, init=False)
    _warned: bool = field(default=False, init=False)

    @asynccontextmanager
    async def running(self, reactor: Any) -> AsyncIterator[LineFor]:
        """Raises ClickException, ClientError."""
        if self.login is not None:
            async with connected(
                reactor,
                self.login,
                patience=self.patience,
                connections=self.connections,
                trouble=self._trouble,
            ) as client:
                yield lambda sender, order: self._conveyor(reactor, client, sender, order)
            return
        log_to(self.log_path, self._heard)
        self._starting = self.display.begin("filters", "starting")
        async with bench(reactor, self.slots, self.log_path.parent) as here:
            self._starting.finish(f"ready, {here.pool.slots} at once")
            yield lambda sender, order: Workbench(here, sender, order.steps, order.output)
        self.log_path.unlink(missing_ok=True)

    def display_for(self, filter: str, now: Callable[[], float], total: int | None = None) -> RunDisplay:
        """How far a line is."""
        self.shown = RunDisplay(self.display, filter, now, total, uploads=self.login is not None)
        return self.shown

    def _conveyor(self, reactor: Any, client: Client, sender: Sender, order: Order) -> Conveyor:
        return Conveyor(
            client,
            reactor,
            sender,
            lambda: client.create_workload(
                steps=order.steps, output=order.output, name=order.name, numbering="frames"
            ),
            window=order.window,
            hands=self.connections,
            batch=order.batch,
            delete=order.delete,
            in_order=order.in_order,
        )

    def _heard(self, line: str) -> None:
        if line.startswith(_COMPILING) and self._starting is not None:
            self._starting.say("compiling, once (up to a minute)")

    def _trouble(self, error: ClientError) -> None:
        if self.shown is not None:
            self.shown.trouble(error)
        if not self._warned:
            self._warned = True
            warn(f"{error} Trying again for up to {duration(self.patience)}.")
