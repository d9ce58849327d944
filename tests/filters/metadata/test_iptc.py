"""IPTC and Photoshop's image resources in results."""

from __future__ import annotations

import struct

from twisted.trial.unittest import TestCase

from dpip.filters import process
from dpip.filters.metadata import jpeg, photoshop
from tests.filters.metadata.files import (
    PICTURE,
    app13,
    chunk,
    data_set,
    photograph,
    png,
    resource,
    said_by_exiftool,
)
from tests.filters.pictures import saved

IPTC = (
    data_set(0, b"\0\4")
    + data_set(80, b"Jane Doe")
    + data_set(90, b"Wien")
    + data_set(101, b"Austria")
    + data_set(116, b"(c) Jane")
    + data_set(120, b"a caption")
)
FACE = saved(PICTURE[::2, ::2], "JPEG")
RESOURCES = (
    resource(1028, IPTC)
    + resource(1036, bytes(28) + FACE)
    + resource(1034, b"\1")
    + resource(2000, bytes(52))
)
DATA = photograph(app13(RESOURCES))


def resources(data: bytes) -> bytes:
    return jpeg.read(list(jpeg.segments(data)))[0].photoshop or b""


class IptcTests(TestCase):
    def test_it_stays_without_the_picture_of_the_original(self) -> None:
        made = process(DATA, "blur", {"sigma": 60})
        self.assertEqual(photoshop.iptc(resources(made.data)), IPTC)
        self.assertNotIn(FACE[100:200], made.data)
        self.assertEqual(made.notices, ())

    def test_exiftool_reads_it(self) -> None:
        said = said_by_exiftool(process(DATA, "invert").data)
        self.assertEqual((said["IPTC:By-line"], said["IPTC:City"]), ("Jane Doe", "Wien"))

    def test_it_goes_into_a_tiff_and_back(self) -> None:
        tiff = process(DATA, "invert", output={"format": "TIFF"}).data
        self.assertEqual(
            tiff.count(IPTC), 2
        )  # among Photoshop's resources, and as other programs look for it
        again = process(process(tiff, "invert").data, "invert", output={"format": "JPEG"}).data
        self.assertEqual(photoshop.iptc(resources(again)), IPTC)

    def test_other_formats_have_no_room_and_say_so(self) -> None:
        for format in ("PNG", "WEBP", "AVIF", "GIF", "BMP"):
            made = process(DATA, "invert", output={"format": format})
            self.assertIn(f"{format} has no room for IPTC: left out.", made.notices)

    def test_without_the_place(self) -> None:
        for format in ("JPEG", "TIFF"):
            made = process(DATA, "invert", output={"format": format, "metadata": "strip-location"}).data
            again = process(made, "invert", output={"metadata": "strip-location"}).data
            for data in (made, again):
                self.assertNotIn(b"Wien", data, format)
                self.assertNotIn(b"Austria", data, format)
                self.assertIn(b"a caption", data, format)

    def test_nothing_but_whose_it_is(self) -> None:
        data = process(DATA, "invert", output={"metadata": "copyright-only"}).data
        for word, there in (
            (b"Jane Doe", True),
            (b"(c) Jane", True),
            (b"Wien", False),
            (b"a caption", False),
        ):
            self.assertEqual(word in data, there, word)
        nothing = photograph(app13(resource(1028, data_set(120, b"a caption"))))
        made = process(nothing, "invert", output={"metadata": "copyright-only"}).data
        self.assertEqual(resources(made), b"")

    def test_outlines_go_where_the_pixels_moved(self) -> None:
        self.assertIn(resource(2000, bytes(52)), process(DATA, "invert").data)
        made = process(DATA, "crop", {"width": 20})
        self.assertNotIn(resource(2000, bytes(52)), made.data)
        self.assertIn("paths", made.notices[0])

    def test_several_segments_are_one(self) -> None:
        long = resource(1028, IPTC) + resource(1100, bytes(100_000))
        data = photograph(app13(long[:60_000]), app13(long[60_000:]))
        self.assertEqual(resources(process(data, "invert").data), long)

    def test_long_data_sets(self) -> None:
        words = struct.pack(">BBBH", 0x1C, 2, 120, 0x8004) + struct.pack(">I", 40_000) + b"x" * 40_000
        data = photograph(app13(resource(1028, words + data_set(90, b"Wien"))))
        made = process(data, "invert", output={"metadata": "strip-location"}).data
        self.assertEqual(photoshop.iptc(resources(made)), words)

    def test_of_a_png_by_imagemagick(self) -> None:
        raw = b"\niptc\n%8d\n%s\n" % (len(RESOURCES), RESOURCES.hex().encode())
        data = png(chunk(b"tEXt", b"Raw profile type iptc\0" + raw))
        made = process(data, "invert", output={"format": "JPEG"})
        self.assertEqual(photoshop.iptc(resources(made.data)), IPTC)
        self.assertNotIn(FACE[100:200].hex().encode(), process(data, "blur").data)
