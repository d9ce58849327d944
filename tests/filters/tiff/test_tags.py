"""What a TIFF says of its pages is still true of the result."""

from __future__ import annotations

import io
import struct
import zlib
from fractions import Fraction
from typing import Any
from unittest import mock

import numpy as np
import tifffile
from PIL import Image
from twisted.trial.unittest import SynchronousTestCase as TestCase

from dpip.filters import process, registry
from dpip.filters.schema import Filter
from tests.filters.pictures import natural, opened, saved
from tests.filters.tiff.files import array, fraction, numbers, page, pages, text, tiff, written

GRAY = natural(32, 48, 1)[..., 0]
WIDE = GRAY.astype(np.uint16) * 257
HALF = {"width": 24}


def said(data: bytes, tag: int, number: int = 0) -> Any:
    return pages(data)[number].tags.valueof(tag)


def rgb_ome() -> bytes:
    out = io.BytesIO()
    tifffile.imwrite(out, natural(32, 48), ome=True, photometric="rgb", metadata={"axes": "YXS"})
    return out.getvalue()


class OwnTags(TestCase):
    def test_each_page_keeps_its_own(self) -> None:
        for samples in (GRAY, WIDE):
            many = [
                page(
                    np.roll(samples, 9 * n, 1),
                    {
                        270: text(f"page {n}"),
                        285: text(f"name {n}"),
                        297: numbers(3, n, 3),
                        306: text(f"2024:01:0{n + 1} 00:00:00"),
                        282: fraction(100 + n, 1),
                        283: fraction(100 + n, 1),
                        296: numbers(3, 2),
                    },
                )
                for n in range(3)
            ]
            data = process(tiff(*many), "grayscale").data
            for n in range(3):
                self.assertEqual(said(data, 270, n), f"page {n}")
                self.assertEqual(said(data, 285, n), f"name {n}")
                self.assertEqual(said(data, 297, n), (n, 3))
                self.assertEqual(said(data, 306, n), f"2024:01:0{n + 1} 00:00:00")
                self.assertEqual(said(data, 282, n), (100 + n, 1))

    def test_a_description_of_the_first_page_is_not_repeated(self) -> None:
        first = page(GRAY, {270: text("ImageJ=1.54f\nimages=2\nslices=2\n")})
        data = process(tiff(first, page(GRAY)), "grayscale").data
        self.assertEqual([said(data, 270, n) is None for n in range(2)], [False, True])

    def test_page_numbers_of_compressed_pages(self) -> None:
        """An address in memory went out in their stead."""
        many = [
            page(GRAY, {297: numbers(3, n, 3), 259: numbers(3, 8)}, zlib.compress(GRAY)) for n in range(3)
        ]
        once, again = (process(tiff(*many), "grayscale").data for _ in range(2))
        self.assertEqual(once, again)
        self.assertEqual([said(once, 297, n) for n in range(3)], [(n, 3) for n in range(3)])

    def test_tags_on_how_the_original_was_stored_go(self) -> None:
        result = process(tiff(page(natural(32, 48), {32996: numbers(3, 0, 0, 0)})), "invert").data
        self.assertNotIn(32996, pages(result)[0].tags)
        self.assertEqual(opened(result).mode, "RGB")

    def test_unusual_types_are_kept_as_they_are(self) -> None:
        iptc = b"\x1c\x02\x05\x00\x05title\0\0"
        data = process(tiff(page(GRAY, {33723: (4, len(iptc) // 4, iptc[:12])})), "invert").data
        tag = pages(data)[0].tags[33723]
        self.assertEqual((tag.dtype, tag.count), (4, len(iptc) // 4))
        self.assertIn(iptc[:12], data)

    def test_an_orientation_may_be_a_byte(self) -> None:
        for kind in (1, 3):
            data = process(tiff(page(GRAY, {274: numbers(kind, 6)})), "invert").data
            np.testing.assert_array_equal(array(data), 255 - np.rot90(GRAY, -1))
            self.assertNotIn(274, pages(data)[0].tags)

    def test_exif_keeps_all_but_the_size_of_the_original(self) -> None:
        exif = Image.Exif()
        exif.get_ifd(0x8769).update({0x9003: "2024:05:06 07:08:09", 0xA002: 48, 0xA003: 32})
        exif.get_ifd(0x8825)[2] = (50.0, 12.5, 1.0)
        data = process(saved(natural(32, 48), "TIFF", exif=exif.tobytes()), "resize", HALF).data
        kept = opened(data).getexif()
        self.assertEqual(kept.get_ifd(0x8769)[0x9003], "2024:05:06 07:08:09")
        self.assertEqual([kept.get_ifd(0x8769)[tag] for tag in (0xA002, 0xA003)], [24, 16])
        self.assertEqual(kept.get_ifd(0x8825)[2], (50.0, 12.5, 1.0))

    def test_the_big_endian_and_the_big_keep_theirs(self) -> None:
        for order in ("<", ">"):
            for big in (False, True):
                options: dict[str, Any] = {"byteorder": order, "bigtiff": big, "resolution": (70.5, 71)}
                more = [(65111, "d", 3, (0.5, 1.25, 1e300), True), (285, "s", 0, "a name", True)]
                data = process(written(WIDE, **options, extratags=more), "invert").data
                self.assertEqual(said(data, 65111), (0.5, 1.25, 1e300))
                self.assertEqual(said(data, 285), "a name")
                self.assertEqual(Fraction(*said(data, 282)), Fraction(141, 2))

    def test_long_values_that_pages_share_are_stored_once(self) -> None:
        packet = b"<x>%s</x>" % (b"word" * 2000)
        many = [page(GRAY, {700: (1, len(packet), packet)}) for _ in range(5)]
        self.assertEqual(process(tiff(*many), "invert").data.count(packet), 1)

    def test_nothing_is_kept_when_it_is_to_be_stripped(self) -> None:
        data = tiff(page(GRAY, {270: text("a secret"), 33550: numbers(12, 1, 1, 0)}))
        result = process(data, "invert", output={"metadata": "strip"}).data
        self.assertNotIn(b"secret", result)
        self.assertNotIn(33550, pages(result)[0].tags)

    def test_the_original_does_not_survive_in_photoshop_s_parts(self) -> None:
        thumbnail = b"8BIM" + struct.pack(">HHI", 1036, 0, 6) + b"a face"
        caption = b"8BIM" + struct.pack(">HHI", 1028, 0, 4) + b"word"
        parts = thumbnail + caption
        more = {34377: (1, len(parts), parts), 37724: (7, 12, b"layers' face")}
        result = process(tiff(page(GRAY, more)), "blur")
        self.assertNotIn(b"face", result.data)
        self.assertIn(caption, result.data)
        self.assertIn("layers were left out", result.notices[0])


class Scales(TestCase):
    def test_resolution_without_a_unit(self) -> None:
        """ImageJ reads it as pixels per micron."""
        more = {270: text("ImageJ=1.54f\nunit=micron\n"), 282: fraction(26, 10), 283: fraction(26, 10)}
        for samples in (GRAY, WIDE):
            data = tiff(page(samples, more | {296: numbers(3, 1)}))
            kept = process(data, "median").data
            self.assertEqual((said(kept, 282), said(kept, 296)), ((26, 10), 1))
            half = process(data, "resize", HALF).data
            self.assertEqual((Fraction(*said(half, 283)), said(half, 296)), (Fraction(13, 10), 1))

    def test_no_resolution_is_made_up(self) -> None:
        result = process(tiff(page(GRAY)), "median").data
        self.assertEqual([tag for tag in (282, 283, 296) if tag in pages(result)[0].tags], [])

    def test_resolution_goes_from_other_formats_and_to_them(self) -> None:
        data = process(saved(GRAY, "PNG", dpi=(300, 150)), "invert", output={"format": "tiff"}).data
        np.testing.assert_allclose([float(x) for x in opened(data).info["dpi"]], (300, 150), rtol=1e-4)
        back = process(data, "invert", output={"format": "png"}).data
        np.testing.assert_allclose(opened(back).info["dpi"], (300, 150), rtol=1e-3)

    def geo(self, point: bool = False) -> bytes:
        keys = (1, 1, 0, 2, 1024, 0, 1, 1, 1025, 0, 1, 2 if point else 1)
        more = {33550: numbers(12, 0.5, 0.5, 0), 34735: numbers(3, *keys)}
        return tiff(page(WIDE, more | {33922: numbers(12, 0, 0, 0, 500000, 4600000, 0)}))

    def test_a_map_covers_the_same_ground_after_resizing(self) -> None:
        result = process(self.geo(), "resize", HALF)
        self.assertEqual(said(result.data, 33550), (1, 1, 0))
        self.assertEqual(said(result.data, 33922), (0, 0, 0, 500000, 4600000, 0))
        self.assertEqual(result.notices, ())
        points = said(process(self.geo(point=True), "resize", HALF).data, 33922)
        self.assertEqual(points, (-0.25, -0.25, 0, 500000, 4600000, 0))

    def test_a_map_is_not_moved_by_filters_that_do_not_move_pixels(self) -> None:
        self.assertEqual(said(process(self.geo(), "blur").data, 33550), (0.5, 0.5, 0))

    def test_a_map_that_is_cut_loses_its_place(self) -> None:
        result = process(self.geo(), "resize", {"width": 20, "height": 20, "fit": "cover"})
        self.assertNotIn(33550, pages(result.data)[0].tags)
        self.assertIn("place on the map", result.notices[0])

    def test_what_a_stranger_s_filter_does_to_the_pixels_is_not_known(self) -> None:
        mirror = Filter(name="mirror", summary="", function=lambda array: array[:, ::-1].copy())
        with mock.patch.object(registry, "find", return_value=mirror):
            result = process(self.geo(), "mirror")
        self.assertNotIn(33550, pages(result.data)[0].tags)
        self.assertIn("place on the map", result.notices[0])

    def test_the_resolution_goes_where_nobody_knows_the_scale(self) -> None:
        more = {282: fraction(300, 1), 283: fraction(300, 1), 296: numbers(3, 2)}
        cover = {"width": 20, "height": 20, "fit": "cover"}
        result = process(tiff(page(GRAY, more)), "resize", cover)
        self.assertNotIn(282, pages(result.data)[0].tags)
        self.assertIn("resolution", result.notices[0])

    def test_the_transformation_of_a_map(self) -> None:
        matrix = (0.5, 0, 0, 100, 0, -0.5, 0, 200, 0, 0, 0, 0, 0, 0, 0, 1)
        data = process(tiff(page(WIDE, {34264: numbers(12, *matrix)})), "resize", HALF).data
        self.assertEqual(said(data, 34264), (1, 0, 0, 100, 0, -1, 0, 200, *matrix[8:]))

    def test_unknown_ground_has_no_part_in_its_neighbours(self) -> None:
        for gap in (np.nan, -9999):
            heights = np.full((20, 20), 400, np.float32)
            heights[5:9, 5:9] = gap
            more = [] if np.isnan(gap) else [(42113, "s", 0, "-9999", True)]
            for name, params in (("blur", {"sigma": 2}), ("median", {}), ("box_blur", {})):
                result = process(written(heights, extratags=more), name, params).data
                np.testing.assert_allclose(array(result), heights, rtol=1e-6)

    def test_whole_numbers_that_mean_unknown_are_told(self) -> None:
        for samples in (WIDE, WIDE.astype(np.uint32)):
            result = process(written(samples, extratags=[(42113, "s", 0, "0", True)]), "blur")
            self.assertIn("without data", result.notices[0])
            plain = process(written(samples), "blur")
            np.testing.assert_array_equal(array(result.data), array(plain.data))

    def test_ome_xml(self) -> None:
        out = io.BytesIO()
        stack = np.stack([WIDE, WIDE])
        metadata = {"axes": "ZYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
        tifffile.imwrite(out, stack, ome=True, metadata=metadata)
        data = process(out.getvalue(), "resize", HALF).data
        self.assertIn("OME-XML was left out", process(rgb_ome(), "grayscale").notices[0])
        file = tifffile.TiffFile(io.BytesIO(data))
        self.assertEqual(file.series[0].shape, (2, 16, 24))
        pixels = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]["Pixels"]
        self.assertEqual((pixels["PhysicalSizeX"], pixels["SizeX"], pixels["SizeY"]), (1.0, 24, 16))
