"""Marks drawn over pictures, against Pillow's composition."""

from __future__ import annotations

from base64 import b64encode

import numpy as np
from PIL import Image
from twisted.trial.unittest import TestCase

from dpip.errors import BadParameter, DpipError
from dpip.filters import apply, registry
from tests.filters.pictures import natural, saved

LOGO = np.zeros((10, 20, 4), np.uint8)
LOGO[2:8, 3:17] = (250, 120, 10, 200)
ENCODED = b64encode(saved(LOGO, "PNG")).decode()


class Watermarks(TestCase):
    def test_a_picture_as_pillow_composes_it(self) -> None:
        for channels in (3, 4):
            picture = natural(40, 80, channels)
            image = Image.fromarray(picture).convert("RGBA")
            image.alpha_composite(Image.fromarray(LOGO), (60, 30))
            wanted = np.asarray(image)[..., :channels].astype(int)
            got = apply("watermark", picture, picture=ENCODED, size=25, margin=0, opacity=100)
            self.assertLessEqual(np.abs(got - wanted).max(), 1)
            wide = apply("watermark", picture.astype(np.uint16) * 257, picture=ENCODED, margin=0, opacity=100)
            self.assertLessEqual(np.abs(wide / 257 - wanted).max(), 1.5)

    def test_place_opacity_and_tiles(self) -> None:
        black = np.zeros((100, 200, 3), np.uint8)
        changed = apply("watermark", black, picture=ENCODED, place="top_left", size=10, opacity=50).any(
            axis=2
        )
        self.assertTrue(changed[5:11, 6:20].all())  # three pixels of margin, two and three of the logo's
        self.assertEqual(changed.sum(), 6 * 14)
        half = apply("watermark", black, picture=ENCODED, place="center", size=10, opacity=50)
        self.assertAlmostEqual(int(half.max()), round(250 * 200 / 255 / 2), delta=1)
        tiled = apply("watermark", black, picture=ENCODED, size=10, tiled=True).any(axis=2)
        self.assertGreater(tiled.sum(), 30 * 6 * 14)

    def test_text(self) -> None:
        black = np.zeros((100, 200), np.uint8)
        for text in ("© DPIP 2026", "two\nlines"):
            written = apply("watermark", black, text=text, size=50, opacity=100)
            self.assertGreater((written > 200).sum(), 100)
            self.assertEqual((written[:, :90] > 0).sum(), 0)
        self.assertTrue((apply("watermark", black, text="x", colour="black") == 0).all())

    def test_letters_that_the_font_lacks(self) -> None:
        problem = self.assertRaises(BadParameter, apply, "watermark", natural(9, 9), text="Σ")
        self.assertIn("no letter 'Σ'", problem.detail)

    def test_a_mark_never_needs_more_room_than_there_is(self) -> None:
        for shape in ((1, 1, 3), (1, 300, 3), (300, 1, 3)):
            for place in ("center", "bottom_right", "top_left"):
                apply(
                    "watermark", np.zeros(shape, np.uint8), picture=ENCODED, place=place, size=100, margin=50
                )

    def test_refusals(self) -> None:
        huge = b64encode(saved(np.zeros((2000, 2000), np.uint8), "PNG")).decode()
        for wrong in (
            {},
            {"text": "a", "picture": ENCODED},
            {"text": " "},
            {"text": "a" * 201},
            {"text": "\x1b[2J"},
            {"text": "a", "colour": "#12345"},
            {"picture": "logo.png"},
            {"picture": b64encode(b"no picture").decode()},
            {"picture": b64encode(bytes(20_000)).decode()},
            {"picture": huge},
        ):
            self.assertRaises(BadParameter, registry.validate, "watermark", wrong)
        kept = registry.validate(
            "watermark", {"picture": f"data:image/png;base64,{ENCODED}", "colour": "#FA0"}
        )
        self.assertEqual((kept["picture"], kept["colour"]), (ENCODED, "#ffaa00"))
        self.assertEqual(registry.validate("watermark", kept), kept)

    def test_a_damaged_picture_is_told(self) -> None:
        cut = b64encode(saved(LOGO, "PNG")[:60]).decode()
        self.assertRaises(DpipError, apply, "watermark", natural(9, 9), picture=cut)
