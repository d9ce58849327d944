"""The datastore as a service, with real threads and a real end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import SynchronousTestCase, TestCase

from dpip.datastore.datastore import Datastore
from dpip.datastore.reader import Reader
from dpip.errors import RetryLater
from dpip.model import Image, Role
from dpip.runtime.threads import InlineThreads
from tests.datastore.support import EVERYWHERE, NOW, DatabaseFor, HeldThreads, stored, workload


class ThreadTests(TestCase):
    postgres = EVERYWHERE

    def setUp(self) -> None:
        self.database = DatabaseFor.made(Path(self.mktemp()), self.postgres)
        self.datastore = Datastore(self.database.place, reactor)
        self.datastore.startService()
        self.addCleanup(self.datastore.stopService)

    async def add(self, store: Datastore, number: int) -> Image:
        name = f"i{number}"
        [accepted], _ = await store.add_originals("w1", [(name, f"r{number}", stored(name))], None, NOW)
        [job] = await store.lease([(accepted.job.job, "worker", f"n{number}")], NOW)
        assert job is not None
        image, fresh = await store.finish(job.lease, "worker", stored(f"r{number}"), NOW)
        self.assertTrue(fresh)
        return image

    async def test_many_at_once_from_upload_to_result(self) -> None:
        store = self.datastore
        await store.add_user("ann", "", Role.USER, None, NOW)
        await store.add_workload(workload(), None)
        works = [Deferred.fromCoroutine(self.add(store, number)) for number in range(60)]
        images = await gatherResults(works)
        self.assertEqual(sorted(image.seq for image in images), list(range(60)))
        found = await store.workload("w1")
        assert found is not None
        self.assertEqual((found.accepted, found.filtered, found.size), (60, 60, 12_000))

    async def test_a_reader_sees_what_has_been_answered(self) -> None:
        store = self.datastore
        for number in range(20):
            await store.add_user(f"u{number}", "", Role.USER, None, NOW)
            self.assertIsNotNone(await store.user(f"u{number}"))

    async def test_all_that_was_asked_before_the_end_is_there_after_it(self) -> None:
        works = [self.datastore.add_user(f"u{number}", "", Role.USER, None, NOW) for number in range(50)]
        await self.datastore.stopService()
        self.assertEqual(len(await gatherResults(works)), 50)
        again = Datastore(self.database.place, reactor)
        again.startService()
        self.addCleanup(again.stopService)
        self.assertEqual(len(await again.users()), 50)

    async def test_after_the_end_all_is_refused_and_a_new_start_is_possible(self) -> None:
        await self.datastore.stopService()
        for call in (self.datastore.users(), self.datastore.remove_token(b"")):
            with self.assertRaises(RetryLater):
                await call
        self.datastore.startService()
        self.assertEqual(await self.datastore.users(), [])


class ConstructionTests(SynchronousTestCase):
    def test_a_constructor_touches_nothing(self) -> None:
        path = Path(self.mktemp()) / "state" / "dpip.sqlite"

        def no_threads(*_: object) -> Any:
            raise AssertionError("no threads before the start")

        Datastore(path, InlineThreads(), no_threads)
        self.assertFalse(path.parent.exists())

    def test_missing_directories_are_made_for_the_owner_alone(self) -> None:
        path = Path(self.mktemp()) / "dpip.sqlite"
        datastore = Datastore(path, InlineThreads(), InlineThreads)
        datastore.startService()
        self.addCleanup(datastore.stopService)
        self.assertEqual(path.parent.stat().st_mode & 0o777, 0o700)


class ReaderTests(SynchronousTestCase):
    def test_too_many_reads_are_refused_until_some_have_ended(self) -> None:
        path = Path(self.mktemp())
        datastore = Datastore(path, InlineThreads(), InlineThreads)
        datastore.startService()
        self.addCleanup(datastore.stopService)
        storage = datastore._storage
        assert storage is not None
        threads = HeldThreads()
        reader = Reader(threads, threads, storage.reader._engine, limit=2)
        works = [reader.read(lambda _, number: number, number) for number in range(2)]
        self.failureResultOf(reader.read(lambda _: None), RetryLater)
        threads.run()
        self.assertEqual([self.successResultOf(work) for work in works], [0, 1])
        again = reader.read(lambda _: 3)
        threads.run()
        self.assertEqual(self.successResultOf(again), 3)

    def test_a_reader_cannot_write(self) -> None:
        path = Path(self.mktemp())
        datastore = Datastore(path, InlineThreads(), InlineThreads)
        datastore.startService()
        self.addCleanup(datastore.stopService)
        storage = datastore._storage
        assert storage is not None
        self.successResultOf(datastore.add_user("ann", "", Role.USER, None, NOW))
        self.failureResultOf(storage.reader.read(lambda c: c.exec_driver_sql("DELETE FROM users").rowcount))
        self.assertEqual(len(self.successResultOf(datastore.users())), 1)
