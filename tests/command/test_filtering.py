"""One workload against the real API, with the test as its worker."""

from __future__ import annotations

import tempfile
from io import BytesIO
from pathlib import Path

import click
from PIL import Image as Pillow
from twisted.internet.task import deferLater

from dpip.api.app import make_site
from dpip.client import gather_bounded
from dpip.command.filtering import Filtering, Timing
from dpip.filters import registry
from dpip.ids import IdSource
from dpip.model import ImageType, LeasedJob
from dpip.testing import MemoryController, PlainImageStore
from tests.client.server import ServedTestCase, reactor
from tests.frames import encoded

FILES = 9


class Told:
    """A stage that keeps what it is told."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.done: list[int] = []

    def show(self, words: str, done: int = 0) -> None:
        self.words.append(words)
        self.done.append(done)

    def say(self, words: str) -> None:
        self.words.append(words)

    def finish(self, words: str) -> None:
        self.words.append(words)


class FilteringTests(ServedTestCase):
    async def setUp(self) -> None:
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory(prefix="dpip-test-")))
        (self.folder / "store").mkdir()
        ids = IdSource()
        self.store = PlainImageStore(str(self.folder / "store"))
        self.controller = MemoryController(lambda: 1_800_000_000.0, ids, self.store)
        self.client = self.serve(make_site(self.controller, self.store, registry, ids, reactor))
        await self.client.login("admin", "password")
        self.files = [self.folder / f"{number}.png" for number in range(FILES)]
        for number, path in enumerate(self.files):
            path.write_bytes(encoded(number, 64, 48))
        self.results = [self.folder / f"result-{number}.png" for number in range(FILES)]
        self.stage = Told()
        seconds = iter(range(10_000))
        self.filtering = Filtering(
            self.client, self.clock, lambda: next(seconds), self.stage, "grayscale", {}, self.files
        )

    async def work(self, failing: str = "") -> None:
        """Take jobs as they come, until all files have ended."""
        token = self.controller.join_worker("w")
        worker = await self.controller.authenticate(token)
        for _ in range(FILES):
            while (job := self.controller.lease("w")) is None:
                await deferLater(reactor, 0)
            if job.original.file.name == failing:
                self.controller.fail_job(job.lease, "corrupt-picture", "It is cut short.")
            else:
                file = await self.store.keep(
                    self.gray(job), job.workload_id, ImageType.FILTERED, job.result_id, 10**9
                )
                await self.controller.commit_result(worker, job.lease, file)

    def gray(self, job: LeasedJob) -> object:
        data = BytesIO()
        with Pillow.open(self.store.absolute(job.original.file.path)) as picture:
            picture.convert("L").save(data, "PNG")
        incoming = self.store.incoming()
        incoming.write(data.getvalue())
        return incoming

    async def test_each_file_has_its_own_result(self) -> None:
        timing, _ = await gather_bounded(
            2, lambda work: work(), (lambda: self.filtering.run(self.results), self.work)
        )
        assert isinstance(timing, Timing)
        self.assertEqual((timing.name, timing.images), ("grayscale", FILES))
        for file, result in zip(self.files, self.results, strict=True):
            with Pillow.open(file) as before, Pillow.open(result) as after:
                self.assertEqual(after.tobytes(), before.convert("L").tobytes())
        self.assertEqual(self.stage.done, sorted(self.stage.done))
        self.assertIn(f"{FILES} uploaded", self.stage.words[-2])
        self.assertIn(f"{FILES} images in", self.stage.words[-1])

    async def test_a_failed_image_is_named_with_its_reason(self) -> None:
        async def run() -> None:
            error = await self.refusal(click.ClickException, self.filtering.run(self.results))
            self.assertEqual(
                error.message, f"1 of {FILES} images could not be filtered. 4.png: It is cut short."
            )

        await gather_bounded(2, lambda work: work(), (run, lambda: self.work(failing="4.png")))


class TimingTests(ServedTestCase):
    def test_words(self) -> None:
        self.assertEqual(str(Timing("blur", 48, 0.5)), "blur       48 images in 0.50 s, 96 images/s")
