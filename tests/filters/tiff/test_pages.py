"""Many pages, pages that are the same picture smaller, and pages that take few bits."""

from __future__ import annotations

import io
from unittest import mock

import numpy as np
import tifffile
from PIL import Image
from twisted.trial.unittest import SynchronousTestCase as TestCase

from dpip.filters import codec, process
from dpip.filters.codec.budget import DecodeBudget
from dpip.filters.codec.tiff import tags
from dpip.filters.codec.tiff.writer import _Writer
from tests.filters.pictures import Array, natural, opened, saved
from tests.filters.tiff.files import array, numbers, packed, page, pages, tiff, written

COLOUR = natural(128, 192)
TABLE = (np.random.default_rng(5).integers(0, 256, (3, 256)) * 257).astype(np.uint16)


def pyramid(*, within: bool) -> bytes:
    levels = [np.ascontiguousarray(COLOUR[::step, ::step]) for step in (2, 4)]
    out = io.BytesIO()
    with tifffile.TiffWriter(out) as writer:
        writer.write(COLOUR, subifds=2 if within else None, metadata=None)
        for level in levels:
            writer.write(level, subfiletype=1, metadata=None)
    return out.getvalue()


class Pyramids(TestCase):
    def test_levels_are_made_anew_from_the_result(self) -> None:
        for params, widths in (({"width": 96}, [96, 48, 24]), ({"width": 192}, [192, 96, 48])):
            for within in (False, True):
                data = process(pyramid(within=within), "resize", params).data
                first = pages(data)[0]
                levels = list(first.pages) if within else pages(data)[1:]
                self.assertEqual([level.imagewidth for level in (first, *levels)], widths)
                self.assertEqual([int(level.subfiletype) for level in (first, *levels)], [0, 1, 1])

    def test_they_show_what_the_result_shows(self) -> None:
        first, half, _ = pages(process(pyramid(within=False), "invert").data)
        np.testing.assert_array_equal(first.asarray(), 255 - COLOUR)
        small = np.asarray(Image.fromarray(255 - COLOUR).resize((96, 64), Image.Resampling.BOX))
        self.assertLess(np.abs(half.asarray().astype(int) - small).mean(), 3)

    def test_another_format_gets_the_picture_and_no_level(self) -> None:
        result = process(pyramid(within=False), "invert", output={"format": "png"})
        self.assertEqual(opened(result.data).size, (192, 128))

    def test_smaller_pages_of_another_shape_are_pages(self) -> None:
        label = tiff(page(COLOUR), page(np.ascontiguousarray(COLOUR[:20, :20]), {254: numbers(4, 1)}))
        self.assertEqual([p.shape[:2] for p in pages(process(label, "invert").data)], [(128, 192), (20, 20)])

    def test_a_mask_is_left_out_and_told(self) -> None:
        mask = {254: numbers(4, 4), 262: numbers(3, 4)}
        result = process(tiff(page(COLOUR), page(COLOUR[..., 0].copy(), mask)), "invert")
        self.assertEqual(len(pages(result.data)), 1)
        self.assertIn("mask", result.notices[0])


class BlackAndWhite(TestCase):
    SHEET = np.repeat(np.repeat(natural(20, 30, 1)[..., 0] > 128, 5, 0), 5, 1)

    def test_a_fax_stays_a_fax(self) -> None:
        for compression, number in (("group4", 4), ("group3", 3), ("tiff_ccitt", 2), ("packbits", 32773)):
            data = saved(self.SHEET, "TIFF", compression=compression)
            for name in ("invert", "threshold", "grayscale", "median"):
                result = process(data, name)
                (first,) = pages(result.data)
                self.assertEqual((first.bitspersample, int(first.compression)), (1, number), name)
                self.assertLessEqual(len(result.data), 1.5 * len(data))
            inverted = opened(process(data, "invert").data)
            np.testing.assert_array_equal(np.asarray(inverted), ~self.SHEET)

    def test_the_strips_of_every_byte_order(self) -> None:
        for order in ("<", ">"):
            for photometric in ("miniswhite", "minisblack"):
                data = written(self.SHEET, byteorder=order, compression="deflate", photometric=photometric)
                result = process(data, "invert").data
                np.testing.assert_array_equal(array(result), ~self.SHEET)
                self.assertEqual(pages(result)[0].bitspersample, 1)

    def test_grays_take_eight_bits_and_it_is_told(self) -> None:
        result = process(saved(self.SHEET, "TIFF", compression="group4"), "blur")
        self.assertEqual(pages(result.data)[0].bitspersample, 8)
        self.assertIn("not by Group 4", result.notices[0])

    def test_gray_and_then_a_threshold_is_a_fax_again(self) -> None:
        from dpip.filters import process_steps

        data = saved(self.SHEET, "TIFF", compression="group4")
        steps = [("resize", {"width": 70}), ("threshold", {})]
        (first,) = pages(process_steps(data, steps).data)
        self.assertEqual((first.bitspersample, int(first.compression)), (1, 4))


def colours(data: bytes) -> Array:
    """The table of colours of 8 bits each, 3 x 256."""
    return np.asarray(pages(data)[0].tags.valueof(320)).reshape(3, -1) >> 8


class Palettes(TestCase):
    PLACES = natural(24, 40, 1)[..., 0]

    def test_they_stay_and_so_does_what_each_place_means(self) -> None:
        """The classes of a map are places in its palette."""
        data = written(self.PLACES, photometric="palette", colormap=TABLE)
        result = process(data, "invert").data
        np.testing.assert_array_equal(array(result), self.PLACES)
        used = np.unique(self.PLACES)
        np.testing.assert_array_equal(colours(result)[:, used], 255 - (TABLE[:, used] >> 8))

    def test_of_few_bits(self) -> None:
        for bits in (1, 2, 4):
            places = self.PLACES >> (8 - bits)
            table = TABLE[:, : 1 << bits]
            more = {258: numbers(3, bits), 262: numbers(3, 3), 320: numbers(3, *table.reshape(-1).tolist())}
            result = process(tiff(page(places, more, packed(places, bits))), "invert").data
            np.testing.assert_array_equal(array(result), places)
            shown = 255 - (table >> 8).T.astype(np.uint8)[places]
            np.testing.assert_array_equal(np.asarray(opened(result).convert("RGB")), shown)

    def test_more_colours_than_a_palette_holds(self) -> None:
        result = process(written(self.PLACES, photometric="palette", colormap=TABLE), "blur", {"sigma": 1})
        self.assertEqual(pages(result.data)[0].shape, (24, 40, 3))
        self.assertIn("palette", result.notices[0])

    def test_a_smaller_picture_of_few_colours(self) -> None:
        flat = np.zeros((24, 40), np.uint8)
        data = written(flat, photometric="palette", colormap=TABLE)
        result = process(data, "resize", {"width": 20}).data
        self.assertEqual(int(pages(result)[0].photometric), 3)
        np.testing.assert_array_equal(colours(result)[:, 0], TABLE[:, 0] >> 8)


class JpegInTiff(TestCase):
    def test_it_stays_jpeg_of_its_quality(self) -> None:
        for quality in (60, 90):
            for tile in (None, (64, 64)):
                for samples in (COLOUR, np.ascontiguousarray(COLOUR[..., 0])):
                    data = written(samples, compression="jpeg", compressionargs={"level": quality}, tile=tile)
                    result = process(data, "median").data
                    self.assertEqual(int(pages(result)[0].compression), 7)
                    self.assertLess(abs(len(result) / len(data) - 1), 0.5)
                    self.assertLess(np.abs(array(result).astype(int) - samples).mean(), 8)
                    opened(result)


class ManyPages(TestCase):
    def test_time_grows_with_the_pages_and_not_with_their_square(self) -> None:
        """The directories that are read do not grow with the pages before, nor does what is copied."""
        cell = natural(8, 8, 1)[..., 0].astype(np.uint16)
        data = tiff(*[page(cell)] * 300)
        with mock.patch.object(tags, "read", wraps=tags.read) as read:
            result = process(data, "invert").data
        self.assertEqual(len(pages(result)), 300)
        self.assertLessEqual(read.call_count, 2 * 300 + 1)

    def test_pages_are_in_memory_one_by_one(self) -> None:
        """A page is asked for only when the one before is written."""
        take, chain = DecodeBudget.take_frame, _Writer._chain
        order: list[str] = []

        def taken(budget: DecodeBudget, width: int, height: int, pixel_bytes: int) -> None:
            order.append("read")
            take(budget, width, height, pixel_bytes)

        def chained(writer: _Writer, directory: tags.Directory) -> None:
            order.append("written")
            chain(writer, directory)

        with (
            mock.patch.object(DecodeBudget, "take_frame", taken),
            mock.patch.object(_Writer, "_chain", chained),
        ):
            process(tiff(*[page(COLOUR)] * 6), "invert")
        self.assertEqual(order, ["read", "written"] * 6)

    def test_frames_are_counted_without_the_levels(self) -> None:
        self.assertEqual(codec.decode(pyramid(within=False), max_pixels=10**6).frame_count, 1)
