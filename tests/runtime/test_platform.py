"""What a platform lacks is done without."""

from __future__ import annotations

import errno
import fcntl
import os
import tempfile
from unittest import skipUnless

from twisted.trial.unittest import SynchronousTestCase

from dpip.runtime.platform import advise_sequential_read, sync, sync_folder


class AdviceTests(SynchronousTestCase):
    def advise(self) -> None:
        with tempfile.TemporaryFile() as file:
            advise_sequential_read(file.fileno())

    @skipUnless(hasattr(os, "posix_fadvise"), "This platform takes no advice on files.")
    def test_the_system_is_told_how_a_file_will_be_read(self) -> None:
        told: list[int] = []
        self.patch(os, "posix_fadvise", lambda descriptor, start, length, advice: told.append(advice))
        self.advise()
        self.assertEqual(told, [os.POSIX_FADV_SEQUENTIAL])

    def test_macos_is_told_nothing(self) -> None:
        for name in ("posix_fadvise", "POSIX_FADV_SEQUENTIAL"):
            if hasattr(os, name):
                self.addCleanup(setattr, os, name, getattr(os, name))
                delattr(os, name)
        self.advise()


class SyncTests(SynchronousTestCase):
    """What reaches the disk, by which call; macOS has F_FULLFSYNC, and others have not."""

    FULL = 51

    def setUp(self) -> None:
        self.calls: list[str] = []
        self.patch(os, "fsync", lambda descriptor: self.calls.append("fsync"))
        self.patch(fcntl, "fcntl", self.fcntl)
        self.refusal: OSError | None = None
        if hasattr(fcntl, "F_FULLFSYNC"):
            self.addCleanup(setattr, fcntl, "F_FULLFSYNC", fcntl.F_FULLFSYNC)

    def fcntl(self, descriptor: int, command: int) -> int:
        self.assertEqual(command, self.FULL)
        if self.refusal is not None:
            raise self.refusal
        self.calls.append("F_FULLFSYNC")
        return 0

    def synced(self, macos: bool) -> list[str]:
        if macos:
            fcntl.F_FULLFSYNC = self.FULL  # type: ignore[attr-defined]
        elif hasattr(fcntl, "F_FULLFSYNC"):
            del fcntl.F_FULLFSYNC
        try:
            with tempfile.TemporaryFile() as file:
                sync(file.fileno())
            sync_folder(tempfile.gettempdir())
        finally:
            if hasattr(fcntl, "F_FULLFSYNC"):
                del fcntl.F_FULLFSYNC
        return self.calls

    def test_files_and_folders_are_synced(self) -> None:
        self.assertEqual(self.synced(macos=False), ["fsync"] * 2)

    def test_macos_empties_the_drives_cache(self) -> None:
        self.assertEqual(self.synced(macos=True), ["F_FULLFSYNC"] * 2)

    def test_a_file_system_without_that_is_synced_as_elsewhere(self) -> None:
        self.refusal = OSError(errno.ENOTSUP, "Operation not supported")
        self.assertEqual(self.synced(macos=True), ["fsync"] * 2)
