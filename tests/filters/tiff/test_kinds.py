"""Every kind of sample and compression comes back as it was stored, and filtered as what it is."""

from __future__ import annotations

import io
import struct
from typing import Any

import cv2
import numpy as np
import tifffile
from twisted.trial.unittest import SynchronousTestCase as TestCase

from dpip.errors import CorruptPicture, UnsupportedPicture
from dpip.filters import apply, codec, process
from tests.filters.pictures import natural, opened, saved
from tests.filters.tiff import files
from tests.filters.tiff.files import array, numbers, page, pages, tiff, written

GRAY = natural(24, 40, 1)[..., 0]
COLOUR = natural(24, 40)
WIDE = GRAY.astype(np.uint16) * 257


class BitDepths(TestCase):
    def test_few_bits_are_scaled_to_the_whole_range(self) -> None:
        for bits in (2, 3, 4, 6, 10, 12, 14):
            samples = (WIDE >> (16 - bits)).astype(np.uint16)
            data = tiff(page(samples, {258: numbers(3, bits)}, files.packed(samples, bits)))
            top, white = (1 << bits) - 1, 255 if bits < 8 else 65535
            wanted = np.rint(samples / top * white)
            negative = array(process(data, "invert").data)
            self.assertEqual(negative.dtype, np.uint8 if bits < 8 else np.uint16)
            np.testing.assert_allclose(white - negative.astype(float), wanted, atol=1, err_msg=str(bits))

    def test_colour_of_twelve_bits(self) -> None:
        samples = natural(24, 40).astype(np.uint16) << 4
        data = tiff(page(samples, {258: numbers(3, 12, 12, 12)}, files.packed(samples, 12)))
        got = array(process(data, "invert").data)
        np.testing.assert_allclose(65535 - got.astype(float), samples / 4095 * 65535, atol=1)

    def test_signed_numbers_stay_signed(self) -> None:
        for dtype in (np.int8, np.int16, np.int32):
            info = np.iinfo(dtype)
            samples = np.linspace(info.min, info.max, 24 * 40).astype(dtype).reshape(24, 40)
            result = process(written(samples), "invert")
            got = array(result.data)
            self.assertEqual(got.dtype, dtype)
            np.testing.assert_allclose(got.astype(float), -1.0 - samples, atol=info.max * 1e-9)

    def test_thirty_two_bits_keep_all_of_them(self) -> None:
        samples = np.random.default_rng(3).integers(0, 2**32, (24, 40), dtype=np.uint32)
        np.testing.assert_array_equal(array(process(written(samples), "invert").data), ~samples)

    def test_floating_point_stays_what_it_is(self) -> None:
        for dtype in (np.float16, np.float32, np.float64):
            samples = np.linspace(-3, 900, 960).astype(dtype).reshape(24, 40)
            samples[3, 4] = np.nan
            result = process(written(samples), "invert")
            got = array(result.data)
            self.assertEqual((got.dtype, result.notices), (dtype, ()))
            np.testing.assert_array_equal(got, (1 - samples.astype(np.float64)).astype(dtype))

    def test_white_may_be_zero(self) -> None:
        for samples in (GRAY, WIDE):
            result = process(written(samples, photometric="miniswhite"), "threshold", {"value": 127})
            (first,) = pages(result.data)
            self.assertEqual(int(first.photometric), 0)
            top = np.iinfo(samples.dtype).max
            white = top - samples > 127 * (top // 255)
            np.testing.assert_array_equal(first.asarray() == 0, white)

    def test_samples_that_are_called_undefined_are_bytes(self) -> None:
        data = tiff(page(COLOUR, {339: numbers(3, 4, 4, 4)}))
        np.testing.assert_array_equal(array(process(data, "invert").data), 255 - COLOUR)

    def test_what_is_not_filtered_is_said(self) -> None:
        for data, words in (
            (written(np.zeros((4, 5), np.complex64)), "complex numbers of 64 bits"),
            (written(np.zeros((4, 5), np.uint64)), "whole numbers of 64 bits"),
            (tiff(page(GRAY, {262: numbers(3, 32803)})), "raw photograph"),
            (tiff(page(GRAY, {259: numbers(3, 50002)})), "compressed by JPEG XL"),
            (tiff(page(GRAY, {259: numbers(3, 34712)})), "a kind of JPEG 2000"),
            (tiff(page(GRAY, {32997: numbers(4, 3)})), "a volume"),
        ):
            problem = self.assertRaises(UnsupportedPicture, process, data, "invert")
            self.assertIn(words, problem.detail)

    def test_the_header_says_how_much_memory_the_pixels_take(self) -> None:
        """Admission and scheduling go by it, before anything is decoded."""
        for samples in (GRAY, WIDE, WIDE.astype(np.uint32), GRAY.astype(np.float32), natural(24, 40, 7)):
            data = written(samples, photometric="minisblack", planarconfig="contig")
            info = codec.probe(data)
            (frame,) = codec.decode(data, max_pixels=10**6).frames
            self.assertEqual(info.pixels * info.pixel_bytes, frame.pixels.nbytes)
        two = tiff(page(GRAY), page(natural(24, 40)))
        self.assertEqual(codec.probe(two).pixels * codec.probe(two).pixel_bytes, 2 * COLOUR.nbytes)


class Bands(TestCase):
    def test_near_infrared_is_no_alpha(self) -> None:
        """Where it is dark the colours stay, and it is filtered as if it were alone."""
        for dtype in (np.uint8, np.uint16):
            bands = natural(30, 44, 4).astype(dtype) * dtype(np.iinfo(dtype).max // 255)
            bands[:10, :, 3] = 0
            data = written(bands, photometric="rgb", extrasamples=["unspecified"])
            inverted = process(data, "invert")
            np.testing.assert_array_equal(array(inverted.data), ~bands)
            blurred = process(data, "blur", {"sigma": 3})
            for band in range(4):
                wanted = cv2.GaussianBlur(bands[..., band], (0, 0), 3, borderType=cv2.BORDER_REPLICATE)
                got = array(blurred.data)[..., band]
                self.assertLessEqual(np.abs(got.astype(int) - wanted).max(), 2 * (np.iinfo(dtype).max // 255))
            for result in (inverted, blurred):
                self.assertEqual([int(kind) for kind in pages(result.data)[0].extrasamples], [0])
                self.assertEqual(result.notices, ())

    def test_any_number_of_gray_bands(self) -> None:
        for count in (3, 5, 9):
            bands = natural(24, 40, count)
            for planes in ("contig", "separate"):
                stored = bands if planes == "contig" else np.moveaxis(bands, 2, 0)
                data = written(stored, photometric="minisblack", planarconfig=planes)
                result = process(data, "median")
                got = array(result.data)
                for band in range(count):
                    np.testing.assert_array_equal(got[..., band], apply("median", bands[..., band], radius=1))
                self.assertEqual(len(pages(result.data)[0].extrasamples), count - 1)

    def test_alpha_is_alpha_wherever_it_lies(self) -> None:
        samples = natural(24, 40, 5)
        data = written(samples, photometric="rgb", extrasamples=["unspecified", "unassalpha"])
        got = array(process(data, "invert").data)
        np.testing.assert_array_equal(got[..., :3], 255 - samples[..., :3])
        np.testing.assert_array_equal(got[..., 3], samples[..., 4])
        np.testing.assert_array_equal(got[..., 4], 255 - samples[..., 3])

    def test_colours_multiplied_by_alpha_are_divided(self) -> None:
        alpha = np.full((24, 40, 1), 51, np.uint8)
        samples = np.concatenate((COLOUR // 5, alpha), axis=2)
        data = written(samples, photometric="rgb", extrasamples=["assocalpha"])
        result = process(data, "invert")
        self.assertEqual(int(pages(result.data)[0].extrasamples[0]), 2)
        got = array(result.data)
        np.testing.assert_array_equal(got[..., :3], 255 - samples[..., :3] * 5)
        np.testing.assert_array_equal(got[..., 3:], alpha)

    def test_a_channel_that_is_not_explained_is_told(self) -> None:
        data = tiff(page(natural(24, 40, 4)))
        self.assertIn("taken for alpha", " ".join(process(data, "invert").notices))

    def test_filters_that_make_colours_refuse_bands(self) -> None:
        data = written(natural(24, 40, 5), photometric="minisblack", planarconfig="contig")
        problem = self.assertRaises(UnsupportedPicture, process, data, "sepia")
        self.assertIn("4 bands", problem.detail)

    def test_gray_of_colour_keeps_the_bands(self) -> None:
        bands = natural(24, 40, 4)
        data = written(bands, photometric="rgb", extrasamples=["unspecified"])
        got = array(process(data, "grayscale").data)
        np.testing.assert_array_equal(got[..., 0], apply("grayscale", np.ascontiguousarray(bands[..., :3])))
        np.testing.assert_array_equal(got[..., 1], bands[..., 3])

    def test_other_formats_leave_bands_out_and_say_so(self) -> None:
        data = written(natural(24, 40, 4), photometric="rgb", extrasamples=["unspecified"])
        result = process(data, "invert", output={"format": "png"})
        self.assertEqual(opened(result.data).mode, "RGB")
        self.assertIn("1 further bands were left out", result.notices[0])


class Colours(TestCase):
    def test_cmyk_becomes_rgb_and_spot_colours_are_told(self) -> None:
        inks = natural(24, 40, 5)
        data = written(inks, photometric="separated", extrasamples=["unspecified"])
        result = process(data, "invert")
        (first,) = pages(result.data)
        self.assertEqual(first.shape, (24, 40, 3))
        self.assertIn("from CMYK to RGB", result.notices[0])
        self.assertIn("further channels", result.notices[1])
        wanted = np.asarray(opened_as("CMYK", inks[..., :4]))
        np.testing.assert_array_equal(255 - first.asarray(), wanted)

    def test_palettes_of_bytes_and_of_words_are_the_same(self) -> None:
        places = natural(24, 40, 1)[..., 0]
        table = np.stack((np.arange(256), 255 - np.arange(256), np.arange(256) // 2)).astype(np.uint16)
        results = [
            process(written(places, photometric="palette", colormap=table * factor), "invert", output=output)
            for factor in (np.uint16(1), np.uint16(257))
            for output in ({"format": "png"},)
        ]
        wanted = 255 - table.T.astype(np.uint8)[places]
        for result in results:
            np.testing.assert_array_equal(np.asarray(opened(result.data).convert("RGB")), wanted)


def opened_as(mode: str, samples: Any) -> Any:
    from PIL import Image

    return Image.frombytes(mode, (samples.shape[1], samples.shape[0]), samples.tobytes()).convert("RGB")


class Compressions(TestCase):
    def test_lossless_ones_come_back_whole(self) -> None:
        kinds: dict[str, tuple[Any, ...]] = {
            "none": (COLOUR, WIDE, GRAY.astype(np.float32)),
            "lzw": (COLOUR, WIDE, GRAY.astype(np.float32)),
            "deflate": (COLOUR, WIDE, GRAY.astype(np.float64)),
            "packbits": (COLOUR, GRAY),
            "zstd": (COLOUR, WIDE),
            "lzma": (COLOUR,),
            "lerc": (GRAY, GRAY.astype(np.float32)),  # in this machine's byte order only
        }
        for compression, arrays in kinds.items():
            for samples in arrays:
                for order in "<" if compression == "lerc" else "<>":
                    for tile in (None, (16, 32)):
                        stored = {"compression": compression, "byteorder": order, "tile": tile}
                        self.same(samples, written(samples, **stored, bigtiff=tile is None))

    def test_predictors(self) -> None:
        for samples, predictor in ((COLOUR, 2), (WIDE, 2), (GRAY.astype(np.float32) / 7, 3)):
            for order in ("<", ">"):
                stored = {"compression": "deflate", "predictor": predictor, "byteorder": order}
                result = self.same(samples, written(samples, **stored))
                self.assertEqual(int(pages(result)[0].predictor), predictor)

    def test_a_predictor_means_nothing_without_a_compression_for_it(self) -> None:
        for samples in (COLOUR, WIDE):
            data = tiff(page(samples, {317: numbers(3, 2)}))
            got = array(process(data, "median").data)
            np.testing.assert_array_equal(got, apply("median", samples, radius=1))

    def test_lossy_ones_are_close(self) -> None:
        for compression, options in (
            ("jpeg", {"level": 90}),
            ("webp", {"level": 95}),
            ("jpeg2000", {"level": 50}),
        ):
            data = written(COLOUR, compression=compression, compressionargs=options)
            got = array(process(data, "invert").data)
            self.assertLess(np.abs(255.0 - got - array(data)).mean(), 3, compression)

    def same(self, samples: Any, data: bytes) -> bytes:
        result = process(data, "median", {"radius": 1}).data
        first, original = pages(result)[0], pages(data)[0]
        np.testing.assert_array_equal(first.asarray(), apply("median", samples, radius=1))
        if int(original.compression) != 34887:
            self.assertEqual(first.compression, original.compression)
        self.assertEqual(
            (first.is_tiled, first.parent.byteorder), (original.is_tiled, original.parent.byteorder)
        )
        self.assertEqual(first.parent.is_bigtiff, original.parent.is_bigtiff)
        return result

    def test_old_kinds_of_ycbcr_go_through_libtiff(self) -> None:
        samples = np.full((16, 16, 3), (120, 128, 128), np.uint8)
        data = tiff(page(samples, {262: numbers(3, 6), 530: numbers(3, 1, 1)}))
        np.testing.assert_array_equal(array(process(data, "invert").data), np.full((16, 16, 3), 135))

    def test_truncated_files_are_damaged(self) -> None:
        for compression in ("none", "lzw", "deflate", "jpeg", "zstd"):
            data = written(natural(64, 64), compression=compression, rowsperstrip=16)
            place = pages(data)[0].dataoffsets[2]
            moved = data.replace(place.to_bytes(4, "little"), (len(data) - 4).to_bytes(4, "little"))
            self.assertNotEqual(moved, data)
            self.assertRaises(CorruptPicture, process, moved, "invert")

    def test_a_part_that_is_larger_than_the_page_is_not_decoded(self) -> None:
        piece = saved(natural(256, 256), "JPEG")
        more = {259: numbers(3, 7), 262: numbers(3, 6)}
        problem = self.assertRaises(
            CorruptPicture, process, tiff(page(COLOUR[:8, :8], more, piece)), "invert"
        )
        self.assertIn("larger than the page", problem.detail)

    def test_parts_with_more_channels_than_the_page_are_not_decoded(self) -> None:
        lerc = written(GRAY, compression="lerc")
        place = lerc.index(b"Lerc2 ") + 22  # the number of values per pixel
        deep = lerc[:place] + struct.pack("<i", 1 << 24) + lerc[place + 4 :]
        wavelets = written(GRAY, compression="jpeg2000")
        place = wavelets.index(b"\xff\x4f\xff\x51") + 40  # the number of components
        many = wavelets[:place] + struct.pack(">H", 16384) + wavelets[place + 2 :]
        for data in (deep, many):
            self.assertIn("larger", self.assertRaises(CorruptPicture, process, data, "invert").detail)

    def test_tiles_are_not_much_larger_than_the_page(self) -> None:
        vast = {322: numbers(4, 65536), 323: numbers(4, 65536), 324: numbers(4, 8), 325: numbers(4, 9)}
        self.assertRaises(UnsupportedPicture, process, tiff(page(GRAY, vast)), "invert")


class FarReading(TestCase):
    def test_stacks_with_one_directory_are_refused(self) -> None:
        out = io.BytesIO()
        stack = np.stack([GRAY] * 3)
        tifffile.imwrite(out, stack, imagej=True)
        data = out.getvalue()
        self.assertEqual(len(pages(process(data, "invert").data)), len(pages(data)))
        one = tiff(page(GRAY, {270: files.text("ImageJ=1.54f\nimages=3\nslices=3\n")}))
        problem = self.assertRaises(UnsupportedPicture, process, one, "invert")
        self.assertIn("holds 3 pictures", problem.detail)
