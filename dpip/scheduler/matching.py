"""Which workers can do which work: filters and tags are matched once per kind, not once per job.

Two workers are of different kinds only if a workload asks for an ability that one of them lacks: 10,000
workers with a tag of their own each are one kind until a workload asks for one of these tags.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from attrs import define, field

from dpip.model import WorkerInfo, WorkloadSpec
from dpip.scheduler.fair_queue import Blocked, Entry, Flow, Lane, lowest
from dpip.scheduler.index import Index
from dpip.scheduler.workers import JoinedWorker

Abilities = frozenset[str]


@define(eq=False, repr=False)
class WorkerKind:
    """Workers with the same abilities, of those that workloads ask for."""

    abilities: Abilities
    gpu: bool
    index: Index = field(factory=Index)
    requirements: list[Requirement] = field(factory=list)
    workers: dict[str, JoinedWorker] = field(factory=dict)  # by session
    in_flight: int = 0
    slots: int = 0
    speed: float = 0.0

    def enter(self, worker: JoinedWorker) -> None:
        worker.kind = self
        self.workers[worker.session] = worker
        self.in_flight += len(worker.held)
        self.slots += worker.info.slots
        self.speed += worker.speed

    def leave(self, worker: JoinedWorker) -> None:
        self.index.remove(worker)
        del self.workers[worker.session]
        self.in_flight -= len(worker.held)
        self.slots -= worker.info.slots
        self.speed -= worker.speed


@define(eq=False, repr=False)
class Requirement:
    """What workloads ask of a worker. A GPU is preferred, not required."""

    abilities: Abilities
    wants_gpu: bool
    order: int
    kinds: list[WorkerKind] = field(factory=list)
    lanes: dict[int, Lane] = field(factory=dict)  # by size class
    open: list[Entry] = field(factory=list)  # a heap of lanes
    closed: dict[int, Lane] = field(factory=dict)  # lanes whose next job cannot be placed, by size class
    blocked: Blocked | None = None  # why no lane of it can be served
    stamp: int = 0
    waiting: int = 0
    users: int = 0  # workloads that ask for it

    def first(self) -> Flow | None:
        return lowest(self.open)


def offered(info: WorkerInfo) -> Abilities:
    return frozenset(info.filters) | frozenset("#" + tag for tag in info.tags)


def asked(spec: WorkloadSpec) -> Abilities:
    return frozenset(name for name, _ in spec.steps) | frozenset("#" + tag for tag in spec.tags)


@define(eq=False, repr=False)
class Matching:
    """All kinds and all requirements, each with the ones of the other sort that match it."""

    _kinds: dict[tuple[Abilities, bool], WorkerKind] = field(factory=dict, init=False)
    _requirements: dict[tuple[Abilities, bool], Requirement] = field(factory=dict, init=False)
    _made: int = field(default=0, init=False)
    _demand: Counter[str] = field(factory=Counter, init=False)  # requirements that ask for this ability

    def kind_of(self, info: WorkerInfo) -> WorkerKind:
        """Return the worker's kind, by the abilities that are asked for at present."""
        abilities = frozenset(ability for ability in offered(info) if ability in self._demand)
        key = (abilities, info.has_gpu)
        if key not in self._kinds:
            kind = self._kinds[key] = WorkerKind(*key)
            for requirement in self._requirements.values():
                _match(kind, requirement)
        return self._kinds[key]

    def forget_kind(self, kind: WorkerKind) -> None:
        """Forget the kind if its last worker has left."""
        if not kind.workers:
            self._kinds.pop((kind.abilities, kind.gpu), None)
            for requirement in kind.requirements:
                requirement.kinds.remove(kind)
            kind.requirements.clear()

    def requirement(
        self, abilities: Abilities, wants_gpu: bool, workers: Iterable[JoinedWorker]
    ) -> tuple[Requirement, list[JoinedWorker]]:
        """Return the requirement for one workload more, and the workers whose kind changes if it is new."""
        key = (abilities, wants_gpu)
        moved: list[JoinedWorker] = []
        if key not in self._requirements:
            requirement = self._requirements[key] = Requirement(*key, order=self._made)
            self._made += 1
            for kind in self._kinds.values():
                _match(kind, requirement)
            moved = self._demand_more(abilities, workers)
        self._requirements[key].users += 1
        return self._requirements[key], moved

    def release_requirement(self, requirement: Requirement) -> None:
        """Count one workload less that asks for it, and forget it after the last one."""
        requirement.users -= 1
        if requirement.users:
            return
        del self._requirements[requirement.abilities, requirement.wants_gpu]
        for kind in requirement.kinds:
            kind.requirements.remove(requirement)
        for ability in requirement.abilities:
            self._demand[ability] -= 1
            if not self._demand[ability]:
                del self._demand[ability]

    def _demand_more(self, abilities: Abilities, workers: Iterable[JoinedWorker]) -> list[JoinedWorker]:
        new = {ability for ability in abilities if ability not in self._demand}
        self._demand.update(abilities)
        return [worker for worker in workers if not new.isdisjoint(worker.offers)] if new else []


def _match(kind: WorkerKind, requirement: Requirement) -> None:
    if requirement.abilities <= kind.abilities:
        kind.requirements.append(requirement)
        requirement.kinds.append(kind)
