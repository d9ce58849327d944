"""What a platform lacks is done without."""

from __future__ import annotations

import os
import tempfile
from unittest import skipUnless

from twisted.trial.unittest import SynchronousTestCase

from dpip.runtime.platform import advise_sequential_read


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
