"""The oldest versions are read from ``setup.py``."""

from __future__ import annotations

import re
from importlib.metadata import requires

from twisted.trial.unittest import TestCase

from tests.oldest import pinned, requirements


class OldestTests(TestCase):
    def test_every_requirement_has_an_oldest_version(self) -> None:
        asked = [each for each in requires("dpip") or () if "extra ==" not in each]
        names = {re.split(r"[\[<>=;]", each)[0].strip() for each in asked}
        found = {pinned(each).partition("==")[0] for each in requirements()}
        self.assertEqual(found, names | {"av", "distributed", "pillow-heif", "psycopg", "rawpy"})

    def test_extras_are_left_out_and_markers_are_kept(self) -> None:
        self.assertEqual(pinned("twisted[tls] >= 1.2"), "twisted==1.2")
        self.assertEqual(pinned('isal >= 1; os_name == "a"'), 'isal==1; os_name == "a"')

    def test_a_requirement_without_one_is_an_error(self) -> None:
        self.assertRaises(ValueError, pinned, "twisted")
