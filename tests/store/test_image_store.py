from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.python.monkey import MonkeyPatcher
from twisted.trial.unittest import SynchronousTestCase, TestCase

from dpip.errors import DiskFull, DpipError, NotAnImage, NotFound, RetryLater, TooLarge
from dpip.filters.codec.headers import PictureInfo
from dpip.model import ImageType, StoredFile, StoredPicture
from dpip.runtime.threads import InlineThreads
from dpip.store.disk_space import MIB, DiskSpace
from dpip.store.image_store import ImageStore, directory_for, directory_of
from dpip.store.incoming import IncomingFile

ID = "01hf8zk3v5t2qjw9x7yb4m6n0c"
DIRECTORY = f"holiday-{ID}"
OTHER = f"other-{ID}"
PNG = PictureInfo("PNG", 40, 30, 3)


class StoreTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.root = Path(self.mktemp()).absolute()
        self.info = PNG
        self.free = 100 * MIB
        self.clock = 0.0
        self.store = self.opened()

    def opened(self, **options: Any) -> ImageStore:
        facts: dict[str, Any] = {
            "probe": self.probe,
            "floor": 10 * MIB,
            "disk_usage": lambda _: (1000 * MIB, 0, self.free),
            "monotonic": lambda: self.clock,
        }
        store = ImageStore(self.root, InlineThreads(), InlineThreads, **facts | options)
        store.startService()
        self.addCleanup(store.stopService)
        return store

    def probe(self, path: str) -> PictureInfo:
        self.assertTrue(os.path.getsize(path), "the file is there, with all its bytes")
        return self.info

    def incoming(self, data: bytes = b"picture") -> IncomingFile:
        file = self.store.incoming()
        file.write(data)
        return file

    def keep(
        self, data: bytes = b"picture", directory: str = DIRECTORY, type: ImageType = ImageType.ORIGINAL
    ) -> StoredFile:
        work = self.store.keep(self.incoming(data), directory, type, "image1", 10_000)
        kept: StoredFile = self.successResultOf(work)
        return kept

    def refused(self, kind: type[DpipError], file: IncomingFile | None = None) -> DpipError:
        """Keep a file and be refused; nothing of it is left then."""
        work = self.store.keep(file or self.incoming(), DIRECTORY, ImageType.ORIGINAL, "image1", 10_000)
        error = self.failureResultOf(work, kind).value
        assert isinstance(error, DpipError)
        self.assertEqual(self.files(), [])
        return error

    def files(self) -> list[str]:
        """Everything below the root that is not a directory."""
        found = [os.path.join(at, name) for at, _, names in os.walk(self.root) for name in names]
        return sorted(os.path.relpath(path, self.root) for path in found)

    def failing(self, name: str, number: int, when: Callable[[], bool] = lambda: True) -> MonkeyPatcher:
        """Let a function of ``os`` fail with this errno, until it is restored."""
        real = getattr(os, name)

        def fail(*args: Any, **kwargs: Any) -> Any:
            if when():
                raise OSError(number, os.strerror(number))
            return real(*args, **kwargs)

        return self.patch(os, name, fail)


class KeepTests(StoreTestCase):
    def test_a_kept_file_lies_in_its_workloads_directory(self) -> None:
        file = self.incoming(b"one ")
        file.write(b"two")
        file.name = "../../client's own.png"
        work = self.store.keep(file, DIRECTORY, ImageType.ORIGINAL, "image1", 10_000)
        kept = self.successResultOf(work)
        self.assertRegex(kept.path, rf"^{DIRECTORY}/originals/image1\.[0-9a-f]{{4}}\.png$")
        self.assertEqual(
            kept,
            StoredFile(
                kept.path,
                7,
                hashlib.sha256(b"one two").hexdigest(),
                StoredPicture("PNG", "image/png", 40, 30, 0, 3, 8),
                "../../client's own.png",
            ),
        )
        self.assertEqual(Path(self.store.absolute(kept.path)).read_bytes(), b"one two")
        self.assertEqual(self.files(), [kept.path])

    def test_results_lie_beside_originals(self) -> None:
        self.assertRegex(self.keep(type=ImageType.FILTERED).path, rf"^{DIRECTORY}/results/image1\.")

    def test_the_extension_is_that_of_the_format(self) -> None:
        for format, extension in (("JPEG", "jpg"), ("TIFF", "tif"), ("WEBP", "webp"), ("GIF", "gif")):
            self.info = evolve(PNG, format=format)
            self.assertEqual(self.keep().path.rpartition(".")[2], extension)

    def test_no_name_is_used_twice(self) -> None:
        paths = {self.keep().path for _ in range(5)}
        self.assertEqual(len(paths), 5)

    def test_a_name_that_exists_is_never_taken_over(self) -> None:
        self.store = self.opened(token=self.tokens("x", "1234", "y", "1234"))
        first = self.keep(b"first")
        work = self.store.keep(self.incoming(b"second"), DIRECTORY, ImageType.ORIGINAL, "image1", 10_000)
        self.failureResultOf(work, RetryLater)
        self.assertEqual(Path(self.store.absolute(first.path)).read_bytes(), b"first")
        self.assertEqual(self.files(), [first.path])

    def tokens(self, *given: str) -> Callable[[int], str]:
        left = iter(given)
        return lambda _: next(left)

    def test_files_and_directories_are_the_owners_alone(self) -> None:
        path = Path(self.store.absolute(self.keep().path))
        modes = [os.stat(p).st_mode & 0o777 for p in (path, path.parent, path.parent.parent)]
        self.assertEqual(modes, [0o600, 0o700, 0o700])

    def test_abandoning_after_keeping_harms_nothing(self) -> None:
        file = self.incoming()
        kept = self.successResultOf(self.store.keep(file, DIRECTORY, ImageType.ORIGINAL, "image1", 10_000))
        file.abandon()
        self.assertEqual(self.files(), [kept.path])

    def test_an_abandoned_file_is_gone(self) -> None:
        file = self.incoming()
        file.abandon()
        file.abandon()
        self.assertEqual(self.files(), [])
        self.assertRaises(ValueError, file.write, b"more")
        self.assertRaises(ValueError, self.store.keep, file, DIRECTORY, ImageType.ORIGINAL, "image1", 10_000)

    def test_only_a_workloads_own_directory_is_written_to(self) -> None:
        for directory in ("", ".", "..", "../elsewhere", "/etc", "a/b", "incoming", "nul\0"):
            with self.subTest(directory=directory):
                work = self.store.keep(self.incoming(), directory, ImageType.ORIGINAL, "image1", 10_000)
                self.failureResultOf(work, ValueError)
                self.assertEqual(self.files(), [])


class DurabilityTests(StoreTestCase):
    """What is synced, and in which order: told by the calls that are made."""

    def setUp(self) -> None:
        super().setUp()
        self.calls: list[str] = []
        self.tell("fsync", lambda descriptor: f"sync {self.name_of(descriptor)}")
        self.tell("rename", lambda _, name, **__: "rename")
        self.tell("mkdir", lambda name, *_, **__: f"make {name}")

    def name_of(self, descriptor: int) -> str:
        path = os.path.relpath(os.readlink(f"/proc/self/fd/{descriptor}"), self.root)
        return "file" if path.startswith("incoming/") else path

    def tell(self, name: str, told: Callable[..., str]) -> None:
        real = getattr(os, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            what = told(*args, **kwargs)
            result = real(*args, **kwargs)
            self.calls.append(what)
            return result

        self.patch(os, name, call)

    def test_the_stores_own_name_is_durable_before_anything_is_in_it(self) -> None:
        """Or a power failure soon after the first start would take the whole store."""
        self.calls.clear()
        self.opened()
        self.assertEqual(self.calls, ["sync .", "sync .."])

    def test_the_file_first_then_its_name_and_the_way_to_it(self) -> None:
        self.keep()
        expected = [
            "sync file",
            f"make {DIRECTORY}",
            "sync .",
            "make originals",
            f"sync {DIRECTORY}",
            "rename",
            f"sync {DIRECTORY}/originals",
        ]
        self.assertEqual(self.calls, expected)

    def test_the_way_is_made_durable_once(self) -> None:
        self.keep()
        self.calls.clear()
        self.keep()
        self.assertEqual(self.calls, ["sync file", "rename", f"sync {DIRECTORY}/originals"])

    def test_after_a_restart_it_is_made_durable_again(self) -> None:
        """The process before may have been killed between making a directory and syncing it."""
        self.keep()
        self.store = self.opened()
        self.calls.clear()
        self.keep()
        self.assertIn("sync .", self.calls)
        self.assertIn(f"sync {DIRECTORY}", self.calls)

    def test_a_directory_that_was_discarded_is_made_again(self) -> None:
        self.keep()
        self.successResultOf(self.store.discard_directory(DIRECTORY))
        self.calls.clear()
        self.keep()
        self.assertIn("sync .", self.calls)


class RefusalTests(StoreTestCase):
    def test_what_is_no_picture_is_gone(self) -> None:
        def probe(path: str) -> PictureInfo:
            raise NotAnImage("The file is not an image.")

        self.store = self.opened(probe=probe)
        self.assertEqual(self.refused(NotAnImage).detail, "The file is not an image.")

    def test_too_many_pixels_are_named_with_the_limit(self) -> None:
        self.info = evolve(PNG, pixels=10_001)
        error = self.refused(TooLarge)
        self.assertIn("10,001", error.detail)
        self.assertIn("10,000", error.detail)
        self.info = evolve(PNG, pixels=10_000)
        self.keep()

    def test_a_disk_that_fills_while_writing(self) -> None:
        for number in (errno.ENOSPC, errno.EDQUOT):
            file = self.incoming()
            failing = self.failing("write", number)
            self.assertRaises(DiskFull, file.write, b"more")
            failing.restore()
            self.assertEqual(self.files(), [])
            self.assertRaises(ValueError, file.write, b"still more")

    def test_a_disk_that_takes_only_a_part(self) -> None:
        """A short write is continued; what follows decides."""
        real, given = os.write, []

        def write(descriptor: int, data: memoryview) -> int:
            given.append(bytes(data))
            return real(descriptor, data[:3])

        file = self.store.incoming()
        self.patch(os, "write", write)
        file.write(b"12345678")
        self.assertEqual(given, [b"12345678", b"45678", b"78"])
        self.assertEqual(file.size, 8)
        self.assertEqual(Path(file.path).read_bytes(), b"12345678")
        file.abandon()

    def test_a_disk_that_is_full_at_the_start(self) -> None:
        self.failing("open", errno.ENOSPC)
        self.assertRaises(DiskFull, self.store.incoming)

    def test_a_failed_sync_of_the_file_is_the_end_of_it(self) -> None:
        for number, kind in ((errno.ENOSPC, DiskFull), (errno.EIO, RetryLater)):
            with self.subTest(number=number):
                file = self.incoming()
                self.failing("fsync", number)
                self.refused(kind, file)

    def test_a_failed_sync_of_the_name_takes_the_name_back(self) -> None:
        self.keep()
        self.successResultOf(self.store.discard(self.files()[0]))
        calls: list[int] = []
        self.failing("fsync", errno.EIO, lambda: calls.append(1) is None and len(calls) == 2)
        self.refused(RetryLater)
        self.assertEqual(len(calls), 2, "and it is not tried again")

    def test_a_failed_rename_leaves_nothing(self) -> None:
        file = self.incoming()
        self.failing("rename", errno.EIO)
        self.refused(RetryLater, file)

    def test_a_failed_making_of_a_directory_leaves_nothing(self) -> None:
        file = self.incoming()
        self.failing("mkdir", errno.ENOSPC)
        self.refused(DiskFull, file)

    def test_a_bug_in_a_probe_leaves_nothing(self) -> None:
        def probe(path: str) -> PictureInfo:
            raise ZeroDivisionError

        self.store = self.opened(probe=probe)
        work = self.store.keep(self.incoming(), DIRECTORY, ImageType.ORIGINAL, "image1", 10_000)
        self.failureResultOf(work, ZeroDivisionError)
        self.assertEqual(self.files(), [])

    def test_descriptors_are_closed_on_every_path(self) -> None:
        before = len(os.listdir("/proc/self/fd"))
        self.keep()
        self.info = evolve(PNG, pixels=10_001)
        work = self.store.keep(self.incoming(), DIRECTORY, ImageType.ORIGINAL, "image1", 10_000)
        self.failureResultOf(work, TooLarge)
        self.info = PNG
        for name in ("mkdir", "rename", "fsync"):
            file = self.incoming()
            failing = self.failing(name, errno.EIO)
            self.failureResultOf(
                self.store.keep(file, OTHER, ImageType.FILTERED, "image1", 10_000), RetryLater
            )
            failing.restore()
        self.incoming().abandon()
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)


class LinkTests(StoreTestCase):
    """Somebody who can write below the root cannot lead the store out of it."""

    def setUp(self) -> None:
        super().setUp()
        self.outside = Path(self.mktemp()).absolute()
        (self.outside / "originals").mkdir(parents=True)
        (self.outside / "originals" / "secret.png").write_bytes(b"secret")

    def test_a_linked_directory_is_not_written_to(self) -> None:
        (self.root / DIRECTORY).symlink_to(self.outside)
        work = self.store.keep(self.incoming(), DIRECTORY, ImageType.ORIGINAL, "image1", 10_000)
        self.failureResultOf(work, RetryLater)
        self.assertEqual(os.listdir(self.outside / "originals"), ["secret.png"])

    def test_a_linked_directory_is_not_read_or_removed_from(self) -> None:
        (self.root / DIRECTORY).symlink_to(self.outside)
        path = f"{DIRECTORY}/originals/secret.png"
        self.assertRaises(NotFound, self.store.absolute, path)
        self.failureResultOf(self.store.discard(path), NotFound)
        self.failureResultOf(self.store.discard_directory(DIRECTORY), RetryLater)
        self.assertTrue((self.outside / "originals" / "secret.png").exists())

    def test_a_link_is_swept_away_and_what_it_points_to_stays(self) -> None:
        self.keep()
        (self.root / DIRECTORY / "originals" / "link.png").symlink_to(
            self.outside / "originals" / "secret.png"
        )
        work = self.store.sweep(
            lambda: succeed(frozenset({DIRECTORY})), lambda _: succeed(frozenset()), 9_999_999_999
        )
        self.assertEqual(self.successResultOf(work), 2)
        self.assertTrue((self.outside / "originals" / "secret.png").exists())

    def test_no_path_leads_out(self) -> None:
        for path in ("../x", "/etc/passwd", "", ".", "a/../../x", "nul\0"):
            with self.subTest(path=path):
                self.assertRaises(NotFound, self.store.absolute, path)

    def test_a_root_may_itself_be_a_link(self) -> None:
        link = Path(self.mktemp()).absolute()
        link.symlink_to(self.root)
        self.root = link
        self.store = self.opened()
        self.assertEqual(Path(self.store.absolute(self.keep(b"x").path)).read_bytes(), b"x")


class DiscardTests(StoreTestCase):
    def test_one_file_goes_once_or_twice(self) -> None:
        kept, other = self.keep(), self.keep()
        for _ in range(2):
            self.successResultOf(self.store.discard(kept.path))
        self.assertEqual(self.files(), [other.path])

    def test_a_workloads_directory_goes_once_or_twice(self) -> None:
        self.keep()
        self.keep(type=ImageType.FILTERED)
        other = self.keep(directory=OTHER)
        for _ in range(2):
            self.successResultOf(self.store.discard_directory(DIRECTORY))
        self.assertEqual(self.files(), [other.path])
        self.assertFalse((self.root / DIRECTORY).exists())

    def test_nothing_but_a_workloads_directory_is_removed(self) -> None:
        self.keep()
        for directory in ("", ".", "..", "incoming", f"{DIRECTORY}/originals"):
            self.failureResultOf(self.store.discard_directory(directory), ValueError)
        self.assertEqual(len(self.files()), 1)

    def test_a_shutdown_does_not_wait_for_the_rest_of_a_directory(self) -> None:
        for _ in range(4):
            self.keep()
        unlink, gone = os.unlink, []

        def slow(path: str, **options: Any) -> None:
            unlink(path, **options)
            gone.append(path)
            if len(gone) == 2:
                self.store.stopService()

        self.patch(os, "unlink", slow)
        self.successResultOf(self.store.discard_directory(DIRECTORY))
        self.assertEqual((len(gone), len(self.files())), (2, 2))

    def test_after_the_end_all_is_refused_and_nothing_is_left(self) -> None:
        kept, file = self.keep(), self.incoming()
        self.store.stopService()
        works = [
            self.store.keep(file, DIRECTORY, ImageType.ORIGINAL, "image1", 10_000),
            self.store.discard(kept.path),
            self.store.discard_directory(DIRECTORY),
        ]
        for work in works:
            self.failureResultOf(work, RetryLater)
        self.assertEqual(self.files(), [kept.path])


class SweepTests(StoreTestCase):
    OLD, BEFORE = 1_000.0, 2_000.0

    def sweep(self, known: dict[str, set[str]]) -> int:
        def paths(directory: str) -> Deferred[frozenset[str]]:
            return succeed(frozenset(known[directory]))

        work = self.store.sweep(lambda: succeed(frozenset(known)), paths, self.BEFORE)
        removed: int = self.successResultOf(work)
        return removed

    def age(self, path: str, at: float = OLD) -> None:
        os.utime(self.root / path, (at, at), follow_symlinks=False)

    def test_old_files_without_a_row_go(self) -> None:
        known, stray, fresh = self.keep(), self.keep(type=ImageType.FILTERED), self.keep()
        for kept in (known, stray):
            self.age(kept.path)
        self.assertEqual(self.sweep({DIRECTORY: {known.path}}), 1)
        self.assertEqual(self.files(), sorted([known.path, fresh.path]))

    def test_uploads_that_nobody_goes_on_with_go(self) -> None:
        old, new = self.incoming(), self.incoming()
        self.addCleanup(new.abandon)
        self.age(os.path.relpath(old.path, self.root))
        self.assertEqual(self.sweep({}), 1)
        self.assertEqual(self.files(), [os.path.relpath(new.path, self.root)])
        old.abandon()

    def test_directories_of_unknown_workloads_go_when_they_are_old(self) -> None:
        self.keep()
        self.keep(directory=OTHER)
        self.age(DIRECTORY)
        self.assertEqual(self.sweep({}), 1)
        self.assertEqual([directory_of(path) for path in self.files()], [OTHER])

    def test_what_is_not_ours_stays(self) -> None:
        """The root may be a directory that somebody uses for other things, too."""
        for name in ("lost+found", "My Pictures", ID, f"Holiday-{ID}"):
            (self.root / name).mkdir()
            (self.root / name / "file").write_bytes(b"x")
            self.age(name)
        (self.root / f"file-{ID}").write_bytes(b"x")
        self.age(f"file-{ID}")
        before = self.files()
        self.assertEqual(self.sweep({}), 0)
        self.assertEqual(self.files(), before)

    def test_rows_are_asked_for_after_the_files_were_listed(self) -> None:
        """A file that gets its name and its row in between is in no danger."""
        self.keep()
        late: list[StoredFile] = []

        def paths(directory: str) -> Deferred[frozenset[str]]:
            late.append(self.keep())
            self.age(late[0].path)
            return succeed(frozenset())

        work = self.store.sweep(lambda: succeed(frozenset({DIRECTORY})), paths, self.BEFORE)
        self.assertEqual(self.successResultOf(work), 0)
        self.assertIn(late[0].path, self.files())

    def test_an_empty_store_is_swept_in_peace(self) -> None:
        self.assertEqual(self.sweep({OTHER: set()}), 0)


class SpaceTests(StoreTestCase):
    def test_room_is_promised_once(self) -> None:
        first = self.store.space.reserve(60 * MIB)
        error = self.assertRaises(DiskFull, self.store.space.reserve, 31 * MIB)
        self.assertIn("30 MiB", error.detail)
        self.assertIn("31 MiB", error.detail)
        self.store.space.reserve(30 * MIB)
        first.release()
        first.release()
        self.store.space.reserve(60 * MIB)
        self.assertRaises(DiskFull, self.store.space.reserve, 1)

    def test_what_is_essential_finds_room_below_the_floor(self) -> None:
        self.store.space.reserve(90 * MIB)
        self.assertRaises(DiskFull, self.store.space.reserve, 1)
        self.store.space.reserve(10 * MIB, essential=True)
        self.assertRaises(DiskFull, self.store.space.reserve, 1, essential=True)

    def test_the_disk_is_asked_once_a_second_at_most(self) -> None:
        asked: list[float] = []
        space = DiskSpace(lambda: (asked.append(self.clock), (100, 50))[1], lambda: self.clock, floor=0)
        for self.clock in (0.0, 0.5, 0.99, 1.0, 1.5, 2.5):
            space.reserve(1)
            self.assertEqual(space.usage(), (100, 50))
        self.assertEqual(asked, [0.0, 1.0, 2.5])

    def test_a_disk_that_fills_up_by_itself_is_noticed(self) -> None:
        self.assertEqual(self.store.space.usage(), (1000 * MIB, 100 * MIB))
        self.free = 5 * MIB
        self.clock = 1.0
        self.assertEqual(self.store.space.usage(), (1000 * MIB, 5 * MIB))
        self.assertRaises(DiskFull, self.store.space.reserve, 0)

    def test_the_real_disk_has_room(self) -> None:
        store = ImageStore(self.root, InlineThreads(), InlineThreads, floor=0)
        total, free = store.space.usage()
        self.assertTrue(0 < free < total)


class NameTests(SynchronousTestCase):
    def test_a_name_stays_readable(self) -> None:
        for name, expected in (
            ("Holiday 2024", "holiday-2024"),
            ("Ünïcödé & Co.", "unicode-co"),
            ("a" * 300, "a" * 40),
            ("../../etc/passwd", "etc-passwd"),
            ("CON", "con"),
            ("trailing...", "trailing"),
            ("nul\0byte", "nul-byte"),
            ("🎉", "workload"),
            ("", "workload"),
            ("half \ud83d", "half"),
            ("x" * 39 + " y", "x" * 39),
        ):
            with self.subTest(name=name):
                self.assertEqual(directory_for(name, ID), f"{expected}-{ID}")

    @given(st.text(st.characters()))
    @settings(max_examples=200, deadline=None)
    def test_any_name_gives_a_safe_one(self, name: str) -> None:
        self.assertRegex(directory_for(name, ID), rf"^[a-z0-9](-?[a-z0-9]){{0,39}}-{ID}$")

    def test_two_workloads_of_one_name_never_meet(self) -> None:
        self.assertNotEqual(directory_for("same", "id1"), directory_for("same", "id2"))

    def test_the_directory_of_a_path(self) -> None:
        self.assertEqual(directory_of(f"{DIRECTORY}/originals/image1.0000.png"), DIRECTORY)


class ThreadTests(TestCase):
    async def test_many_files_at_once_with_real_threads(self) -> None:
        store = ImageStore(Path(self.mktemp()).absolute(), reactor, probe=lambda _: PNG)
        store.startService()
        self.addCleanup(store.stopService)
        works = []
        for number in range(40):
            file = store.incoming()
            file.write(b"%d" % number)
            works.append(store.keep(file, f"w{number % 3}-{ID}", ImageType.ORIGINAL, f"i{number}", 10_000))
        kept = await gatherResults(works)
        for number, file in enumerate(kept):
            self.assertEqual(Path(store.absolute(file.path)).read_bytes(), b"%d" % number)
