"""The picture of benchmark results in the README."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from twisted.trial.unittest import TestCase

from bench.picture import LABELS, PICTURE, WIDTH, drawn
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

    def test_ratios_of_any_size_stay_within_the_picture(self) -> None:
        rows = {"slower": 0.4, "equal": 1.0, "faster": 116.4}
        results = {"kernels": {"day": "2026-01-01", "machine": "m", "figures": rows}}
        picture = ET.fromstring(drawn(results))
        bars = list(picture.iter("{http://www.w3.org/2000/svg}rect"))
        edges = [(float(bar.attrib["x"]), float(bar.attrib["width"])) for bar in bars]
        (slow, _), (equal, _), (_, far) = edges
        self.assertTrue(LABELS < slow < equal)
        self.assertTrue(equal < equal + far < WIDTH)
        words = [element.text for element in picture.iter("{http://www.w3.org/2000/svg}text")]
        self.assertTrue({"0.4×", "1.0×", "116×"} <= set(words))
