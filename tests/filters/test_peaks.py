"""What jobs really take of memory: the short form of ``python -m tests.filters.peaks``."""

from __future__ import annotations

import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase


class PeakTests(SynchronousTestCase):
    def measured(self, *options: str) -> str:
        command = [sys.executable, "-W", "ignore", "-m", "tests.filters.peaks", "--no-conversions", *options]
        found = subprocess.run(command, capture_output=True, text=True, check=False)
        self.assertEqual(found.returncode, 0, found.stdout + found.stderr)
        return found.stdout

    def test_no_job_takes_more_than_was_reckoned_or_less_than_half(self) -> None:
        kinds, filters = ("JPEG", "PNG alpha", "TIFF 16"), ("blur", "grayscale", "resize")
        said = self.measured("--sides", "500", "--kinds", *kinds, "--filters", *filters)
        self.assertRegex(said, r"\d\d jobs, 0 wrong")

    def test_every_kind_of_file_has_room_for_what_its_codec_begins_with(self) -> None:
        self.assertRegex(self.measured("--sides", "100", "--filters", "invert"), r"\d\d jobs, 0 wrong")
