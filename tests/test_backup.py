"""A state directory in a file and back, also while its service changes it."""

from __future__ import annotations

import hashlib
import io
import json
import os
import sqlite3
import stat
import tarfile
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest import SkipTest

from filelock import FileLock
from twisted.trial.unittest import SynchronousTestCase

from dpip import backup
from dpip.backup import Service, back_up, move, restore, verify
from dpip.datastore.datastore import Datastore
from dpip.datastore.leadership import Leadership
from dpip.datastore.postgres import PostgresDatabase
from dpip.datastore.transfer import DifferentRows
from dpip.errors import Conflict, Malformed, NotFound
from dpip.model import Role, StoredFile, StoredPicture, Workload
from dpip.runtime.threads import InlineThreads
from tests.datastore import postgres_server
from tests.datastore.support import NOW, spec


class BackupTestCase(SynchronousTestCase):
    """``self.state`` has the user ann with two workloads of two images each; its datastore is open."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.state = self.folder / "state"
        self.state.mkdir(parents=True)
        self.file = self.folder / "backup"
        (self.state / "authority.pem").write_text("the key")
        (self.state / "join-token.former").write_text("good for a while")
        (self.state / "lock").touch()
        (self.state / "images" / "incoming").mkdir(parents=True)
        (self.state / "images" / "incoming" / "half").write_text("half an upload")
        self.datastore = self.opened(self.state)
        self.now(self.datastore.add_user("ann", "hash", Role.USER, None, NOW))
        for name in ("w1", "w2"):
            self.now(self.datastore.add_workload(Workload(name, "ann", spec(), f"dir-{name}", NOW), None))
            for number in range(2):
                self.upload(name, f"{name}-{number}")

    def now(self, deferred: Any) -> Any:
        return self.successResultOf(deferred)

    def opened(self, state: Path) -> Datastore:
        datastore = Datastore(state / "dpip.sqlite", InlineThreads(), InlineThreads)
        datastore.startService()
        self.addCleanup(datastore.stopService)
        return datastore

    def upload(self, workload: str, image: str) -> None:
        path = self.state / "images" / f"dir-{workload}" / "originals" / f"{image}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image.encode() * 10)
        picture = StoredPicture("PNG", "image/png", 4, 3, 36)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        file = StoredFile(f"dir-{workload}/originals/{path.name}", path.stat().st_size, digest, picture, None)
        self.now(self.datastore.add_originals(workload, [(image, f"{image}-result", file)], None, NOW))

    def images(self, state: Path) -> set[str]:
        root = state / "images"
        return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


class RoundTripTests(BackupTestCase):
    def test_all_comes_back_while_the_service_runs(self) -> None:
        saved = back_up(Service(self.state), self.file)
        self.assertEqual((saved.images, saved.size), (4, 4 * 40))
        self.assertEqual(stat.S_IMODE(self.file.stat().st_mode), 0o600)
        self.assertEqual(sorted(os.listdir(self.folder)), ["backup", "state"])
        other = self.folder / "other"
        self.assertEqual(restore(self.file, Service(other)), saved)
        self.assertEqual((other / "authority.pem").read_text(), "the key")
        self.assertEqual((other / "join-token.former").read_text(), "good for a while")
        self.assertEqual(self.images(other), self.images(self.state) - {"incoming/half"})
        self.assertEqual((other / "images/dir-w1/originals/w1-1.png").read_bytes(), b"w1-1" * 10)
        restored = self.opened(other)
        self.assertEqual(self.now(restored.workload("w2")), self.now(self.datastore.workload("w2")))
        self.assertEqual(self.now(restored.user("ann")), self.now(self.datastore.user("ann")))

    def test_what_is_uploaded_or_deleted_meanwhile_leaves_no_row_without_a_file(self) -> None:
        add, added = backup._Archive.add_file, []

        def and_change(archive: backup._Archive, name: str, path: Path) -> int:
            added.append(name)
            if name.endswith("w1-0.png"):
                self.upload("w2", "late")
                self.now(self.datastore.delete_workload("w1", NOW))
                for gone in (self.state / "images" / "dir-w1" / "originals").iterdir():
                    if gone != path:
                        gone.unlink()
            return add(archive, name, path)

        self.patch(backup._Archive, "add_file", and_change)
        back_up(Service(self.state), self.file)
        other = self.folder / "other"
        restore(self.file, Service(other))
        restored = self.opened(other)
        self.assertIsNone(self.now(restored.workload("w1")))
        found = self.now(restored.workload("w2"))
        self.assertEqual(found.accepted, 2)
        self.assertEqual(self.now(restored.user("ann"))[0].used, 80)
        self.assertEqual(
            self.images(other),
            {f"dir-{name}.png" for name in ("w1/originals/w1-0",)}
            | {f"dir-w2/originals/w2-{number}.png" for number in range(2)},
        )

    def test_a_file_that_is_missing_for_no_reason_is_told(self) -> None:
        (self.state / "images/dir-w1/originals/w1-0.png").unlink()
        error = self.assertRaises(NotFound, back_up, Service(self.state), self.file)
        self.assertIn("w1-0.png is missing", error.detail)
        self.assertEqual(os.listdir(self.folder), ["state"])

    def test_nothing_is_written_over(self) -> None:
        self.file.write_text("precious")
        self.assertRaises(Conflict, back_up, Service(self.state), self.file)
        self.assertEqual(self.file.read_text(), "precious")
        self.assertRaises(NotFound, back_up, Service(self.folder), self.folder / "another")


class RestoreTests(BackupTestCase):
    def setUp(self) -> None:
        super().setUp()
        back_up(Service(self.state), self.file)

    def test_a_directory_in_use_is_left_alone(self) -> None:
        with FileLock(self.state / "lock"):
            self.assertRaises(Conflict, restore, self.file, Service(self.state), True)
        self.assertTrue((self.state / "dpip.sqlite").exists())

    def test_a_directory_that_is_not_empty_is_replaced_only_on_demand(self) -> None:
        other = self.folder / "other"
        other.mkdir()
        (other / "notes").write_text("precious")
        error = self.assertRaises(Conflict, restore, self.file, Service(other))
        self.assertIn("--replace", error.detail)
        restore(self.file, Service(other), replace=True)
        (aside,) = other.glob("replaced-*")
        self.assertEqual((aside / "notes").read_text(), "precious")
        self.assertIsNotNone(self.now(self.opened(other).workload("w1")))

    def test_a_backup_cut_short_gives_no_database(self) -> None:
        whole = self.file.read_bytes()
        for length in (100, 3000, len(whole) // 2, len(whole) - 60_000):
            with self.subTest(length=length):
                self.file.write_bytes(whole[:length])
                other = self.folder / f"other-{length}"
                self.assertRaises(Malformed, restore, self.file, Service(other))
                self.assertEqual([path.name for path in other.glob("*") if path.name != "lock"], [])

    def test_a_backup_cut_short_moves_nothing_aside(self) -> None:
        self.file.write_bytes(self.file.read_bytes()[:-60_000])
        other = self.folder / "other"
        other.mkdir()
        (other / "dpip.sqlite").write_text("in use every day")
        self.assertRaises(Malformed, restore, self.file, Service(other), replace=True)
        self.assertEqual(sorted(path.name for path in other.iterdir()), ["dpip.sqlite", "lock"])

    def test_a_flipped_byte_anywhere_is_found_before_anything_is_moved(self) -> None:
        self.assertEqual(verify(self.file).images, 4)
        with tarfile.open(self.file) as tar:
            places = [(member.name, member.offset_data + member.size // 2) for member in tar]
        whole = self.file.read_bytes()
        for name, place in places:
            with self.subTest(name=name):
                self.file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
                other = self.folder / f"other-{place}"
                other.mkdir()
                (other / "mine").write_text("mine")
                error = self.assertRaises(Malformed, restore, self.file, Service(other), replace=True)
                self.assertIn(str(self.file), error.detail)
                self.assertRaises(Malformed, verify, self.file)
                self.assertEqual({path.name for path in other.iterdir()} - {"lock"}, {"mine"})
        self.assertEqual([path.name for path in self.folder.glob(".restoring-*")], [])

    def test_a_backup_of_an_earlier_version_is_compared_with_its_database(self) -> None:
        earlier = self.folder / "earlier"
        for flipped in (False, True):
            with tarfile.open(self.file) as tar, tarfile.open(earlier, "w") as first:
                for member in tar:
                    content = tar.extractfile(member).read()  # type: ignore[union-attr]
                    if member.name == "dpip-backup.json":
                        content = json.dumps({**json.loads(content), "format": 1}).encode()
                    if flipped and member.name.endswith("w1-0.png"):
                        content = content[:-1] + b"?"
                    if member.name != "sha256.json":
                        member.size = len(content)
                        first.addfile(member, io.BytesIO(content))
            if flipped:
                self.assertIn("w1-0.png", self.assertRaises(Malformed, verify, earlier).detail)
            else:
                self.assertEqual(restore(earlier, Service(self.folder / "other")).images, 4)

    def test_what_is_no_backup_is_refused(self) -> None:
        for name, data in (("x", b"?" * 5000), ("y", b"")):
            (self.folder / name).write_bytes(data)
            self.assertRaises(Malformed, restore, self.folder / name, Service(self.folder / "other"))
        self.assertRaises(NotFound, restore, self.folder / "nothing", Service(self.folder / "other"))

    def test_nothing_is_written_outside_the_directory(self) -> None:
        for name, kind in (
            ("images/../../evil", tarfile.REGTYPE),
            ("evil", tarfile.REGTYPE),
            ("images/x", tarfile.SYMTYPE),
        ):
            with self.subTest(name=name):
                evil = self.folder / "evil-backup"
                with tarfile.open(self.file) as good, tarfile.open(evil, "w") as tar:
                    first = good.next()
                    assert first is not None
                    tar.addfile(first, good.extractfile(first))
                    info = tarfile.TarInfo(name)
                    info.type, info.linkname, info.size = kind, "/etc/passwd", 0
                    tar.addfile(info, io.BytesIO())
                other = self.folder / f"other-{len(name)}"
                self.assertRaises(Malformed, restore, evil, Service(other))
                self.assertFalse((self.folder / "evil").exists())

    def test_a_later_versions_backup_is_refused(self) -> None:
        with closing(sqlite3.connect(self.state / "dpip.sqlite")) as database, database:
            database.execute("UPDATE alembic_version SET version_num = '9999'")
        later = self.folder / "later"
        back_up(Service(self.state), later)
        error = self.assertRaises(Malformed, restore, later, Service(self.folder / "other"))
        self.assertIn("or a later one", error.detail)


class PostgresTests(BackupTestCase):
    def setUp(self) -> None:
        if why := postgres_server.why_not():
            raise SkipTest(why)
        super().setUp()
        self.url = postgres_server.new_url()
        self.database = PostgresDatabase(self.url)

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        return postgres_server.ask(self.url, statement)

    def on_postgres(self) -> Datastore:
        datastore = Datastore(self.database, InlineThreads(), InlineThreads)
        datastore.startService()
        self.addCleanup(datastore.stopService)
        return datastore

    def moved(self) -> Service:
        self.now(self.datastore.delete_workload("w2", NOW))  # and with it the highest numbers of jobs
        move(self.state, self.database)
        return Service(self.folder / "elsewhere", self.state / "images", self.database)

    def test_a_service_moves_with_all_its_rows_and_keys(self) -> None:
        self.moved()
        there = self.on_postgres()
        self.assertEqual(self.now(there.workload("w1")), self.now(self.datastore.workload("w1")))
        self.assertEqual(self.now(there.user("ann")), self.now(self.datastore.user("ann")))
        self.assertEqual(self.ask("SELECT value FROM secrets WHERE name = 'authority.pem'"), [(b"the key",)])

    def test_numbers_go_on_behind_those_of_jobs_that_are_gone(self) -> None:
        self.moved()
        self.datastore = self.on_postgres()
        self.upload("w1", "another")
        self.assertEqual(self.ask("SELECT max(id) FROM jobs"), [(5,)])

    def test_what_has_rows_or_is_in_use_is_refused(self) -> None:
        self.moved()
        self.assertRaises(Conflict, move, self.state, self.database)
        leading = PostgresDatabase(self.url, Leadership())
        self.assertTrue(leading.lead())
        error = self.assertRaises(Conflict, move, self.state, self.database)
        self.assertIn("controller", error.detail)
        assert leading.leadership is not None
        leading.leadership.resign()

    def test_a_backup_is_restored_to_a_file_and_to_another_database(self) -> None:
        service = self.moved()
        saved = back_up(service, self.file)
        self.assertEqual(saved.images, 2)
        self.assertEqual(restore(self.file, Service(self.folder / "other")), saved)
        restored = self.opened(self.folder / "other")
        self.assertEqual(self.now(restored.workload("w1")), self.now(self.datastore.workload("w1")))
        self.assertEqual((self.folder / "other" / "authority.pem").read_text(), "the key")
        self.url = postgres_server.new_url()
        again = Service(self.folder / "again", self.folder / "store", PostgresDatabase(self.url))
        self.assertEqual(restore(self.file, again), saved)
        self.assertEqual(self.ask("SELECT public FROM workloads WHERE deleted IS NULL"), [("w1",)])
        self.assertTrue((self.folder / "store" / "dir-w1" / "originals" / "w1-0.png").exists())
        self.assertFalse((self.folder / "again" / "dpip.sqlite").exists())
        self.assertRaises(Conflict, restore, self.file, again)

    def test_a_row_that_comes_out_otherwise_is_found_and_nothing_is_kept(self) -> None:
        self.ask(
            "CREATE OR REPLACE FUNCTION spoil() RETURNS trigger AS $$ BEGIN NEW.used := NEW.used + 1;"
            " RETURN NEW; END $$ LANGUAGE plpgsql"
        )
        self.ask("CREATE TRIGGER spoil BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION spoil()")
        try:
            self.assertRaises(DifferentRows, self.moved)
        finally:
            self.ask("DROP TRIGGER spoil ON users")
        self.assertEqual(self.ask("SELECT count(*) FROM users"), [(0,)])
