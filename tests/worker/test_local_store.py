"""A worker that shares the image store's files: all that others do over HTTP, and what only files bring."""

from __future__ import annotations

import os
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, fail, succeed

from dpip.controller.local_results import LocalResults
from dpip.controller.workers import Workers
from dpip.errors import DpipError, NotAnImage, RetryLater
from dpip.filters.codec.headers import PictureInfo
from dpip.link.broker import CallRefused, call
from dpip.link.worker_messages import ResultFile, ResultFiles, TransferPaths, encode, result_name
from dpip.model import CommitReceipt, Image, ImageType, Lease, LeasedJob, Outcome, Principal, StoredFile
from dpip.store.image_store import ImageStore
from dpip.worker import compute_child as child_module
from tests.worker import test_session
from tests.worker.api import job
from tests.worker.cluster import lease


class Office:
    """Stands in for the controller: knows the jobs that were given, and keeps what is committed."""

    max_pixels = 1000

    def __init__(self, root: Path) -> None:
        self.jobs: dict[Lease, LeasedJob] = {}
        self.results: list[tuple[str, bytes]] = []
        self.refusal: DpipError | None = None
        self._root = root

    def check_leases(self, by: Principal, leases: Sequence[Lease]) -> Deferred[Sequence[LeasedJob | None]]:
        return succeed([self.jobs.get(lease) for lease in leases])

    def commit_results(
        self, by: Principal, results: Sequence[tuple[Lease, StoredFile]]
    ) -> Deferred[Sequence[CommitReceipt]]:
        return succeed([self._commit(lease, file) for lease, file in results])

    def _commit(self, lease: Lease, file: StoredFile) -> CommitReceipt:
        if self.refusal is not None:
            return CommitReceipt(None, self.refusal.code, self.refusal.detail)
        self.results.append((lease.nonce, (self._root / file.path).read_bytes()))
        return CommitReceipt(Image("result", "workload", ImageType.FILTERED, 0, file, 1.0))


class LocalCase(test_session.WorkingCase):
    """No original is at the API unless a test puts it there."""

    def make_workers(self, report_seconds: float = 0.05) -> Workers:
        if self.local_results is None:
            self.images = self.directory / "images"
            self.store = ImageStore(
                self.images, reactor, probe=lambda path: PictureInfo("PNG", 4, 3, 3), floor=0
            )
            self.store.startService()
            self.addCleanup(self.store.stopService)
            self.office = Office(self.images)
            self.local_results = LocalResults(self.office, self.store)  # type: ignore[arg-type]
        return super().make_workers(report_seconds)

    async def start(self, slots: int = 1) -> None:
        self.session = self.worker(slots=slots, local_store=True)
        await self.record.times("joined")

    def give(self, number: int, step: str = "copy", data: bytes = b"picture", **params: Any) -> LeasedJob:
        new = job(number, data, (step, params))
        path = self.images / new.original.file.path
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        self.office.jobs[new.lease] = new
        return new

    def results(self) -> list[tuple[str, bytes]]:
        return self.office.results

    def directories(self) -> list[Path]:
        return list((self.images / "desks").iterdir())

    def spooled(self) -> list[str]:
        left = [path.name for directory in self.directories() for path in directory.iterdir()]
        return [*super().spooled(), *left, *os.listdir(self.images / "incoming")]


class LocalWorkingTests(LocalCase, test_session.WorkingTests):
    """As over HTTP."""


class LocalLeavingTests(LocalCase, test_session.LeavingTests):
    """As over HTTP."""


class SharingTests(LocalCase):
    async def test_no_picture_goes_over_http(self) -> None:
        await self.start(slots=2)
        await self.record.link.run([self.give(number) for number in range(10)])
        await self.ended(10)
        self.assertEqual(len(self.results()), 10)
        self.assertEqual(self.api.requests, [])
        await self.said("shares the image store")

    async def test_results_of_one_turn_come_in_one_call(self) -> None:
        await self.start()
        calls: list[int] = []
        delivered = self.workers.keep_results
        self.patch(
            self.workers,
            "keep_results",
            lambda link, results: (calls.append(len(results)), delivered(link, results))[1],
        )
        directory = self.session._runner._context.local_transfer  # type: ignore[union-attr]
        assert directory is not None
        digest = sha256(b"PICTURE").hexdigest()
        for number in range(5):
            new = self.give(number)
            (self.directories()[0] / result_name(new.lease)).write_bytes(b"PICTURE")
        kept = [
            Deferred.fromCoroutine(directory.deliver(ResultFile(lease(number), 7, digest)))
            for number in range(5)
        ]
        self.assertEqual([await one for one in kept], [True] * 5)
        self.assertEqual(calls, [5])

    async def test_the_transfer_directory_goes_with_the_link(self) -> None:
        await self.start()
        (directory,) = self.directories()
        self.record.link.drop("for the test")
        await self.record.times("joined", 2)
        while directory.exists():
            await self.record.times("reported", len(self.record.told("reported")) + 1)
        self.assertEqual(len(self.directories()), 1)

    async def test_a_result_that_goes_with_its_transfer_directory_is_no_fault(self) -> None:
        await self.start()
        (directory,) = self.directories()

        def taken_away(link: object, results: object) -> Deferred[object]:
            for path in directory.iterdir():
                path.unlink()
            return fail(RetryLater("The link is about to end."))

        self.patch(self.workers, "keep_results", taken_away)
        await self.record.link.run([self.give(1)])
        self.assertEqual(await self.ended(), {1: (Outcome.RETURNED, "transfer-directory-gone")})
        self.assertEqual(self.results(), [])

    async def test_a_stale_result_is_no_trouble(self) -> None:
        await self.start()
        new = self.give(1)
        self.office.jobs.clear()
        await self.record.link.run([new])
        self.assertEqual(await self.ended(), {1: (Outcome.RETURNED, "stale-lease")})
        self.assertEqual((self.api.requests, self.results(), self.spooled()), ([], [], []))

    async def test_a_result_that_is_no_picture_fails(self) -> None:
        await self.start()
        self.office.refusal = NotAnImage("No picture.")
        await self.record.link.run([self.give(1)])
        self.assertEqual(await self.ended(), {1: (Outcome.FAILED, "result-refused")})

    async def test_a_damaged_original_is_charged(self) -> None:
        await self.start()
        new = self.give(1)
        (self.images / new.original.file.path).write_bytes(b"Picture")
        await self.record.link.run([new])
        self.assertEqual(await self.ended(), {1: (Outcome.CRASHED, "original-damaged")})

    async def test_an_original_that_was_deleted_while_it_waited_is_handed_back(self) -> None:
        await self.start()
        marker = self.directory / "slow"
        marker.touch()
        slow, waiting = self.give(1, "slow", **{"while": str(marker)}), self.give(2)
        await self.record.link.run([slow, waiting])
        await self.record.until(lambda: self.running() == (1,))
        (self.images / waiting.original.file.path).unlink()
        marker.unlink()
        ended = await self.ended(2)
        self.assertEqual(ended, {1: (Outcome.DONE, ""), 2: (Outcome.RETURNED, "spool-error")})

    async def test_what_cannot_be_kept_as_a_file_goes_over_http(self) -> None:
        await self.start()
        self.office.refusal = RetryLater("The database is busy.")
        await self.record.link.run([self.give(1)])
        self.assertEqual(await self.ended(), {1: (Outcome.DONE, "")})
        ((fields, data),) = self.api.results
        self.assertEqual((fields["nonce"], data), ("nonce1", b"PICTURE"))

    async def test_an_original_that_is_not_there_is_asked_for_over_http(self) -> None:
        await self.start()
        new = self.give(1)
        (self.images / new.original.file.path).unlink()
        self.api.originals[new.original.id] = b"picture"
        await self.record.link.run([new])
        self.assertEqual(await self.ended(), {1: (Outcome.DONE, "")})
        self.assertEqual(self.results(), [("nonce1", b"PICTURE")])

    async def test_a_full_disk_hands_the_job_back(self) -> None:
        await self.start()
        (directory,) = self.directories()
        directory.rmdir()
        directory.write_bytes(b"no folder")
        await self.record.link.run([self.give(1)])
        self.assertEqual(await self.ended(), {1: (Outcome.RETURNED, "disk-full")})
        directory.unlink()

    async def test_cancelled_work_leaves_nothing_in_the_transfer_directory(self) -> None:
        self.patch(child_module, "CANCEL_SECONDS", 0.05)
        await self.start()
        await self.record.link.run([self.give(1, "hold_the_gil"), self.give(2)])
        await self.record.until(lambda: self.running() == (1,))
        self.record.link.cancel([lease(1)])
        self.assertEqual(await self.ended(), {2: (Outcome.DONE, "")})
        self.assertEqual(self.spooled(), [])


class ProofTests(LocalCase):
    async def works_over_http(self) -> None:
        new = self.give(1)
        self.api.originals[new.original.id] = b"picture"
        await self.record.link.run([new])
        self.assertEqual(await self.ended(), {1: (Outcome.DONE, "")})
        self.assertEqual([data for _, data in self.api.results], [b"PICTURE"])
        self.assertEqual(self.results(), [])

    async def test_on_another_machine_images_go_over_http(self) -> None:
        """There is no such directory, or another one of the same name."""
        elsewhere = self.directory / "elsewhere"
        self.patch(LocalResults, "paths_of", lambda local_results, directory: _address(elsewhere))
        await self.start()
        await self.said("does not share the image store's files, and uses HTTP")
        await self.works_over_http()

    async def test_a_proof_that_was_not_read_is_none(self) -> None:
        opened = ImageStore.open_transfer_directory

        def with_another_proof(store: ImageStore) -> Any:
            directory = opened(store)
            (Path(directory.folder) / "proof").write_bytes(b"x" * 32)
            return directory

        self.patch(ImageStore, "open_transfer_directory", with_another_proof)
        await self.start()
        await self.said("has not read what lies in its transfer directory")
        await self.works_over_http()

    async def test_a_controller_without_transfer_directories_gives_none(self) -> None:
        self.patch(self.workers, "_local_results", None)
        await self.start()
        await self.works_over_http()

    async def test_who_does_not_ask_gets_no_transfer_directory(self) -> None:
        await super().start()
        self.session = self.worker("bob")
        await self.record.times("joined", 2)
        self.assertEqual(len(self.directories()), 1)
        self.assertIsNone(self.record.link.transfer_directory)

    async def test_without_proof_nothing_is_taken(self) -> None:
        self.session = self.worker()
        await self.record.times("joined")
        controller = self.session._runner._controller  # type: ignore[union-attr]
        assert controller is not None
        self.give(1)
        for name, arguments in (
            ("deliver", (encode(ResultFiles((ResultFile(lease(1), 7, "ab"),))),)),
            ("prove", ()),
        ):
            answer = call(controller, name, *arguments, clock=reactor, timeout=5)  # type: ignore[arg-type]
            await self.assertFailure(answer, CallRefused)
        self.assertEqual(self.results(), [])


def _address(folder: Path) -> TransferPaths:
    return TransferPaths(originals=str(folder), results=str(folder / "desk"))
