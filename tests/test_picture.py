"""The picture of benchmark results in the README."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from twisted.trial.unittest import TestCase

from bench.picture import PICTURE, drawn
from bench.record import load


class PictureTests(TestCase):
    def test_it_is_the_one_drawn_of_the_results(self) -> None:
        """After ``--record`` it has to be drawn anew: ``python -m bench.picture``."""
        self.assertEqual(PICTURE.read_text(encoding="utf-8"), drawn(load()))

    def test_every_row_is_named_and_marked(self) -> None:
        scenes = {"a <scene>": {"ours": 1.0, "random": 1.5, "forecast": 0.1}, "other": {"ours": 1.1}}
        results = {"scheduling": {"day": "2026-01-01", "machine": "m", "figures": {"scenes": scenes}}}
        picture = ET.fromstring(drawn(results))
        words = [element.text for element in picture.iter("{http://www.w3.org/2000/svg}text")]
        self.assertIn("a <scene>", words)
        marks = [element.get("class") for element in picture.iter("{http://www.w3.org/2000/svg}circle")]
        self.assertEqual(sorted(marks), ["other", "ours", "ours"])
