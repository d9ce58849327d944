"""Pictures through compute children with no server: real processes, with filters that misbehave."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

import click
from attrs import define, field
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase, TestCase

from dpip.client import Image, Parcel, Result
from dpip.command.workbench import Bench, Memory, Workbench
from dpip.filters import registry
from dpip.worker.compute import Pool
from tests.frames import encoded

PROGRAM = (sys.executable, "-m", "tests.worker.child_program")
SLOTS = 2


@define(eq=False)
class Told:
    """A sender of given parcels that keeps what it is told, and how many were under way at most."""

    parcels: list[Parcel]
    results: dict[str, bytes] = field(factory=dict)
    failures: dict[str, str] = field(factory=dict)
    most: int = 0
    open: int = 0

    async def next(self) -> Parcel | None:
        if not self.parcels:
            return None
        self.open += 1
        self.most = max(self.most, self.open)
        return self.parcels.pop(0)

    def uploaded(self, parcel: Parcel, image: Image) -> None:
        raise AssertionError("there is no server")

    async def arrived(self, parcel: Parcel, result: Result) -> None:
        self.results[parcel.name] = await result.read()
        self.open -= 1

    def failed(self, parcel: Parcel, code: str, reason: str) -> None:
        self.failures[parcel.name] = code
        self.open -= 1


class WorkbenchTests(TestCase):
    timeout = 60

    async def setUp(self) -> None:
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory(prefix="dpip-test-")))
        self.directory = self.folder / "way"
        self.directory.mkdir()
        self.pool = Pool(reactor, time.monotonic, SLOTS, 64 * 2**20, PROGRAM)
        self.pool.say = lambda _: None  # type: ignore[assignment,method-assign]
        self.addCleanup(self.pool.stop)
        await self.pool.start()

    def parcel(self, name: str, data: bytes = b"picture") -> Parcel:
        path = self.folder / name
        path.write_bytes(data)
        return Parcel(name, path, name)

    def workbench(self, sender: Told, step: str = "copy", **params: Any) -> Workbench:
        chain = [(step, params)]
        self.enterContext(mock.patch.object(registry, "validate_steps", return_value=chain))
        self.enterContext(mock.patch.object(registry, "memory_needed", lambda _chain, size: size))
        return Workbench(Bench(self.pool, self.directory), sender, [], {}, Memory(1000))

    async def test_each_picture_comes_back_as_itself_and_nothing_stays(self) -> None:
        sender = Told([self.parcel(f"{number}", b"abc%d" % number) for number in range(20)])
        sender.parcels.append(Parcel("bytes", b"from memory", "k"))
        bench = self.workbench(sender)
        await bench.run()
        expected = {f"{number}": b"ABC%d" % number for number in range(20)}
        self.assertEqual(sender.results, {**expected, "bytes": b"FROM MEMORY"})
        counts = bench.counts
        self.assertEqual((counts.done, counts.filtered, counts.failed), (21, 21, 0))
        self.assertEqual((counts.waiting, counts.running), (0, 0))
        self.assertEqual(list(self.directory.iterdir()), [])
        self.assertLessEqual(sender.most, 2 * SLOTS + 1)

    async def test_what_cannot_be_read_fails_alone(self) -> None:
        gone = self.folder / "gone"
        known = Parcel("known", gone, "k")
        known.decoded_bytes = 12  # it was there when its header was read
        sender = Told([Parcel("gone", gone, "g"), known, self.parcel("good")])
        await self.workbench(sender).run()
        self.assertEqual(sender.failures, {"gone": "unreadable", "known": "unreadable"})
        self.assertEqual(sender.results, {"good": b"PICTURE"})

    async def test_what_fails_is_told_with_its_reason(self) -> None:
        sender = Told([self.parcel("a"), self.parcel("b")])
        bench = self.workbench(sender, "corrupt")
        await bench.run()
        self.assertEqual(sender.failures, dict.fromkeys("ab", "corrupt-picture"))
        self.assertEqual(bench.counts.failed, 2)

    async def test_a_picture_that_kills_its_children_fails_after_three_of_them(self) -> None:
        sender = Told([self.parcel("poison")])
        tried = mock.Mock(wraps=self.pool.run)
        self.patch(self.pool, "run", tried)
        await self.workbench(sender, "segfault").run()
        self.assertEqual((sender.failures, tried.call_count), ({"poison": "compute-crashed"}, 3))

    async def test_no_room_for_a_result_ends_the_run(self) -> None:
        self.directory.rmdir()
        sender = Told([self.parcel("a"), self.parcel("b")])
        error = await self.assertFailure(
            Deferred.fromCoroutine(self.workbench(sender).run()), click.ClickException
        )
        self.assertIn("go on with --resume", error.message)
        self.assertEqual((sender.results, sender.failures), ({}, {}))

    async def test_no_room_for_a_frame_ends_the_run(self) -> None:
        self.directory.rmdir()
        sender = Told([Parcel("frame", b"from a film", "f")])
        error = await self.assertFailure(
            Deferred.fromCoroutine(self.workbench(sender).run()), click.ClickException
        )
        self.assertIn(f"{self.directory} cannot be written to", error.message)

    async def test_when_it_is_cancelled_nothing_is_told_any_more(self) -> None:
        marker = self.folder / "busy"
        marker.touch()
        sender = Told([self.parcel(f"{number}") for number in range(9)])
        running = Deferred.fromCoroutine(self.workbench(sender, "slow", **{"while": str(marker)}).run())
        await deferLater(reactor, 0.1)
        running.cancel()
        await self.assertFailure(running, Exception)
        await self.pool.stop()
        self.assertEqual((sender.results, sender.failures), ({}, {}))
        self.assertEqual(list(self.directory.iterdir()), [])

    async def test_pictures_that_fit_into_memory_only_one_by_one_are_filtered_so(self) -> None:
        large = encoded(1, 16, 16)  # 768 bytes as an array, of 1000
        sender = Told([self.parcel(f"{number}", large) for number in range(6)])
        bench = self.workbench(sender)
        running: list[int] = []
        bench.changed = lambda: running.append(bench.counts.running)
        given = self.pool.run

        def run(task: Any) -> Any:
            running.append(bench.counts.running)
            self.assertGreater(task.threads, 0)
            return given(task)

        self.patch(self.pool, "run", run)
        await bench.run()
        self.assertEqual((len(sender.results), max(running)), (6, 1))

    async def test_what_runs_is_what_has_a_slot(self) -> None:
        sender = Told([self.parcel(f"{number}") for number in range(20)])
        bench = self.workbench(sender)
        seen: list[tuple[int, int]] = []
        bench.changed = lambda: seen.append((bench.counts.waiting, bench.counts.running))
        await bench.run()
        self.assertEqual(max(running for _, running in seen), SLOTS)
        self.assertGreater(max(waiting for waiting, _ in seen), 0)
        self.assertTrue(all(waiting >= 0 <= running for waiting, running in seen))
        self.assertEqual(seen[-1], (0, 0))


class MemoryTests(SynchronousTestCase):
    def lent(self, memory: Memory, size: int) -> Deferred[int]:
        return Deferred.fromCoroutine(memory.take(size))

    def test_who_comes_first_is_served_first(self) -> None:
        memory = Memory(10)
        first, large, small = (self.lent(memory, size) for size in (6, 8, 1))
        self.assertEqual(self.successResultOf(first), 6)
        self.assertNoResult(large)
        self.assertNoResult(small)
        memory.give(6)
        self.assertEqual(self.successResultOf(large), 8)
        self.assertEqual(self.successResultOf(small), 1)

    def test_who_wants_more_than_there_is_gets_it_all(self) -> None:
        memory = Memory(10)
        first, huge = self.lent(memory, 1), self.lent(memory, 1000)
        self.assertNoResult(huge)
        memory.give(self.successResultOf(first))
        self.assertEqual(self.successResultOf(huge), 10)

    def test_who_gives_up_waiting_is_lent_nothing(self) -> None:
        memory = Memory(10)
        first, second, third = (self.lent(memory, 10) for _ in range(3))
        second.addErrback(lambda _: None)
        second.cancel()
        memory.give(self.successResultOf(first))
        self.assertEqual(self.successResultOf(third), 10)
