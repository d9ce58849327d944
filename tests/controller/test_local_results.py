"""Results that come by way of the transfer directory: the same fences as over HTTP, with the real stores."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from attrs import evolve

from dpip.controller.local_results import LocalResults
from dpip.errors import NotAnImage, NotFound, StaleLease, WrongHash
from dpip.link import worker_messages as wire
from dpip.model import Lease, LeasedJob, Outcome, Workload
from tests.controller import test_core
from tests.controller.test_core import WORKER, png


class HandoverTests(test_core.CoreTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.local_results = LocalResults(self.controller, self.images)
        directory = self.local_results.open_directory()
        assert directory is not None
        self.directory = directory

    def leased(self) -> tuple[Workload, LeasedJob]:
        made = self.workload()
        self.upload(made, png(1))
        return made, self.leased_job(made)

    def left(self, lease: Lease, data: bytes) -> wire.ResultFile:
        """The worker has left its result in the transfer directory."""
        (Path(self.directory.folder) / wire.result_name(lease)).write_bytes(data)
        return wire.ResultFile(lease, len(data), hashlib.sha256(data).hexdigest())

    def codes(self, *results: wire.ResultFile) -> list[str]:
        taken = self.ok(self.local_results.keep_results(WORKER, self.directory, results))
        self.assertEqual(os.listdir(Path(self.images.root) / "incoming"), [])
        return [receipt.code for receipt in taken.receipts]

    def test_a_result_in_the_transfer_directory_completes_the_job(self) -> None:
        made, leased = self.leased()
        result = self.left(leased.lease, png(2))
        self.assertEqual(self.codes(result), [""])
        self.assertEqual(self.scheduler.log[-1], ("committed", leased.lease))
        found = self.ok(self.controller.image(test_core.ANN, "0", made.id, None))
        self.assertEqual(found.file.sha256, result.sha256)
        self.assertEqual(Path(self.images.absolute(found.file.path)).read_bytes(), png(2))
        self.assertEqual(found.file.picture.content_type, "image/png")

    def test_the_same_again_is_kept_already_and_another_is_stale(self) -> None:
        _, leased = self.leased()
        result = self.left(leased.lease, png(2))
        self.assertEqual(self.codes(result), [""])
        self.assertEqual(self.codes(result), [""])
        self.assertEqual(self.codes(self.left(leased.lease, png(3))), [StaleLease.code])

    def test_what_is_not_leased_to_this_worker_is_not_even_looked_at(self) -> None:
        _, leased = self.leased()
        wrong = [
            evolve(leased.lease, nonce="another"),
            evolve(leased.lease, attempt=9),
            evolve(leased.lease, nonce="../../originals"),
        ]
        self.assertEqual(self.codes(*(wire.ResultFile(one, 5, "ab") for one in wrong)), [StaleLease.code] * 3)
        another = evolve(WORKER, session="another")
        receipts = self.ok(
            self.local_results.keep_results(another, self.directory, [self.left(leased.lease, png(2))])
        )
        self.assertEqual([receipt.code for receipt in receipts.receipts], [StaleLease.code])

    def test_another_hash_than_it_says_is_an_offence_and_the_job_goes_back(self) -> None:
        made, leased = self.leased()
        lie = evolve(self.left(leased.lease, png(2)), sha256=hashlib.sha256(png(3)).hexdigest())
        self.assertEqual(self.codes(lie), [WrongHash.code])
        self.assertEqual([who for who, _ in self.accused], [WORKER])
        self.assertEqual(self.scheduler.log[-1], ("ended", WORKER.session, leased.lease, Outcome.RETURNED))
        self.assertEqual(self.stored_results(made), [])

    def test_each_of_a_batch_gets_its_own_receipt(self) -> None:
        _, first = self.leased()
        _, second = self.leased()
        results = [
            self.left(first.lease, png(2)),
            evolve(self.left(second.lease, b"no picture"), size=9),
            self.left(second.lease, b"no picture"),
        ]
        self.assertEqual(self.codes(*results), ["", NotFound.code, NotAnImage.code])

    def test_a_workload_that_was_deleted_meanwhile_keeps_nothing(self) -> None:
        made, leased = self.leased()
        result = self.left(leased.lease, png(2))
        self.ok(self.controller.delete_workload(test_core.ANN, made.id))
        self.assertIn(self.codes(result)[0], (StaleLease.code, NotFound.code))
        self.assertFalse((Path(self.images.root) / made.directory).exists() and self.stored_results(made))

    def stored_results(self, workload: Workload) -> list[str]:
        folder = Path(self.images.root) / workload.directory / "results"
        return os.listdir(folder) if folder.exists() else []
