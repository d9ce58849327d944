"""The further filters, each against OpenCV, Pillow or NumPy."""

from __future__ import annotations

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from twisted.trial.unittest import TestCase

from dpip.errors import BadParameter, PictureTooLarge
from dpip.filters import apply, process, process_steps, registry
from tests.filters.pictures import gaussian, natural, noise, opened, saved

#: Parameters with which every filter runs, beside its defaults.
GIVEN = {name: registry.find(name).example for name in registry.names()} | {"rotate": {"angle": 33}}
SHAPES = ((9, 14), (9, 14, 2), (9, 14, 3), (9, 14, 4), (1, 1, 3), (1, 40), (40, 1, 4))


class EveryFilter(TestCase):
    def test_takes_every_kind_of_array_and_leaves_it_alone(self) -> None:
        rng = np.random.default_rng(1)
        for name in registry.names():
            params = GIVEN.get(name, {})
            for dtype in (np.uint8, np.uint16):
                for shape in SHAPES:
                    array = rng.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)
                    before = array.copy()
                    array.flags.writeable = False
                    result = apply(name, array, **params)
                    self.assertEqual(result.dtype, dtype, (name, shape))
                    self.assertIn(result.ndim, (2, 3))
                    has_alpha = len(shape) == 3 and shape[2] in (2, 4)
                    self.assertEqual(result.ndim == 3 and result.shape[2] in (2, 4), has_alpha, (name, shape))
                    np.testing.assert_array_equal(array, before, name)
                    self.assertFalse(np.shares_memory(result, array), name)

    def test_threads_change_nothing(self) -> None:
        for name in registry.names():
            for picture in (natural(150, 60), natural(140, 33, 4)):
                params = GIVEN.get(name, {})
                alone = apply(name, picture, **params)
                np.testing.assert_array_equal(apply(name, picture, threads=3, **params), alone, name)

    def test_works_on_a_file(self) -> None:
        data = saved(natural(30, 40), "JPEG")
        for name in registry.names():
            result = process(data, name, GIVEN.get(name, {}))
            self.assertEqual(opened(result.data).size, (result.width, result.height), name)

    def test_a_chain(self) -> None:
        picture = natural(30, 40)
        steps = registry.validate_steps(
            [
                {"name": "median", "radius": 2},
                {"name": "grayscale"},
                {"name": "resize", "width": 20},
                {"name": "invert"},
            ]
        )
        wanted = picture
        for name, params in steps:
            wanted = apply(name, wanted, **params)
        result = process_steps(saved(picture, "PNG"), steps)
        self.assertEqual((result.width, result.height), (20, 15))
        np.testing.assert_array_equal(np.asarray(opened(result.data)), wanted)


class Squares(TestCase):
    @settings(max_examples=30, deadline=None)
    @given(
        st.integers(1, 40),
        st.integers(1, 40),
        st.sampled_from((1, 3)),
        st.integers(1, 12),
        st.integers(0, 99),
    )
    def test_box_blur(self, height: int, width: int, channels: int, radius: int, seed: int) -> None:
        picture = noise(height, width, channels, seed)
        side = 2 * radius + 1
        padded = np.pad(picture, ((radius, radius), (radius, radius), (0, 0)), mode="edge").astype(np.int64)
        windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side), axis=(0, 1))
        exact = np.floor(windows.sum(axis=(3, 4)) / side**2 + 0.5)
        np.testing.assert_array_equal(apply("box_blur", picture, radius=radius), exact)

    def test_box_blur_with_alpha(self) -> None:
        picture = np.zeros((20, 30, 4), np.uint8)
        picture[:, :15] = (200, 10, 0, 255)
        picture[:, 15:] = (0, 255, 0, 0)
        blurred = apply("box_blur", picture, radius=3)
        shown = blurred[..., 3] > 0
        self.assertTrue((blurred[shown][:, :3] == (200, 10, 0)).all())

    def test_median_as_opencv(self) -> None:
        for picture in (natural(33, 47), noise(20, 30), natural(5, 90), natural(1, 12), natural(12, 1)):
            for radius in (1, 2, 3):
                wanted = cv2.medianBlur(picture, 2 * radius + 1)
                np.testing.assert_array_equal(apply("median", picture, radius=radius), wanted)

    def test_median_of_sixteen_bits(self) -> None:
        picture = np.random.default_rng(3).integers(0, 65536, (17, 23, 3), dtype=np.uint16)
        for radius in (1, 2):  # OpenCV goes no further with 16 bits
            wanted = cv2.medianBlur(picture, 2 * radius + 1)
            np.testing.assert_array_equal(apply("median", picture, radius=radius), wanted)

    def test_edges(self) -> None:
        for picture in (natural(40, 50), noise(21, 33), natural(1, 9), natural(9, 1)):
            gray = np.asarray(Image.fromarray(picture).convert("L"))
            across, down = (
                cv2.Sobel(gray, cv2.CV_64F, dx, dy, borderType=cv2.BORDER_REPLICATE)
                for dx, dy in ((1, 0), (0, 1))
            )
            wanted = np.floor(np.minimum(np.hypot(across, down) + 0.5, 255))
            np.testing.assert_array_equal(apply("edges", picture), wanted)

    def test_sharpen(self) -> None:
        picture = natural(60, 70)
        for sigma, amount in ((1, 0.5), (3, 1), (10, 2)):
            exact = np.clip(picture + amount * (picture - gaussian(picture, sigma)), 0, 255)
            worst = np.abs(apply("sharpen", picture, sigma=sigma, amount=amount) - exact).max()
            self.assertLessEqual(worst, 0.5 + 0.8 * amount)
        np.testing.assert_array_equal(apply("sharpen", picture, amount=0), picture)


class Curves(TestCase):
    RAMP = np.arange(256, dtype=np.uint8)[None]

    def test_invert(self) -> None:
        picture = natural(10, 12, 4)
        negative = apply("invert", picture)
        np.testing.assert_array_equal(negative[..., :3], 255 - picture[..., :3])
        np.testing.assert_array_equal(negative[..., 3], picture[..., 3])
        np.testing.assert_array_equal(apply("invert", self.RAMP), 255 - self.RAMP)

    def test_gamma(self) -> None:
        for gamma in (0.1, 0.5, 1, 2.2, 10):
            wanted = np.floor(255 * (self.RAMP / 255) ** (1 / gamma) + 0.5)
            np.testing.assert_array_equal(apply("gamma", self.RAMP, gamma=gamma), wanted)

    def test_brightness_contrast(self) -> None:
        for brightness, contrast in ((0, 0), (20, 0), (0, 50), (-30, -100), (10, 300)):
            line = (self.RAMP - 127.5) * (1 + contrast / 100) + 127.5 + 2.55 * brightness
            got = apply("brightness_contrast", self.RAMP, brightness=brightness, contrast=contrast)
            self.assertLessEqual(np.abs(got - np.clip(line, 0, 255)).max(), 0.5 + 1e-9)
        np.testing.assert_array_equal(apply("brightness_contrast", self.RAMP), self.RAMP)

    def test_sixteen_bits_have_a_table_of_their_own(self) -> None:
        picture = np.random.default_rng(4).integers(0, 65536, (9, 9, 3), dtype=np.uint16)
        wanted = np.floor(65535 * (picture / 65535) ** 0.5 + 0.5)
        np.testing.assert_array_equal(apply("gamma", picture, gamma=2), wanted)

    def test_sepia(self) -> None:
        picture = natural(20, 30)
        matrix = np.array([[0.393, 0.769, 0.189], [0.349, 0.686, 0.168], [0.272, 0.534, 0.131]])
        exact = np.minimum(picture @ matrix.T, 255)
        self.assertLessEqual(np.abs(apply("sepia", picture) - exact).max(), 0.51)
        self.assertEqual(apply("sepia", picture[..., 0]).shape, picture.shape)


class Thresholds(TestCase):
    def test_level(self) -> None:
        gray = natural(30, 40, 1)[..., 0]
        for value in (0, 100, 255):
            wanted = cv2.threshold(gray, value, 255, cv2.THRESH_BINARY)[1]
            np.testing.assert_array_equal(apply("threshold", gray, value=value), wanted)

    def test_otsu_as_opencv(self) -> None:
        for seed in range(6):
            rng = np.random.default_rng(seed)
            two = np.concatenate((rng.normal(60, 20, 500), rng.normal(170, 30, 400)))
            gray = np.clip(two, 0, 255).astype(np.uint8).reshape(30, 30)
            wanted = cv2.threshold(gray, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)[1]
            np.testing.assert_array_equal(apply("threshold", gray), wanted)

    def test_one_colour_and_sixteen_bits(self) -> None:
        for value in (0, 128, 255):
            flat = apply("threshold", np.full((3, 3), value, np.uint8))
            self.assertIn(set(np.unique(flat)), ({0}, {255}))
        wide = natural(20, 20, 1)[..., 0].astype(np.uint16) * 257
        narrow = apply("threshold", (wide // 257).astype(np.uint8), value=90)
        np.testing.assert_array_equal(apply("threshold", wide, value=90), narrow.astype(np.uint16) * 257)


class Sizes(TestCase):
    PICTURE = natural(40, 60)

    def size(self, **params: object) -> tuple[int, int]:
        height, width = apply("resize", self.PICTURE, **params).shape[:2]
        return width, height

    def test_fits(self) -> None:
        self.assertEqual(self.size(width=30), (30, 20))
        self.assertEqual(self.size(height=80), (120, 80))
        self.assertEqual(self.size(width=30, height=30), (30, 20))
        self.assertEqual(self.size(width=30, height=30, fit="cover"), (30, 30))
        self.assertEqual(self.size(width=30, height=30, fit="stretch"), (30, 30))
        self.assertEqual(self.size(width=1), (1, 1))

    def test_cover_cuts_evenly(self) -> None:
        picture = np.zeros((10, 30, 3), np.uint8)
        picture[:, 10:20] = 255
        self.assertEqual(apply("resize", picture, width=10, height=10, fit="cover").min(), 255)

    def test_as_pillow(self) -> None:
        wanted = np.asarray(Image.fromarray(self.PICTURE).resize((25, 31), Image.Resampling.LANCZOS))
        got = apply("resize", self.PICTURE, width=25, height=31, fit="stretch")
        np.testing.assert_array_equal(got, wanted)
        wide = apply("resize", self.PICTURE.astype(np.uint16) * 257, width=25, height=31, fit="stretch")
        self.assertLessEqual(np.abs(wide / 257 - wanted).max(), 1.5)

    def test_linear_light(self) -> None:
        """Black and white lines seen from afar are half the light, which is 188 in sRGB, not 128."""
        lines = np.zeros((64, 64, 3), np.uint8)
        lines[::2] = 255
        middle = slice(4, -4)
        self.assertLessEqual(abs(int(apply("resize", lines, width=16)[middle].mean()) - 128), 2)
        self.assertLessEqual(abs(int(apply("resize", lines, width=16, linear=True)[middle].mean()) - 188), 2)

    def test_hidden_colour_does_not_bleed(self) -> None:
        picture = np.zeros((40, 40, 4), np.uint8)
        picture[:, :21] = (250, 0, 0, 255)
        picture[:, 21:] = (0, 255, 0, 0)
        for linear in (False, True):
            small = apply("resize", picture, width=13, linear=linear)
            self.assertEqual(small[..., 1].max(), 0)
            self.assertLessEqual(np.abs(small[small[..., 3] > 20][:, 0].astype(int) - 250).max(), 2)

    def test_thumbnail(self) -> None:
        self.assertEqual(apply("thumbnail", self.PICTURE, size=30).shape, (20, 30, 3))
        np.testing.assert_array_equal(apply("thumbnail", self.PICTURE, size=60), self.PICTURE)

    def test_refusals(self) -> None:
        problem = self.assertRaises(BadParameter, registry.validate, "resize", {})
        self.assertIn("a width, a height or both", problem.detail)
        self.assertRaises(BadParameter, registry.validate, "resize", {"width": 0})
        self.assertRaises(PictureTooLarge, apply, "resize", self.PICTURE, width=60_000)
