"""The filters of tones and colours, and of noise, against OpenCV, Pillow or NumPy."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageEnhance, ImageOps
from twisted.trial.unittest import TestCase

from dpip.errors import BadParameter
from dpip.filters import apply, registry
from tests.filters.pictures import natural


def apart(got: Any, wanted: Any) -> int:
    """The largest difference of two pictures."""
    return int(np.abs(got.astype(int) - np.asarray(wanted).astype(int)).max())


class Contrasts(TestCase):
    def test_clahe_as_opencv(self) -> None:
        gray = natural(64, 96, 1)[..., 0]
        for picture in (gray, gray.astype(np.uint16) * 257):
            for clip, tiles in ((2.0, 8), (4.0, 4), (40.0, 2)):
                wanted = cv2.createCLAHE(clip, (tiles, tiles)).apply(picture)
                self.assertLessEqual(apart(apply("clahe", picture, clip=clip, tiles=tiles), wanted), 1)

    def test_clahe_adds_to_each_colour_what_it_adds_to_the_luma(self) -> None:
        picture = natural(45, 61) // 2 + 60
        luma = apply("grayscale", picture)
        more = apply("clahe", luma).astype(int) - luma
        wanted = np.clip(picture + more[..., None], 0, 255)
        np.testing.assert_array_equal(apply("clahe", picture), wanted)

    def test_auto_contrast_as_pillow(self) -> None:
        picture = natural(50, 70) // 3 + 40
        image = Image.fromarray(picture)
        self.assertLessEqual(
            apart(apply("auto_contrast", picture, cutoff=0, each_channel=True), ImageOps.autocontrast(image)),
            1,
        )
        kept = ImageOps.autocontrast(image, preserve_tone=True)
        self.assertLessEqual(apart(apply("auto_contrast", picture, cutoff=0), kept), 1)
        flat = np.full((4, 4, 3), 77, np.uint8)
        np.testing.assert_array_equal(apply("auto_contrast", flat), flat)

    def test_auto_contrast_leaves_specks_and_the_unseen_aside(self) -> None:
        gray = np.linspace(50, 200, 1000).astype(np.uint8).reshape(20, 50)
        speck = gray.copy()
        speck[0, 0], speck[0, 1] = 0, 255
        self.assertLessEqual(apply("auto_contrast", speck, cutoff=1)[1:].min(), 12)
        shown = np.stack((speck, np.full_like(speck, 255)), axis=2)
        shown[0, :2, 1] = 0
        got = apply("auto_contrast", shown, cutoff=0)
        self.assertEqual((got[1, 0, 0] < 20, got[-1, -1, 0]), (True, 255))

    def test_levels(self) -> None:
        ramp = np.arange(256, dtype=np.uint8)[None]
        wanted = np.floor(255 * np.clip((ramp / 255 - 0.1) / 0.7, 0, 1) ** (1 / 1.5) + 0.5)
        np.testing.assert_array_equal(apply("levels", ramp, black=10, white=80, gamma=1.5), wanted)
        self.assertRaises(BadParameter, registry.validate, "levels", {"black": 50, "white": 50})


class Colours(TestCase):
    def test_saturation_as_pillow(self) -> None:
        picture = natural(30, 40)
        for amount in (-100, -40, 0, 60, 300):
            wanted = ImageEnhance.Color(Image.fromarray(picture)).enhance(1 + amount / 100)
            self.assertLessEqual(apart(apply("saturation", picture, amount=amount), wanted), 1)
        with_alpha = natural(30, 40, 4)
        got = apply("saturation", with_alpha, amount=60)
        colours = np.ascontiguousarray(with_alpha[..., :3])
        np.testing.assert_array_equal(got[..., :3], apply("saturation", colours, amount=60))
        np.testing.assert_array_equal(got[..., 3], with_alpha[..., 3])

    def test_gray_world_makes_the_mean_gray(self) -> None:
        cast = (natural(60, 60)[..., :1] * np.array((0.5, 0.9, 0.6))).astype(np.uint8)
        means = apply("white_balance", cast).reshape(-1, 3).mean(axis=0)
        self.assertLess(np.ptp(means), 3)
        wide = apply("white_balance", cast.astype(np.uint16) * 257)
        self.assertLess(np.ptp(wide.reshape(-1, 3).mean(axis=0)), 3 * 257)

    def test_temperature(self) -> None:
        gray = np.full((2, 2, 3), 128, np.uint8)
        np.testing.assert_array_equal(apply("white_balance", gray, temperature=6500), gray)
        cooler = apply("white_balance", gray, temperature=3200)[0, 0].astype(int)
        warmer = apply("white_balance", gray, temperature=12_000)[0, 0].astype(int)
        self.assertTrue(cooler[0] < 128 < cooler[2] and warmer[0] > 128 > warmer[2])
        magenta = apply("white_balance", gray, temperature=6500, tint=50)[0, 0].astype(int)
        self.assertTrue(magenta[1] < magenta[0] == magenta[2])

    def test_light_of_a_bulb_becomes_white(self) -> None:
        """What CIE illuminant A makes of white paper, in linear sRGB, is gray again."""
        light = np.array((1.0985, 1.0, 0.3558))
        matrix = np.array(
            (
                (3.2404542, -1.5371385, -0.4985314),
                (-0.9692660, 1.8760108, 0.0415560),
                (0.0556434, -0.2040259, 1.0572252),
            )
        )
        linear = matrix @ light
        paper = linear / linear.max() * 0.8
        seen = np.where(paper <= 0.0031308, paper * 12.92, 1.055 * paper ** (1 / 2.4) - 0.055)
        picture = np.rint(np.tile(seen * 65535, (2, 2, 1))).astype(np.uint16)
        self.assertLess(np.ptp(apply("white_balance", picture, temperature=2856)[0, 0] / 65535), 0.02)


class Noise(TestCase):
    def test_denoise_is_the_weighted_mean_that_it_says(self) -> None:
        picture = natural(24, 33)
        radius, strength = 3, 6.0
        padded = np.pad(picture.astype(float), ((radius + 2,) * 2, (radius + 2,) * 2, (0, 0)), mode="edge")
        height, width = picture.shape[:2]
        sums, total = np.zeros(picture.shape), np.zeros((height, width, 1))
        here = padded[radius : height + radius + 4, radius : width + radius + 4]
        for dy in range(2 * radius + 1):
            for dx in range(2 * radius + 1):
                there = padded[dy : dy + height + 4, dx : dx + width + 4]
                squares = ((here - there) ** 2).sum(axis=2)
                patches = np.lib.stride_tricks.sliding_window_view(squares, (5, 5)).sum(axis=(2, 3))
                weight = np.maximum(1 - patches / (75 * 4 * strength**2), 0)[..., None] ** 2
                sums += weight * there[2:-2, 2:-2]
                total += weight
        got = apply("denoise", picture, radius=radius, strength=strength)
        self.assertLessEqual(np.abs(got - sums / total).max(), 0.51)

    def test_denoise_takes_noise_away_in_every_kind(self) -> None:
        rng = np.random.default_rng(8)
        clean = cv2.GaussianBlur(natural(60, 60, 4), (0, 0), 3)
        clean[..., 3] = 200
        noisy = clean.copy()
        noisy[..., :3] = np.clip(clean[..., :3] + rng.normal(0, 8, (60, 60, 3)), 0, 255)
        for scale, dtype in ((1, np.uint8), (257, np.uint16)):
            got = apply("denoise", noisy.astype(dtype) * dtype(scale), strength=10) / scale
            before, after = (np.abs(each - clean)[..., :3].mean() for each in (noisy.astype(int), got))
            self.assertLess(after, before / 2)
            np.testing.assert_allclose(got[..., 3], 200, atol=0.01)


class Dithers(TestCase):
    def test_errors_go_to_the_neighbours(self) -> None:
        """The plain loop of Floyd and Steinberg, for an even and an odd number of rows."""
        for height in (6, 7):
            picture = natural(height, 9)
            for levels in (2, 5):
                np.testing.assert_array_equal(
                    apply("dither", picture, levels=levels), self.diffused(picture, levels)
                )

    def diffused(self, picture: Any, levels: int) -> Any:
        height, width, channels = picture.shape
        error = np.zeros((height + 1, width + 2, channels), int)
        result = np.zeros_like(picture)
        for y in range(height):
            for x in range(width):
                wanted = picture[y, x].astype(int) + ((error[y, x + 1] + 8) >> 4)
                value = np.rint(np.rint(wanted.clip(0, 255) * ((levels - 1) / 255)) * (255 / (levels - 1)))
                result[y, x] = value
                off = wanted - result[y, x].astype(int)
                for dy, dx, share in ((0, 2, 7), (1, 0, 3), (1, 1, 5), (1, 2, 1)):
                    error[y + dy, x + dx] += share * off
        return result

    def test_the_mean_stays_and_the_levels_are_few(self) -> None:
        for scale, dtype in ((1, np.uint8), (257, np.uint16)):
            ramp = np.tile(np.linspace(0, 255, 256).astype(dtype) * dtype(scale), (64, 1))
            for method in ("floyd_steinberg", "ordered"):
                for levels in (2, 4):
                    got = apply("dither", ramp, levels=levels, method=method)
                    self.assertEqual(len(np.unique(got)), levels)
                    for part in range(0, 256, 64):
                        off = got[:, part : part + 64].mean() - ramp[:, part : part + 64].mean()
                        self.assertLess(abs(off), 4 * scale)
