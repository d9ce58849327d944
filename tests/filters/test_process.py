"""Files in, files out: every format and mode, and pictures that cannot be filtered."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from twisted.trial.unittest import TestCase

from dpip.errors import (
    BadParameter,
    CorruptPicture,
    PictureError,
    PictureTooLarge,
    UnknownFilter,
    UnsupportedPicture,
)
from dpip.filters import apply, process, process_steps
from tests.filters.pictures import gaussian, natural, opened, saved

PICTURE = natural(45, 62)
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
EXACT = ("PNG", "BMP", "TIFF")
FILES = {format: saved(PICTURE, format) for format in FORMATS}


class Formats(TestCase):
    def test_format_type_and_size_stay(self) -> None:
        for format, data in FILES.items():
            for name in ("grayscale", "blur"):
                result = process(data, name)
                self.assertEqual((result.format, result.content_type), (format, "image/" + format.lower()))
                self.assertEqual((result.width, result.height), (62, 45))
                image = opened(result.data)
                self.assertEqual((image.format, image.size), (format, (62, 45)))

    def test_grayscale_of_lossless_files_is_pillows(self) -> None:
        wanted = np.asarray(Image.fromarray(PICTURE).convert("L"))
        for format in EXACT:
            image = opened(process(FILES[format], "grayscale").data)
            self.assertEqual(image.mode, "L")
            np.testing.assert_array_equal(np.asarray(image), wanted)

    def test_gray_gif_is_exact(self) -> None:
        shown = opened(FILES["GIF"]).convert("RGB")
        result = opened(process(FILES["GIF"], "grayscale").data).convert("RGB")
        np.testing.assert_array_equal(np.asarray(result)[..., 1], np.asarray(shown.convert("L")))

    def test_blur_of_lossless_files(self) -> None:
        wanted = gaussian(PICTURE, 3)
        for format in EXACT:
            got = np.asarray(opened(process(FILES[format], "blur", {"sigma": 3}).data))
            self.assertLessEqual(np.abs(got - wanted).max(), 0.8)

    def test_jpeg_luma_is_that_of_the_file(self) -> None:
        for subsampling in (0, 1, 2):
            data = saved(PICTURE, "JPEG", quality=85, subsampling=subsampling)
            draft = Image.open(io.BytesIO(data))
            draft.draft("L", draft.size)
            got = process(data, "grayscale", output={"format": "png"})
            np.testing.assert_array_equal(np.asarray(opened(got.data)), np.asarray(draft))

    def test_every_mode_is_filtered_as_it_shows(self) -> None:
        for format, modes in {
            "PNG": ("1", "L", "LA", "P", "RGB", "RGBA"),
            "TIFF": ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK"),
            "BMP": ("1", "L", "P", "RGB"),
            "GIF": ("1", "L", "P"),
        }.items():
            for mode in modes:
                data = saved(PICTURE, format, mode)
                shown = np.asarray(opened(data).convert("RGB"))
                result = opened(process(data, "blur", {"sigma": 2}).data)
                difference = np.abs(np.asarray(result.convert("RGB")) - gaussian(shown, 2))
                if format == "GIF":  # 256 colours, the errors spread
                    self.assertLessEqual(difference.mean(), 6, mode)
                else:
                    self.assertLessEqual(np.quantile(difference, 0.99), 1.6, (format, mode))
                self.assertEqual("A" in result.mode, "A" in mode)

    def test_cmyk_jpeg_becomes_rgb(self) -> None:
        data = saved(PICTURE, "JPEG", "CMYK", quality=95)
        shown = np.asarray(opened(data).convert("RGB"))
        result = opened(process(data, "blur", {"sigma": 3}).data)
        self.assertEqual(result.mode, "RGB")
        self.assertLess(np.abs(np.asarray(result) - gaussian(shown, 3)).mean(), 2)

    def test_transparent_palette(self) -> None:
        image = Image.fromarray(PICTURE).quantize(8)
        out = io.BytesIO()
        image.save(out, "PNG", transparency=3)
        shown = np.asarray(opened(out.getvalue()).convert("RGBA"))
        result = opened(process(out.getvalue(), "grayscale").data)
        self.assertEqual(result.mode, "LA")
        np.testing.assert_array_equal(np.asarray(result)[..., 1], shown[..., 3])

    def test_steps_decode_and_encode_once(self) -> None:
        chain = process_steps(FILES["PNG"], [("grayscale", {}), ("blur", {"sigma": 2})])
        wanted = apply("blur", apply("grayscale", PICTURE), sigma=2)
        np.testing.assert_array_equal(np.asarray(opened(chain.data)), wanted)

    def test_same_bytes_every_time(self) -> None:
        for data in FILES.values():
            first = process(data, "blur", {"sigma": 6})
            self.assertEqual(process(data, "blur", {"sigma": 6}, threads=2).data, first.data)


class Output(TestCase):
    def test_another_format(self) -> None:
        for source in FORMATS:
            for target in FORMATS:
                result = process(FILES[source], "blur", output={"format": target})
                self.assertEqual((result.format, opened(result.data).format), (target, target))

    def test_alpha_where_the_format_has_none_shows_white(self) -> None:
        picture = np.zeros((8, 8, 4), np.uint8)
        result = opened(process(saved(picture, "PNG"), "blur", output={"format": "jpeg"}).data)
        self.assertEqual(np.asarray(result).min(), 255)

    def test_quality(self) -> None:
        for format in ("JPEG", "WEBP"):
            sizes = [len(process(FILES[format], "blur", output={"quality": q}).data) for q in (10, 50, 95)]
            self.assertEqual(sizes, sorted(sizes))
            self.assertLess(sizes[0], sizes[2])


class Refusals(TestCase):
    def test_not_an_image(self) -> None:
        for data in (b"", b"text", b"%PDF-1.4", b"<svg/>", b"\x00" * 1000):
            self.assertRaises(UnsupportedPicture, process, data, "blur")

    def test_cut_short(self) -> None:
        for data in FILES.values():
            for share in (0.3, 0.6, 0.9):
                self.assertRaises(CorruptPicture, process, data[: int(len(data) * share)], "blur")

    def test_reasons_are_for_people(self) -> None:
        """No object in memory, no name of a function of ours."""
        jpeg, png = saved(PICTURE, "JPEG"), saved(PICTURE, "PNG")
        frame, header = jpeg.index(b"\xff\xc0"), bytearray(png)
        header[24:26] = bytes((32, 0))
        header[29:33] = struct.pack(">I", zlib.crc32(header[12:29]))
        for data, kind, words in (
            (jpeg[: frame + 1] + b"\xc3" + jpeg[frame + 2 :], UnsupportedPicture, "lossless"),
            (jpeg[: frame + 1] + b"\xc5" + jpeg[frame + 2 :], UnsupportedPicture, "hierarchical"),
            (jpeg[: frame + 4] + b"\x0c" + jpeg[frame + 5 :], UnsupportedPicture, "12 bits"),
            (jpeg[:frame] + b"\xff\xc0\0\x14\x08\0\x10\0\x10\4" + b"\7" * 12, CorruptPicture, "damaged"),
            (bytes(header), CorruptPicture, "32 bits with colour type 0"),
        ):
            detail = self.assertRaises(kind, process, data, "grayscale").detail
            self.assertIn(words, detail)
            self.assertNotIn("<", detail)

    def test_a_wrong_checksum(self) -> None:
        data = bytearray(FILES["PNG"])
        data[len(data) // 2] ^= 1
        self.assertRaises(CorruptPicture, process, bytes(data), "blur")

    def test_too_many_pixels(self) -> None:
        problem = self.assertRaises(PictureTooLarge, process, FILES["PNG"], "blur", max_pixels=62 * 45 - 1)
        self.assertIn("2,790", problem.detail)
        process(FILES["PNG"], "blur", max_pixels=62 * 45)

    def test_a_bomb_is_refused_by_its_header(self) -> None:
        data = saved(np.zeros((1, 1), np.uint8), "PNG")
        huge = data[:16] + (60_000).to_bytes(4) * 2 + data[24:]
        self.assertRaises(PictureTooLarge, process, huge, "blur")

    def test_frames_count_together(self) -> None:
        frames = [Image.fromarray(np.roll(PICTURE, n, axis=0)) for n in range(4)]
        for format in ("GIF", "PNG", "WEBP", "TIFF"):
            out = io.BytesIO()
            frames[0].save(out, format, save_all=True, append_images=frames[1:])
            self.assertRaises(PictureTooLarge, process, out.getvalue(), "blur", max_pixels=4 * 62 * 45 - 1)

    def test_unknown_names(self) -> None:
        self.assertRaises(UnknownFilter, process, FILES["PNG"], "nosuch")
        self.assertRaises(BadParameter, process, FILES["PNG"], "blur", {"sigma": 0})
        self.assertRaises(BadParameter, process, FILES["PNG"], "blur", output={"format": "pdf"})

    @settings(max_examples=150, deadline=None)
    @given(
        st.sampled_from(FORMATS),
        st.floats(0, 1),
        st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=8),
    )
    def test_damage_never_raises_anything_else(
        self, format: str, share: float, changes: list[tuple[float, int]]
    ) -> None:
        whole = FILES[format]
        data = bytearray(whole[: int(len(whole) * max(share, 0.1))] if share < 0.5 else whole)
        for place, value in changes:
            data[int(place * len(data))] = value
        try:
            result = process(bytes(data), "grayscale", max_pixels=1_000_000)
        except PictureError as problem:
            self.assertIn(problem.code, ("corrupt-picture", "unsupported-picture", "picture-too-large"))
            return
        self.assertEqual(opened(result.data).size, (result.width, result.height))
