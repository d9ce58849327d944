"""No decoder decodes more than the header says: limits and memory go by the header."""

from __future__ import annotations

import contextlib
import io
import struct
import zlib

import numpy as np
from PIL import Image
from twisted.trial.unittest import SynchronousTestCase

from dpip.errors import CorruptPicture, PictureError
from dpip.filters import codec
from dpip.filters.codec.budget import DecodeBudget
from dpip.filters.codec.headers import PictureInfo
from dpip.filters.codec.picture import Frame
from tests.corpus import headers

SIDE = 600


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_with_two_headers() -> bytes:
    """The first says 1 x 1, and the second, which Pillow obeys, SIDE x SIDE."""
    headers = [chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)) for side in (1, SIDE)]
    rows = zlib.compress((b"\0" + bytes((SIDE + 7) // 8)) * SIDE)
    return b"\x89PNG\r\n\x1a\n" + b"".join(headers) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def gif_with_a_hidden_frame() -> bytes:
    """An extension whose first block is empty: our probe sees a small frame there, Pillow a large one."""
    file = io.BytesIO()
    Image.new("L", (1, 1)).save(file, "GIF")
    one = file.getvalue()

    def frame(side: int) -> bytes:
        return b"," + struct.pack("<HHHHB", 0, 0, side, side, 0)

    large = frame(SIDE) + b"\x08" + bytes([200]) + bytes(200)
    decoy = frame(1) + b"\x08" + bytes([255]) + (bytes(33) + b"\0" + large + bytes(255))[:255]
    return one[:-1] + b"!\x01\0" + decoy + b"\0;"


def tiff_with_a_tag_twice(first: int, second: int) -> bytes:
    """Gray, of 1 row; its width is given as the one and as the other."""
    entries = [
        (256, first),
        (256, second),
        (257, 1),
        (258, 8),
        (259, 1),
        (262, 1),
        (273, 200),
        (277, 1),
        (278, 1),
    ]
    entries.append((279, max(first, second)))
    table = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    head = b"II*\0" + struct.pack("<IH", 8, len(entries)) + table + bytes(4)
    return head.ljust(200, b"\0") + bytes(max(first, second))


def small_picture(format: str, frames: int = 1, **options: object) -> bytes:
    file = io.BytesIO()
    pictures = [Image.effect_noise((8, 6), 50).convert("RGB") for _ in range(frames)]
    more = {"save_all": True, "append_images": pictures[1:]} if frames > 1 else {}
    pictures[0].save(file, format, **more, **options)
    return file.getvalue()


def decoded_pixels(data: bytes) -> int:
    """Over all frames that come before something is found to be damaged."""
    total = 0
    with contextlib.suppress(PictureError):
        for frame in codec.decode(data, max_pixels=10**7).frames:
            total += frame.pixels.shape[0] * frame.pixels.shape[1]
    return total


class BudgetTests(SynchronousTestCase):
    def refused(self, data: bytes) -> None:
        with self.assertRaises(CorruptPicture):
            list(codec.decode(data, max_pixels=10**7).frames)

    def test_a_second_header_does_not_make_a_png_larger(self) -> None:
        self.refused(png_with_two_headers())

    def test_a_frame_that_hides_in_a_gif_is_not_decoded(self) -> None:
        self.refused(gif_with_a_hidden_frame())

    def test_a_tag_that_is_given_twice_does_not_make_a_tiff_larger(self) -> None:
        for widths in ((1, SIDE), (SIDE, 1)):
            data = tiff_with_a_tag_twice(*widths)
            self.assertLessEqual(decoded_pixels(data), codec.probe(data).pixels)

    def test_more_frames_than_the_header_tells_of(self) -> None:
        budget = DecodeBudget.of(PictureInfo("GIF", 2, 2, 4, frames=2))
        budget.take_frame(2, 2, 4)
        budget.take_frame(2, 2, 3)
        self.assertRaises(CorruptPicture, budget.take_frame, 0, 0, 4)
        self.assertRaises(CorruptPicture, budget.check_count, 1)

    def test_a_decoder_that_gives_larger_pixels_than_the_header_says(self) -> None:
        budget = DecodeBudget.of(PictureInfo("GIF", 2, 2, 3))
        self.assertRaises(CorruptPicture, budget.take_frame, 2, 2, 4)
        within = Frame(np.zeros((2, 2, 3), np.uint8))
        self.assertEqual(list(budget.checked([within])), [within])
        for pixels in (np.zeros((2, 2, 4), np.uint8), np.zeros((2, 2, 3), np.uint16)):
            self.assertRaises(CorruptPicture, list, budget.checked([Frame(pixels)]))

    def test_a_jpeg_that_is_gray_by_its_header_and_not_for_the_decoder(self) -> None:
        coloured = small_picture("JPEG")
        frame = coloured.index(b"\xff\xc0")
        gray = b"\xff\xc0\x00\x0b\x08\x00\x06\x00\x08\x01\x01\x11\x00"
        self.refused(coloured[:frame] + gray + coloured[frame:])

    def test_the_default_picture_of_an_apng_is_counted(self) -> None:
        budget = DecodeBudget.of(PictureInfo("PNG", 2, 2, 4, frames=2))
        budget.check_count(3)
        for _ in range(3):
            budget.take_frame(2, 2, 4)

    def test_honest_pictures_are_decoded_whole(self) -> None:
        for format, frames in (("PNG", 3), ("GIF", 3), ("WEBP", 3), ("TIFF", 3), ("BMP", 1), ("JPEG", 1)):
            with self.subTest(format=format):
                self.assertEqual(decoded_pixels(small_picture(format, frames)), 48 * frames)

    def test_no_mutant_is_decoded_to_more_than_its_header_says(self) -> None:
        """Some of ``python -m tests.corpus.headers``."""
        report = headers.examine(600, 11)
        self.assertEqual(report.wrong, [])
        self.assertGreater(report.outcomes["decoded"], 50)
