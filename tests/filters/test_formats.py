"""The formats beside the first six: each is read, written, and converted to every other."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
from pathlib import Path
from unittest import mock

import imagecodecs
import numpy as np
import pillow_heif
from PIL import Image
from twisted.trial.unittest import SynchronousTestCase

from dpip.errors import CorruptPicture, NotAnImage, PictureTooLarge, UnsupportedPicture
from dpip.filters import process
from dpip.filters.codec import decode, probe
from dpip.filters.codec.picture import Picture
from dpip.filters.output import FORMATS, TABLE
from tests.corpus.valid import dng, heic, modern
from tests.filters.pictures import Array, natural, saved

PICTURE = natural(40, 60)
DEEP = PICTURE.astype(np.uint16) * 257
FILES = modern()
EXIF = Image.Exif()
EXIF[0x010E] = "a description"
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>'


def pixels_of(data: bytes) -> Array:
    return next(iter(decode(data, max_pixels=10**6).frames)).pixels


def read(data: bytes) -> tuple[Picture, Array]:
    picture = decode(data, max_pixels=10**6)
    return picture, next(iter(picture.frames)).pixels


def as_bytes(pixels: Array) -> Array:
    if pixels.dtype.kind == "f":
        return pixels * 255.0
    return pixels / (np.iinfo(pixels.dtype).max / 255.0)


class FormatTests(SynchronousTestCase):
    def test_every_format_becomes_every_other(self) -> None:
        original = saved(PICTURE, "PNG")
        for format in FORMATS:
            made = process(original, "invert", output={"format": format})
            info = probe(made.data)
            self.assertEqual((made.format, info.format, info.width, info.height), (format, format, 60, 40))
            back = process(made.data, "invert", output={"format": "PNG"})
            self.assertLess(np.abs(as_bytes(pixels_of(back.data)) - PICTURE).mean(), 8, format)

    def test_results_keep_the_format_or_take_one_that_loses_nothing(self) -> None:
        expected = {"phone.heic": "JPEG", "deep.heic": "PNG", "icon.ico": "PNG", "surface.dds": "PNG"}
        expected["photograph.dng"] = "TIFF"
        for name, data in FILES.items():
            made = process(data, "invert")
            self.assertEqual(made.format, expected.get(name, probe(data).format), name)

    def test_the_header_says_what_is_decoded(self) -> None:
        """Size, channels at least, and bytes of a sample: memory and limits go by them."""
        for name, data in FILES.items():
            info, pixels = probe(data), pixels_of(data)
            if info.format not in ("HEIF", "RAW"):  # whose codes are padded, or have masked borders
                self.assertEqual((info.height, info.width), pixels.shape[:2], name)
            self.assertGreaterEqual(info.pixels * info.pixel_bytes, pixels.nbytes, name)
            self.assertEqual(info.bits, pixels.itemsize * 8, name)

    def test_more_than_8_bits_stay(self) -> None:
        for name, data, format, most in (
            ("deep.jxl", imagecodecs.jpegxl_encode(DEEP, lossless=True), "JXL", 1),
            ("deep.jp2", imagecodecs.jpeg2k_encode(DEEP, level=0, reversible=True), "JPEG2000", 0),
            (
                "12.jp2",
                imagecodecs.jpeg2k_encode(DEEP >> 4, level=0, reversible=True, bitspersample=12),
                "",
                16,
            ),
            ("10.avif", imagecodecs.avif_encode(DEEP >> 6, level=100, bitspersample=10), "PNG", 700),
            ("10.heic", heic(DEEP, quality=100), "PNG", 900),
            ("deep.ppm", b"P6 60 40 65535\n" + DEEP.astype(">u2").tobytes(), "PNM", 0),
        ):
            if name != "deep.jxl":
                self.assertLessEqual(np.abs(pixels_of(data).astype(int) - DEEP).mean(), most, name)
            if format:
                twice = process(process(data, "invert", output={"format": format}).data, "invert")
                self.assertLessEqual(
                    np.abs(pixels_of(twice.data).astype(int) - pixels_of(data)).max(), 1, name
                )

    def test_fewer_bits_are_told(self) -> None:
        for format in ("JPEG", "AVIF", "QOI", "TGA"):
            made = process(saved(DEEP[..., 0].copy(), "PNG"), "invert", output={"format": format})
            self.assertIn("8 bits", "".join(made.notices), format)
        self.assertEqual(process(saved(PICTURE, "PNG"), "invert", output={"format": "AVIF"}).notices, ())

    def test_metadata_goes_along_where_there_is_room_and_is_told_where_not(self) -> None:
        profile = saved(PICTURE, "PNG")  # any file; then one with all of it
        profile = Image.open(io.BytesIO(profile)).info.get("icc_profile")
        original = saved(PICTURE, "WEBP", exif=EXIF, xmp=XMP, icc_profile=profile)
        for format in ("AVIF", "JXL", "JPEG2000"):
            made = process(original, "invert", output={"format": format})
            self.assertEqual(made.notices, (), format)
            again = decode(process(made.data, "invert").data, max_pixels=10**6).metadata
            self.assertIn(b"a description", again.exif or b"", format)
            self.assertEqual(again.xmp, XMP, format)
            stripped = process(made.data, "invert", output={"metadata": "strip"})
            kept = decode(stripped.data, max_pixels=10**6).metadata
            self.assertEqual((kept.exif, kept.xmp), (None, None))
        for format in ("QOI", "PNM", "TGA", "PFM"):
            made = process(original, "invert", output={"format": format})
            self.assertEqual(made.notices, (f"{format} has no room for EXIF and XMP: left out.",))

    def test_colours_of_a_profile_are_converted_where_there_is_no_room_for_it(self) -> None:
        shifted = bytearray(_srgb())
        red, blue = shifted.index(b"rXYZ"), shifted.index(b"bXYZ")  # they change places
        shifted[red], shifted[blue] = shifted[blue], shifted[red]
        renamed = bytes(shifted).replace(b"s\0R\0G\0B", b"o\0R\0G\0B").replace(b"sRGB", b"oRGB")
        original = saved(PICTURE, "PNG", icc_profile=renamed)
        kept = process(original, "invert", output={"format": "JPEG2000"})
        self.assertEqual(decode(kept.data, max_pixels=10**6).metadata.icc, renamed)
        made = process(original, "invert", output={"format": "QOI"})
        self.assertIn("converted to sRGB", made.notices[0])
        swapped = (255 - PICTURE.astype(int))[..., ::-1]
        self.assertLess(np.abs(pixels_of(made.data).astype(int) - swapped).mean(), 12)

    def test_a_sequence_stays_one(self) -> None:
        sequence = FILES["sequence.avif"]
        self.assertEqual(probe(sequence).frames, 4)
        made = process(sequence, "invert")
        frames = list(decode(made.data, max_pixels=10**6).frames)
        self.assertEqual([frame.duration for frame in frames], [40] * 4)
        problem = self.assertRaises(UnsupportedPicture, process, sequence, "invert", output={"format": "JXL"})
        self.assertIn("4 frames", problem.detail)

    def test_bits_stay_bits(self) -> None:
        made = process(FILES["bits.pbm"], "invert")
        self.assertEqual(made.data[:2], b"P4")
        np.testing.assert_array_equal(pixels_of(made.data), 255 - pixels_of(FILES["bits.pbm"]))

    def test_numbers_as_text(self) -> None:
        self.assertEqual(pixels_of(b"P2 # so\n2 1 # wide\n15\n0 15\n").tolist(), [[0, 255]])
        self.assertEqual(pixels_of(b"P1\n3 1\n1 01\n").tolist(), [[0, 255, 0]])
        self.assertRaises(CorruptPicture, pixels_of, b"P2 2 1 15 0")
        self.assertRaises(CorruptPicture, pixels_of, b"P2 2 1 15 0 16")
        self.assertRaises(CorruptPicture, pixels_of, b"P2 2 1 15 0 -1")

    def test_long_text_is_read_in_pieces(self) -> None:
        """Of 64 KiB each, which end within words and between them."""
        samples = np.arange(200 * 150, dtype=np.uint16).reshape(150, 200)
        for gap in (b" ", b"\n" * 7, b" " * 70_000 + b"\n"):
            count = 3 if len(gap) > 100 else samples.size
            words = [b"%d" % sample for sample in samples.flat[:count]]
            data = b"P2 %d 1 65535\n" % count + gap.join(words)
            self.assertEqual(pixels_of(data)[0].tolist(), samples.flat[:count].tolist())
            self.assertRaises(
                CorruptPicture, pixels_of, data.replace(b"P2 %d" % count, b"P2 %d" % (count + 1))
            )
        self.assertRaises(CorruptPicture, pixels_of, b"P2 2 1 255\n1 " + b"2" * 200_000)


class HeifTests(SynchronousTestCase):
    def test_several_pictures_are_pages_and_the_first_is_the_main_one(self) -> None:
        data = heic(PICTURE, natural(24, 32), primary_index=1)
        info = probe(data)
        self.assertEqual((info.frames, info.width, info.height), (2, 64, 64))
        made = process(data, "invert")
        self.assertEqual((made.format, made.width, made.height), ("TIFF", 32, 24))

    def test_the_picture_is_turned_once(self) -> None:
        file = pillow_heif.from_pillow(Image.fromarray(PICTURE))
        exif = Image.Exif()
        exif[0x0112] = 6
        out = io.BytesIO()
        file.save(out, exif=exif.tobytes())
        made = process(out.getvalue(), "invert").data
        self.assertEqual(Image.open(io.BytesIO(made)).size, (40, 60))
        kept = Image.open(io.BytesIO(made)).getexif()
        self.assertEqual(kept.get(0x0112, 1), 1)

    def test_alpha_becomes_a_png(self) -> None:
        file = pillow_heif.from_pillow(Image.fromarray(np.dstack((PICTURE, PICTURE[..., 0]))))
        out = io.BytesIO()
        file.save(out)
        self.assertEqual(probe(out.getvalue()).channels, 4)
        self.assertEqual(process(out.getvalue(), "invert").format, "PNG")

    def test_without_the_extra_the_refusal_names_it(self) -> None:
        with mock.patch.dict(sys.modules, {"pillow_heif": None}):
            problem = self.assertRaises(UnsupportedPicture, process, FILES["phone.heic"], "invert")
        self.assertIn("dpip[heif]", problem.detail)

    def test_colours_that_are_no_srgb_are_told(self) -> None:
        file = pillow_heif.from_pillow(Image.fromarray(PICTURE))
        file.info["nclx_profile"] = {**_NCLX, "color_primaries": 9, "transfer_characteristics": 16}
        out = io.BytesIO()
        file.save(out)
        self.assertIn("BT.2020 with PQ", "".join(process(out.getvalue(), "invert").notices))


_NCLX = {"color_primaries": 1, "transfer_characteristics": 13, "matrix_coefficients": 6, "full_range_flag": 1}


def _srgb() -> bytes:
    from PIL import ImageCms

    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


class RawTests(SynchronousTestCase):
    def test_the_photograph_is_developed_and_not_the_preview(self) -> None:
        data = dng(48, 64)
        info = probe(data)
        self.assertEqual((info.format, info.width, info.height), ("RAW", 64, 48))
        made = process(data, "invert")
        self.assertEqual((made.format, made.width, made.height), ("TIFF", 64, 48))
        self.assertEqual(pixels_of(made.data).dtype, np.uint16)

    def test_ways_of_developing_differ(self) -> None:
        ways = [process(dng(48, 64), "invert", output={"raw": way}).data for way in ("camera", "linear")]
        self.assertGreater(pixels_of(ways[1]).mean(), pixels_of(ways[0]).mean())  # darker, and inverted

    def test_without_the_extra_the_refusal_names_it(self) -> None:
        with mock.patch.dict(sys.modules, {"rawpy": None}):
            problem = self.assertRaises(UnsupportedPicture, process, dng(48, 64), "invert")
        self.assertIn("dpip[raw]", problem.detail)

    def test_kinds_are_known_by_content(self) -> None:
        head = struct.pack("<I", 8) + struct.pack("<H", 2)
        sizes = struct.pack("<HHIIHHIII", 256, 4, 1, 640, 257, 4, 1, 480, 0)
        table = struct.pack(">IHHHHHH", 2, 0x200, 2, 0, 0x100, 4, 480) + struct.pack(">H", 640)
        entry = struct.pack(">I4s", 0, b"CRAW") + bytes(24) + struct.pack(">HH", 640, 480) + bytes(50)
        stsd = bytes(4) + struct.pack(">I", 1) + entry
        for data in (
            b"IIRO" + head + sizes,
            b"IIU\0" + head + sizes.replace(b"\0\1\4", b"\2\0\4").replace(b"\1\1\4", b"\3\0\4"),
            b"FUJIFILMCCD-RAW ".ljust(92, b"0") + struct.pack(">I", 96) + table,
            b"\0MRM" + bytes(4) + b"\0PRD" + bytes(4) + bytes(8) + struct.pack(">HH", 480, 640),
            _box(b"ftyp", b"crx \0\0\0\0") + _box(b"moov", _box(b"trak", _box(b"stsd", stsd))),
        ):
            info = probe(data)
            self.assertEqual((info.format, info.width, info.height), ("RAW", 640, 480), data[:16])


def _box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body


class BoundTests(SynchronousTestCase):
    def test_too_many_pixels_are_refused_before_anything_is_decoded(self) -> None:
        for name, data in FILES.items():
            self.assertRaises(PictureTooLarge, decode, data, max_pixels=47)
            self.assertGreater(probe(data).pixels, 47, name)

    def test_a_picture_larger_than_its_header_says_is_not_decoded(self) -> None:
        lie = struct.pack(">II", 8, 8)
        true = struct.pack(">II", 64, 64)
        heif = FILES["phone.heic"]
        self.assertIn(true, heif)
        self.assertRaises(CorruptPicture, pixels_of, heif.replace(true, lie))
        stream = FILES["boxes.jp2"]
        place = stream.index(b"\xff\x51") + 6
        self.assertRaises(CorruptPicture, pixels_of, stream[:place] + lie + stream[place + 8 :])

    def test_animated_jpeg_xl_is_refused_in_words(self) -> None:
        frames = np.stack([PICTURE] * 3)
        data = imagecodecs.jpegxl_encode(frames, lossless=True)
        self.assertIn("animated", self.assertRaises(NotAnImage, probe, data).detail)

    def test_a_targa_is_known_by_its_header_and_little_else_is_one(self) -> None:
        self.assertEqual(probe(FILES["rgb.tga"]).format, "TGA")
        old = saved(PICTURE, "TGA")[:-26]  # the format of 1984 has no footer
        self.assertEqual(probe(old).format, "TGA")
        for data in (bytes(400), b"\0\0\2" + bytes(400), b"\0\1\1\0\0text" * 9, old[:100]):
            self.assertRaises(NotAnImage, probe, data)


class TableTests(SynchronousTestCase):
    def test_names_and_extensions_are_unique(self) -> None:
        extensions = [extension for format in TABLE for extension in format.extensions]
        self.assertEqual(len(extensions), len(set(extensions)))
        self.assertEqual(len({format.content_type for format in TABLE}), len(TABLE))

    def test_the_page_has_the_same_extensions(self) -> None:
        page = Path(__file__).parents[2] / "dpip" / "page"
        named = (page / "files.js").read_text().partition('EXTENSIONS = "')[2].partition('"')[0].split()
        extensions = {extension.strip(".") for format in TABLE for extension in format.extensions}
        self.assertEqual(set(named), extensions)

    def test_heavy_libraries_are_not_imported_for_everyday_pictures(self) -> None:
        heavy = {"imagecodecs", "pillow_heif", "rawpy", "tifffile"}
        program = (
            "import sys, dpip.filters.codec.headers, dpip.filters.codec.writing, dpip.filters.codec.png, "
            f"dpip.filters.codec.jpeg; print(sorted({heavy!r} & set(sys.modules)))"
        )
        said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        self.assertEqual(said.stdout.strip(), "[]")
