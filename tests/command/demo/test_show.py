"""The demo's film through a filter of the real API, with the test as its worker."""

from __future__ import annotations

import click
from PIL import Image
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from dpip.command.demo.folder import DemoFolder
from dpip.command.demo.show import Filtering, Show
from tests.client import test_pipeline
from tests.client.server import reactor, temporary_folder
from tests.frames import encoded

FRAMES = 9


class StageThatRemembers:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.done: list[int] = []

    def show(self, words: str, done: int = 0, total: int | None = None) -> None:
        self.words.append(words)
        self.done.append(done)

    def say(self, words: str) -> None:
        self.words.append(words)

    def finish(self, words: str) -> None:
        self.words.append(words)


class FilteringTests(test_pipeline.PipelineTestCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.demo = DemoFolder.claim(self.folder / "demo")
        for number in range(FRAMES):
            self.demo.frame("original", number).write_bytes(encoded(number, 64, 48))
        self.stage = StageThatRemembers()

    async def filter(self, failing: str = "") -> str:
        seconds = iter(range(10_000))
        filtering = Filtering(
            self.client, reactor, "grayscale", FRAMES, self.demo, self.stage, lambda: next(seconds)
        )
        worker = Deferred.fromCoroutine(self.work(failing))
        try:
            return await filtering.run()
        finally:
            self.over = True
            await worker

    async def test_each_frame_has_its_own_result(self) -> None:
        timing = await self.filter()
        for number in range(FRAMES):
            with (
                Image.open(self.demo.frame("original", number)) as before,
                Image.open(self.demo.frame("grayscale", number)) as after,
            ):
                self.assertEqual(after.tobytes(), before.convert("L").tobytes())
        self.assertRegex(timing, rf"^{FRAMES} images in \d+\.00 s, \d+ images/s$")
        self.assertEqual(self.stage.words[-1], timing)
        self.assertIn(f"{FRAMES} uploaded, {FRAMES} filtered", self.stage.words[-2])
        self.assertEqual(self.stage.done, sorted(self.stage.done))

    async def test_a_failed_frame_is_named_with_its_reason(self) -> None:
        error = await self.refusal(click.ClickException, self.filter(failing="frame-0004.jpg"))
        self.assertEqual(error.message, "frame-0004.jpg could not be filtered: It is cut short.")


class ShowTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.demo = DemoFolder.claim(temporary_folder(self) / "demo")
        self.show = Show(1, None, self.demo)

    def test_what_the_machine_refused_is_explained_with_the_place_of_the_log(self) -> None:
        error = OSError(28, "No space left on device")
        self.assertEqual(
            self.show.explain(error), f"[Errno 28] No space left on device (The log is {self.demo.log}.)"
        )
        self.assertEqual([failure.value for failure in self.flushLoggedErrors(OSError)], [error])

    def test_a_bug_is_admitted(self) -> None:
        self.assertIn("a fault of DPIP: KeyError('so it is')", self.show.explain(KeyError("so it is")))
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
