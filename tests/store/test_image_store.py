from __future__ import annotations

import errno
import hashlib
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.python.failure import Failure
from twisted.python.monkey import MonkeyPatcher
from twisted.trial.unittest import SynchronousTestCase, TestCase

from dpip.errors import DiskFull, DpipError, NotAnImage, NotFound, RetryLater, TooLarge, WrongHash
from dpip.filters.codec.headers import PictureInfo
from dpip.model import ImageType, StoredFile, StoredPicture
from dpip.runtime.threads import InlineThreads
from dpip.store import writing
from dpip.store.disk_space import MIB, DiskSpace
from dpip.store.image_store import ImageStore, directory_for, directory_of
from dpip.store.incoming import SMALL, IncomingFile, TemporaryFile, UploadMemory

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

    def probe(self, source: str | bytes) -> PictureInfo:
        """As a codec's: small uploads are bytes in memory, larger ones files."""
        size = len(source) if isinstance(source, bytes) else os.path.getsize(source)
        self.assertTrue(size, "it is there, with all its bytes")
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

    def keep_many(
        self, files: Sequence[tuple[IncomingFile | TemporaryFile, str, ImageType, str]]
    ) -> Sequence[StoredFile | Failure]:
        outcomes: Sequence[StoredFile | Failure] = self.successResultOf(self.store.keep_many(files, 10_000))
        return outcomes

    def refused(self, kind: type[DpipError], file: IncomingFile | TemporaryFile | None = None) -> DpipError:
        """Keep a file and be refused; nothing of it is left then."""
        work = self.store.keep(file or self.incoming(), DIRECTORY, ImageType.ORIGINAL, "image1", 10_000)
        error = self.failureResultOf(work, kind).value
        assert isinstance(error, DpipError)
        self.assertEqual(self.files(), [])
        return error

    def spilled(self, data: bytes = b"picture") -> TemporaryFile:
        """An upload in a temporary file, as large ones are."""
        file = self.store.temporary_file()
        file.write(data)
        return file

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
        self.store = self.opened(token=self.tokens("1234", "1234", "temporary", "1234"))
        first = self.keep(b"first")
        for second in (self.incoming, self.spilled):
            work = self.store.keep(second(b"second"), DIRECTORY, ImageType.ORIGINAL, "image1", 10_000)
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
        self.assertEqual(self.store._memory.held, 0)

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
        return re.sub(r"\.[0-9a-f]{4}\.", ".", path)  # without what is random

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

    def test_the_way_to_it_then_the_file_then_its_name(self) -> None:
        self.keep()
        expected = [
            f"make {DIRECTORY}",
            "sync .",
            "make originals",
            f"sync {DIRECTORY}",
            f"sync {DIRECTORY}/originals/image1.png",
            f"sync {DIRECTORY}/originals",
        ]
        self.assertEqual(self.calls, expected)

    def test_a_temporary_file_gets_its_name_and_then_both_are_made_durable(self) -> None:
        self.keep()
        self.calls.clear()
        work = self.store.keep(self.spilled(), DIRECTORY, ImageType.ORIGINAL, "image1", 10_000)
        self.successResultOf(work)
        self.assertEqual(
            self.calls,
            ["rename", f"sync {DIRECTORY}/originals/image1.png", f"sync {DIRECTORY}/originals"],
        )

    def test_each_folder_is_synced_once_for_all_that_are_new_in_it(self) -> None:
        self.keep()
        self.keep(type=ImageType.FILTERED)
        self.calls.clear()
        types = [ImageType.ORIGINAL, ImageType.FILTERED, ImageType.ORIGINAL]
        outcomes = self.keep_many([(self.incoming(), DIRECTORY, type, "image1") for type in types])
        self.assertTrue(all(isinstance(outcome, StoredFile) for outcome in outcomes))
        folders = [f"sync {DIRECTORY}/originals", f"sync {DIRECTORY}/results"]
        self.assertEqual(self.calls[3:], folders)
        self.assertEqual(
            sorted(self.calls[:3]), sorted([f"{folders[0]}/image1.png"] * 2 + [f"{folders[1]}/image1.png"])
        )

    def test_the_way_is_made_durable_once(self) -> None:
        self.keep()
        self.calls.clear()
        self.keep()
        expected = [f"sync {DIRECTORY}/originals/image1.png", f"sync {DIRECTORY}/originals"]
        self.assertEqual(self.calls, expected)

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
            file = self.spilled()
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

        self.patch(os, "write", write)
        for arrived in (self.incoming, self.spilled):
            file = arrived(b"12345678")
            kept = self.successResultOf(
                self.store.keep(file, DIRECTORY, ImageType.ORIGINAL, "image1", 10_000)
            )
            self.assertEqual(given, [b"12345678", b"45678", b"78"])
            self.assertEqual(kept.size, 8)
            self.assertEqual(Path(self.store.absolute(kept.path)).read_bytes(), b"12345678")
            given.clear()

    def test_a_disk_that_is_full_at_the_start(self) -> None:
        file = self.incoming()
        failing = self.failing("open", errno.ENOSPC)
        self.assertRaises(DiskFull, self.store.temporary_file)
        self.failureResultOf(self.store.keep(file, DIRECTORY, ImageType.ORIGINAL, "i", 10_000), DiskFull)
        failing.restore()
        self.assertEqual(self.files(), [])

    def test_a_disk_that_fills_while_a_small_file_is_written(self) -> None:
        file = self.incoming()
        failing = self.failing("write", errno.ENOSPC)
        self.refused(DiskFull, file)
        failing.restore()

    def test_a_failed_sync_of_the_file_is_the_end_of_it(self) -> None:
        for number, kind in ((errno.ENOSPC, DiskFull), (errno.EIO, RetryLater)):
            with self.subTest(number=number):
                for arrived in (self.incoming, self.spilled):
                    file = arrived()
                    failing = self.failing("fsync", number)
                    self.refused(kind, file)
                    failing.restore()

    def test_a_failed_sync_of_the_name_takes_the_name_back(self) -> None:
        self.keep()
        self.successResultOf(self.store.discard(self.files()[0]))
        calls: list[int] = []
        self.failing("fsync", errno.EIO, lambda: calls.append(1) is None and len(calls) == 2)
        self.refused(RetryLater)
        self.assertEqual(len(calls), 2, "and it is not tried again")

    def test_a_failed_rename_leaves_nothing(self) -> None:
        file = self.spilled()
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
            file = self.spilled()
            failing = self.failing(name, errno.EIO)
            self.failureResultOf(
                self.store.keep(file, OTHER, ImageType.FILTERED, "image1", 10_000), RetryLater
            )
            failing.restore()
        self.incoming().abandon()
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)


class BatchTests(StoreTestCase):
    """Files that are written together: each has its own outcome."""

    def batch(self, *directories: str) -> Sequence[StoredFile | Failure]:
        return self.keep_many(
            [
                (self.incoming(b"%d" % place), directory, ImageType.FILTERED, f"image{place}")
                for place, directory in enumerate(directories)
            ]
        )

    def failures(self, outcomes: Sequence[StoredFile | Failure]) -> list[type[BaseException] | None]:
        return [one.type if isinstance(one, Failure) else None for one in outcomes]

    def test_what_is_no_picture_or_not_what_was_said_leaves_its_neighbours_alone(self) -> None:
        def probe(source: str | bytes) -> PictureInfo:
            if source == b"no picture":
                raise NotAnImage("It is none.")
            return evolve(PNG, pixels=10_001) if source == b"huge" else PNG

        self.store = self.opened(probe=probe)
        contents = [b"first", b"no picture", b"second", b"lie", b"huge", b"third"]
        files = [self.incoming(content) for content in contents]
        files[3].claimed = "0" * 64
        outcomes = self.keep_many([(file, DIRECTORY, ImageType.FILTERED, "i") for file in files])
        self.assertEqual(self.failures(outcomes), [None, NotAnImage, None, WrongHash, TooLarge, None])
        kept = [one.path for one in outcomes if isinstance(one, StoredFile)]
        self.assertEqual(self.files(), sorted(kept))
        self.assertEqual(
            [Path(self.store.absolute(path)).read_bytes() for path in kept], [b"first", b"second", b"third"]
        )

    def test_a_folder_that_cannot_be_synced_fails_all_that_are_new_in_it_and_no_other(self) -> None:
        for directory in (DIRECTORY, OTHER):
            self.keep(directory=directory, type=ImageType.FILTERED)
        before, real = self.files(), os.fsync

        def fsync(descriptor: int) -> None:
            if os.readlink(f"/proc/self/fd/{descriptor}").endswith(f"{DIRECTORY}/results"):
                raise OSError(errno.EIO, "")
            real(descriptor)

        self.patch(os, "fsync", fsync)
        outcomes = self.batch(DIRECTORY, OTHER, DIRECTORY, OTHER)
        self.assertEqual(self.failures(outcomes), [RetryLater, None, RetryLater, None])
        kept = [one.path for one in outcomes if isinstance(one, StoredFile)]
        self.assertEqual(self.files(), sorted([*before, *kept]))

    def test_a_file_that_cannot_be_synced_fails_alone(self) -> None:
        self.keep(type=ImageType.FILTERED)
        calls: list[int] = []
        self.failing("fsync", errno.EIO, lambda: calls.append(1) is None and len(calls) == 2)
        outcomes = self.batch(DIRECTORY, DIRECTORY, DIRECTORY)
        self.assertEqual(self.failures(outcomes), [None, RetryLater, None])
        self.assertEqual(len(self.files()), 3)

    def test_more_than_may_be_open_at_once_are_written_in_parts(self) -> None:
        self.patch(writing, "AT_ONCE", 2)
        outcomes = self.batch(*[DIRECTORY] * 5)
        self.assertEqual(self.failures(outcomes), [None] * 5)
        self.assertEqual(len(self.files()), 5)

    def test_after_the_end_nothing_of_them_is_left(self) -> None:
        files = [(self.incoming(), DIRECTORY, ImageType.FILTERED, "i") for _ in range(3)]
        self.store.stopService()
        self.failureResultOf(self.store.keep_many(files, 10_000), RetryLater)
        self.assertEqual((self.files(), self.store._memory.held), ([], 0))


class MemoryTests(StoreTestCase):
    """Small uploads are held in memory, within a budget; all else goes into temporary files."""

    def temporary_files(self) -> int:
        return len(list((self.root / "incoming").iterdir()))

    def test_a_small_one_touches_the_disk_once(self) -> None:
        file = self.incoming(bytes(SMALL))
        self.assertEqual((self.temporary_files(), self.store._memory.held), (0, SMALL))
        kept = self.successResultOf(self.store.keep(file, DIRECTORY, ImageType.ORIGINAL, "i", 10_000))
        self.assertEqual((self.files(), self.store._memory.held), ([kept.path], 0))

    def test_a_larger_one_spills(self) -> None:
        file = self.incoming(b"x" * SMALL)
        file.write(b"y")
        self.assertEqual((self.temporary_files(), self.store._memory.held), (1, 0))
        self.assertEqual(file.sha256, hashlib.sha256(b"x" * SMALL + b"y").hexdigest())
        kept = self.successResultOf(self.store.keep(file, DIRECTORY, ImageType.ORIGINAL, "i", 10_000))
        self.assertEqual((self.files(), kept.size, kept.sha256), ([kept.path], SMALL + 1, file.sha256))

    def test_when_the_memory_is_used_up_all_spill(self) -> None:
        self.store._memory.limit = 10
        first, second = self.incoming(b"12345678"), self.incoming(b"12345678")
        self.assertEqual(self.temporary_files(), 1)
        first.abandon()
        third = self.incoming(b"12345678")
        self.assertEqual((self.temporary_files(), self.store._memory.held), (1, 8))
        outcomes = self.keep_many([(one, DIRECTORY, ImageType.ORIGINAL, "i") for one in (second, third)])
        self.assertEqual([one.size for one in outcomes if isinstance(one, StoredFile)], [8, 8])
        self.assertEqual((self.temporary_files(), self.store._memory.held), (0, 0))

    def test_what_fails_gives_its_memory_back(self) -> None:
        self.info = evolve(PNG, pixels=10_001)
        self.refused(TooLarge)
        self.assertEqual(self.store._memory.held, 0)

    def test_the_memory_counts_what_is_held(self) -> None:
        budget = UploadMemory(10)
        self.assertEqual([budget.take(6), budget.take(5), budget.take(4)], [True, False, True])
        budget.give_back(6)
        self.assertTrue(budget.take(5))


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
        old, new = self.spilled(), self.spilled()
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
