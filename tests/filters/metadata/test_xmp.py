"""XMP of results: what is no longer true is corrected or left out, all else stays byte for byte."""

from __future__ import annotations

import base64
import zlib

import numpy as np
from twisted.trial.unittest import TestCase

from dpip.filters import process
from dpip.filters.metadata import jpeg, xmp
from dpip.filters.metadata.parts import Change
from tests.filters.metadata.files import (
    app1_exif,
    app1_xmp,
    chunk,
    exif,
    extension,
    packet,
    photograph,
    png,
    said_by_exiftool,
    short,
)
from tests.filters.pictures import opened

TIFF = 'xmlns:tiff="http://ns.adobe.com/tiff/1.0/"'
EXIF = 'xmlns:exif="http://ns.adobe.com/exif/1.0/"'
SAME = Change((80, 60), (80, 60))
HALF = Change((80, 60), (40, 30), "scaled")
CUT = Change((80, 60), (40, 60), "cut", maps=False)


def fitted(data: bytes, change: Change = SAME, gain: bool = False) -> tuple[str, list[str]]:
    notices: list[str] = []
    return xmp.fitted(data, change, notices, gain=gain).decode(), notices


class OrientationTests(TestCase):
    def test_nobody_turns_the_picture_again(self) -> None:
        for said in (
            packet(TIFF, "<tiff:Orientation>6</tiff:Orientation>"),
            packet(TIFF + " tiff:Orientation='6' tiff:Make=\"Maker\""),
            packet(TIFF.replace("tiff=", "t=") + ' t:Orientation="6"'),
        ):
            result = process(photograph(app1_exif(exif({274: short(6)})), app1_xmp(said)), "invert").data
            found = opened(result)
            self.assertEqual((found.size, found.getexif()[274]), ((60, 80), 1))
            self.assertNotIn(b"6", found.info["xmp"].partition(b"Orientation")[2][:3])

    def test_what_xmp_alone_says_is_done(self) -> None:
        said = app1_xmp(packet(TIFF + ' tiff:Orientation="6"'))
        self.assertEqual(opened(process(photograph(said), "invert").data).size, (60, 80))
        both = process(photograph(app1_exif(exif({274: short(1)})), said), "invert").data
        self.assertEqual(opened(both).size, (80, 60))

    def test_exiftool_reads_the_same(self) -> None:
        said = packet(TIFF + ' tiff:Orientation="6" tiff:Make="Maker"')
        result = process(photograph(app1_exif(exif({274: short(6)})), app1_xmp(said)), "grayscale").data
        found = said_by_exiftool(result)
        self.assertEqual((found["IFD0:Orientation"], found["XMP-tiff:Orientation"]), (1, 1))
        self.assertEqual(found["XMP-tiff:Make"], "Maker")


class TruthTests(TestCase):
    def test_all_else_stays_byte_for_byte(self) -> None:
        said = packet(
            'xmlns:dc="http://purl.org/dc/elements/1.1/" dc:format="a &gt; b"',
            "<dc:title><rdf:Alt><rdf:li xml:lang='x'>a <![CDATA[<b>]]> &amp;</rdf:li></rdf:Alt></dc:title>"
            "<!-- a comment > -->",
        )
        self.assertEqual(xmp.fitted(said, CUT, [], gain=False), said)

    def test_the_size(self) -> None:
        said = packet(
            f'{TIFF} {EXIF} tiff:ImageWidth="80" exif:PixelYDimension="60"',
            "<tiff:ImageLength>60</tiff:ImageLength><exif:PixelXDimension>80</exif:PixelXDimension>",
        )
        text, _ = fitted(said, HALF)
        for right in ('ImageWidth="40"', 'YDimension="30"', "<tiff:ImageLength>30<", "XDimension>40<"):
            self.assertIn(right, text)

    def test_places_of_faces(self) -> None:
        space = 'xmlns:mwg-rs="http://www.metadataworkinggroup.com/schemas/regions/"'
        said = packet(
            space, "<mwg-rs:Regions rdf:parseType='Resource'><mwg-rs:x>1</mwg-rs:x></mwg-rs:Regions>"
        )
        self.assertEqual(fitted(said, HALF), (said.decode(), []))
        text, notices = fitted(said, CUT)
        self.assertNotIn("Regions rdf", text)
        self.assertIn("faces", notices[0])

    def test_a_panorama(self) -> None:
        space = 'xmlns:GPano="http://ns.google.com/photos/1.0/panorama/"'
        said = packet(f'{space} GPano:FullPanoWidthPixels="160" GPano:CroppedAreaTopPixels="20"')
        text, _ = fitted(said, HALF)
        self.assertIn('FullPanoWidthPixels="80" GPano:CroppedAreaTopPixels="10"', text)
        text, notices = fitted(said, CUT)
        self.assertNotIn("FullPano", text)
        self.assertIn("panorama", notices[0])

    def test_pictures_of_the_original_go(self) -> None:
        image = 'xmlns:GImage="http://ns.google.com/photos/1.0/image/" GImage:Data="a face"'
        small = "<xmp:Thumbnails><rdf:Alt><rdf:li>a face</rdf:li></rdf:Alt></xmp:Thumbnails>"
        said = packet(f'xmlns:xmp="http://ns.adobe.com/xap/1.0/" {image}', small)
        text, notices = fitted(said)
        self.assertNotIn("a face", text)
        self.assertIn("not filtered", notices[0])

    def test_a_film_that_is_left_out_is_not_promised(self) -> None:
        space = 'xmlns:GCamera="http://ns.google.com/photos/1.0/camera/"'
        said = app1_xmp(packet(f'{space} GCamera:MotionPhoto="1" GCamera:MicroVideoOffset="999"'))
        film = b"\0\0\0\x18ftypmp42" + bytes(900)
        made = process(photograph(said) + film, "invert")
        self.assertNotIn(b"MotionPhoto", made.data)
        self.assertNotIn(b"ftyp", made.data)
        self.assertEqual(made.notices, ("The film of the motion photograph was left out.",))


class ExtendedTests(TestCase):
    def setUp(self) -> None:
        depth = base64.b64encode(np.random.default_rng(1).bytes(80000)).decode()
        self.space = 'xmlns:GDepth="http://ns.google.com/photos/1.0/depthmap/"'
        self.whole = packet(f'{self.space} GDepth:Data="{depth}"')
        guid, self.segments = extension(self.whole)
        note = 'xmlns:xmpNote="http://ns.adobe.com/xmp/note/"'
        self.first = packet(
            f'{note} xmpNote:HasExtendedXMP="{guid}" {self.space} GDepth:Format="RangeInverse"'
        )
        self.data = photograph(app1_xmp(self.first), self.segments)

    def test_it_stays_as_it_was(self) -> None:
        for name, params in (("grayscale", {}), ("resize", {"width": 40})):
            made = process(self.data, name, params)
            metadata, _ = jpeg.read(list(jpeg.segments(made.data)))
            self.assertEqual((metadata.xmp, metadata.extended_xmp), (self.first, self.whole))
            self.assertEqual(made.notices, ())

    def test_exiftool_finds_the_depth_map(self) -> None:
        said = said_by_exiftool(process(self.data, "grayscale").data)
        self.assertIn("80000 bytes", said["XMP-GDepth:DepthImage"])

    def test_where_it_would_lie_it_goes_and_so_does_its_name(self) -> None:
        for name, params in (("blur", {}), ("crop", {"width": 20})):
            made = process(self.data, name, params)
            metadata, _ = jpeg.read(list(jpeg.segments(made.data)))
            self.assertNotIn(b"GDepth:", metadata.xmp or b"")
            self.assertIn("The depth map of the original was left out.", made.notices)

    def test_another_format_has_no_room_for_it_and_does_not_name_it(self) -> None:
        made = process(self.data, "grayscale", output={"format": "PNG"})
        self.assertNotIn(b"HasExtendedXMP", made.data)
        self.assertIn("the second part of XMP", made.notices[0])

    def test_half_of_it_is_nothing(self) -> None:
        cut = photograph(app1_xmp(self.first), self.segments[: 2 + 2 + 65075])
        made = process(cut, "grayscale")
        self.assertNotIn(b"HasExtendedXMP", made.data)
        self.assertIn("not whole", made.notices[0])


class XmpPrivacyTests(TestCase):
    def test_without_the_place(self) -> None:
        said = packet(
            f'{EXIF} exif:GPSLatitude="48,12N" xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" '
            'photoshop:City="Wien" photoshop:Headline="a headline"',
            '<Iptc4xmpExt:LocationShown xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">'
            "<rdf:Bag><rdf:li>Wien</rdf:li></rdf:Bag></Iptc4xmpExt:LocationShown>",
        )
        for format in ("JPEG", "PNG", "WEBP", "GIF", "TIFF"):
            output = {"format": format, "metadata": "strip-location"}
            result = process(photograph(app1_xmp(said)), "invert", output=output).data
            self.assertIn(b"a headline", result, format)
            self.assertNotIn(b"Wien", result, format)
            self.assertNotIn(b"48,12N", result, format)

    def test_nothing_but_whose_it_is(self) -> None:
        said = packet(
            f'{TIFF} tiff:Make="Maker" xmlns:xmpRights="http://ns.adobe.com/xap/1.0/rights/" '
            'xmpRights:Marked="True" xmlns:dc="http://purl.org/dc/elements/1.1/"',
            "<dc:creator><rdf:Seq><rdf:li>Jane Doe</rdf:li></rdf:Seq></dc:creator>"
            "<dc:title>a title</dc:title>",
        )
        result = process(photograph(app1_xmp(said)), "invert", output={"metadata": "copyright-only"}).data
        kept = opened(result).info["xmp"]
        for word, there in ((b"Jane Doe", True), (b"Marked", True), (b"a title", False), (b"Maker", False)):
            self.assertEqual(word in kept, there, word)


class XmpDamageTests(TestCase):
    def test_damage_is_told(self) -> None:
        for said in (b"<x:xmpmeta><a></x:xmpmeta>", b"no xml", b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>"):
            made = process(photograph(app1_xmp(said)), "invert")
            self.assertEqual(made.notices, ("XMP was left out: it is damaged.",))

    def test_too_deep_is_damaged(self) -> None:
        deep = b"<a>" * 5000 + b"</a>" * 5000
        self.assertRaises(xmp.DamagedXmp, xmp.Packet, deep)

    def test_utf_16_is_understood(self) -> None:
        said = packet(TIFF + ' tiff:Orientation="1" tiff:ImageWidth="80"').decode().encode("utf-16")
        result = process(
            png(chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + said)), "resize", {"width": 20}
        ).data
        self.assertIn(b'ImageWidth="20"', result)

    def test_compressed_text_of_a_png(self) -> None:
        body = b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(packet(TIFF + ' tiff:ImageWidth="80"'))
        result = process(png(chunk(b"iTXt", body)), "resize", {"width": 20}).data
        self.assertIn(b'ImageWidth="20"', result)
