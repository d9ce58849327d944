"""No bad picture does more than fail, and each says why. The whole corpus: ``python -m tests.corpus``."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterable

import numpy as np
from PIL import Image
from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from dpip.errors import NotAnImage
from dpip.filters.codec import decode, probe
from dpip.model import Outcome
from tests.corpus import crafted, unusual
from tests.corpus.judge import MEMORY, Judge, Report
from tests.corpus.mutants import mutants, truncations
from tests.corpus.valid import files
from tests.filters.pictures import Array

_MUTANTS = 400
_CHANNELS = {2: "LA", 3: "RGB", 4: "RGBA"}
_BETWEEN_CUTS = 1024


def difference(pixels: Array, data: bytes) -> int:
    """The largest, of any channel."""
    image = Image.open(io.BytesIO(data))
    if pixels.dtype == np.uint16:  # of which Pillow keeps gray alone
        gray = pixels if pixels.ndim == 2 else pixels[..., 0]
        return 0 if image.mode != "I;16" else int(np.abs(np.asarray(image).astype(int) - gray).max())
    mode = "L" if pixels.ndim == 2 else _CHANNELS[pixels.shape[2]]
    wanted = np.asarray(image.convert("RGBA").convert(mode) if mode == "LA" else image.convert(mode))
    return int(np.abs(wanted.astype(int) - pixels).max())


class CorpusTests(TestCase):
    timeout = 300

    async def judged(self, pictures: Iterable[tuple[str, bytes]]) -> Report:
        async with Judge(reactor) as judge:
            report = await judge.all(pictures)
        self.assertEqual([(one.name, one.wrong) for one in report.wrong()], [])
        self.assertLess(report.most_memory, 2 * MEMORY)
        return report

    async def test_valid_files_come_back(self) -> None:
        report = await self.judged(files().items())
        self.assertEqual({one.verdict.outcome for one in report.judged}, {Outcome.DONE})

    async def test_unusual_files_come_out_right(self) -> None:
        """As Pillow has them, to a level of rounding."""
        made = unusual.files()
        report = await self.judged(made.items())
        self.assertEqual([one.name for one in report.judged if one.verdict.outcome is not Outcome.DONE], [])
        for name, data in made.items():
            frame, *_ = decode(data, max_pixels=10**6).frames
            self.assertLessEqual(difference(frame.pixels, data), 1, name)

    async def test_crafted_files(self) -> None:
        made = [(name, make()) for name, make in crafted.CRAFTED.items()]
        report = await self.judged(made)
        self.assertEqual(len(report.judged), len(made))

    async def test_truncations_and_mutants(self) -> None:
        valid = files()
        report = await self.judged(
            itertools.chain(truncations(valid, _BETWEEN_CUTS), mutants(valid, _MUTANTS, seed=7))
        )
        outcomes = {one.verdict.outcome for one in report.judged}
        self.assertEqual(outcomes, {Outcome.DONE, Outcome.FAILED})

    def test_endless_files_are_refused_by_their_headers(self) -> None:
        """At upload: nobody computes on them. What bounds the look at them bounds the controller's time."""
        for name, word in (
            ("vast_png", None),
            ("endless_apng", "frames"),
            ("lying_apng", "frames"),
            ("endless_gif", "frames"),
            ("crumbled_gif", "pieces"),
            ("hollow_gif", "pieces"),
            ("far_big_tiff", "damaged"),
            ("far_value_big_tiff", "damaged"),
            ("many_parts_png", "damaged"),
            ("many_pages_tiff", "frames"),
            ("cyclic_tiff", "damaged"),
        ):
            data = crafted.CRAFTED[name]()
            if word is None:
                self.assertGreater(probe(data).pixels, 4_000_000_000)
            else:
                self.assertIn(word, self.assertRaises(NotAnImage, probe, data).detail, name)

    def test_a_frame_that_makes_the_screen_larger_is_counted(self) -> None:
        self.assertGreater(probe(crafted.vast_frame_gif()).pixels, 4_000_000_000)

    def test_strangers_are_called_by_their_names(self) -> None:
        """Also with a name that ends in .png: nobody asks for it."""
        for start, name in (
            (b"8BPS\0\1", "Photoshop"),
            (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
            (b"\0\0\0\x18ftypheic", "HEIC"),
            (b"<svg xmlns=", "SVG"),
            (b"%PDF-1.4", "PDF"),
            (b"%!PS-Adobe-3.0 EPSF-3.0", "PostScript"),
            (b"\xc5\xd0\xd3\xc6", "PostScript"),
            (b"qoif", "QOI"),
            (b"\0\0\0\x18ftypheix\0\0\0\0mif1", "HEIC/HEIF"),
            (b"\0\0\0\x18ftypavis\0\0\0\0mif1", "AVIF"),
            (b"\0\0\0\x18ftypcrx \0\0\0\0mif1", "raw photograph (Canon CR3)"),
            (b"FUJIFILMCCD-RAW 0201", "raw photograph (RAF)"),
            (b"IIU\0\x18\0\0\0", "raw photograph (RW2)"),
            (b"IIRO\x08\0\0\0", "raw photograph (ORF)"),
            (bytes(128) + b"DICM", "DICOM"),
            (b"SIMPLE  =      T", "FITS"),
            (b"\xff\xd8\xff\xf7\0\x0b\x08", "JPEG-LS"),
        ):
            self.assertIn(name, self.assertRaises(NotAnImage, probe, start + bytes(50)).detail)

    def test_mutants_are_the_same_for_the_same_seed(self) -> None:
        valid = files()
        self.assertEqual(list(mutants(valid, 50, 3)), list(mutants(valid, 50, 3)))
