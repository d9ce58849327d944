"""The index finds what looking at every worker would find."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase

from dpip.scheduler.index import Index
from dpip.scheduler.matching import WorkerKind
from dpip.scheduler.memory import Machine
from dpip.scheduler.workers import JoinedWorker
from tests.scheduler.fakes import info, load

SIZES = st.sampled_from([0, 1, 5, 6, 7, 8, 15, 16, 100, 1000, 1023, 1024, 5000])


class IndexTests(TestCase):
    def setUp(self) -> None:
        self.index = Index()
        self.machines = [Machine(f"m{i}") for i in range(3)]
        self.workers = [self.make(i) for i in range(8)]

    def make(self, number: int) -> JoinedWorker:
        machine = self.machines[number % 3]
        worker = JoinedWorker(
            f"s{number}", number, info(slots=number % 3 + 1), machine, WorkerKind(frozenset(), False)
        )
        worker.load = load()
        machine.workers[worker.session] = worker
        worker.update_estimates(0.5)
        return worker

    def expected(self, need: int) -> int | None:
        fits = [w for w in self.workers if w.indexed and w.machine.free >= need]
        return min(fits, key=lambda w: (w.score(), w.order)).order if fits else None

    def found(self, need: int) -> int | None:
        entry = self.index.best(need)
        return entry[3].order if entry is not None else None

    @settings(max_examples=150, deadline=None)
    @given(st.lists(st.tuples(st.sampled_from("fwmh"), st.integers(0, 7), SIZES), max_size=60))
    def test_like_looking_at_all(self, steps: list[tuple[str, int, int]]) -> None:
        self.setUp()  # Hypothesis runs the same instance many times
        for step, number, size in steps:
            worker = self.workers[number]
            if step == "f":
                self.index.put(worker)
            elif step == "w":
                self.index.remove(worker)
            elif step == "h":
                worker.handicap = float(size)
                self.index.put(worker)
            else:
                worker.machine.free = size
                for one in worker.machine.workers.values():  # what Roster does when memory gets free
                    if one.indexed and one.level < size.bit_length():
                        self.index.put(one)
            for need in (1, 6, 8, 1000):
                self.assertEqual(self.found(need), self.expected(need))
        self.assertEqual(self.index.count, sum(worker.indexed for worker in self.workers))

    def test_stale_entries_do_not_pile_up(self) -> None:
        for machine in self.machines:
            machine.free = 100
        for _ in range(2000):
            for worker in self.workers:
                self.index.put(worker)
        self.assertLess(sum(len(bucket) for bucket in self.index._buckets), 200)
