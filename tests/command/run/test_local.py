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

from dpip.client import Image, Item, Result
from dpip.command.run import local
from dpip.command.run.local import LocalExecutor, MemoryBudget
from dpip.filters import registry
from dpip.worker.compute_pool import ComputePool
from tests.frames import encoded

PROGRAM = (sys.executable, "-m", "tests.worker.child_program")
SLOTS = 2


@define(eq=False)
class Told:
    """A sender of given items that keeps what it is told, and how many were under way at most."""

    items: list[Item]
    results: dict[str, bytes] = field(factory=dict)
    failures: dict[str, str] = field(factory=dict)
    most: int = 0
    open: int = 0

    async def next(self) -> Item | None:
        if not self.items:
            return None
        self.open += 1
        self.most = max(self.most, self.open)
        return self.items.pop(0)

    def uploaded(self, item: Item, image: Image) -> None:
        raise AssertionError("there is no server")

    async def arrived(self, item: Item, result: Result) -> None:
        self.results[item.name] = await result.read()
        self.open -= 1

    def failed(self, item: Item, code: str, reason: str) -> None:
        self.failures[item.name] = code
        self.open -= 1


class LocalExecutorTests(TestCase):
    timeout = 60

    async def setUp(self) -> None:
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory(prefix="dpip-test-")))
        self.directory = self.folder / "way"
        self.directory.mkdir()
        self.pool = ComputePool(reactor, time.monotonic, SLOTS, 64 * 2**20, PROGRAM)
        self.pool.log_line = lambda _: None  # type: ignore[assignment,method-assign]
        self.addCleanup(self.pool.stop)
        await self.pool.start()

    def item(self, name: str, data: bytes = b"picture") -> Item:
        path = self.folder / name
        path.write_bytes(data)
        return Item(name, path, name)

    def executor(self, sender: Told, step: str = "copy", **params: Any) -> LocalExecutor:
        chain = [(step, params)]
        self.enterContext(mock.patch.object(registry, "validate_steps", return_value=chain))
        self.enterContext(mock.patch.object(local, "memory_needed", lambda _info, size, *_, **__: size))
        return LocalExecutor(self.pool, self.directory, sender, [], {}, MemoryBudget(1000))

    async def test_each_picture_comes_back_as_itself_and_nothing_stays(self) -> None:
        sender = Told([self.item(f"{number}", b"abc%d" % number) for number in range(20)])
        sender.items.append(Item("bytes", b"from memory", "k"))
        executor = self.executor(sender)
        await executor.run()
        expected = {f"{number}": b"ABC%d" % number for number in range(20)}
        self.assertEqual(sender.results, {**expected, "bytes": b"FROM MEMORY"})
        counts = executor.counts
        self.assertEqual((counts.done, counts.filtered, counts.failed), (21, 21, 0))
        self.assertEqual((counts.waiting, counts.running), (0, 0))
        self.assertEqual(list(self.directory.iterdir()), [])
        self.assertLessEqual(sender.most, 2 * SLOTS + 1)

    async def test_what_cannot_be_read_fails_alone(self) -> None:
        gone = self.folder / "gone"
        sender = Told([Item("gone", gone, "g"), self.item("good")])
        await self.executor(sender).run()
        self.assertEqual(sender.failures, {"gone": "unreadable"})
        self.assertEqual(sender.results, {"good": b"PICTURE"})

    async def test_what_needs_more_memory_than_the_machine_has_is_refused_in_words(self) -> None:
        sender = Told([self.item("large", encoded(1)), self.item("small", b"x")])
        executor = self.executor(sender)
        executor.most = 100
        await executor.run()
        self.assertEqual(sender.failures, {"large": "picture-too-large"})
        self.assertEqual(list(sender.results), ["small"])

    async def test_memory_and_no_number_of_pixels_is_the_limit(self) -> None:
        asked = mock.Mock(wraps=self.pool.submit)
        self.enterContext(mock.patch.object(self.pool, "submit", asked))
        await self.executor(Told([self.item("a")])).run()
        [call] = asked.call_args_list
        self.assertGreater(call.args[0].max_pixels, 300_000 * 300_000)

    async def test_what_fails_is_told_with_its_reason(self) -> None:
        sender = Told([self.item("a"), self.item("b")])
        executor = self.executor(sender, "corrupt")
        await executor.run()
        self.assertEqual(sender.failures, dict.fromkeys("ab", "corrupt-picture"))
        self.assertEqual(executor.counts.failed, 2)

    async def test_a_picture_that_kills_its_children_fails_after_three_of_them(self) -> None:
        sender = Told([self.item("poison")])
        tried = mock.Mock(wraps=self.pool.submit)
        self.patch(self.pool, "submit", tried)
        await self.executor(sender, "segfault").run()
        self.assertEqual((sender.failures, tried.call_count), ({"poison": "compute-crashed"}, 3))

    async def test_no_room_for_a_result_ends_the_run(self) -> None:
        self.directory.rmdir()
        sender = Told([self.item("a"), self.item("b")])
        error = await self.assertFailure(
            Deferred.fromCoroutine(self.executor(sender).run()), click.ClickException
        )
        self.assertIn("go on with --resume", error.message)
        self.assertEqual((sender.results, sender.failures), ({}, {}))

    async def test_no_room_for_a_frame_ends_the_run(self) -> None:
        self.directory.rmdir()
        sender = Told([Item("frame", b"from a film", "f")])
        error = await self.assertFailure(
            Deferred.fromCoroutine(self.executor(sender).run()), click.ClickException
        )
        self.assertIn(f"{self.directory} cannot be written to", error.message)

    async def test_when_it_is_cancelled_nothing_is_told_any_more(self) -> None:
        marker = self.folder / "busy"
        marker.touch()
        sender = Told([self.item(f"{number}") for number in range(9)])
        running = Deferred.fromCoroutine(self.executor(sender, "slow", **{"while": str(marker)}).run())
        await deferLater(reactor, 0.1)
        running.cancel()
        await self.assertFailure(running, Exception)
        await self.pool.stop()
        self.assertEqual((sender.results, sender.failures), ({}, {}))
        self.assertEqual(list(self.directory.iterdir()), [])

    async def test_pictures_that_fit_into_memory_only_one_by_one_are_filtered_so(self) -> None:
        large = encoded(1, 16, 16)  # 768 bytes as an array, of 1000
        sender = Told([self.item(f"{number}", large) for number in range(6)])
        executor = self.executor(sender)
        running: list[int] = []
        executor.changed = lambda: running.append(executor.counts.running)
        given = self.pool.submit

        def run(task: Any) -> Any:
            running.append(executor.counts.running)
            self.assertGreater(task.threads, 0)
            return given(task)

        self.patch(self.pool, "submit", run)
        await executor.run()
        self.assertEqual((len(sender.results), max(running)), (6, 1))

    async def test_what_runs_is_what_has_a_slot(self) -> None:
        sender = Told([self.item(f"{number}") for number in range(20)])
        executor = self.executor(sender)
        seen: list[tuple[int, int]] = []
        executor.changed = lambda: seen.append((executor.counts.waiting, executor.counts.running))
        await executor.run()
        self.assertEqual(max(running for _, running in seen), SLOTS)
        self.assertGreater(max(waiting for waiting, _ in seen), 0)
        self.assertTrue(all(waiting >= 0 <= running for waiting, running in seen))
        self.assertEqual(seen[-1], (0, 0))


class MemoryBudgetTests(SynchronousTestCase):
    def lent(self, memory: MemoryBudget, size: int) -> Deferred[int]:
        return Deferred.fromCoroutine(memory.borrow(size))

    def test_who_comes_first_is_served_first(self) -> None:
        memory = MemoryBudget(10)
        first, large, small = (self.lent(memory, size) for size in (6, 8, 1))
        self.assertEqual(self.successResultOf(first), 6)
        self.assertNoResult(large)
        self.assertNoResult(small)
        memory.give_back(6)
        self.assertEqual(self.successResultOf(large), 8)
        self.assertEqual(self.successResultOf(small), 1)

    def test_who_wants_more_than_there_is_gets_it_all(self) -> None:
        memory = MemoryBudget(10)
        first, huge = self.lent(memory, 1), self.lent(memory, 1000)
        self.assertNoResult(huge)
        memory.give_back(self.successResultOf(first))
        self.assertEqual(self.successResultOf(huge), 10)

    def test_who_gives_up_waiting_is_lent_nothing(self) -> None:
        memory = MemoryBudget(10)
        first, second, third = (self.lent(memory, 10) for _ in range(3))
        second.addErrback(lambda _: None)
        second.cancel()
        memory.give_back(self.successResultOf(first))
        self.assertEqual(self.successResultOf(third), 10)
