"""Colours of results: profiles, colours by numbers, the shape of pixels."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import imagecodecs
import numpy as np
from PIL import Image, ImageCms
from twisted.trial.unittest import SkipTest, TestCase

from dpip.filters import process
from dpip.filters.codec import colours
from dpip.filters.codec.probes import jpegxl
from dpip.filters.metadata import icc, spaces
from tests.filters.metadata.files import (
    PICTURE,
    SRGB,
    app1_exif,
    chunk,
    photograph,
    png,
    said_by_exiftool,
)
from tests.filters.pictures import natural, opened, saved

LINEAR = chunk(b"gAMA", struct.pack(">I", 100000))
PQ = chunk(b"cICP", bytes((9, 16, 0, 1)))


def swapped_profile() -> bytes:
    """sRGB with red and blue exchanged, under another name."""
    data = bytearray(SRGB)
    red, blue = data.index(b"rXYZ"), data.index(b"bXYZ")
    data[red], data[blue] = data[blue], data[red]
    return bytes(data).replace(b"s\0R\0G\0B", b"o\0R\0G\0B").replace(b"sRGB", b"oRGB")


SWAPPED = swapped_profile()


def mean(data: bytes) -> Any:
    return np.asarray(opened(data)).astype(float).mean(axis=(0, 1))


class NumbersTests(TestCase):
    def test_a_png_keeps_them_whatever_is_stripped(self) -> None:
        for part in (
            LINEAR,
            PQ,
            chunk(b"cHRM", struct.pack(">8I", *[31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000])),
        ):
            for way in ("keep", "strip", "strip-location", "copyright-only"):
                made = process(png(part), "median", output={"metadata": way})
                self.assertIn(part, made.data, way)
                self.assertEqual(made.notices, ())

    def test_in_other_formats_the_pixels_are_converted(self) -> None:
        for format in ("JPEG", "WEBP", "TIFF", "AVIF", "BMP", "QOI", "JXL"):
            made = process(
                png(LINEAR),
                "convert",
                output={"format": format, "quality": 95} if format != "QOI" else {"format": format},
            )
            self.assertIn("linear" if "linear" in made.notices[0] else "gamma 1", made.notices[0])
            back = process(made.data, "convert", output={"format": "PNG"}).data
            light = PICTURE / 255.0
            wanted = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055) * 255
            np.testing.assert_allclose(mean(back)[:3], wanted.mean(axis=(0, 1)), atol=3, err_msg=format)

    def test_on_demand_in_a_png_too(self) -> None:
        for part in (LINEAR, PQ):
            made = process(png(part), "convert", output={"colour": "srgb"})
            self.assertEqual(made.notices, ())
            self.assertNotIn(part[4:8], made.data)
            self.assertGreater(np.abs(mean(made.data) - mean(png(part))).max(), 5)

    def test_display_p3_by_its_numbers_is_what_lcms_makes_of_its_profile(self) -> None:
        space = spaces.of_code(12, 13)
        assert space is not None
        red = colours.from_space(np.full((4, 4, 3), (200, 60, 60), np.uint8), space)
        # Display P3 (200, 60, 60) is sRGB (217, 43, 53): computed by the CSS Color 4 sample code.
        np.testing.assert_allclose(red[0, 0], (217, 43, 53), atol=2)

    def test_white_stays_white_and_gray_stays_gray(self) -> None:
        for code in ((12, 13), (9, 1), (11, 13), (4, 4), (9, 16), (9, 18)):
            space = spaces.of_code(*code)
            assert space is not None
            ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
            made = colours.from_space(ramp, space).astype(int)
            self.assertLessEqual(np.abs(made - made[..., :1]).max(), 1, code)
            self.assertTrue((np.diff(made[0, :, 0]) >= 0).all(), code)
            if not space.hdr:
                self.assertEqual(made[0, -1].tolist(), [255] * 3, code)

    def test_every_kind_of_pixels(self) -> None:
        space = spaces.of_code(9, 16)
        assert space is not None
        for channels in (1, 2, 3, 4):
            small = natural(5, 7, channels)
            for array in (small, small.astype(np.uint16) * 257, (small / 255).astype(np.float32)):
                flat = array[..., 0] if channels == 1 else array
                made = colours.from_space(flat, space)
                self.assertEqual((made.shape, made.dtype), (flat.shape, flat.dtype))
                if channels in (2, 4):
                    np.testing.assert_array_equal(made[..., -1], flat[..., -1])

    def test_numbers_that_make_no_sense_say_nothing(self) -> None:
        for body in (bytes(32), b"\xff" * 32, struct.pack(">8I", *[1000] * 8), b"short"):
            self.assertIsNone(spaces.of_gamma(None, body))
        self.assertIsNone(spaces.of_gamma(bytes(4), None))
        self.assertIsNone(spaces.of_gamma(struct.pack(">I", 45455), None))
        self.assertEqual(
            process(png(chunk(b"cHRM", bytes(32))), "invert", output={"format": "JPEG"}).notices, ()
        )


class ProfileTests(TestCase):
    def test_bmp_and_gif_have_one(self) -> None:
        original = saved(PICTURE // 64 * 64, "PNG", icc_profile=SWAPPED)
        for format in ("BMP", "GIF"):
            made = process(original, "convert", output={"format": format})
            self.assertEqual(made.notices, ())
            self.assertIn(
                SWAPPED[200:],
                made.data if format == "BMP" else b"".join(_blocks(made.data)),
            )
            again = process(made.data, "invert")
            back = process(again.data, "convert", output={"format": "PNG"})
            self.assertEqual(opened(back.data).info["icc_profile"], SWAPPED, format)

    def test_a_bmp_with_a_profile_is_read_by_others(self) -> None:
        made = process(saved(PICTURE, "PNG", icc_profile=SWAPPED), "convert", output={"format": "BMP"}).data
        np.testing.assert_array_equal(np.asarray(opened(made)), PICTURE)
        gray = process(saved(PICTURE, "PNG", icc_profile=SWAPPED), "grayscale", output={"format": "BMP"}).data
        np.testing.assert_array_equal(
            np.asarray(opened(gray).convert("L")), np.asarray(Image.fromarray(PICTURE).convert("L"))
        )

    def test_gray_in_a_format_of_three_channels_has_one_for_those(self) -> None:
        for format in ("WEBP", "AVIF"):
            made = process(
                saved(PICTURE, "PNG", icc_profile=SWAPPED), "grayscale", output={"format": format}
            ).data
            self.assertEqual(opened(made).info["icc_profile"][16:20], b"RGB ", format)

    def test_a_gray_profile_becomes_one_of_three_channels_that_shows_the_same(self) -> None:
        gray = icc.fitting(SRGB, 1) or b""
        made = icc.fitting(gray, 3) or b""
        ramp = Image.fromarray(np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2))
        shown = ImageCms.profileToProfile(
            ramp, ImageCms.ImageCmsProfile(io.BytesIO(made)), ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
        self.assertLessEqual(np.abs(np.asarray(shown).astype(int) - np.asarray(ramp)).max(), 1)

    def test_to_srgb_on_demand(self) -> None:
        for format in ("JPEG", "PNG", "TIFF", "WEBP"):
            options = {"quality": 95} if format in ("JPEG", "WEBP") else {}
            data = saved(PICTURE, format, icc_profile=SWAPPED, **options)
            made = process(data, "convert", output={"colour": "srgb"})
            self.assertNotIn("icc_profile", opened(made.data).info, format)
            np.testing.assert_allclose(mean(made.data), mean(data)[::-1], atol=3, err_msg=format)
            self.assertEqual(made.notices, ())

    def test_16_bits_are_converted_too(self) -> None:
        deep = PICTURE.astype(np.uint16) * 257
        data = bytes(imagecodecs.png_encode(deep))
        profile = chunk(b"iCCP", b"p\0\0" + zlib.compress(SWAPPED))
        data = data[:33] + profile + data[33:]
        made = process(data, "convert", output={"colour": "srgb"}).data
        back = np.asarray(imagecodecs.png_decode(made))
        np.testing.assert_allclose(back.mean(axis=(0, 1)), deep.mean(axis=(0, 1))[::-1], atol=500)
        self.assertEqual(back.dtype, np.uint16)

    def test_what_exif_says_of_adobe_rgb(self) -> None:
        blob = adobe_rgb_exif()
        data = photograph(app1_exif(blob))
        self.assertEqual(process(data, "sepia").notices, ())
        for output in ({"metadata": "strip"}, {"format": "GIF"}):
            made = process(data, "convert", output=output)
            self.assertIn("Adobe RGB", "".join(made.notices))
        made = process(data, "convert", output={"colour": "srgb"}).data
        self.assertIn(b"R98", made)
        self.assertNotIn(b"R03", made)

    def test_a_damaged_profile_is_told(self) -> None:
        made = process(saved(PICTURE, "JPEG", icc_profile=b"damaged" * 40), "invert")
        self.assertIn("profile was left out", made.notices[0])


def adobe_rgb_exif() -> bytes:
    image = Image.Exif()
    image[271] = "Maker"
    image.get_ifd(0x8769)[0xA001] = 65535
    image.get_ifd(0x8769)[0xA005] = {1: "R03"}
    return image.tobytes().removeprefix(b"Exif\0\0")


def _blocks(data: bytes) -> list[bytes]:
    position = data.index(b"ICCRGBG1012") + 11
    found = []
    while data[position]:
        found.append(data[position + 1 : position + 1 + data[position]])
        position += 1 + data[position]
    return found


class ShapeTests(TestCase):
    def jfif(self, across: int, down: int) -> bytes:
        data = bytearray(photograph())
        data[13:18] = struct.pack(">BHH", 0, across, down)
        return bytes(data)

    def said(self, data: bytes) -> tuple[int, int, int]:
        start = data.index(b"JFIF\0") + 7
        unit, across, down = struct.unpack_from(">BHH", data, start)
        return unit, across, down

    def test_pixels_that_are_not_square(self) -> None:
        for name, params, wanted in (
            ("grayscale", {}, (0, 15, 16)),
            ("resize", {"width": 40}, (0, 15, 16)),
            ("rotate", {"angle": 90}, (0, 16, 15)),
            ("rotate", {"angle": 180}, (0, 15, 16)),
            ("resize", {"width": 80, "height": 56, "fit": "stretch"}, (0, 1, 1)),
        ):
            self.assertEqual(self.said(process(self.jfif(15, 16), name, params).data), wanted, (name, params))

    def test_strip_keeps_the_shape(self) -> None:
        result = process(self.jfif(15, 16), "invert", output={"metadata": "strip"}).data
        self.assertEqual(self.said(result), (0, 15, 16))

    def test_from_format_to_format(self) -> None:
        data = self.jfif(15, 16)
        for format in ("PNG", "TIFF", "GIF", "JPEG"):
            data = process(
                data, "convert", output={"format": format, "quality": 91 if format == "JPEG" else None}
            ).data
        unit, across, down = self.said(data)
        self.assertEqual(unit, 0)
        self.assertAlmostEqual(across / down, 15 / 16, places=2)
        self.assertIn("shape", process(self.jfif(15, 16), "invert", output={"format": "WEBP"}).notices[0])

    def test_exiftool_reads_the_same(self) -> None:
        said = said_by_exiftool(process(self.jfif(15, 16), "grayscale").data)
        self.assertEqual(
            [said[f"JFIF:{name}"] for name in ("ResolutionUnit", "XResolution", "YResolution")], [0, 15, 16]
        )


class CodedTests(TestCase):
    """Colours that AVIF, HEIC and JPEG XL state as numbers."""

    def test_heic(self) -> None:
        try:
            import pillow_heif
        except ImportError:
            raise SkipTest("pillow-heif is not installed") from None
        file = pillow_heif.from_pillow(Image.fromarray(np.full((64, 64, 3), (200, 60, 60), np.uint8)))
        file.info["nclx_profile"] = {
            "color_primaries": 12,
            "transfer_characteristics": 13,
            "matrix_coefficients": 6,
            "full_range_flag": 1,
        }
        out = io.BytesIO()
        file.save(out, quality=95)
        made = process(out.getvalue(), "convert", output={"format": "JPEG"})
        self.assertIn("Display P3", "".join(made.notices))
        np.testing.assert_allclose(mean(made.data), (217, 43, 53), atol=6)
        kept = process(out.getvalue(), "convert", output={"format": "PNG"})
        self.assertIn(chunk(b"cICP", bytes((12, 13, 0, 1))), kept.data)

    def test_jpeg_xl(self) -> None:
        """Its numbers for the curve are those of H.273; here the four bits that tell it are overwritten."""
        deep = PICTURE.astype(np.uint16) * 257
        stream = bytes(imagecodecs.jpegxl_encode(deep, level=90, usecontainer=False))
        head = jpegxl.head(io.BytesIO(stream), stream[:16])
        number = int.from_bytes(stream, "little") & ~(15 << head.curve_at) | (16 - 2) << head.curve_at
        pq = number.to_bytes(len(stream), "little")
        made = process(pq, "convert", output={"format": "PNG"})
        self.assertIn(chunk(b"cICP", bytes((1, 16, 0, 1))), made.data)
        self.assertIn("PQ", process(pq, "convert", output={"format": "JPEG"}).notices[-1])


class CommentTests(TestCase):
    def test_comments_go_where_there_is_room(self) -> None:
        data = photograph(comment=b"made by hand")
        for format in ("PNG", "GIF", "JPEG"):
            data = process(data, "invert", output={"format": format, "metadata": "strip-location"}).data
            self.assertIn(b"made by hand", data, format)
        self.assertNotIn(b"made by hand", process(data, "invert", output={"metadata": "copyright-only"}).data)
        self.assertEqual(
            process(data, "invert", output={"format": "WEBP"}).notices,
            ("WEBP has no room for comments: left out.",),
        )
        titled = png(chunk(b"tEXt", b"Title\0a title"), chunk(b"tEXt", b"Comment\0made by hand"))
        made = process(titled, "invert", output={"format": "JPEG"})
        self.assertEqual(made.notices, ("JPEG has no room for comments: left out.",))
        self.assertIn(b"made by hand", made.data)


class TurnedTests(TestCase):
    def test_resolutions_of_a_tiff_change_places(self) -> None:
        data = saved(PICTURE, "TIFF", dpi=(300, 150))
        self.assertEqual(opened(process(data, "rotate", {"angle": 90}).data).info["dpi"], (150, 300))
        self.assertEqual(opened(process(data, "rotate", {"angle": 180}).data).info["dpi"], (300, 150))
