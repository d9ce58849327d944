"""The joined workers, and the jobs that they hold."""

from __future__ import annotations

from enum import Enum
from itertools import islice
from math import ceil, exp, log
from typing import TYPE_CHECKING

from attrs import define, field

from dpip.model import Lease, LeasedJob, Load, WorkerInfo
from dpip.scheduler.costs import Pace
from dpip.scheduler.jobs import Job
from dpip.scheduler.memory import Footprint, Machine

if TYPE_CHECKING:  # a circle of types: workers hold jobs of queues, which count what workers hold
    from dpip.scheduler.fair_queue import WorkloadQueue
    from dpip.scheduler.matching import WorkerKind

_PREFETCH = 1000.0  # added to the score when no slot is idle: workers with idle slots come first
_BUSIEST = 0.9  # however busy other programs keep a machine, a tenth of it is counted as ours


class Phase(Enum):
    LEASING = "leasing"  # the datastore has been asked
    LEASED = "leased"  # with its worker, or on the way there
    RELEASING = "releasing"  # with no worker; the datastore has been asked to make it waiting again


@define(eq=False, repr=False)
class HeldJob:
    """A job that is not waiting and has not ended. ``worker`` is None once no worker has it any more."""

    job: Job
    workload: WorkloadQueue
    need: int
    worker: JoinedWorker | None = None
    ahead: int = 0  # jobs that the worker held when it was given this one
    phase: Phase = Phase.LEASING
    leased: LeasedJob | None = None
    since: float = 0.0  # when it was leased
    begun: float | None = None  # since when its worker computes it, by the order in which it got its jobs
    most: float = 0.0  # seconds between its leasing and its end: it was not computed for longer
    measured: float | None = None  # seconds for which it was computed, as its worker says
    cost: float = 0.0  # seconds that are counted for its owner: estimated, and corrected when they are known
    ahead_seconds: float = 0.0  # expected, while it waits with its worker for a slot
    failure: str | None = None  # why it must fail as soon as it is leased: no machine has the memory

    @property
    def size(self) -> int:
        return self.workload.chain.size(self.job.pixels)

    def is_leased_to(self, session: str) -> bool:
        return self.phase is Phase.LEASED and self.worker is not None and self.worker.session == session

    def is_by(self, lease: Lease) -> bool:
        return self.leased is not None and self.leased.lease == lease


@define(eq=False, repr=False)
class JoinedWorker:
    """One session of a worker. ``order`` counts joinings, and decides where all else is equal."""

    session: str
    order: int
    info: WorkerInfo
    machine: Machine
    kind: WorkerKind
    offers: frozenset[str] = frozenset()  # its filters and tags
    held: dict[int, HeldJob] = field(factory=dict)  # by job number, the oldest first
    unmeasured: dict[Lease, HeldJob] = field(factory=dict)  # done; how long it took may follow
    pace: Pace = field(factory=Pace)
    footprint: Footprint = field(factory=Footprint)
    load: Load | None = None
    leaving: bool = False
    resting: bool = False
    rest_seconds: float = 0.0
    dispatch_failures: int = 0
    ahead_seconds: float = 0.0  # of work that waits with it for a slot,
    most_ahead: float = 0.0  # of which it gets no more when there is so much
    stamp: int = 0  # entries in the index with another stamp are stale
    indexed: bool = False  # it has an entry in the index,
    level: int = 0  # in this bucket
    limit: int = 0  # jobs it may hold now: its slots, and what they compute while further ones come in
    refill: int = 0  # having been full, it gets more when it holds so few: several at once cost little more
    full: bool = False
    speed: float = 1.0  # jobs it computes in the time the average slot takes for one
    handicap: float = 0.0  # log of how long it takes for a job, to be multiplied by the jobs it has

    def update_estimates(self, lookahead: float) -> None:
        """Compute what follows from its load and its pace, once for the many decisions that use it."""
        slots = self.info.slots
        slowness = self.pace.slowness.mean
        self.speed = slots * exp(-slowness)
        self.handicap = slowness - log(1 - self._others_share()) - log(slots)
        ahead = ceil(slots * lookahead / exp(self.pace.job.mean)) if self.pace.job.count else slots
        self.limit = min(self.info.capacity, slots + max(1, ahead))
        self.refill = self.limit - max(1, (self.limit - slots) // 4)
        self.most_ahead = slots * lookahead

    def score(self) -> float:
        """Return the log of how long a job would take here, less if a slot is idle. Lower is better."""
        queued = len(self.held)
        score = log(queued + 1) + self.handicap
        return score + _PREFETCH if queued >= self.info.slots else score

    def recount(self) -> None:
        """Update ``full`` after a change of the number of jobs that it holds, or of its limits."""
        queued = len(self.held)
        self.full = queued > self.refill if self.full else queued >= self.limit
        if queued > self.info.slots and self.ahead_seconds >= self.most_ahead:
            self.full = True

    def cost(self, workload: WorkloadQueue, size: int) -> float:
        """Return the seconds to count for a job here until it has ended.

        They follow from the workload's own jobs as soon as one has ended. Until then others' jobs say little:
        theirs may be called long to hold it up, or short to let it pass.
        """
        if workload.own_cost.count:
            return size * exp(workload.own_cost.mean + self.pace.slowness.mean)
        most = self.most_ahead / self.info.slots
        return min(self.pace.seconds(workload.chain, size), most) if workload.chain.known else most

    def fetches_ahead(self, held: HeldJob) -> None:
        """Take note that the job waits here for a slot. Beside one that may take long no more are fetched."""
        held.ahead_seconds = held.cost if held.workload.own_cost.count else self.most_ahead
        self.ahead_seconds += held.ahead_seconds

    def begin_jobs(self, now: float) -> None:
        """Take note of the time for the jobs that it computes from now on: the oldest, one for each slot."""
        for held in islice(self.held.values(), self.info.slots):
            if held.begun is None and held.phase is Phase.LEASED:
                held.begun = now
                self.no_longer_ahead(held)

    def no_longer_ahead(self, held: HeldJob) -> None:
        self.ahead_seconds -= held.ahead_seconds
        held.ahead_seconds = 0.0

    def accepts(self) -> bool:
        """Say whether it may get a job now if the memory suffices."""
        return not self.machine.reserved and self.takes_more()

    def takes_more(self) -> bool:
        """Say the same for the one job that its machine may be reserved for."""
        return not self.full and self.load is not None and not self.leaving and not self.resting

    def _others_share(self) -> float:
        """Return the part of the machine that other programs keep busy, 0 to ``_BUSIEST``."""
        load = self.load
        if load is None:
            return 0.0
        # Reports do not say how many cores there are; the number of slots is, by default.
        cpu = (load.cpu_percent - load.own_cpu_percent / self.info.slots) / 100
        gpu = min((gpu.load_percent for gpu in load.gpus), default=0.0) / 200
        return max(0.0, min(_BUSIEST, max(cpu, gpu)))

    def expect_measure(self, lease: Lease, held: HeldJob) -> None:
        """Take note that the job is done; how long it took may be reported later, or never."""
        self.unmeasured[lease] = held
        if len(self.unmeasured) > self.info.capacity:
            del self.unmeasured[next(iter(self.unmeasured))]

    def likely_running(self) -> list[HeldJob]:
        """Return the jobs it computes now: those it reported last, then the oldest, as many as its slots."""
        named = set(self.load.running) if self.load is not None else set()
        sent = [held for held in self.held.values() if held.phase is Phase.LEASED]
        sent.sort(key=lambda held: held.job.number not in named)  # stable: the oldest first in each part
        return sent[: self.info.slots]
