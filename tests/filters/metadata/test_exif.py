"""EXIF of results: their size, upright, no picture of the original, and all else as it was."""

from __future__ import annotations

import io
import struct

import numpy as np
from PIL import Image
from twisted.trial.unittest import TestCase

from dpip.filters import process
from dpip.filters.metadata import exif as exif_tags
from tests.filters.metadata import files
from tests.filters.metadata.files import (
    PICTURE,
    app1_exif,
    exif,
    long,
    photograph,
    raw,
    said_by_exiftool,
    short,
)
from tests.filters.pictures import opened, saved

SIZE = {40962: long(80), 40963: long(60)}
NOTES = bytes(range(1, 65)) * 4


def tags(data: bytes) -> tuple[exif_tags.Directory, exif_tags.Directory, exif_tags.Layout]:
    found, layout = exif_tags.parsed(exif_tags.bare(opened(data).info["exif"]))
    return found, found[34665].within or {}, layout


def notes_at(data: bytes) -> int | None:
    notes = exif_tags.maker_notes(tags(data)[0])
    return notes.at if notes is not None else None


class ExifSizeTests(TestCase):
    def test_it_says_the_size_of_the_result(self) -> None:
        for turn, size in ((1, (40, 30)), (6, (40, 53))):
            data = photograph(app1_exif(exif({274: short(turn), 256: long(80), 257: short(60)}, SIZE)))
            result = process(data, "resize", {"width": 40}).data
            first, photo, layout = tags(result)
            self.assertEqual([layout.parsed(photo[tag]) for tag in (40962, 40963)], [(size[0],), (size[1],)])
            self.assertEqual([layout.parsed(first[tag]) for tag in (256, 257)], [(size[0],), (size[1],)])
            self.assertEqual(layout.parsed(first[274]), (1,))

    def test_exiftool_reads_the_same(self) -> None:
        data = photograph(app1_exif(exif({274: short(6)}, SIZE | {37500: raw(NOTES)})))
        said = said_by_exiftool(process(data, "resize", {"width": 30}).data)
        self.assertEqual((said["ExifIFD:ExifImageWidth"], said["ExifIFD:ExifImageHeight"]), (30, 40))
        self.assertEqual((said["IFD0:Make"], said["IFD0:Orientation"]), ("Maker", 1))
        self.assertAlmostEqual(said["GPS:GPSLatitude"], 48.208333, places=5)
        self.assertEqual(said["ExifIFD:DateTimeOriginal"], "2024:05:06 07:08:09")

    def test_where_the_subject_is_goes_with_the_pixels(self) -> None:
        data = photograph(app1_exif(exif({274: short(6)}, {37396: short(10, 20, 8, 4)})))
        photo, layout = tags(process(data, "resize", {"width": 30}).data)[1:]
        self.assertEqual(layout.parsed(photo[37396]), (20, 5, 2, 4))  # of 60 x 80, halved
        cut = process(data, "crop", {"width": 20})
        self.assertNotIn(37396, tags(cut.data)[1])
        self.assertIn("the subject", cut.notices[0])


class ThumbnailTests(TestCase):
    def test_the_original_does_not_survive_in_it(self) -> None:
        small = saved(PICTURE[::2, ::2], "JPEG")
        for format in ("JPEG", "PNG", "WEBP", "TIFF"):
            blob = exif(thumbnail=small)
            data = photograph(app1_exif(blob)) if format == "JPEG" else saved(PICTURE, "PNG", exif=blob)
            result = process(data, "blur", {"sigma": 60}, output={"format": format}).data
            self.assertNotIn(small[100:160], result, format)
            self.assertEqual(opened(result).getexif()[271], "Maker", format)

    def test_nor_in_the_notes_of_the_maker(self) -> None:
        small = saved(PICTURE[::2, ::2], "JPEG")
        notes = NOTES + small + NOTES
        data = photograph(app1_exif(exif(None, {37500: raw(notes)})))
        result = process(data, "blur").data
        self.assertNotIn(small[100:160], result)
        found = exif_tags.maker_notes(tags(result)[0])
        assert found is not None
        self.assertEqual(
            (len(found.value), found.value[:256], found.value[-256:]), (len(notes), NOTES, NOTES)
        )

    def test_nor_an_uncompressed_one(self) -> None:
        pixels = PICTURE[::4, ::4].tobytes()
        blob = bytearray(exif(thumbnail=pixels))
        result = process(photograph(app1_exif(bytes(blob))), "blur").data
        self.assertNotIn(pixels[:60], result)


class MakerNotesTests(TestCase):
    def test_they_lie_where_they_lay(self) -> None:
        for more in ({}, {37510: raw(bytes(3000))}):  # little and much before them
            data = photograph(app1_exif(exif(None, {37500: raw(NOTES)} | SIZE | more)))
            for format in ("JPEG", "PNG", "WEBP", "TIFF"):
                made = process(data, "invert", output={"format": format})
                self.assertEqual(made.notices, ())
                place = notes_at(data)
                if format == "TIFF":
                    assert place is not None
                    self.assertEqual(made.data[place : place + len(NOTES)], NOTES)
                else:
                    self.assertEqual(notes_at(made.data), place)

    def test_a_tiff_keeps_them_where_they_lay(self) -> None:
        data = process(
            photograph(app1_exif(exif(None, {37500: raw(NOTES)}))), "invert", output={"format": "TIFF"}
        ).data
        again = process(data, "invert").data
        self.assertEqual(data.index(NOTES), again.index(NOTES))
        back = process(again, "invert", output={"format": "JPEG"}).data
        self.assertEqual(notes_at(back), data.index(NOTES))

    def test_that_they_had_to_move_is_told(self) -> None:
        directory, layout = exif_tags.parsed(exif(None, {37500: raw(NOTES)}))
        notices: list[str] = []
        exif_tags.written(directory, layout, notices, 100)
        self.assertIn("maker", notices[0])


class ExifDamageTests(TestCase):
    def test_damage_is_told(self) -> None:
        made = process(photograph(app1_exif(b"II*\0\xff\xff\xff\xff")), "invert")
        self.assertEqual(made.notices, ("EXIF was left out: it is damaged.",))

    def test_values_that_overlap_do_not_grow(self) -> None:
        many = {tag: (7, 60000, struct.pack("<I", 8)) for tag in range(50000, 50200)}
        rows = b"".join(struct.pack("<HHI", tag, *value[:2]) + value[2] for tag, value in many.items())
        blob = b"II*\0" + struct.pack("<IH", 8, len(many)) + rows + bytes(4)
        result = process(photograph(app1_exif(blob.ljust(65000, b"x"))), "invert").data
        self.assertLess(len(result), 200_000)

    def test_types_of_exif_3_are_kept(self) -> None:
        words = "日本".encode()
        data = photograph(app1_exif(exif({270: (129, len(words), words)})))
        self.assertEqual(tags(process(data, "invert").data)[0][270].value, words)


class PrivacyTests(TestCase):
    def test_without_the_place(self) -> None:
        data = photograph(app1_exif(exif(None, {37500: raw(NOTES)})))
        for format in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF", "JXL", "JPEG2000"):
            made = process(data, "invert", output={"format": format, "metadata": "strip-location"})
            self.assertIn(b"Maker", made.data, format)
            self.assertNotIn(struct.pack("<6I", 48, 1, 12, 1, 30, 1), made.data, format)
            self.assertNotIn(NOTES, made.data, format)
            self.assertIn("maker", made.notices[0], format)

    def test_nothing_but_whose_it_is(self) -> None:
        rights = {315: files.text("Jane Doe"), 33432: files.text("(c) Jane Doe")}
        for format in ("JPEG", "PNG", "WEBP", "TIFF"):
            output = {"format": format, "metadata": "copyright-only"}
            result = process(photograph(app1_exif(exif(rights))), "invert", output=output).data
            found = Image.open(io.BytesIO(result)).getexif()
            self.assertEqual((found[315], found[33432]), ("Jane Doe", "(c) Jane Doe"), format)
            for gone in (b"Maker", b"2024:05", struct.pack("<6I", 48, 1, 12, 1, 30, 1)):
                self.assertNotIn(gone, result, format)

    def test_a_tiff_loses_its_place_on_the_map_too(self) -> None:
        data = process(photograph(app1_exif(exif())), "invert", output={"format": "TIFF"}).data
        result = process(data, "invert", output={"metadata": "strip-location"}).data
        self.assertIn(b"Maker", result)
        self.assertNotIn(struct.pack("<6I", 48, 1, 12, 1, 30, 1), result)
        np.testing.assert_array_equal(np.asarray(opened(result)), 255 - np.asarray(opened(data)))

    def test_xmp_and_iptc_within_exif_are_no_hiding_place(self) -> None:
        place = b'<x><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
        place += b'xmlns:exif="http://ns.adobe.com/exif/1.0/" exif:GPSLatitude="48,12N"/></rdf:RDF></x>'
        iptc = files.data_set(90, b"Wien")
        more = {700: (1, len(place), place), 33723: (7, len(iptc), iptc)}
        data = saved(PICTURE, "PNG", exif=exif(more))
        for format in ("PNG", "JPEG", "TIFF"):
            kept = process(data, "invert", output={"format": format}).data
            self.assertIn(b"48,12N", kept, format)
            result = process(data, "invert", output={"format": format, "metadata": "strip-location"}).data
            self.assertNotIn(b"48,12N", result, format)
            self.assertNotIn(b"Wien", result, format)
