"""The estimate of a result's size is near enough to keep a quota: seldom far below what is stored."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image as Pillow
from twisted.trial.unittest import TestCase

from dpip.filters import engine
from dpip.filters.codec.headers import probe
from dpip.filters.output import FORMATS
from dpip.filters.registry import validate_output, validate_steps
from dpip.filters.result_size import result_bytes


def encoded(format: str, width: int = 320, height: int = 240, grain: int = 12) -> bytes:
    """A soft picture with grain, as photographs have it; without, a flat one."""
    across = np.linspace(0, 200, width)[None, :, None] + np.linspace(0, 40, height)[:, None, None]
    noise = np.random.default_rng(1).integers(0, grain + 1, (height, width, 3))
    pixels = (across * (grain > 0) + noise).astype(np.uint8)
    file = BytesIO()
    Pillow.fromarray(pixels).save(file, format)
    return file.getvalue()


def estimated(data: bytes, steps: list[dict[str, Any]], **output: Any) -> int:
    info = probe(data)
    return result_bytes(info, len(data), validate_steps(steps), validate_output(output))


GRAY = [{"name": "grayscale"}]


class ResultSizeTests(TestCase):
    def test_a_tiny_picture_that_becomes_a_large_one_is_charged_as_such(self) -> None:
        large = [{"name": "resize", "width": 4000, "height": 4000, "fit": "stretch"}]
        tiny = encoded("PNG", 1, 1)
        self.assertEqual(estimated(tiny, large, format="BMP"), 4000 * 4000 * 3)
        self.assertGreater(estimated(tiny, large), 4000 * 4000)
        self.assertEqual(estimated(tiny, [{"name": "resize", "width": 100}], format="BMP"), 100 * 100 * 3)

    def test_each_way_to_say_the_size(self) -> None:
        data = encoded("BMP", 300, 200)
        for params, pixels in (
            ({"height": 100}, 150 * 100),
            ({"width": 150, "height": 150}, 150 * 100),
            ({"width": 150, "height": 150, "fit": "cover"}, 150 * 150),
        ):
            self.assertEqual(estimated(data, [{"name": "resize", **params}]), pixels * 3)
        self.assertEqual(estimated(data, [{"name": "thumbnail", "size": 30}]), 30 * 20 * 3)
        self.assertEqual(estimated(data, [{"name": "pad", "border": 10}]), 320 * 220 * 3)
        self.assertEqual(estimated(data, [{"name": "pad", "width": 400, "aspect": "1:1"}]), 400 * 400 * 3)
        self.assertEqual(estimated(data, [{"name": "rotate"}]), 200 * 300 * 3)
        self.assertEqual(estimated(data, [{"name": "rotate", "angle": 45.0}]), 354 * 354 * 3)
        self.assertEqual(estimated(data, [{"name": "invert"}], max_bytes=1000), 1000)
        self.assertEqual(estimated(data, [{"name": "thumbnail", "size": 1000}]), len(data) // 1000 * 1000)

    def test_the_estimate_of_a_photograph_is_no_less_than_half_of_the_result(self) -> None:
        steps = [[{"name": "blur", "sigma": 1.0}], [{"name": "resize", "width": 500}], [{"name": "invert"}]]
        for source in ("JPEG", "PNG", "BMP", "TIFF"):
            data = encoded(source)
            for chain in steps:
                for output in ({}, *({"format": format} for format in FORMATS)):
                    parsed = validate_steps(chain)
                    made = len(engine.process_steps(data, parsed, output=output).data)
                    self.assertGreater(2 * estimated(data, chain, **output), made, (source, chain, output))

    def test_a_result_of_the_same_size_and_format_is_charged_as_the_original(self) -> None:
        for format in ("JPEG", "PNG"):
            data = encoded(format)
            self.assertEqual(estimated(data, GRAY), len(data))
        self.assertGreater(
            estimated(data, GRAY, format="JPEG", quality=100), estimated(data, GRAY, format="JPEG")
        )
