"""The lists of long workloads: what has not changed is not asked for, whoever polls however often."""

from __future__ import annotations

import gc
import json
import tracemalloc
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from dpip.api.lists import ListMaker, Lists
from dpip.filters.registry import MAX_STEPS
from dpip.model import (
    RESULTS_PAGE,
    Failure,
    Numbering,
    Principal,
    Progress,
    Results,
    Role,
    Workload,
    WorkloadSpec,
)

ANN = Principal("ann", Role.USER)
SPEC = WorkloadSpec("film", (("grayscale", {}),))


class Pages:
    """A controller with one workload of three pages; answers wait until ``turn``."""

    def __init__(self, numbering: Numbering = Numbering.IDS) -> None:
        self.ended: dict[int, bool] = {}  # by place: was it a success?
        self.accepted = 3 * RESULTS_PAGE
        self.numbering = numbering
        self.log: list[Any] = []
        self.waiting: list[tuple[Deferred[Any], Any]] = []

    def progress(self) -> Progress:
        spec = WorkloadSpec("film", (("grayscale", {}),), numbering=self.numbering)
        filtered = sum(self.ended.values())
        counts = {"filtered": filtered, "failed": len(self.ended) - filtered}
        return Progress(Workload("w", "ann", spec, "d", 0.0, self.accepted, **counts))

    def endings(self, by: Principal, workload_id: str) -> Deferred[Any]:
        self.log.append("endings")
        return self.later(
            lambda: [sum(seq // RESULTS_PAGE == page for seq in self.ended) for page in range(3)]
        )

    def results(self, by: Principal, workload_id: str, page: int) -> Deferred[Any]:
        self.log.append(page)

        def rows() -> Results:
            here = [seq for seq in sorted(self.ended) if seq // RESULTS_PAGE == page]
            failed = [Failure(seq, f"o{seq}", None, "bad", "why") for seq in here if not self.ended[seq]]
            return Results([(seq, f"r{seq}") for seq in here if self.ended[seq]], failed)

        return self.later(rows)

    def later(self, value: Any) -> Deferred[Any]:
        answer: Deferred[Any] = Deferred()
        self.waiting.append((answer, value))
        return answer

    def turn(self) -> None:
        while self.waiting:
            answer, value = self.waiting.pop(0)
            answer.callback(value())


class ListMakerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.pages = Pages()
        self.now = 0.0
        self.maker = ListMaker(self.pages, lambda: self.now)  # type: ignore[arg-type]

    def ask(self) -> Deferred[Lists]:
        return Deferred.fromCoroutine(self.maker.lists(ANN, self.pages.progress()))

    def lists(self) -> tuple[list[str], list[int]]:
        asked = self.ask()
        self.pages.turn()
        found = self.successResultOf(asked)
        return json.loads(found.filtered), [one["seq"] for one in json.loads(found.failed)]

    def test_nothing_has_ended(self) -> None:
        self.assertEqual((self.lists(), self.pages.log), (([], []), []))

    def test_all_pages_in_upload_order(self) -> None:
        self.pages.ended = {2500: True, 3: True, 1000: False, 999: True}
        self.assertEqual(self.lists(), (["r3", "r999", "r2500"], [1000]))

    def test_places_instead_of_ids_for_frames(self) -> None:
        self.pages.numbering = Numbering.FRAMES
        self.pages.ended = {7: True, 2999: True}
        self.assertEqual(self.lists()[0], ["7", "2999"])

    def test_only_the_page_that_has_changed_is_asked_for(self) -> None:
        self.pages.ended = {1: True, 1001: True, 2001: True}
        self.lists()
        del self.pages.log[:]
        self.pages.ended[1002] = False
        self.assertEqual(self.lists(), (["r1", "r1001", "r2001"], [1002]))
        self.assertEqual(self.pages.log, ["endings", 1])

    def test_nothing_is_asked_when_nothing_has_changed(self) -> None:
        self.pages.ended = {1: True}
        self.lists()
        del self.pages.log[:]
        self.lists()
        self.assertEqual(self.pages.log, [])

    def test_of_many_who_ask_at_once_one_has_them_made(self) -> None:
        self.pages.ended = {1: True}
        asked = [self.ask() for _ in range(50)]
        self.pages.turn()
        first, *others = [self.successResultOf(one) for one in asked]
        self.assertTrue(all(one is first for one in others))
        self.assertEqual(self.pages.log, ["endings", 0])

    def test_while_it_runs_lists_are_made_a_tenth_of_the_time_at_most(self) -> None:
        self.pages.ended = {1: True}
        asked = self.ask()
        self.now += 0.02  # it takes so long
        self.pages.turn()
        first = self.successResultOf(asked)
        self.pages.ended[2] = True
        self.now += 0.15
        self.assertEqual(self.successResultOf(self.ask()), first)
        self.assertEqual(first.progress.workload.filtered, 1)  # and it does not say otherwise
        self.now += 0.1
        self.assertEqual(self.lists()[0], ["r1", "r2"])

    def test_an_upload_and_the_end_are_seen_at_once(self) -> None:
        self.pages.accepted, self.pages.ended = 2, {0: True}
        asked = self.ask()
        self.now += 100.0
        self.pages.turn()
        self.successResultOf(asked)
        self.pages.accepted = 3
        self.pages.ended[1] = True
        self.assertEqual(self.lists()[0], ["r0", "r1"])
        self.pages.ended[2] = True
        self.assertEqual(self.lists()[0], ["r0", "r1", "r2"])

    def test_what_ends_while_lists_are_made_is_in_the_next_ones(self) -> None:
        self.pages.ended = {1: True}
        asked = self.ask()
        answer, value = self.pages.waiting.pop()
        answer.callback(value())  # the counts
        self.pages.ended[2] = True
        self.pages.turn()
        self.successResultOf(asked)
        self.pages.ended[3] = True
        self.assertEqual(self.lists()[0], ["r1", "r2", "r3"])

    def test_memory_is_bounded_and_given_back(self) -> None:
        self.maker = ListMaker(self.pages, lambda: self.now, limit=10)  # type: ignore[arg-type]
        self.pages.ended = dict.fromkeys(range(100), True)
        self.lists()
        self.assertEqual(len(self.maker._known), 1)  # the newest stays, whatever its size
        self.maker.forget("w")
        self.assertEqual((self.maker._known.currsize, len(self.maker._known)), (0, 0))

    def test_many_workloads_with_short_lists_take_no_more_memory_than_is_counted(self) -> None:
        for count in (1, MAX_STEPS):
            self.maker = ListMaker(OnePage(), lambda: self.now)  # type: ignore[arg-type]
            gc.collect()
            tracemalloc.start()
            self.addCleanup(tracemalloc.stop)
            for number in range(200):
                workload = many_steps(number, count)
                Deferred.fromCoroutine(self.maker.lists(ANN, Progress(workload)))
            del workload
            taken, _ = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            self.assertEqual(len(self.maker._known), 200)
            self.assertLess(taken, self.maker._known.currsize)


class OnePage:
    """A controller whose workloads have one result each."""

    def endings(self, by: Principal, workload_id: str) -> Deferred[list[int]]:
        return succeed([1])

    def results(self, by: Principal, workload_id: str, page: int) -> Deferred[Results]:
        return succeed(Results([(0, f"result of {workload_id}")], []))


def many_steps(number: int, count: int) -> Workload:
    """A workload as it comes from the database: no text of it is shared with another."""
    steps = json.loads(json.dumps([["blur", {"sigma": 5.0}]] * count))
    spec = WorkloadSpec(f"name {number}", tuple((name, params) for name, params in steps))
    return Workload(f"{number:026d}", "ann", spec, f"w-{number:026d}", 0.0, 1, filtered=1)
