"""Pictures of few colours stay small, and their colours exact."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image
from twisted.trial.unittest import SynchronousTestCase

from dpip.filters import process
from dpip.filters.codec.png import SIGNATURE, chunk
from tests.filters.pictures import natural, saved

FLAT = np.kron(np.arange(64, dtype=np.uint8).reshape(8, 8) % 5, np.ones((32, 32), np.uint8))
COLOURS = [255, 255, 255, 0, 0, 0, 200, 30, 30, 30, 200, 30, 30, 30, 200]


def chart(format: str, **options: object) -> bytes:
    image = Image.fromarray(FLAT)
    image.putpalette(COLOURS)
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


class CompactTests(SynchronousTestCase):
    def assert_compact(self, original: bytes, mode: str, most: float = 1.1) -> bytes:
        made = process(original, "invert").data
        before, after = Image.open(io.BytesIO(original)), Image.open(io.BytesIO(made))
        self.assertEqual(after.mode, mode)
        np.testing.assert_array_equal(
            np.asarray(after.convert("RGB")), 255 - np.asarray(before.convert("RGB"))
        )
        self.assertLessEqual(len(made), most * len(original) + 32)
        return made

    def test_palettes_stay_palettes_of_as_few_bits(self) -> None:
        made = self.assert_compact(chart("PNG", bits=4), "P")
        self.assertEqual(made[24], 4)
        self.assert_compact(chart("BMP"), "P")

    def test_bits_stay_bits(self) -> None:
        line = (FLAT > 2) * np.uint8(255)
        self.assert_compact(saved(line, "PNG", "1"), "1")
        self.assert_compact(saved(line, "BMP", "1"), "1")

    def test_grays_of_few_bits_stay_so(self) -> None:
        image = Image.fromarray(FLAT * np.uint8(17))
        made = self.assert_compact(_gray_of_4_bits(image), "L")
        self.assertEqual((made[24], made[25]), (4, 0))

    def test_transparent_colours_of_a_palette(self) -> None:
        original = chart("PNG", transparency=bytes((255, 0, 128)))
        made = Image.open(io.BytesIO(process(original, "invert").data))
        self.assertEqual(made.mode, "P")
        before = np.asarray(Image.open(io.BytesIO(original)).convert("RGBA"))
        after = np.asarray(made.convert("RGBA"))
        np.testing.assert_array_equal(after[..., 3], before[..., 3])
        np.testing.assert_array_equal(after[..., :3], 255 - before[..., :3])

    def test_more_colours_than_before_get_more_bits(self) -> None:
        made = process(chart("PNG", bits=4), "blur", {"sigma": 9}).data
        self.assertEqual(Image.open(io.BytesIO(made)).mode, "RGB")
        made = process(saved(natural(20, 30), "BMP", "P"), "blur", {"sigma": 2}).data
        self.assertEqual(Image.open(io.BytesIO(made)).mode, "RGB")

    def test_a_gif_grows_little(self) -> None:
        self.assert_compact(chart("GIF"), "P")
        images = [Image.fromarray(np.roll(FLAT, 7 * number, 1)) for number in range(4)]
        for image in images:
            image.putpalette(COLOURS)
        out = io.BytesIO()
        images[0].save(out, "GIF", save_all=True, append_images=images[1:], duration=50)
        self.assertLess(len(process(out.getvalue(), "invert").data), 1.1 * len(out.getvalue()))


def _gray_of_4_bits(image: Image.Image) -> bytes:
    grays = np.asarray(image) // 17
    rows = np.zeros((grays.shape[0], grays.shape[1] // 2 + 1), np.uint8)
    rows[:, 1:] = grays[:, ::2] << 4 | grays[:, 1::2]
    head = struct.pack(">IIBBBBB", grays.shape[1], grays.shape[0], 4, 0, 0, 0, 0)
    parts = chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    return SIGNATURE + b"".join(parts)
