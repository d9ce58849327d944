"""Headers: what is read from them, and what is refused."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from twisted.trial.unittest import TestCase

from dpip.errors import NotAnImage
from dpip.filters.codec import PictureInfo, probe
from tests.filters.pictures import natural, saved

PICTURE = natural(13, 29)
FILES = {format: saved(PICTURE, format) for format in ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")}


def several(format: str, count: int = 3) -> bytes:
    frames = [Image.fromarray(np.roll(PICTURE, 5 * number, axis=1)) for number in range(count)]
    out = io.BytesIO()
    frames[0].save(out, format, save_all=True, append_images=frames[1:])
    return out.getvalue()


class Reading(TestCase):
    def test_formats_sizes_and_types(self) -> None:
        for format, data in FILES.items():
            info = probe(data)
            self.assertEqual((info.format, info.width, info.height, info.frames), (format, 29, 13, 1))
            self.assertEqual(info.content_type, "image/" + format.lower())
            self.assertEqual(info.pixels, 29 * 13)
            self.assertEqual(info.pixel_bytes, info.channels)

    def test_channels(self) -> None:
        for mode, channels in {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4, "P": 3}.items():
            self.assertEqual(probe(saved(PICTURE, "PNG", mode)).channels, channels, mode)
        self.assertEqual(probe(saved(PICTURE, "JPEG", "L")).channels, 1)
        self.assertEqual(probe(saved(PICTURE, "JPEG", "CMYK")).channels, 4)
        self.assertEqual(probe(saved(PICTURE, "TIFF", "RGBA")).channels, 4)
        self.assertEqual(probe(saved(PICTURE, "WEBP", lossless=True)).channels, 3)

    def test_paths(self) -> None:
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(FILES["PNG"])
        self.assertEqual(probe(path), probe(FILES["PNG"]))
        self.assertRaises(OSError, probe, path + ".missing")

    def test_frames_are_counted(self) -> None:
        for format in ("GIF", "PNG", "WEBP", "TIFF"):
            info = probe(several(format))
            self.assertEqual((info.frames, info.pixels), (3, 3 * 29 * 13), format)

    def test_sixteen_bits(self) -> None:
        wide = np.zeros((13, 29), np.uint16)
        for format in ("PNG", "TIFF"):
            info = probe(saved(wide, format))
            self.assertEqual((info.bits, info.pixel_bytes), (16, 2))

    def test_jpeg_behind_long_metadata(self) -> None:
        exif = Image.Exif()
        exif[0x010E] = "x" * 60_000
        self.assertEqual(probe(saved(PICTURE, "JPEG", exif=exif, progressive=True)).width, 29)


class Refusing(TestCase):
    def test_other_things(self) -> None:
        for data, word in (
            (b"", "empty"),
            (b"hello, world", "not an image"),
            (b"%PDF-1.7 ...", "PDF"),
            (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
            (b"  <?xml version='1.0'?><svg/>", "SVG"),
            (b"RIFF\x10\x00\x00\x00WAVEfmt ", "not an image"),
            (b"\x00\x00\x00\x20ftypavif", "AVIF"),
            (b"\x89PNG\r\n\x1a\n", "damaged"),
        ):
            problem = self.assertRaises(NotAnImage, probe, data)
            self.assertIn(word, problem.detail)

    def test_a_header_that_is_cut_short(self) -> None:
        for data in FILES.values():
            self.assertRaises(NotAnImage, probe, data[:13])

    def test_no_pixels(self) -> None:
        for at in (16, 20):
            data = bytearray(FILES["PNG"])
            data[at : at + 4] = struct.pack(">I", 0)
            self.assertRaises(NotAnImage, probe, bytes(data))

    def test_a_tiff_that_points_far_beyond_its_end(self) -> None:
        """Where no file system lets a program seek."""
        far = struct.pack("<Q", 2**62)
        directory = struct.pack("<QQHHQ", 16, 1, 256, 4, 9) + far + bytes(8)
        for rest in (far, directory):
            path = Path(self.mktemp())
            path.write_bytes(b"II+\0\x08\0\0\0" + rest)
            self.assertIn("damaged", self.assertRaises(NotAnImage, probe, path).detail)

    def test_a_tiff_that_bites_its_tail(self) -> None:
        entries = b"".join(struct.pack("<HHII", tag, 4, 1, 7) for tag in (256, 257))
        loop = b"II*\0" + struct.pack("<IH", 8, 2) + entries + struct.pack("<I", 8)
        self.assertRaises(NotAnImage, probe, loop)

    @settings(max_examples=300, deadline=None)
    @given(
        st.sampled_from(sorted(FILES)),
        st.integers(0, 400),
        st.lists(st.tuples(st.integers(0, 120), st.integers(0, 255)), max_size=6),
    )
    def test_damaged_headers_never_raise_anything_else(
        self, format: str, length: int, changes: list[tuple[int, int]]
    ) -> None:
        data = bytearray(FILES[format][:length])
        for position, value in changes:
            if position < len(data):
                data[position] = value
        try:
            info = probe(bytes(data))
        except NotAnImage as problem:
            self.assertTrue(problem.detail.endswith("."))
            return
        self.assertIsInstance(info, PictureInfo)
        self.assertGreater(info.pixel_bytes, 0)

    @given(st.binary(max_size=200))
    def test_any_bytes(self, data: bytes) -> None:
        for start in (
            b"",
            b"\x89PNG\r\n\x1a\n",
            b"\xff\xd8\xff",
            b"GIF89a",
            b"RIFF",
            b"BM",
            b"II*\0",
            b"MM\0+",
        ):
            try:
                probe(start + data)
            except NotAnImage:
                continue
