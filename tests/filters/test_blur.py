"""Blur against a Gaussian in float64."""

from __future__ import annotations

import cv2
import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase

from dpip.errors import BadParameter, UnsupportedPicture
from dpip.filters import apply
from tests.filters.pictures import Array, gaussian, natural, noise, one_white, stripes

SIGMAS = (0.3, 0.5, 1, 2, 3.3, 4.1, 4.3, 5, 7.5, 10, 25, 60, 100)


def psnr(got: Array, wanted: Array) -> float:
    return float(10 * np.log10(255**2 / np.mean((got - np.clip(wanted, 0, 255)) ** 2)))


class Reference(TestCase):
    def test_opencv_agrees_far_from_the_edges(self) -> None:
        picture = natural(80, 80).astype(np.float64)
        theirs = cv2.GaussianBlur(picture, (61, 61), 5)
        np.testing.assert_allclose(gaussian(picture, 5)[35:45, 35:45], theirs[35:45, 35:45], atol=1e-3)


class Accuracy(TestCase):
    """At most 0.8 from the truth, of which 0.5 are the rounding; 58 dB where the result is no constant."""

    def check(self, picture: Array, sigma: float) -> Array:
        got = apply("blur", picture, sigma=sigma)
        wanted = gaussian(picture, sigma)
        self.assertEqual(got.dtype, np.uint8)
        self.assertEqual(got.shape, picture.shape)
        worst = np.abs(got - wanted).max()
        self.assertLessEqual(worst, 0.8, (picture.shape, sigma))
        return got

    def test_natural(self) -> None:
        picture = natural(97, 131)
        for sigma in SIGMAS:
            got = self.check(picture, sigma)
            self.assertGreaterEqual(psnr(got, gaussian(picture, sigma)), 58.0, sigma)

    def test_noise(self) -> None:
        for sigma in SIGMAS:
            self.check(noise(101, 77), sigma)

    def test_stripes(self) -> None:
        for sigma in SIGMAS[::2]:
            for period in (2, 20, 64):
                self.check(stripes(70, 150, period), sigma)

    def test_one_white_pixel(self) -> None:
        for sigma in SIGMAS:
            self.check(one_white(91, 90), sigma)

    def test_flat_stays_flat(self) -> None:
        for value in (0, 1, 127, 254, 255):
            flat = np.full((33, 47, 3), value, np.uint8)
            for sigma in SIGMAS:
                np.testing.assert_array_equal(apply("blur", flat, sigma=sigma), flat)

    def test_thin(self) -> None:
        for sigma in (0.3, 5, 100):
            for height, width in ((1, 1), (1, 2), (1, 300), (300, 1), (2, 3), (17, 64), (64, 17)):
                self.check(noise(height, width), sigma)

    @settings(max_examples=40, deadline=None)
    @given(
        st.integers(1, 90),
        st.integers(1, 90),
        st.sampled_from((1, 3)),
        st.floats(0.3, 100),
        st.integers(0, 2**32),
    )
    @example(1, 1, 3, 4.2, 0)
    def test_any_size_and_sigma(
        self, height: int, width: int, channels: int, sigma: float, seed: int
    ) -> None:
        self.check(noise(height, width, channels, seed), sigma)

    def test_gray_is_the_same_as_one_channel(self) -> None:
        picture = natural(80, 120)
        for sigma in (1, 3, 8, 40):
            colour = apply("blur", picture, sigma=sigma)
            for channel in range(3):
                plane = np.ascontiguousarray(picture[..., channel])
                np.testing.assert_array_equal(apply("blur", plane, sigma=sigma), colour[..., channel])
                np.testing.assert_array_equal(
                    apply("blur", plane[..., None], sigma=sigma)[..., 0], colour[..., channel]
                )

    def test_threads_change_nothing(self) -> None:
        for picture in (natural(211, 150), natural(150, 211, 4), natural(90, 90).astype(np.uint16) * 257):
            for sigma in (2, 6, 30):
                alone = apply("blur", picture, sigma=sigma)
                for threads in (2, 3, 5):
                    np.testing.assert_array_equal(apply("blur", picture, sigma=sigma, threads=threads), alone)

    def test_the_original_is_untouched(self) -> None:
        picture = natural(40, 50, 4)
        before = picture.copy()
        picture.flags.writeable = False
        apply("blur", picture, sigma=3)
        np.testing.assert_array_equal(picture, before)


class SixteenBits(TestCase):
    def test_right_to_one_level(self) -> None:
        rng = np.random.default_rng(5)
        for sigma in (0.3, 1, 5, 30, 100):
            for shape in ((61, 83), (50, 40, 3)):
                picture = rng.integers(0, 2, shape).astype(np.uint16) * 65535
                worst = np.abs(apply("blur", picture, sigma=sigma) - gaussian(picture, sigma)).max()
                self.assertLessEqual(worst, 0.6, (sigma, shape))


class Alpha(TestCase):
    def test_hidden_colour_does_not_bleed(self) -> None:
        picture = np.zeros((32, 64, 4), np.uint8)
        picture[:, :32] = (255, 0, 0, 255)
        picture[:, 32:] = (0, 255, 0, 0)
        blurred = apply("blur", picture, sigma=4)
        self.assertEqual(blurred[..., 1].max(), 0)
        self.assertEqual(set(np.unique(blurred[..., 0][blurred[..., 3] > 0])), {255})

    def test_premultiplied_against_the_reference(self) -> None:
        for channels in (2, 4):
            picture = natural(60, 70, channels)
            picture[..., -1] = natural(60, 70, 1, seed=9)[..., 0]
            picture[20:30, :, -1] = 0
            for sigma in (1, 6, 20):
                got = apply("blur", picture, sigma=sigma).astype(float)
                alpha = gaussian(picture[..., -1:], sigma)
                colour = gaussian(picture[..., :-1] * (picture[..., -1:] / 255.0), sigma) / alpha * 255
                self.assertLessEqual(np.abs(got[..., -1:] - alpha).max(), 0.51)
                self.assertLessEqual(np.abs(got[..., :-1] - colour)[alpha[..., 0] > 1].max(), 0.6)

    def test_opaque_is_as_without_alpha(self) -> None:
        picture = natural(50, 60, 4)
        picture[..., 3] = 255
        for sigma in (2, 9):
            blurred = apply("blur", picture, sigma=sigma)
            without = apply("blur", np.ascontiguousarray(picture[..., :3]), sigma=sigma)
            np.testing.assert_array_equal(blurred[..., :3], without)
            self.assertTrue((blurred[..., 3] == 255).all())


class Refusals(TestCase):
    def test_sigma(self) -> None:
        self.assertRaises(BadParameter, apply, "blur", natural(4, 4), sigma=0)

    def test_arrays(self) -> None:
        for bad in (
            np.zeros((4, 4), np.float16),
            np.zeros((4, 4), np.int64),
            np.zeros((4, 4), bool),
            np.zeros(4, np.uint8),
            np.zeros((4, 4, 5), np.uint8),
            np.zeros((0, 4, 3), np.uint8),
            np.zeros((4, 4, 0), np.uint8),
            np.zeros((1, 1, 1, 1), np.uint8),
        ):
            self.assertRaises(UnsupportedPicture, apply, "blur", bad)
