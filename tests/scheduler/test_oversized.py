"""Jobs for which memory never suffices: alone on a machine, or failed with both numbers."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from dpip.model import Load
from dpip.scheduler import events as e
from tests.scheduler.fakes import GIB, info, load, waiting, workload
from tests.scheduler.world import World

PIXELS_PER_GIB = GIB // 15  # of need: three bytes a pixel, five times


class LastResortTests(TestCase):
    def setUp(self) -> None:
        self.world = World()
        self.number = 0

    def add(self, gib: float, jobs: int = 1, name: str = "huge", **facts: object) -> None:
        first = self.number + 1
        self.number += jobs
        made = workload(name, **facts)  # type: ignore[arg-type]
        self.world.add(made, [waiting(first + i, int(gib * PIXELS_PER_GIB)) for i in range(jobs)])
        self.world.settle()

    def join(self, name: str, free: float, total: float, slots: int = 2, **facts: object) -> None:
        self.world.join(name, info(name, slots, **facts), load(int(free * GIB), int(total * GIB)))  # type: ignore[arg-type]
        self.world.settle()

    def advance(self, seconds: float) -> None:
        self.world.advance(seconds)
        self.world.settle()

    def finish(self, session: str) -> None:
        for job in list(self.world.sent[session].values()):
            self.world.finish(session, job.lease)
        self.world.settle()

    def test_alone_on_an_idle_machine_after_half_a_minute(self) -> None:
        self.join("a", free=4, total=16)
        self.add(8)
        self.advance(29)
        self.assertEqual(self.world.jobs("a"), [])
        self.advance(1)
        self.assertEqual(self.world.jobs("a"), [1])
        self.add(0.1, name="small")
        self.assertEqual(self.world.jobs("a"), [1])
        self.finish("a")
        self.assertEqual(self.world.jobs("a"), [2])

    def test_a_busy_machine_is_emptied_first(self) -> None:
        self.join("a", free=4, total=16)
        self.add(8)
        self.add(0.1, jobs=100, name="small")
        self.advance(30)
        self.assertEqual(self.world.jobs("a"), [2, 3])
        self.world.finish("a", self.world.sent["a"][2].lease)
        self.world.settle()
        self.assertEqual(self.world.jobs("a"), [3])
        self.finish("a")
        self.assertEqual(self.world.jobs("a"), [1])
        self.finish("a")
        self.assertEqual(len(self.world.jobs("a")), 4)

    def test_the_others_work_on_meanwhile(self) -> None:
        self.join("large", free=4, total=16)
        self.join("small", free=4, total=4)
        self.add(8)
        self.add(0.1, jobs=100, name="small")
        self.advance(30)
        self.finish("small")
        self.assertEqual(len(self.world.jobs("small")), 2)

    def test_the_machine_that_will_have_room_is_emptied(self) -> None:
        """Not the largest: its memory is used by others."""
        self.join("largest", free=2, total=64)
        self.join("roomy", free=10, total=16)
        self.add(4, name="filler")
        self.assertEqual(self.world.jobs("roomy"), [1])
        self.add(8)
        self.advance(30)
        self.assertEqual(self.world.jobs("largest"), [])
        self.finish("roomy")
        self.assertEqual(self.world.jobs("roomy"), [2])

    def test_no_machine_has_as_much(self) -> None:
        self.join("a", free=4, total=16)
        self.add(20)
        self.advance(30)
        row = self.world.datastore.rows[1]
        self.assertEqual(row.state, "failed")
        self.assertEqual(
            row.failure,
            (
                "not-enough-memory",
                "Filtering this picture needs about 20.0 GiB of memory; "
                "the largest machine that could do it has 16.0 GiB.",
            ),
        )
        self.assertEqual(self.world.jobs("a"), [])

    def test_only_machines_that_can_do_it_count(self) -> None:
        self.join("large", free=60, total=64, filters=("other",))
        self.join("small", free=4, total=16)
        self.add(20)
        self.advance(30)
        self.assertEqual(self.world.datastore.rows[1].state, "failed")

    def test_a_machine_that_does_not_know_its_memory_fails_nothing(self) -> None:
        self.world.join("a", info("a"), Load(0.0, 0, 0))
        self.add(1)
        self.advance(1000)
        self.assertEqual(self.world.datastore.rows[1].state, "waiting")

    def test_many_of_them_all_fail(self) -> None:
        self.join("a", free=4, total=16)
        self.add(20, jobs=50)
        self.advance(30)
        self.assertEqual({row.state for row in self.world.datastore.rows.values()}, {"failed"})
        self.add(0.1, name="small")
        self.assertEqual(self.world.jobs("a"), [51])

    def test_nothing_fails_while_no_worker_can_do_it(self) -> None:
        self.add(20)
        self.advance(1000)
        self.assertEqual(self.world.datastore.rows[1].state, "waiting")

    def test_a_larger_machine_joins_in_time(self) -> None:
        self.join("a", free=4, total=16)
        self.add(20)
        self.advance(20)
        self.join("b", free=30, total=64)
        self.assertEqual(self.world.jobs("b"), [1])

    def test_the_machine_being_emptied_is_lost(self) -> None:
        self.join("a", free=4, total=16)
        self.add(8)
        self.add(0.1, jobs=8, name="small")
        self.advance(30)
        self.world.lose("a")
        self.world.work_off()
        self.join("b", free=10, total=16)
        self.assertIn(1, self.world.jobs("b"))

    def test_the_job_is_deleted_while_a_machine_is_emptied(self) -> None:
        self.join("a", free=4, total=16)
        self.add(8)
        self.add(0.1, jobs=100, name="small")
        self.advance(30)
        self.world.delete("huge")
        self.finish("a")
        self.assertEqual(len(self.world.jobs("a")), 4)

    def test_a_deleted_job_keeps_nobody_from_memory(self) -> None:
        """The other job of its lane needs less, and fits; nor is anything held back for it any more."""
        self.join("a", free=4.7, total=16)
        self.add(4.8, name="larger", owner="ann")
        self.add(4.6, name="smaller", owner="bob")
        self.assertEqual(self.world.jobs("a"), [])
        self.world.delete("larger")
        self.world.settle()
        self.assertEqual(self.world.jobs("a"), [2])
        self.finish("a")
        self.add(0.1, jobs=10, name="small")
        self.assertEqual(len(self.world.jobs("a")), 3)

    def test_a_later_job_has_its_own_patience(self) -> None:
        self.join("a", free=4, total=16)
        self.add(0.1, name="other")
        self.add(20)
        self.advance(29)
        self.world.delete("huge")
        self.add(20, name="next")
        self.advance(29)
        self.assertEqual(self.world.datastore.rows[3].state, "waiting")
        self.advance(1)
        self.assertEqual(self.world.datastore.rows[3].state, "failed")

    def test_patience_begins_anew_when_memory_has_sufficed(self) -> None:
        self.join("a", free=4, total=16)
        self.add(8, jobs=2)
        self.advance(20)
        self.world.tell(e.WorkerReported("a", load(10 * GIB, 16 * GIB)))
        self.world.settle()
        self.assertEqual(self.world.jobs("a"), [1])
        self.world.tell(e.WorkerReported("a", load(4 * GIB, 16 * GIB)))
        self.finish("a")
        self.advance(29)
        self.assertEqual(self.world.jobs("a"), [])
        self.advance(1)
        self.assertEqual(self.world.jobs("a"), [2])

    def test_memory_returns_while_a_machine_is_emptied(self) -> None:
        self.join("a", free=4, total=16)
        self.add(8)
        self.add(0.1, jobs=4, name="small")
        self.advance(30)
        self.world.tell(e.WorkerReported("a", load(15 * GIB, 16 * GIB)))
        self.world.finish("a", self.world.sent["a"][2].lease)
        self.world.settle()
        self.assertIn(1, self.world.jobs("a"))

    def test_one_machine_at_a_time(self) -> None:
        for name in "abc":
            self.join(name, free=4, total=16)
        for number in range(3):
            self.add(8, name=f"huge{number}", filters=("blur", "grayscale")[: number % 2 + 1])
        self.add(0.1, jobs=100, name="small")
        self.advance(30)
        for _ in range(8):
            busy = [name for name in "abc" if len(self.world.jobs(name)) >= 2]
            self.assertGreaterEqual(len(busy), 2 - len(self._alone()))
            for name in "abc":
                self.finish(name)
        self.assertEqual({self.world.datastore.rows[n].state for n in (1, 2, 3)}, {"done"})

    def _alone(self) -> list[str]:
        return [name for name in "abc" if set(self.world.jobs(name)) & {1, 2, 3}]
