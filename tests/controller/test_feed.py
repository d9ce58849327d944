"""What changes, for those who watch."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dpip.controller.feed import Feed, Interest
from dpip.errors import RetryLater
from dpip.model import Load, Progress, Updates, WorkerState, Workload, WorkloadSpec

ALL = Interest(None)
ADMIN = Interest(None, workers=True)


class FeedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.looks: list[str] = []
        self.known: dict[str, Progress] = {}
        self.feed = Feed(self.clock, self.look, "e")

    def look(self, workload_id: str) -> Deferred[Progress | None]:
        self.looks.append(workload_id)
        return succeed(self.known.get(workload_id))

    def change(self, workload_id: str, owner: str = "ann", running: int = 0) -> None:
        """One more image is there."""
        known = self.known.get(workload_id)
        old = known.workload if known else Workload(workload_id, owner, WorkloadSpec("n", ()), "d", 1.0)
        self.known[workload_id] = Progress(evolve(old, accepted=old.accepted + 1), running)
        self.feed.workload_changed(workload_id)

    def wait(self, interest: Interest = ALL, id: str | None = None) -> Deferred[Updates]:
        return self.feed.since(self.feed.position if id is None else id, interest, wait=True)

    def told(self, waiting: Deferred[Updates]) -> list[Any]:
        return [
            (update.workload.workload.id, update.workload.workload.accepted)
            if update.workload
            else update.worker or update.deleted
            for update in self.successResultOf(waiting).items
        ]

    def test_many_changes_are_one_update(self) -> None:
        waiting = self.wait()
        for _ in range(100):
            self.change("w")
        self.clock.advance(0)
        self.assertEqual(self.told(waiting), [("w", 100)])
        self.assertEqual(self.looks, ["w"])

    def test_one_thing_is_told_at_most_four_times_a_second(self) -> None:
        count = 0
        waiting = self.wait()
        for _ in range(400):
            self.change("w")
            self.clock.advance(0.01)
            if waiting.called:
                count += 1
                waiting = self.wait(id=self.successResultOf(waiting).id)
        self.assertGreaterEqual(count, 14)
        self.assertLessEqual(count, 17)

    def test_who_is_slow_skips_to_the_newest(self) -> None:
        start = self.feed.position
        waiting = self.wait()
        for _ in range(5):
            self.change("w")
            self.clock.advance(1)
            waiting = self.wait(id=self.feed.position)
        self.change("v")
        self.clock.advance(1)
        self.assertEqual(self.told(self.wait(id=start)), [("w", 5), ("v", 1)])
        self.assertEqual(self.told(waiting), [("v", 1)])

    def test_without_a_watcher_nothing_is_looked_at_and_nothing_is_lost(self) -> None:
        start = self.feed.position
        self.change("w")
        self.change("w")
        self.clock.advance(3600)
        self.assertEqual(self.looks, [])
        waiting = self.wait(id=start)
        self.clock.advance(0.25)
        self.assertEqual(self.told(waiting), [("w", 2)])

    def test_the_owner_hears_of_it_and_nobody_else(self) -> None:
        ann, bob, admin = self.wait(Interest("ann")), self.wait(Interest("bob")), self.wait()
        self.change("w", "ann")
        self.clock.advance(0)
        self.assertEqual(self.told(ann), [("w", 1)])
        self.assertEqual(self.told(admin), [("w", 1)])
        self.assertNoResult(bob)
        self.feed.workload_deleted(self.known.pop("w").workload)
        self.assertNoResult(bob)
        self.change("v", "bob")
        self.clock.advance(1)
        self.assertEqual(self.told(bob), [("v", 1)])

    def test_one_workload(self) -> None:
        waiting = self.wait(Interest("ann", "w"))
        self.change("v")
        self.clock.advance(1)
        self.assertNoResult(waiting)
        self.change("w")
        self.clock.advance(1)
        self.assertEqual(self.told(waiting), [("w", 1)])

    def test_a_deletion_is_told_at_once_and_is_the_last_word(self) -> None:
        waiting = self.wait()
        self.change("w")
        self.feed.workload_deleted(self.known["w"].workload)
        self.assertEqual(self.told(waiting), ["w"])
        self.clock.advance(1)
        self.assertNoResult(waiting := self.wait())
        waiting.addErrback(lambda _: None).cancel()

    def test_workers_for_those_who_may_see_them(self) -> None:
        state = WorkerState("w1", True, Load(1.0, 2, 1))
        user, admin = self.wait(Interest("ann")), self.wait(ADMIN)
        self.feed.worker_changed(state)
        self.assertEqual(self.told(admin), [state])
        self.assertNoResult(user)

    def test_what_has_not_changed_is_not_told(self) -> None:
        waiting = self.wait()
        self.change("w")
        self.clock.advance(1)
        waiting = self.wait(id=self.successResultOf(waiting).id)
        self.feed.workload_changed("w")
        self.clock.advance(1)
        self.assertNoResult(waiting)

    def test_what_is_worked_on_is_looked_at_each_second(self) -> None:
        waiting = self.wait()
        self.change("w", running=1)
        self.clock.advance(0)
        waiting = self.wait(id=self.successResultOf(waiting).id)
        self.known["w"] = evolve(self.known["w"], running=0)  # its worker is gone
        self.clock.pump([0.25] * 6)
        [update] = self.successResultOf(waiting).items
        self.assertEqual(update.workload, self.known["w"])
        self.wait().addErrback(lambda _: None)
        self.looks.clear()
        self.clock.pump([0.25] * 8)
        self.assertEqual(self.looks, [])

    def test_who_waits_for_long_hears_that_there_was_nothing(self) -> None:
        waiting = self.wait()
        self.clock.advance(15)
        self.assertEqual(self.successResultOf(waiting), Updates("e-0"))

    def test_waking_a_user_wakes_nobody_else(self) -> None:
        waiting, others = (self.wait(Interest(None, watcher=name)) for name in ("ann", "bob"))
        self.feed.wake("ann")
        self.assertEqual(self.told(waiting), [])
        self.assertNoResult(others)
        self.feed.wake("bob")
        self.assertEqual(self.told(others), [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_ids_of_another_life_or_of_nothing_are_not_known(self) -> None:
        self.assertTrue(self.feed.knows("e-0"))
        for id in ("e-1", "f-0", "", "e-", "0", "e--1", "e-٣", "e-" + "9" * 100):
            self.assertFalse(self.feed.knows(id), id)

    def test_what_is_kept_is_bounded(self) -> None:
        start = self.feed.position
        waiting = self.wait(Interest("nobody"))
        for number in range(10_001):
            self.feed.worker_changed(WorkerState(f"w{number}", True))
        self.assertFalse(self.feed.knows(start))
        self.assertTrue(self.feed.knows("e-1"))
        self.assertNoResult(waiting)

    def test_marks_that_nobody_looks_at_are_bounded(self) -> None:
        start = self.feed.position
        for number in range(10_001):
            self.feed.workload_changed(str(number))
        self.assertFalse(self.feed.knows(start))

    def test_who_waits_when_all_is_forgotten_needs_a_snapshot(self) -> None:
        waiting = self.wait(Interest("nobody"))
        for number in range(10_001):
            self.feed.workload_changed(str(number))
        self.assertFalse(self.feed.knows(self.successResultOf(waiting).id))

    def test_a_burst_of_many_workloads_is_looked_at_in_several_turns(self) -> None:
        self.wait().addErrback(lambda _: None)
        for number in range(1000):
            self.change(str(number))
        turns: list[float] = []
        later = self.clock.callLater
        self.patch(self.clock, "callLater", lambda *args: (turns.append(args[0]), later(*args))[1])
        self.clock.advance(0)
        self.assertEqual(len(self.looks), 1000)
        self.assertEqual(turns.count(0.0), 3)

    def test_a_datastore_that_fails_costs_a_snapshot(self) -> None:
        self.feed.look = lambda _: fail(RetryLater("closing"))
        waiting = self.wait()
        self.change("w")
        self.clock.advance(0)
        self.assertFalse(self.feed.knows(self.successResultOf(waiting).id))

    def test_what_changed_while_a_snapshot_was_made_is_told_again(self) -> None:
        waiting = self.wait()
        before = self.feed.position
        self.change("w")
        self.clock.advance(0)
        self.told(waiting)
        after = self.feed.tell_again(before)
        self.known["w"] = evolve(self.known["w"], running=3)
        waiting = self.wait(id=after)
        self.clock.advance(0.25)
        self.assertEqual(self.told(waiting), [("w", 1)])

    def test_who_leaves_is_forgotten(self) -> None:
        waiting = self.wait()
        waiting.addErrback(lambda _: None)
        waiting.cancel()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.change("w")
        self.clock.advance(1)
        self.assertEqual(self.looks, [])

    def test_stopping_leaves_no_timer(self) -> None:
        self.wait()
        self.change("w", running=1)
        self.clock.advance(0)
        waiting = self.wait()
        self.change("w")
        self.feed.stop()
        self.failureResultOf(waiting, RetryLater)
        self.failureResultOf(self.wait(), RetryLater)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class FeedMemoryTests(SynchronousTestCase):
    """Descriptions of workloads may be long: what is kept is bounded by bytes."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.looks = 0
        self.feed = Feed(self.clock, self.look, "e", most_bytes=10 * 8 * 10_000)

    def look(self, workload_id: str) -> Deferred[Progress | None]:
        self.looks += 1
        spec = WorkloadSpec("n", (("f", {"picture": "x" * 10_000}),))
        return succeed(Progress(Workload(workload_id, "ann", spec, "d", 1.0, accepted=self.looks), 0))

    def test_the_oldest_of_long_updates_are_forgotten(self) -> None:
        first = self.feed.position
        watching = self.feed.since(first, Interest("bob"), wait=True)
        for number in range(9):
            self.feed.workload_changed(f"w{number}")
        self.clock.advance(1)
        self.assertTrue(self.feed.knows(first))
        self.feed.workload_changed("w9")
        self.feed.workload_changed("w8")
        self.clock.advance(1)
        self.assertFalse(self.feed.knows(first))
        kept = self.successResultOf(self.feed.since(self.feed.position, ALL, wait=False))
        self.assertEqual(kept.items, ())
        self.feed.stop()
        self.failureResultOf(watching, RetryLater)

    def test_one_thing_that_changes_again_and_again_is_kept_once(self) -> None:
        first = self.feed.position
        watching = self.feed.since(first, Interest("bob"), wait=True)
        for _ in range(12):
            self.feed.workload_changed("w")
            self.clock.advance(1)
        self.assertTrue(self.feed.knows(first))
        self.feed.stop()
        self.failureResultOf(watching, RetryLater)
