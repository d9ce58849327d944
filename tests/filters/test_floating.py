"""Floating point in every filter: nothing is clipped, and what is not known stays unknown, alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from twisted.trial.unittest import SynchronousTestCase as TestCase

from dpip.errors import FilterFailed, UnsupportedPicture
from dpip.filters import apply, engine, process, registry
from dpip.filters.schema import Filter
from tests.filters.pictures import gaussian, natural, opened
from tests.filters.tiff.files import written

FLOATS = natural(30, 41).astype(np.float32) / 255
BEYOND = FLOATS * 900 - 200


BYTES_ONLY = ("auto_contrast", "clahe", "white_balance", "denoise", "dither", "watermark")


class FloatingPoint(TestCase):
    def test_every_built_in_filter_takes_it_as_it_takes_bytes(self) -> None:
        """On a scale from 0 to 1 the results are those of bytes, to a few levels."""
        sizes: dict[str, dict[str, Any]] = {
            "resize": {"width": 20},
            "thumbnail": {"size": 20},
            "crop": {"aspect": "1:1", "place": "saliency"},
            "pad": {"border": 2, "background": "#336699"},
        }
        for channels in (1, 2, 3, 4):
            eight = natural(30, 41, channels)
            eight = eight[..., 0] if channels == 1 else eight
            for dtype in (np.float32, np.float64):
                for name in registry.names():
                    if not registry.is_built_in(name) or name in {"threshold", *BYTES_ONLY}:
                        continue
                    params = registry.validate(name, sizes.get(name, {}))
                    got = apply(name, (eight / 255).astype(dtype), **params)
                    wanted = apply(name, eight, **params)
                    self.assertEqual((got.dtype, got.shape), (dtype, wanted.shape), name)
                    clipped = np.clip(got, 0, 1) * 255
                    self.assertLess(np.abs(clipped - wanted).max(), 4, (name, channels))

    def test_filters_for_whole_numbers_say_so(self) -> None:
        given: dict[str, dict[str, Any]] = {"watermark": {"text": "w"}, "rotate": {"angle": 30}}
        for name in (*BYTES_ONLY, "rotate"):
            problem = self.assertRaises(UnsupportedPicture, apply, name, BEYOND, **given.get(name, {}))
            self.assertIn("floating point or 32-bit numbers", problem.detail)

    def test_nothing_is_cut_off(self) -> None:
        np.testing.assert_array_equal(apply("invert", BEYOND), 1 - BEYOND)
        np.testing.assert_allclose(apply("blur", BEYOND, sigma=2), gaussian(BEYOND, 2), atol=0.01)
        brighter = apply("brightness_contrast", BEYOND, brightness=50)
        np.testing.assert_allclose(brighter, BEYOND + 0.5, rtol=1e-6, atol=1e-4)
        doubled = apply("gamma", BEYOND, gamma=0.5)
        np.testing.assert_allclose(doubled, np.sign(BEYOND) * BEYOND**2, rtol=1e-5)
        self.assertGreater(apply("resize", BEYOND, width=20).max(), 255)

    def test_what_is_not_known_stays_so_and_harms_nobody(self) -> None:
        flat = np.full((20, 20), 300, np.float64)
        flat[4:7, 5:9] = np.nan
        flat[12, 12] = np.inf
        for name in ("blur", "box_blur", "sharpen", "median", "grayscale", "invert", "gamma"):
            result = apply(name, flat)
            known = np.isfinite(flat)
            if name in ("blur", "box_blur", "sharpen", "median"):
                np.testing.assert_allclose(result[known], 300, rtol=1e-6, err_msg=name)
            np.testing.assert_array_equal(np.isnan(result), np.isnan(flat), name)
        half = apply("resize", flat, width=10)
        self.assertEqual(int(np.isnan(half).sum()) > 0, True)
        np.testing.assert_allclose(half[np.isfinite(half)], 300, rtol=1e-5)

    def test_nothing_known_at_all(self) -> None:
        empty = np.full((6, 7), np.nan, np.float32)
        for name in ("blur", "box_blur", "median", "threshold", "edges"):
            self.assertTrue(np.isnan(apply(name, empty)).all(), name)

    def test_threshold(self) -> None:
        two = np.where(natural(20, 20, 1)[..., 0] > 120, 850.0, 320.0)
        np.testing.assert_array_equal(apply("threshold", two), two == 850)
        np.testing.assert_array_equal(apply("threshold", two / 1000, value=128), two == 850)

    def test_large_offsets_keep_small_differences(self) -> None:
        """Heights in float64 keep more than the 24 bits that a kernel computes with."""
        heights = 4_600_000 + natural(20, 20, 1)[..., 0] / 1000
        np.testing.assert_allclose(
            apply("blur", heights, sigma=1.5), gaussian(heights, 1.5), rtol=0, atol=1e-6
        )

    def test_filters_of_third_parties_are_not_given_it(self) -> None:
        other = Filter(name="other", summary="", function=lambda array: array.copy())
        with self.assertRaisesRegex(UnsupportedPicture, "the filter other takes none"):
            engine._run(other, FLOATS, {}, 1)

    def test_a_filter_returns_the_kind_of_numbers_that_it_got(self) -> None:
        wrong = Filter(name="wrong", summary="", function=lambda array: array > 0, takes_floats=True)
        with self.assertRaisesRegex(FilterFailed, "float32 or float64"):
            engine._run(wrong, FLOATS, {}, 1)

    def test_other_formats_cut_off_and_say_so(self) -> None:
        result = process(written(BEYOND[..., 0]), "grayscale", output={"format": "png"})
        self.assertIn("black or white", result.notices[0])
        wanted = np.clip(BEYOND[..., 0], 0, 1) * 65535
        np.testing.assert_allclose(np.asarray(opened(result.data)), wanted, atol=1)
        self.assertEqual(process(written(FLOATS[..., 0]), "grayscale", output={"format": "png"}).notices, ())
