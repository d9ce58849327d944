"""Memory is reckoned by what a job decodes, makes and writes."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from dpip.errors import UnsupportedPicture
from dpip.filters import apply, registry
from dpip.filters.codec.headers import PictureInfo, probe
from dpip.filters.codec.memory import DECODING, ENCODING
from dpip.filters.memory import BASE, memory_needed
from dpip.filters.output import BY_NAME, FORMATS
from dpip.filters.schema import Filter, Pixels
from dpip.filters.shape import MAX_PIXELS, Shape
from tests.filters.peaks import MORE
from tests.filters.pictures import natural, saved

MIB = 2**20
GIB = 2**30
PNG = PictureInfo("PNG", 1000, 1000, 3)


def needed(info: PictureInfo, step: str = "invert", at_least: int = 0, **params: Any) -> int:
    output = {key: params.pop(key) for key in ("format", "max_bytes") if key in params}
    return memory_needed(info, 0, [(step, params)], output, at_least)


class ReckoningTests(SynchronousTestCase):
    def test_what_comes_out_counts_and_not_only_what_goes_in(self) -> None:
        """Measured: 6.9 GB, for an upload of 70 bytes."""
        dot = PictureInfo("PNG", 1, 1, 4)
        large = {"width": 10_000, "height": 10_000, "fit": "stretch", "linear": True}
        self.assertGreater(needed(dot, "resize", **large), 7 * GIB)
        self.assertLess(needed(dot), BASE + MIB)

    def test_a_result_that_is_refused_takes_nothing(self) -> None:
        dot = PictureInfo("PNG", 1, 1, 4)
        self.assertLess(needed(dot, "resize", width=65_535), BASE + MIB)
        self.assertLess(needed(dot, "pad", border=10_000), BASE + MIB)

    def test_a_chain_is_its_largest_step(self) -> None:
        steps = [("grayscale", {}), ("resize", {"width": 4000}), ("thumbnail", {"size": 50})]
        chain = memory_needed(PNG, 0, steps)
        alone = memory_needed(evolve(PNG, channels=1), 0, [("resize", {"width": 4000})])
        self.assertGreater(chain, needed(PNG, "grayscale"))
        self.assertLess(chain, alone)  # which writes what it has made

    def test_a_picture_may_have_to_be_turned_first(self) -> None:
        wide = PictureInfo("JPEG", 10_000, 100, 3, traits=frozenset({"luma"}))
        upright = evolve(wide, format="BMP")
        self.assertGreater(needed(wide, "resize", width=300), BASE + 300 * 30_000 * 3)
        self.assertLess(needed(upright, "resize", width=300), BASE + 30 * MIB)

    def test_the_largest_page_counts(self) -> None:
        pages = PictureInfo("TIFF", 10, 10, 3, frames=2, pixels=9_000_100, sizes=((10, 10), (3000, 3000)))
        self.assertGreater(needed(pages), 9_000_000 * 3 * 3)

    def test_thousands_of_sizes_are_reckoned_in_no_time(self) -> None:
        """Each step takes some 10 microseconds for each size, in the thread that keeps an upload."""
        sizes = tuple((100 + number % 100, 50 + number // 100) for number in range(10_000))
        pages = PictureInfo("TIFF", 100, 50, 3, frames=10_000, pixels=10**8, sizes=sizes)
        began = time.process_time()
        reckoned = memory_needed(pages, 0, [("resize", {"width": 500, "linear": True})] * 5)
        self.assertLess(time.process_time() - began, 0.5)
        largest = memory_needed(evolve(pages, sizes=((199, 149),)), 0, [("resize", {"width": 500})])
        self.assertGreater(reckoned, largest)

    def test_a_picture_is_decoded_before_its_result_is_refused(self) -> None:
        large = PictureInfo("PNG", 8000, 8000, 4)
        self.assertGreater(needed(large, "resize", width=65_535), 2 * 4 * 64_000_000)

    def test_frames_are_decoded_one_by_one(self) -> None:
        film = PictureInfo("GIF", 1000, 1000, 4, frames=100)
        self.assertLess(needed(film), 100 * 1_000_000 * 4)
        self.assertGreater(needed(film), needed(evolve(film, frames=1, pixels=1_000_000)))

    def test_the_format_of_the_result_counts(self) -> None:
        self.assertGreater(needed(PNG, format="WEBP"), needed(PNG, format="BMP"))

    def test_a_file_of_few_bytes_is_tried_again(self) -> None:
        self.assertGreater(needed(PNG, max_bytes=10_000), needed(PNG) + 3_000_000)

    def test_a_preview_of_a_jpeg_is_decoded_to_fewer_pixels(self) -> None:
        jpeg = PictureInfo("JPEG", 8000, 8000, 3)
        self.assertLess(needed(jpeg, "thumbnail", 512), BASE + 64 * MIB)
        self.assertGreater(needed(jpeg, "thumbnail"), 64_000_000 * 3)
        progressive = evolve(jpeg, traits=frozenset({"progressive"}))  # which is kept as a whole
        self.assertGreater(needed(progressive, "thumbnail", 512), 64_000_000 * 6)

    def test_a_page_without_pixels_is_reckoned_all_the_same(self) -> None:
        """The header is damaged, and may be so in an upload."""
        pages = PictureInfo("TIFF", 8, 8, 3, frames=2, sizes=((8, 8), (0, 8)), traits=frozenset({"levels"}))
        self.assertLess(needed(pages, "resize", width=8), BASE + MIB)

    def test_only_luma_is_decoded_where_that_suffices(self) -> None:
        jpeg = probe(saved(natural(40, 30), "JPEG"))
        self.assertIn("luma", jpeg.traits)
        large = evolve(jpeg, sizes=((4000, 4000),))
        self.assertLess(needed(large, "grayscale"), needed(large) / 2)

    def test_every_format_has_its_lines(self) -> None:
        self.assertEqual((set(DECODING), set(ENCODING)), (set(BY_NAME), set(FORMATS)))

    def test_it_takes_no_numpy(self) -> None:
        code = "import sys, dpip.filters.memory as m, dpip.filters.codec.headers as h; "
        code += "m.memory_needed(h.PictureInfo('PNG', 9, 9, 3), 9, [('resize', {'width': 9})]); "
        code += "sys.exit('numpy' in sys.modules)"
        self.assertEqual(subprocess.run([sys.executable, "-c", code], check=False).returncode, 0)


_SMALL: dict[str, Sequence[dict[str, Any]]] = {
    "resize": (
        {"width": 40, "linear": True},
        {"height": 5},
        {"width": 30, "height": 30, "fit": "cover"},
        {"width": 30, "height": 9},
        {"width": 3, "height": 90, "fit": "stretch"},
    ),
    "clahe": ({"tiles": 2},),
}


def _strange(array: Pixels) -> Pixels:
    return array


class FilterTests(SynchronousTestCase):
    def test_a_filter_that_says_nothing_gets_five_times_its_picture(self) -> None:
        strange = Filter(name="strange", summary="", function=_strange)
        self.assertEqual(strange.step_memory(Shape(10, 10), {}), (Shape(10, 10), 6 * 300))

    def test_a_filter_may_say_what_it_makes_and_takes(self) -> None:
        strange = Filter(
            name="strange",
            summary="",
            function=_strange,
            result_shape=lambda shape, params: evolve(shape, width=params["n"] * shape.width),
            working_bytes=lambda shape, params: 7,
        )
        self.assertEqual(strange.step_memory(Shape(10, 10), {"n": 2}), (Shape(20, 10), 607))

    def test_every_filter_makes_what_it_says(self) -> None:
        for name in registry.names():
            found = registry.find(name)
            for params in _SMALL.get(name) or MORE.get(name, (dict(found.example),)):
                for channels in (1, 2, 3, 4):
                    for dtype in (np.uint8, np.uint16, np.float32):
                        with self.subTest(name, channels=channels, dtype=dtype, **params):
                            self._compare(found, params, channels, dtype)

    def _compare(self, found: Filter, params: dict[str, Any], channels: int, dtype: Any) -> None:
        if dtype is np.float32 and not found.takes_floats:
            return
        shape = Shape(24, 17, channels, np.dtype(dtype).itemsize)
        top = 1 if dtype is np.float32 else 200
        picture = np.random.default_rng(1).random((17, 24, channels)) * top
        array = (picture[..., 0] if channels == 1 else picture).astype(dtype)
        expected, took = found.step_memory(shape, found.validate(params))
        try:
            made = apply(found.name, array, **params)
        except UnsupportedPicture:  # turning floating point by other than quarters
            return
        height, width = made.shape[:2]
        count = 1 if made.ndim == 2 else made.shape[2]
        self.assertEqual(expected, Shape(width, height, count, made.itemsize))
        self.assertGreaterEqual(took, made.nbytes)
        self.assertLess(width * height, MAX_PIXELS)
