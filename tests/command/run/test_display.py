"""What a run shows while it goes on."""

from __future__ import annotations

from typing import Any

from attrs import define, field
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dpip.client import Counts
from dpip.command.run.display import Beside, RunDisplay
from dpip.command.run.options import ExecutorOptions
from dpip.command.saved_logins import Login


@define(eq=False)
class ShownStage:
    """Keeps the last words with how far it is."""

    shown: tuple[str, int, int | None] = ("", 0, None)
    said: list[str] = field(factory=list)

    def show(self, words: str, done: int = 0, total: int | None = None) -> None:
        self.shown = (words, done, total)

    def say(self, words: str) -> None:
        self.said.append(words)

    def finish(self, words: str) -> None:
        self.said.append(words)


@define(eq=False)
class ShownStages:
    stages: dict[str, ShownStage] = field(factory=dict)

    def begin(self, name: str, words: str, total: int | None = None) -> ShownStage:
        return self.stages.setdefault(name, ShownStage())

    def __enter__(self) -> ShownStages:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to do."""


@define(eq=False)
class ShownWork:
    """An executor, as far as a display sees it."""

    counts: Counts
    changed: Any = None
    engine: str = ""
    workload_ids: tuple[str, ...] = ()

    async def run(self) -> None:
        raise NotImplementedError


class DisplayTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock, self.stages, self.line = Clock(), ShownStages(), ShownStage()
        self.beside = Beside()
        self.display = RunDisplay(
            self.stages,  # type: ignore[arg-type]
            "blur",
            ExecutorOptions(Login("http://127.0.0.1:1")),
            now=self.clock.seconds,
            lines=lambda: self.line,
            beside=lambda: self.beside,
        )
        self.work = ShownWork(Counts())
        self.display.begin(self.work)

    def show(self, **counts: int) -> tuple[str, ...]:
        for name, value in counts.items():
            setattr(self.work.counts, name, value)
        self.work.changed()
        return tuple(self.stages.stages[name].shown[0] for name in ("upload", "filter", "save"))

    def test_how_far_of_how_many_and_what_is_skipped_beside_it(self) -> None:
        self.clock.advance(10)
        self.display.expect(306)
        self.beside = Beside(skipped=5)
        upload, filtering, saving = self.show(uploaded=200, filtered=162, done=150, running=2, waiting=36)
        self.assertEqual(upload, "200 of 306 uploaded")
        self.assertEqual(filtering, "162 of 306, 2 running, 36 waiting, 5 skipped")
        self.assertEqual(saving, "150 saved, 15 images/s, 0:10 left")
        self.assertEqual(self.line.shown[0], "150 of 306, 2 running, 5 skipped, 15 images/s, 0:10 left")

    def test_the_bar_of_uploads_ends_where_one_is_refused(self) -> None:
        self.display.expect(307)
        upload, *_ = self.show(uploaded=306, refused=1, failed=1)
        self.assertEqual(upload, "306 of 307 uploaded, 1 refused")
        self.assertEqual(self.stages.stages["upload"].shown[1:], (307, 307))

    def test_each_resumed_run_has_the_same_total(self) -> None:
        for earlier in (0, 40, 100):
            self.beside = Beside(earlier=earlier)
            self.display.expect(306)
            self.show(filtered=10, done=10)
            self.assertEqual(self.stages.stages["save"].shown[1:], (earlier + 10, 306))

    def test_nothing_done_has_no_rate_and_what_stands_still_no_time_left(self) -> None:
        self.clock.advance(10)
        self.display.expect(306)
        self.assertEqual(self.show(failed=3, running=1)[2], "0 saved, 16:50 left")
        self.display.stalled("No worker has joined")
        self.display.stalled("No worker has joined")
        self.assertEqual(self.show(done=5, running=0, waiting=4)[2], "5 saved; No worker has joined")
        self.assertEqual(self.line.said, ["No worker has joined"])
        self.display.stalled("")
        self.assertIn("left", self.show()[2])
