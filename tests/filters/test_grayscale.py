"""Grayscale against Pillow."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from twisted.trial.unittest import TestCase

from dpip.filters import apply
from tests.filters.pictures import Array, natural

SIDES = st.integers(1, 70)


def by_pillow(array: Array, mode: str = "L") -> Array:
    return np.asarray(Image.fromarray(array).convert(mode))


class Grayscale(TestCase):
    @given(hnp.arrays(np.uint8, st.tuples(SIDES, SIDES, st.just(3))))
    def test_rgb_is_bit_identical_to_pillow(self, array: Array) -> None:
        np.testing.assert_array_equal(apply("grayscale", array), by_pillow(array))

    @given(hnp.arrays(np.uint8, st.tuples(SIDES, SIDES, st.just(4))))
    def test_rgba_keeps_its_alpha(self, array: Array) -> None:
        gray = apply("grayscale", array)
        np.testing.assert_array_equal(gray[..., 0], by_pillow(array))
        np.testing.assert_array_equal(gray[..., 1], array[..., 3])

    def test_every_red_green_blue_in_steps(self) -> None:
        steps = np.arange(0, 256, 5, dtype=np.uint8)
        colours = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, len(steps), 3)
        np.testing.assert_array_equal(apply("grayscale", colours), by_pillow(colours))

    def test_gray_stays_as_it_is(self) -> None:
        for shape in ((5, 7), (5, 7, 1), (5, 7, 2)):
            array = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
            gray = apply("grayscale", array)
            np.testing.assert_array_equal(gray, array)
            self.assertFalse(np.shares_memory(gray, array))

    def test_sixteen_bits(self) -> None:
        array = np.random.default_rng(3).integers(0, 65536, (37, 41, 3), dtype=np.uint16)
        array[0, 0] = 65535
        exact = array @ np.array([0.298999, 0.587006, 0.113995])
        self.assertLess(np.abs(apply("grayscale", array) - exact).max(), 1.0)
        self.assertEqual(apply("grayscale", array)[0, 0], 65535)
        with_alpha = np.concatenate((array, array[..., :1]), axis=2)
        np.testing.assert_array_equal(apply("grayscale", with_alpha)[..., 0], apply("grayscale", array))
        np.testing.assert_array_equal(apply("grayscale", with_alpha)[..., 1], array[..., 0])

    def test_any_layout_in_memory(self) -> None:
        array = natural(60, 80)
        for view in (array[::2, ::-3], array.swapaxes(0, 1), np.asfortranarray(array)):
            np.testing.assert_array_equal(apply("grayscale", view), by_pillow(np.ascontiguousarray(view)))
        array.flags.writeable = False
        np.testing.assert_array_equal(apply("grayscale", array), by_pillow(array))

    def test_threads_change_nothing(self) -> None:
        array = natural(200, 90)
        np.testing.assert_array_equal(apply("grayscale", array, threads=3), apply("grayscale", array))
