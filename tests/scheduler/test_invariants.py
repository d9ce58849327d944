"""Whatever happens, in whatever order: each job ends exactly once, and no slot or memory is lost.

I1 and I3 of the project's invariants, checked by a machine that throws random events at the state.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from dpip.model import Lease, Outcome
from dpip.scheduler import events as e
from dpip.scheduler.instructions import Fail
from dpip.scheduler.limits import SchedulerLimits
from dpip.scheduler.memory import Machine
from dpip.scheduler.workers import HeldJob, JoinedWorker
from tests.scheduler.fakes import GIB, MIB, info, load, waiting, workload
from tests.scheduler.world import World

MACHINES = {"small": 2 * GIB, "middle": 4 * GIB, "large": 16 * GIB}
SIZES = (100_000, 5_000_000, 60_000_000, 100_000_000, 400_000_000)  # needs of 1.5 MB to 6 GB
OUTCOMES = (Outcome.FAILED, Outcome.CRASHED, Outcome.RETURNED, Outcome.LOST, Outcome.DONE)


class Events(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.world = World(limits=SchedulerLimits(max_losses=4, idle_workloads=2))
        self.number = 0  # of the last job
        self.session = 0  # number of the last session
        self.leases: list[tuple[str, Lease]] = []  # every lease that was ever sent, with its session
        self.ended: dict[int, str] = {}

    # Workloads

    @rule(owner=st.sampled_from("ab"), filters=st.sampled_from([("blur",), ("rare",)]), tag=st.booleans())
    def open(self, owner: str, filters: tuple[str, ...], tag: bool) -> None:
        name = f"w{len(self.world.datastore.workloads_)}-{self.number}"
        self.world.open(workload(name, owner, filters, ("tag",) if tag else ()))

    @precondition(lambda self: self.world.datastore.workloads_)
    @rule(data=st.data(), sizes=st.lists(st.sampled_from(SIZES), min_size=1, max_size=8))
    def add_jobs(self, data: st.DataObject, sizes: list[int]) -> None:
        made = self.world.datastore.workloads_[self._pick(data, self.world.datastore.workloads_)]
        first = self.number + 1
        self.number += len(sizes)
        self.world.add(made, [waiting(first + i, size) for i, size in enumerate(sizes)])

    @precondition(lambda self: self.world.datastore.rows)
    @rule(data=st.data())
    def tell_again(self, data: st.DataObject) -> None:
        row = self.world.datastore.rows[self._pick(data, self.world.datastore.rows)]
        self.world.tell(e.JobsWaiting(row.workload_id, [row.job]))

    @precondition(lambda self: self.world.datastore.workloads_)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        self.world.delete(self._pick(data, self.world.datastore.workloads_))

    # Workers

    @rule(
        machine=st.sampled_from(sorted(MACHINES)),
        slots=st.integers(1, 3),
        extra=st.integers(0, 4),
        rare=st.booleans(),
        tag=st.booleans(),
        told=st.booleans(),
    )
    def join(self, machine: str, slots: int, extra: int, rare: bool, tag: bool, told: bool) -> None:
        self.session += 1
        facts = info(
            f"worker-{self.session}",
            slots,
            slots + extra,
            machine,
            ("blur", "rare") if rare else ("blur",),
            ("tag",) if tag else (),
        )
        first = load(MACHINES[machine] // 2, MACHINES[machine]) if told else None
        self.world.join(f"s{self.session}", facts, first)

    @precondition(lambda self: self.world.sent)
    @rule(data=st.data(), share=st.floats(0, 1), own=st.integers(0, 4096))
    def report(self, data: st.DataObject, share: float, own: int) -> None:
        session = self._pick(data, self.world.sent)
        total = MACHINES[self.workers()[session].info.machine]
        running = tuple(self.world.sent[session])[:1]
        now = load(int(total * share), total, own=own * MIB, cpu=100 * share, running=running)
        self.world.tell(e.WorkerReported(session, now))

    @precondition(lambda self: self.world.sent)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        self.world.tell(e.WorkerLeaving(self._pick(data, self.world.sent)))

    @precondition(lambda self: self.world.sent)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        self.world.lose(self._pick(data, self.world.sent))

    # Jobs

    @rule(most=st.integers(1, 20))
    def decide(self, most: int) -> None:
        before = {machine.name: machine.committed for machine in self.machines()}
        self.world.decide(most)
        for machine in self.machines():
            if machine.committed > before[machine.name]:
                alone = machine.alone and machine.in_flight == 1
                assert alone or machine.committed <= machine.base, "memory is overcommitted"

    @rule(operations=st.integers(1, 30))
    def datastore_works(self, operations: int) -> None:
        self.world.work_off(operations)
        known = {lease for _, lease in self.leases}
        self.leases += [
            (session, job.lease)
            for session, jobs in self.world.sent.items()
            for job in jobs.values()
            if job.lease not in known
        ]

    @precondition(lambda self: any(self.world.sent.values()))
    @rule(data=st.data(), outcome=st.sampled_from(OUTCOMES))
    def job_ends(self, data: st.DataObject, outcome: Outcome) -> None:
        session = self._pick(data, {s: jobs for s, jobs in self.world.sent.items() if jobs})
        lease = self.world.sent[session][self._pick(data, self.world.sent[session])].lease
        if outcome is Outcome.DONE:
            self.world.finish(session, lease, data.draw(st.floats(0, 100)))
        else:
            self.world.end(session, lease, outcome)

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), outcome=st.sampled_from(OUTCOMES), real=st.booleans())
    def stale_word(self, data: st.DataObject, outcome: Outcome, real: bool) -> None:
        """A message that comes twice, too late, or from the wrong worker."""
        session, lease = data.draw(st.sampled_from(self.leases))
        if not real:
            session, lease = f"{session}?", Lease(lease.job, lease.attempt + 1, lease.nonce)
        before = self.world.state.leased(session, lease)
        if before is None:
            assert self.world.tell(e.JobEnded(session, lease, outcome, "code", "late", 1.0)) == []

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def late_result(self, data: st.DataObject) -> None:
        """From a worker that was lost, perhaps: the datastore decides whether it counts."""
        session, lease = data.draw(st.sampled_from(self.leases))
        self.world.finish(session, lease)

    @precondition(lambda self: any(self.world.sent.values()))
    @rule(data=st.data())
    def dispatch_fails(self, data: st.DataObject) -> None:
        session = self._pick(data, {s: jobs for s, jobs in self.world.sent.items() if jobs})
        leases = [job.lease for job in self.world.sent[session].values()]
        self.world.tell(e.DispatchFailed(session, leases))

    @rule(seconds=st.sampled_from((0.5, 5.0, 40.0, 1000.0)))
    def time_passes(self, seconds: float) -> None:
        self.world.advance(seconds)

    # What holds always

    @invariant()
    def finished_jobs_stay_finished(self) -> None:
        rows = self.world.datastore.rows
        for number, state in self.ended.items():
            assert number not in rows or rows[number].state == state
        self.ended = {n: row.state for n, row in rows.items() if row.state in ("done", "failed")}

    @invariant()
    def accounts_balance(self) -> None:
        for worker in self.workers().values():
            assert len(worker.held) <= worker.info.capacity
            assert all(held.worker is worker for held in worker.held.values())
        for machine in self.machines():
            held = [held for worker in machine.workers.values() for held in worker.held.values()]
            assert machine.committed == sum(one.need for one in held)
            assert machine.in_flight == len(held)
            assert machine.running == sum(w.footprint.jobs for w in machine.workers.values())
        for kind in {id(w.kind): w.kind for w in self.workers().values()}.values():
            assert kind.in_flight == sum(len(worker.held) for worker in kind.workers.values())
            assert kind.index.count == sum(worker.indexed for worker in kind.workers.values())

        assert self.world.state._roster.room == sum(worker.indexed for worker in self.workers().values())

    @invariant()
    def workers_have_what_we_think(self) -> None:
        for session, worker in self.workers().items():
            sent = {n for n, held in worker.held.items() if held.phase.value == "leased"}
            assert sent <= set(self.world.sent[session])

    @invariant()
    def every_job_has_one_place(self) -> None:
        held = self.held()
        failing = {one.lease.job for one in self.world.pending if isinstance(one, Fail)}
        for number, row in self.world.datastore.rows.items():
            if row.state == "leased":
                assert number in held or number in failing, "leased to nobody"
        for number, one in held.items():
            assert one.worker is None or number in one.worker.held

    def teardown(self) -> None:
        """Once the faults stop, all work is finished."""
        for session in list(self.world.sent):
            self.world.lose(session)
        facts = info("last", 4, 8, "last machine", ("blur", "rare"), ("tag",))
        self.world.join("last", facts, load(8 * GIB, 16 * GIB))
        for _ in range(3 * self.number + 50):
            self.world.settle()
            for job in list(self.world.sent["last"].values()):
                self.world.finish("last", job.lease)
            self.world.advance(10.0)
        states = {row.state for row in self.world.datastore.rows.values()}
        assert states <= {"done", "failed"}, states
        assert not self.held()

    # Looking inside

    def workers(self) -> dict[str, JoinedWorker]:
        return self.world.state._roster.workers

    def machines(self) -> list[Machine]:
        return list(self.world.state._roster._machines.values())

    def held(self) -> dict[int, HeldJob]:
        return self.world.state._held_jobs._held

    def _pick(self, data: st.DataObject, of: dict) -> object:
        return data.draw(st.sampled_from(sorted(of)))


InvariantTests = Events.TestCase
InvariantTests.settings = settings(
    max_examples=60,
    stateful_step_count=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
