"""No bad picture does more than fail, and each says why. The whole corpus: ``python -m tests.corpus``."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from dpip.errors import NotAnImage
from dpip.filters.codec import probe
from dpip.model import Outcome
from tests.corpus import crafted
from tests.corpus.judge import MEMORY, Judge, Report
from tests.corpus.mutants import mutants, truncations
from tests.corpus.valid import files

_MUTANTS = 400
_BETWEEN_CUTS = 1024


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
            ("many_parts_png", "damaged"),
            ("many_pages_tiff", "frames"),
            ("cyclic_tiff", "damaged"),
        ):
            data = crafted.CRAFTED[name]()
            if word is None:
                self.assertGreater(probe(data).pixels, 4_000_000_000)
            else:
                self.assertIn(word, self.assertRaises(NotAnImage, probe, data).detail, name)

    def test_mutants_are_the_same_for_the_same_seed(self) -> None:
        valid = files()
        self.assertEqual(list(mutants(valid, 50, 3)), list(mutants(valid, 50, 3)))
