"""Temporary directories of a process."""

from __future__ import annotations

import tempfile
from contextlib import closing
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from dpip.runtime.tempdirs import LockedTempDir


class LockedTempDirTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.parent = Path(self.enterContext(tempfile.TemporaryDirectory(prefix="dpip-test-")))

    def test_it_is_there_until_it_is_closed(self) -> None:
        with closing(LockedTempDir(self.parent, "some-")) as directory:
            path = directory.open()
            self.assertEqual(list(self.parent.iterdir()), [path])
        self.assertEqual(list(self.parent.iterdir()), [])

    def test_what_a_dead_process_left_is_removed_and_what_a_live_one_has_stays(self) -> None:
        (self.parent / "some-dead").mkdir()
        with (
            closing(LockedTempDir(self.parent, "some-")) as first,
            closing(LockedTempDir(self.parent, "some-")) as second,
        ):
            paths = {first.open(), second.open()}
            self.assertEqual(set(self.parent.iterdir()), paths)

    def test_a_folder_that_cannot_be_written_to_is_refused(self) -> None:
        (self.parent / "file").touch()
        with closing(LockedTempDir(self.parent / "file", "some-")) as directory:
            self.assertRaises(OSError, directory.open)
