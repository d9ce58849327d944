"""The engine over a Dask cluster, in the reactor's thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import count, islice
from typing import Any, Final

from attrs import define, evolve, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from zope.interface import implementer

from dpip.model import Load, Outcome
from dpip.worker.child_main import UNCONFINED
from dpip.worker.compute_child import CANCELLED, ComputeTask, Verdict, Work
from dpip.worker.dask.address import ClusterAddress
from dpip.worker.dask.cluster import Cluster
from dpip.worker.dask.load import MOST_SLOTS, ClusterLoad
from dpip.worker.dask.plugin import CHILD, ComputeHost
from dpip.worker.engine import EngineUnusable, IEngine

LOST: Final = "engine-lost"


@implementer(IEngine)
@define(eq=False)
class DaskEngine:
    """``slots`` follow the cluster. One that is away for longer than ``patience`` seconds loses its tasks:
    their verdict is that they are handed back, and so is that of new ones until it is there again.

    ``changed`` is called when the load is another.
    """

    log = Logger()

    _reactor: Any
    _address: ClusterAddress
    _patience: float
    _security: Any = None
    _confined: bool = True
    _program: Sequence[str] = CHILD
    load: ClusterLoad = field(factory=ClusterLoad, init=False)
    changed: Callable[[], object] = field(default=lambda: None, init=False)
    most_slots: int = field(default=MOST_SLOTS, init=False)
    _cluster: Cluster = field(init=False)
    _works: dict[int, Work] = field(factory=dict, init=False)
    _new: dict[int, tuple[ComputeTask, bool]] = field(factory=dict, init=False)  # in this turn of the reactor
    _numbers: Any = field(factory=count, init=False)
    _ready: Deferred[Mapping[str, Any]] = field(factory=Deferred, init=False)
    _giving_up: IDelayedCall | None = field(default=None, init=False)
    _lost: Verdict | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        program = self._program if self._confined else (*self._program, UNCONFINED)
        listener = _InReactor(self._reactor, self)
        self._cluster = Cluster(self._address, self._security, listener, ComputeHost(program))

    @property
    def slots(self) -> int:
        return self.load.slots

    def start(self) -> Deferred[Mapping[str, Any]]:
        """Connect. Fires when the first Dask worker is warm; fails with EngineUnusable."""
        self.log.info("Waiting for the Dask cluster at {address}", address=str(self._address))
        self._cluster.start()
        return self._ready

    def stop(self) -> Deferred[None]:
        """Leave the cluster; fires when that is done."""
        self._stay()
        self._finish(list(self._works), CANCELLED)
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), self._cluster.stop)

    def submit(self, task: ComputeTask, first: bool = False) -> Work:
        """Have the task computed by one thread of a Dask worker."""
        work = Work(evolve(task, threads=1))
        if self._lost is not None:
            work.finish(self._lost)
            return work
        number = next(self._numbers)
        self._works[number] = work
        if not self._new:
            self._reactor.callLater(0, self._flush)
        self._new[number] = work.task, first
        return work

    def cancel(self, work: Work) -> None:
        """Cancel work at once. A child that computes it ends soon, and leaves nothing behind."""
        work.cancelled = True
        numbers = [number for number, other in self._works.items() if other is work]
        there = [number for number in numbers if self._new.pop(number, None) is None]
        if there:
            self._cluster.cancel(there)
        self._finish(numbers, CANCELLED)

    def pids(self) -> list[int]:
        """Return none: nothing computes here."""
        return []

    def idle_percent(self) -> float:
        return self.load.idle_percent

    def reckoned(self, load: Load) -> Load:
        """Return the cluster's load; of this machine's there remains the disk, which pictures pass."""
        there = self.load
        return evolve(
            load,
            cpu_percent=there.cpu_percent,
            memory_total=there.memory_total,
            memory_available=there.memory_available,
            own_cpu_percent=there.own_cpu_percent,
            own_memory=there.own_memory,
            gpus=(),
            idle_percent=there.idle_percent,
            slots=there.slots,
        )

    def _flush(self) -> None:
        new, self._new = self._new, {}
        self._cluster.submit([(number, task, first) for number, (task, first) in new.items()])
        self._begin()

    def _begin(self) -> None:
        """Take the oldest as begun, one for each slot: the cluster does not say which."""
        for work in islice(self._works.values(), self.slots):
            work.started = True

    def _finish(self, numbers: Sequence[int], verdict: Verdict) -> None:
        for number in numbers:
            self._works.pop(number).finish(verdict)

    # What is heard of the cluster (dpip.worker.dask.cluster.ClusterListener)

    def is_ready(self, abilities: Mapping[str, Any]) -> None:
        self._stay()
        self.log.info(
            "The Dask cluster at {address} is there: {slots} slots",
            address=str(self._address),
            slots=self.slots,
        )
        if not self._ready.called:
            self._ready.callback(abilities)

    def is_away(self, why: str) -> None:
        if self._giving_up is None and self._lost is None:
            self.log.warn("The Dask cluster at {address} is away: {why}", address=str(self._address), why=why)
            self._giving_up = self._reactor.callLater(self._patience, self._give_up)

    def is_unusable(self, error: EngineUnusable) -> None:
        self._stay()
        self._lost = Verdict(Outcome.RETURNED, LOST, error.detail)
        if not self._ready.called:
            self._ready.errback(error)
        self._finish(list(self._works), self._lost)

    def has_load(self, load: ClusterLoad) -> None:
        self.load = load
        self.changed()

    def have_ended(self, verdicts: Sequence[tuple[int, Verdict]]) -> None:
        for number, verdict in verdicts:
            if number in self._works:
                self._finish([number], verdict)
        self._begin()

    # A cluster that is away

    def _stay(self) -> None:
        self._lost = None
        if self._giving_up is not None and self._giving_up.active():
            self._giving_up.cancel()
        self._giving_up = None

    def _give_up(self) -> None:
        self._giving_up = None
        words = f"The Dask cluster at {self._address} has been away for {self._patience:g} seconds."
        self._lost = Verdict(Outcome.RETURNED, LOST, words)
        numbers, self._new = list(self._works), {}
        self._cluster.cancel(numbers)
        self._finish(numbers, self._lost)
        if not self._ready.called:
            self.log.warn("{words}", words=words)


class _InReactor:
    """Calls the engine in the reactor's thread."""

    def __init__(self, reactor: Any, engine: DaskEngine) -> None:
        self._reactor = reactor
        self._engine = engine

    def is_ready(self, abilities: Mapping[str, Any]) -> None:
        self._reactor.callFromThread(self._engine.is_ready, abilities)

    def is_away(self, why: str) -> None:
        self._reactor.callFromThread(self._engine.is_away, why)

    def is_unusable(self, error: EngineUnusable) -> None:
        self._reactor.callFromThread(self._engine.is_unusable, error)

    def has_load(self, load: ClusterLoad) -> None:
        self._reactor.callFromThread(self._engine.has_load, load)

    def have_ended(self, verdicts: Sequence[tuple[int, Verdict]]) -> None:
        self._reactor.callFromThread(self._engine.have_ended, verdicts)
