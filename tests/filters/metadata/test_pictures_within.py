"""JPEGs with several pictures: stereo pairs, gain maps, previews, and what else follows the first."""

from __future__ import annotations

import io
import struct

import numpy as np
from PIL import Image
from twisted.trial.unittest import TestCase

from dpip.errors import PictureError
from dpip.filters import process
from dpip.filters.codec import probe
from dpip.filters.metadata import multipicture
from dpip.filters.metadata.directories import Layout
from tests.filters.metadata.files import (
    GAIN,
    PICTURE,
    app1_exif,
    app1_xmp,
    exif,
    opened_all,
    packet,
    photograph,
    said_by_exiftool,
    several,
    short,
    ultra_hdr,
)
from tests.filters.pictures import natural, opened, saved

OTHER = np.ascontiguousarray(np.roll(PICTURE, 8, axis=1))
STEREO = several([app1_exif(exif())], [photograph(app1_exif(exif()), array=OTHER)], kind=0x020002)


def gain_of(data: bytes) -> Image.Image | None:
    found = multipicture.following(data).gain
    return None if found is None else opened(found)


class StereoTests(TestCase):
    def test_both_pictures_are_filtered(self) -> None:
        info = probe(STEREO)
        self.assertEqual((info.format, info.frames, info.pixels), ("JPEG", 2, 2 * 60 * 80))
        made = process(STEREO, "grayscale")
        self.assertEqual((made.format, made.notices), ("JPEG", ()))
        for got, picture in zip(opened_all(made.data), (PICTURE, OTHER), strict=True):
            wanted = np.asarray(opened(saved(picture, "JPEG", quality=92)).convert("L"))
            self.assertEqual(got.shape, wanted.shape)
            self.assertLessEqual(np.abs(got.astype(int) - wanted).mean(), 3)

    def test_what_the_format_says_of_each_stays(self) -> None:
        said = said_by_exiftool(process(STEREO, "resize", {"width": 40}).data)
        self.assertEqual(said["MPF0:NumberOfImages"], 2)
        self.assertEqual(said["MPImage2:MPImageType"], 0x020002)
        self.assertEqual(said["MPImage1:MPImageLength"], said["MPImage2:MPImageStart"])

    def test_of_a_camera_that_writes_the_high_byte_first(self) -> None:
        layout = Layout(">")
        said = [
            multipicture.Attributes(
                kind, {0xB101: layout.numbers(4, number), 0xB205: layout.numbers(10, -5, 2)}, layout
            )
            for number, kind in ((1, 0x20020002), (2, 0x020002))
        ]
        data = multipicture.joined([photograph(), photograph(array=OTHER)], said)
        found = said_by_exiftool(process(data, "flip").data)
        self.assertEqual((found["MPImage1:MPImageType"], found["MPImage2:MPImageType"]), (0x020002, 0x020002))
        self.assertEqual((found["MPF0:MPIndividualNum"], found["MPF0:ConvergenceAngle"]), (1, -2.5))

    def test_pillow_s_own(self) -> None:
        out = io.BytesIO()
        Image.fromarray(PICTURE).save(out, "MPO", save_all=True, append_images=[Image.fromarray(OTHER)])
        made = process(out.getvalue(), "flip")
        self.assertEqual([array.shape for array in opened_all(made.data)], [(60, 80, 3)] * 2)

    def test_other_formats_have_the_first_and_say_so(self) -> None:
        made = process(STEREO, "invert", output={"format": "PNG"})
        self.assertEqual(getattr(opened(made.data), "n_frames", 1), 1)
        self.assertIn("first of the 2 views", made.notices[0])
        pages = process(STEREO, "invert", output={"format": "TIFF"})
        self.assertEqual((getattr(opened(pages.data), "n_frames", 1), pages.notices), (2, ()))

    def test_within_a_number_of_bytes(self) -> None:
        made = process(STEREO, "invert", output={"max_bytes": 4000})
        self.assertLessEqual(len(made.data), 4000)
        self.assertEqual(len(opened_all(made.data)), 2)

    def test_a_damaged_second_one_is_no_result(self) -> None:
        data = bytearray(STEREO)
        start = STEREO.rindex(b"\xff\xda")
        del data[start + 20 :]
        self.assertRaises(PictureError, process, bytes(data), "grayscale")


class GainMapTests(TestCase):
    def test_it_is_resized_in_proportion(self) -> None:
        made = process(ultra_hdr(), "resize", {"width": 40})
        found = gain_of(made.data)
        assert found is not None
        self.assertEqual((found.size, made.notices), ((10, 8), ()))
        self.assertIn(b'hdrgm:GainMapMax="2.0"', found.info["xmp"])

    def test_lengths_and_places_are_right(self) -> None:
        said = said_by_exiftool(process(ultra_hdr(), "resize", {"width": 40}).data)
        self.assertEqual(said["MPF0:NumberOfImages"], 2)
        self.assertEqual(said["MPImage1:MPImageType"], 0x030000)
        self.assertEqual(said["XMP-hdrgm:Version"], 1.0)
        first, second = (entry["Item"] for entry in said["XMP-Container:Directory"])
        self.assertEqual(second["Length"], said["MPImage2:MPImageLength"])
        self.assertEqual((first["Semantic"], second["Semantic"]), ("Primary", "GainMap"))

    def test_it_stays_byte_for_byte_where_pixels_keep_their_place(self) -> None:
        before = multipicture.following(ultra_hdr()).gain
        after = multipicture.following(process(ultra_hdr(), "brightness_contrast").data).gain
        self.assertEqual(
            np.asarray(opened(before or b"")).tolist(), np.asarray(opened(after or b"")).tolist()
        )

    def test_it_is_turned_and_cut_with_the_picture(self) -> None:
        ramp = np.tile(np.arange(0, 240, 12, dtype=np.uint8), (15, 1))
        data = ultra_hdr(PICTURE, ramp)
        for name, params, size in (
            ("flip", {}, (20, 15)),
            ("rotate", {"angle": 90}, (15, 20)),
            ("crop", {"left": 40, "top": 0, "width": 40, "height": 60}, (10, 15)),
        ):
            found = gain_of(process(data, name, params).data)
            assert found is not None, name
            self.assertEqual(found.size, size, name)
            values = np.asarray(found).astype(int)
            if name == "flip":
                self.assertGreater(values[5, 2], values[5, 17])
            elif name == "crop":
                self.assertLess(np.abs(values - ramp[:, 10:].astype(int)).max(), 12)
            else:
                self.assertLess(values[2, 5], values[17, 5])

    def test_it_is_turned_upright_with_the_picture(self) -> None:
        found = gain_of(process(ultra_hdr(PICTURE, None, app1_exif(exif({274: short(6)}))), "sepia").data)
        assert found is not None
        self.assertEqual(found.size, (15, 20))

    def test_where_it_goes_nothing_claims_it(self) -> None:
        for name, output in (("blur", {}), ("convert", {"format": "PNG"}), ("sepia", {"metadata": "strip"})):
            made = process(ultra_hdr(), name, output=output)
            for claim in (b"hdrgm", b"GainMap", b"MPF\0"):
                self.assertNotIn(claim, made.data, name)
            self.assertIn("gain map", made.notices[0])

    def test_a_map_of_colours_goes_with_them(self) -> None:
        made = process(ultra_hdr(PICTURE, natural(15, 20)), "grayscale")
        self.assertNotIn(b"hdrgm", made.data)
        self.assertIn("gain map", made.notices[0])

    def test_without_the_place(self) -> None:
        made = process(ultra_hdr(), "sepia", output={"metadata": "strip-location"})
        self.assertIsNotNone(gain_of(made.data))

    def test_one_that_iso_describes(self) -> None:
        iso = b"\xff\xe2" + struct.pack(">H", 2 + 28 + 4) + b"urn:iso:std:iso:ts:21496:-1\0" + bytes(4)
        data = several([iso], [photograph(iso, array=natural(15, 20, 1)[..., 0])])
        kept = process(data, "resize", {"width": 40})
        self.assertEqual(kept.data.count(b"ts:21496"), 2)
        self.assertEqual(process(data, "blur").data.count(b"ts:21496"), 0)


class RestTests(TestCase):
    def test_previews_go_without_a_word_and_other_pictures_with_one(self) -> None:
        small = photograph(array=natural(15, 20))
        for kind, words in ((0x010001, 0), (0, 1)):
            made = process(several([], [small], kind=kind), "blur")
            self.assertEqual((len(made.notices), made.data.count(b"\xff\xd8\xff")), (words, 1))

    def test_bytes_at_the_end_are_told(self) -> None:
        made = process(photograph() + b"of some program " * 20, "blur")
        self.assertEqual(made.notices, ("What follows the picture in its file was left out: 320 bytes.",))
        self.assertEqual(process(photograph() + b"\0" * 500 + b"\r\n", "blur").notices, ())

    def test_parts_of_a_program_are_told(self) -> None:
        flir = b"\xff\xe1\0\x0dFLIR\0\1\1\0\0\0\0"
        made = process(photograph(flir, b"\xff\xeb\0\x0aJP\0\1\0\0\0\1"), "blur")
        self.assertEqual(len(made.notices), 2)
        self.assertIn("C2PA", made.notices[1])

    def test_an_index_that_points_anywhere(self) -> None:
        said = app1_xmp(packet(GAIN))
        for place in (1, 7, 2**31, 2**32 - 1):
            data = bytearray(several([said], [photograph(array=OTHER)]))
            at = data.index(b"MPF\0") + 4 + 8 + 2 + 36 + 4 + 16
            struct.pack_into("<I", data, at + 8, place)
            made = process(bytes(data), "invert")
            self.assertEqual(len(opened_all(made.data)), 1)
            self.assertIn(len(made.notices), (1, 2))

    def test_an_index_behind_the_header_of_the_picture(self) -> None:
        """Those who read headers do not see it, and so what it names is not reckoned with."""
        second = photograph(array=OTHER)
        data = several([], [second], kind=0x020002)
        start = data.index(b"\xff\xe2")
        end = start + 2 + int.from_bytes(data[start + 2 : start + 4])
        scan = data.index(b"\xff\xda")
        moved = data[:start] + data[end:scan] + data[start:end] + data[scan:]
        self.assertEqual(probe(moved).frames, 1)
        made = process(moved, "invert")
        self.assertEqual(len(opened_all(made.data)), 1)
        self.assertTrue(made.notices)

    def test_a_picture_right_behind_is_told(self) -> None:
        made = process(photograph() + photograph(array=OTHER), "invert")
        self.assertEqual(made.notices, ("A further picture in the file was left out.",))
