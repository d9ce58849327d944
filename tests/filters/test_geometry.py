"""The filters that move pixels: where each of them goes, against NumPy, OpenCV and Pillow."""

from __future__ import annotations

import cv2
import numpy as np
from twisted.trial.unittest import TestCase

from dpip.errors import BadParameter, PictureTooLarge, UnsupportedPicture
from dpip.filters import apply, registry
from tests.filters.pictures import natural

KINDS = [natural(21, 34, channels) for channels in (1, 2, 3, 4)]
KINDS += [kind.astype(np.uint16) * 257 for kind in KINDS]


class Turns(TestCase):
    def test_quarters_move_whole_pixels(self) -> None:
        for picture in KINDS:
            for quarters in range(-4, 5):
                turned = apply("rotate", picture, angle=90 * quarters)
                np.testing.assert_array_equal(turned, np.rot90(picture, -quarters))

    def test_flip(self) -> None:
        for picture in KINDS:
            np.testing.assert_array_equal(apply("flip", picture), picture[:, ::-1])
            np.testing.assert_array_equal(apply("flip", picture, direction="vertical"), picture[::-1])

    def test_any_angle_as_opencv(self) -> None:
        """Keys' curve with another constant than OpenCV's: they agree where the picture is smooth."""
        picture = cv2.GaussianBlur(natural(80, 90), (0, 0), 2)
        matrix = cv2.getRotationMatrix2D((44.5, 39.5), -25, 1)
        wanted = cv2.warpAffine(picture, matrix, (90, 80), flags=cv2.INTER_CUBIC, borderValue=(255,) * 3)
        got = apply("rotate", picture, angle=25, expand=False)
        inside = cv2.erode(cv2.warpAffine(np.ones((80, 90)), matrix, (90, 80)), np.ones((7, 7))) == 1
        self.assertLessEqual(np.abs(got.astype(int) - wanted)[inside].max(), 2)
        self.assertTrue((got[0, 0] == 255).all())
        wide = apply("rotate", picture.astype(np.uint16) * 257, angle=25, expand=False)
        self.assertLessEqual(np.abs(wide / 257 - got).max(), 1)

    def test_it_grows_for_its_corners(self) -> None:
        picture = natural(30, 40)
        self.assertEqual(apply("rotate", picture, angle=45).shape, (50, 50, 3))
        self.assertEqual(apply("rotate", picture, angle=45, expand=False).shape, picture.shape)
        self.assertEqual(apply("rotate", picture, angle=45, background="transparent").shape, (50, 50, 4))
        self.assertEqual(tuple(apply("rotate", picture, angle=45, background="#102030")[0, 0]), (16, 32, 48))
        self.assertEqual(apply("rotate", KINDS[3], angle=45)[0, 0, 3], 0)
        long = np.zeros((2, 60_000), np.uint8)
        self.assertRaises(PictureTooLarge, apply, "rotate", long, angle=45)

    def test_hidden_colour_does_not_bleed(self) -> None:
        picture = np.zeros((40, 40, 4), np.uint8)
        picture[:, :21] = (250, 0, 0, 255)
        picture[:, 21:] = (0, 255, 0, 0)
        turned = apply("rotate", picture, angle=10)
        self.assertEqual(turned[..., 1].max(), 0)
        self.assertLessEqual(np.abs(turned[turned[..., 3] > 40][:, 0].astype(int) - 250).max(), 2)


class Crops(TestCase):
    PICTURE = natural(40, 60)

    def test_rectangle(self) -> None:
        got = apply("crop", self.PICTURE, left=5, top=7, width=20, height=10)
        np.testing.assert_array_equal(got, self.PICTURE[7:17, 5:25])
        got = apply("crop", self.PICTURE, left=50, top=7, width=20)
        np.testing.assert_array_equal(got, self.PICTURE[7:, 50:])
        self.assertRaises(UnsupportedPicture, apply, "crop", self.PICTURE, left=60)

    def test_place(self) -> None:
        for place, rows, columns in (
            ("center", slice(15, 25), slice(20, 40)),
            ("top_left", slice(0, 10), slice(0, 20)),
            ("bottom", slice(30, 40), slice(20, 40)),
            ("right", slice(15, 25), slice(40, 60)),
        ):
            got = apply("crop", self.PICTURE, width=20, height=10, place=place)
            np.testing.assert_array_equal(got, self.PICTURE[rows, columns])

    def test_aspect(self) -> None:
        for aspect, shape in (("1:1", (40, 40)), ("3/1", (20, 60)), ("0.5", (40, 20)), ("1x2", (40, 20))):
            self.assertEqual(apply("crop", self.PICTURE, aspect=aspect).shape[:2], shape)
        self.assertEqual(apply("crop", self.PICTURE, aspect="2:1", width=30).shape[:2], (15, 30))
        for wrong in ("wide", "16:", "0:1", "1:0.00001"):
            self.assertRaises(BadParameter, registry.validate, "crop", {"aspect": wrong})
        self.assertRaises(BadParameter, registry.validate, "crop", {})

    def test_smart_places_find_what_stands_out(self) -> None:
        rng = np.random.default_rng(5)
        for row, column in ((20, 30), (150, 260), (40, 250)):
            picture = np.full((200, 300, 3), 90, np.uint8)
            picture[row : row + 30, column : column + 30] = rng.integers(0, 255, (30, 30, 3))
            for place in ("saliency", "entropy"):
                got = apply("crop", picture, width=100, height=100, place=place)
                self.assertGreater((got != 90).any(axis=2).sum(), 0.95 * 900, (place, row, column))

    def test_a_plain_picture_is_cut_in_the_middle(self) -> None:
        picture = np.full((50, 90), 7, np.uint8)
        picture[20:30, 40:50] = 8  # less than one level of the entropy's
        got = apply("crop", picture, width=10, height=10, place="entropy")
        self.assertLessEqual(abs(int((got == 8).sum()) - 100), 40)


class Pads(TestCase):
    def test_border_as_opencv(self) -> None:
        picture = natural(9, 12)
        wanted = cv2.copyMakeBorder(picture, 3, 3, 3, 3, cv2.BORDER_CONSTANT, value=(1, 2, 3))
        np.testing.assert_array_equal(apply("pad", picture, border=3, background="#010203"), wanted)

    def test_canvas(self) -> None:
        picture = natural(20, 30)
        got = apply("pad", picture, aspect="1", place="bottom")
        self.assertEqual(got.shape, (30, 30, 3))
        np.testing.assert_array_equal(got[10:], picture)
        self.assertTrue((got[:10] == 255).all())
        self.assertEqual(apply("pad", picture, width=50, height=10).shape, (20, 50, 3))
        self.assertEqual(apply("pad", picture, width=50, background="transparent")[0, 0, 3], 0)
        self.assertRaises(PictureTooLarge, apply, "pad", picture, width=60_000, height=60_000)
        self.assertRaises(BadParameter, registry.validate, "pad", {})
