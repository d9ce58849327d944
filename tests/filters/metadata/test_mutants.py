"""Hostile bytes in metadata: whatever they are, there is a result, or a refusal in words, in bounded time."""

from __future__ import annotations

import contextlib
import random
import zlib

from twisted.trial.unittest import TestCase

from dpip import errors
from dpip.filters import codec, process
from dpip.filters.metadata import exif, jpeg, multipicture, photoshop, xmp
from dpip.filters.metadata.parts import Change
from dpip.filters.metadata.png import chunks, read
from tests.filters.metadata import files
from tests.filters.metadata.files import PICTURE, app1_exif, app1_xmp, app13, data_set, packet, resource
from tests.filters.pictures import saved

EXIF = files.exif(
    {274: files.short(6)},
    {37500: files.raw(bytes(300)), 37396: files.short(4, 5, 6), 40962: files.long(80)},
    saved(PICTURE[::4, ::4], "JPEG"),
)
XMP = packet(
    files.GAIN + ' xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"',
    files.container(files.item("Primary"), files.item("GainMap", 9)),
)
RESOURCES = resource(1028, data_set(90, b"Wien") + data_set(80, b"Jane")) + resource(1036, b"a face")
_BYTES = (0, 1, 2, 4, 8, 0x7F, 0x80, 0xFE, 0xFF)


def mutant(data: bytes, chance: random.Random) -> bytes:
    """A few bytes replaced, a stretch left out or doubled, or the end cut off."""
    made = bytearray(data)
    for _ in range(chance.randrange(1, 6)):
        at = chance.randrange(len(made))
        way = chance.randrange(8)
        if way == 0:
            del made[at : at + chance.randrange(1, 40)]
        elif way == 1:
            made[at:at] = made[at : at + chance.randrange(1, 40)]
        elif way == 2 and chance.random() < 0.2:
            del made[at:]
        else:
            made[at] = chance.choice((*_BYTES, chance.randrange(256)))
        if not made:
            return b"\0"
    return bytes(made)


class MutantTests(TestCase):
    def mutants(self, data: bytes, count: int) -> list[bytes]:
        chance = random.Random(len(data))
        return [mutant(data, chance) for _ in range(count)]

    def test_exif(self) -> None:
        change = Change((60, 80), (30, 40), "scaled", 6)
        for data in self.mutants(EXIF, 1500):
            found, layout = exif.parsed(data)
            fitted = exif.in_srgb(exif.fitted(found, layout, change, []), layout)
            made = exif.written(exif.without_place(fitted, []), layout, [], 65000) or b""
            self.assertLess(len(made), 66_000)
            exif.is_adobe_rgb(data)
            self.assertIn(exif.orientation(data, None), range(1, 9))
            self.assertEqual(exif.written(*exif.parsed(made), []) or b"", made)  # what we write is stable

    def test_xmp(self) -> None:
        change = Change((60, 80), (30, 40), "cut", 6, maps=False)
        for data in self.mutants(XMP, 1500):
            with contextlib.suppress(xmp.DamagedXmp):
                made = xmp.fitted(xmp.in_utf8(data), change, [], gain=False)
                for edit in (xmp.without_place, xmp.of_rights, xmp.in_srgb):
                    edit(made)  # what we made is whole: it raises nothing
                xmp.with_gain_map_length(xmp.with_extension(made, None), 5)

    def test_photoshop_and_iptc(self) -> None:
        for data in self.mutants(RESOURCES, 1500):
            made = photoshop.fitted(data, Change((6, 8), (3, 4), "cut"), []) or b""
            for edited in (photoshop.without_place(made) or b"", photoshop.of_rights(made) or b""):
                self.assertLessEqual(len(edited), len(data) + 2)

    def test_raw_profiles_of_a_png(self) -> None:
        raw = b"\nexif\n%8d\n%s" % (len(EXIF), EXIF.hex().encode())
        parts = [(b"tEXt", b"Raw profile type exif\0" + raw), (b"pHYs", bytes(9)), (b"cICP", b"\x09\x10\0\1")]
        self.assertEqual(read(parts)[0].exif, EXIF)
        for data in self.mutants(parts[0][1], 300):
            metadata, _ = read([(b"tEXt", data), (b"iTXt", data), (b"iCCP", data), (b"cHRM", data[:32])])
            list(chunks(metadata))

    def test_whole_files(self) -> None:
        originals = [
            files.ultra_hdr(PICTURE[:32, :40], None, app1_exif(EXIF), app13(RESOURCES)),
            files.several([app1_exif(EXIF)], [files.photograph(array=PICTURE[:16, :24])], PICTURE[:16, :24]),
            files.photograph(app1_xmp(XMP), array=PICTURE[:16, :24]),
        ]
        for original in originals:
            head = original.index(b"\xff\xda")
            for start in self.mutants(original[:head], 120):
                data = start + original[head:]
                with contextlib.suppress(errors.PictureError, errors.NotAnImage):
                    info = codec.probe(data)
                    if info.pixels <= 10**5:
                        made = process(data, "flip", max_pixels=10**5)
                        self.assertLess(len(made.data), 300_000)
                multipicture.following(data)
                jpeg.end(data)

    def test_time_does_not_grow_with_the_square(self) -> None:
        """Runs of spaces, long words, starts of previews, packets and compressed parts without end."""
        change = Change((8, 8), (4, 4), "cut")
        for inner in (
            b"<a" + b" " * 300_000 + b"/>",
            b"<" + b"a" * 300_000 + b" b='" + b" " * 300_000 + b"'/>",
            b"<a %s/>" % b" ".join(b"b%d='>'" % number for number in range(20_000)),
            b"<a>" + b"<b/>" * 15_000 + b"</a>",
        ):
            xmp.fitted(inner, change, [], gain=False)
        blanked = exif.blanked(b"\xff\xd8\xff\xe0" * 250_000)
        self.assertEqual(blanked.count(b"\0"), 10**6)
        head = b"http://ns.adobe.com/xmp/extension/\0"
        many = [(0xE1, head + b"%032d" % number + bytes(8) + b"x") for number in range(20_000)]
        self.assertIsNone(jpeg.read([(0xE1, jpeg.XMP + bytes(60_000)), *many])[0].extended_xmp)
        bomb = zlib.compress(bytes(1 << 20))[:-9]
        self.assertIsNotNone(read([(b"iCCP", b"p\0\0" + bomb)] * 400)[0])

    def test_a_file_of_many_starts_takes_no_time_for_each(self) -> None:
        """Places in an index may all name the same long stretch."""
        inner = b"\xff\xd8" + b"\xff\xe1\0\x02" * 2000
        entries = [(0, 10**6, place) for place in range(8, 9000, 4)]
        data = files.photograph(files.index(*entries[:2000])) + inner * 20
        made = process(data, "invert")
        self.assertLessEqual(len(made.notices), 4)
