"""What jobs really take of memory: the short form of ``python -m tests.filters.peaks``."""

from __future__ import annotations

import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase


class PeakTests(SynchronousTestCase):
    def test_no_job_takes_more_than_was_reckoned_or_less_than_half(self) -> None:
        kinds = ("JPEG", "PNG alpha", "TIFF 16")
        filters = ("blur", "grayscale", "resize")
        command = [sys.executable, "-m", "tests.filters.peaks", "--sides", "500", "--no-conversions"]
        measured = subprocess.run(
            [*command, "--kinds", *kinds, "--filters", *filters], capture_output=True, text=True, check=False
        )
        self.assertEqual(measured.returncode, 0, measured.stdout + measured.stderr)
        self.assertRegex(measured.stdout, r"\d\d jobs, 0 wrong")
