"""The joined workers, their machines and kinds, kept consistent through every change."""

from __future__ import annotations

from attrs import evolve

from dpip.model import Load, WorkerInfo
from dpip.scheduler.costs import Chain
from dpip.scheduler.limits import SchedulerLimits
from dpip.scheduler.matching import Matching, Requirement, offered
from dpip.scheduler.memory import Footprint, Loan, Machine
from dpip.scheduler.workers import HeldJob, JoinedWorker


class Roster:
    def __init__(self, limits: SchedulerLimits) -> None:
        self.workers: dict[str, JoinedWorker] = {}  # by session
        self.room = 0  # workers that may get a job now, if it fits in their memory
        self._limits = limits
        self._machines: dict[str, Machine] = {}
        self._matching = Matching()
        self._joined = 0
        self._memory = 0
        self._memory_known_until = float("-inf")

    def join(self, session: str, info: WorkerInfo) -> None:
        machine = self._machines.setdefault(info.machine, Machine(info.machine))
        kind = self._matching.kind_of(info)
        worker = JoinedWorker(session, self._joined, info, machine, kind, offered(info))
        worker.update_estimates(self._limits.lookahead_seconds)
        self._joined += 1
        self.workers[session] = machine.workers[session] = worker
        kind.enter(worker)

    def leave(self, worker: JoinedWorker) -> None:
        """Forget a worker, whose jobs have been removed before."""
        del self.workers[worker.session]
        machine = worker.machine
        machine.remove_worker(worker.footprint)
        del machine.workers[worker.session]
        if not machine.workers:
            del self._machines[machine.name]
        self._leave_kind(worker)

    def report(self, worker: JoinedWorker, load: Load) -> None:
        worker.load = load
        if load.slots not in (0, worker.info.slots):
            self._resize(worker, load.slots)
        worker.machine.report(worker.footprint, load.memory_total, load.memory_available, load.own_memory)
        worker.update_estimates(self._limits.lookahead_seconds)
        self.reindex(worker)
        self._lift(worker.machine)

    def _resize(self, worker: JoinedWorker, slots: int) -> None:
        """Take note that the worker, which may be a cluster, computes so many jobs at once from now on."""
        worker.kind.slots += slots - worker.info.slots
        worker.kind.speed -= worker.speed
        worker.info = evolve(worker.info, slots=slots)
        worker.update_estimates(self._limits.lookahead_seconds)
        worker.kind.speed += worker.speed

    def memory(self, now: float) -> int:
        """Return the bytes that all machines have for jobs, not older than a second: every poll asks."""
        if now >= self._memory_known_until:
            self._memory = sum(machine.base for machine in self._machines.values())
            self._memory_known_until = now + 1.0
        return self._memory

    def reindex(self, worker: JoinedWorker) -> None:
        """Update the worker's entry in the index after any change to what it may take, or to its score."""
        self.room -= worker.indexed
        worker.recount()
        if worker.accepts():
            worker.kind.index.put(worker)
        else:
            worker.kind.index.remove(worker)
        self.room += worker.indexed

    def _lift(self, machine: Machine) -> None:
        """Move the machine's workers to higher buckets if memory is free again."""
        level = machine.free.bit_length()
        for worker in machine.workers.values():
            if worker.indexed and worker.level < level:
                worker.kind.index.put(worker)

    def add_job(self, worker: JoinedWorker, held: HeldJob) -> None:
        """Have the worker hold the job: it takes a slot and its memory."""
        if len(worker.held) >= worker.info.slots:
            worker.fetches_ahead(held)
        worker.held[held.job.number] = held
        worker.kind.in_flight += 1
        worker.machine.add_job(held.need)
        self.reindex(worker)

    def remove_job(self, worker: JoinedWorker, held: HeldJob, still_computing: bool) -> None:
        """Free the job's slot and its memory. While it may be still computing, a report must show it free."""
        del worker.held[held.job.number]
        worker.no_longer_ahead(held)
        worker.kind.in_flight -= 1
        worker.machine.remove_job(worker.footprint, held.need)
        if still_computing:
            worker.machine.write_off(held.need)
        self.reindex(worker)
        self._lift(worker.machine)

    def lend(self, session: str, need: int) -> Loan | None:
        """Lend the worker so many bytes of its machine's memory; None if it has not that much to spare."""
        worker = self.workers.get(session)
        if worker is None or worker.leaving or worker.machine.reserved or worker.machine.free < need:
            return None
        worker.machine.add_job(need)
        self.reindex(worker)
        return Loan(worker, need)

    def take_back(self, loan: Loan) -> None:
        """End a loan; the worker may be gone, with the memory that it used."""
        worker = loan.worker
        if worker.session not in self.workers:
            worker.machine.remove_job(Footprint(), loan.need)
            return
        worker.machine.remove_job(worker.footprint, loan.need)
        self.reindex(worker)
        self._lift(worker.machine)

    def learn(self, worker: JoinedWorker, chain: Chain, size: int, seconds: float, now: float) -> None:
        """Take note that the worker has computed a job of this chain and size in ``seconds``."""
        if not worker.pace.wants_to_learn(now):
            return
        worker.kind.speed -= worker.speed
        worker.pace.learn(chain, size, seconds, now)
        worker.update_estimates(self._limits.lookahead_seconds)
        worker.kind.speed += worker.speed

    def require(self, abilities: frozenset[str], wants_gpu: bool) -> Requirement:
        """Return the requirement for one workload more. Workers whose kind changes by it are moved."""
        requirement, moved = self._matching.requirement(abilities, wants_gpu, self.workers.values())
        for worker in moved:
            self._leave_kind(worker)
            self._matching.kind_of(worker.info).enter(worker)
            self.reindex(worker)
        return requirement

    def release_requirement(self, requirement: Requirement) -> None:
        self._matching.release_requirement(requirement)

    def _leave_kind(self, worker: JoinedWorker) -> None:
        kind = worker.kind
        self.room -= worker.indexed
        kind.leave(worker)
        self._matching.forget_kind(kind)
