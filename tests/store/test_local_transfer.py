"""A transfer directory: what is taken from it, and what is not."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.internet.defer import succeed
from twisted.trial.unittest import SynchronousTestCase

from dpip.errors import NotFound, RetryLater
from dpip.runtime.threads import InlineThreads
from dpip.store.image_store import ImageStore
from dpip.store.local_transfer import TransferDirectory


class DeskCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.store = ImageStore(Path(self.mktemp()), InlineThreads(), InlineThreads, floor=0)
        self.store.startService()
        self.addCleanup(self.store.stopService)
        self.directory = self.store.open_transfer_directory()
        self.folder = Path(self.directory.folder)
        self.incoming = Path(self.store.root) / "incoming"

    def refused(self, name: str, size: int = 6) -> None:
        self.assertRaises((NotFound, RetryLater), self.directory.take_file, name, size, "ab")
        self.assertEqual(list(self.incoming.iterdir()), [])


class TakingTests(DeskCase):
    def test_a_file_that_is_taken_stays_until_the_worker_removes_it(self) -> None:
        (self.folder / "r").write_bytes(b"result")
        for _ in range(2):
            file = self.directory.take_file("r", 6, "ab")
            self.assertEqual((file.size, file.claimed, Path(file.path).read_bytes()), (6, "ab", b"result"))
            file.abandon()
            self.assertEqual(list(self.incoming.iterdir()), [])
        self.assertEqual((self.folder / "r").read_bytes(), b"result")

    def test_nobody_else_may_read_what_was_taken(self) -> None:
        (self.folder / "r").write_bytes(b"result")
        (self.folder / "r").chmod(0o666)
        file = self.directory.take_file("r", 6, "ab")
        self.assertEqual(os.stat(file.path).st_mode & 0o777, 0o600)

    def test_what_is_missing_or_of_another_size_is_not_taken(self) -> None:
        self.refused("r")
        (self.folder / "r").write_bytes(b"resul")
        self.refused("r")

    def test_what_is_no_plain_file_is_not_taken(self) -> None:
        (self.folder / "there").write_bytes(b"result")
        (self.folder / "link").symlink_to(self.folder / "there")
        os.mkfifo(self.folder / "fifo")
        (self.folder / "folder").mkdir()
        for name in ("link", "fifo", "folder"):
            self.refused(name)

    def test_what_belongs_to_another_user_is_not_taken(self) -> None:
        (self.folder / "r").write_bytes(b"result")
        self.patch(os, "geteuid", lambda: os.getuid() + 1)
        self.refused("r")

    def test_after_its_end_nothing_can_be_left_or_taken(self) -> None:
        (self.folder / "r").write_bytes(b"result")
        self.successResultOf(self.store.close_transfer_directory(self.directory))
        self.refused("r")
        self.assertRaises(FileNotFoundError, (self.folder / "r").write_bytes, b"late")
        self.successResultOf(self.store.close_transfer_directory(self.directory))


class ProofTests(DeskCase):
    def test_who_can_read_and_write_here_can_prove_it_once(self) -> None:
        proof = (self.folder / "proof").read_bytes()
        (self.folder / "answer").write_bytes(proof)
        self.directory.check_answer()
        self.assertEqual([*self.folder.iterdir(), *self.incoming.iterdir()], [])
        self.assertRaises(NotFound, self.directory.check_answer)

    def test_other_bytes_are_no_proof(self) -> None:
        for answer in (b"x" * 32, b"", b"x" * 1000):
            (self.folder / "answer").write_bytes(answer)
            self.assertRaises(NotFound, self.directory.check_answer)

    def test_every_transfer_directory_has_a_proof_and_a_folder_of_its_own(self) -> None:
        other = self.store.open_transfer_directory()
        self.assertNotEqual(other.folder, self.directory.folder)
        proofs = {(Path(directory.folder) / "proof").read_bytes() for directory in (self.directory, other)}
        self.assertEqual(len(proofs), 2)
        self.assertEqual(self.folder.stat().st_mode & 0o777, 0o700)


class StartTests(DeskCase):
    def test_the_first_transfer_directory_of_a_start_removes_those_of_the_one_before(self) -> None:
        again = ImageStore(Path(self.store.root), InlineThreads(), InlineThreads, floor=0)
        again.startService()
        self.addCleanup(again.stopService)
        self.assertTrue(self.folder.exists())
        new = again.open_transfer_directory()
        self.assertFalse(self.folder.exists())
        again.open_transfer_directory()
        self.assertTrue(Path(new.folder).exists())

    def test_a_transfer_directory_is_no_directory_of_a_workload(self) -> None:
        directory = TransferDirectory.open(os.path.join(self.store.root, "desks", "another"), lambda: "")
        nothing: frozenset[str] = frozenset()
        self.successResultOf(
            self.store.sweep(lambda: succeed(nothing), lambda directory: succeed(nothing), before=1e12)
        )
        self.assertTrue(Path(directory.folder).exists())
