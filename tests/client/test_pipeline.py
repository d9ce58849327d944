"""Many pictures against the real API, with the test as its worker."""

from __future__ import annotations

import tempfile
from io import BytesIO
from pathlib import Path

from attrs import define, field
from PIL import Image as Pillow
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater

from dpip.api.app import make_site
from dpip.client import ApiError, Conveyor, Damaged, Image, Item, Parcel, Result, UploadPipeline, Workload
from dpip.filters import registry
from dpip.model import ImageType
from dpip.runtime.ids import IdSource
from dpip.testing import MemoryController, inline_image_store
from tests.client.server import ServedTestCase, reactor
from tests.frames import encoded


@define(eq=False)
class Told:
    """A sender of given items that keeps what it is told, and how many items were under way at most."""

    items: list[Item]
    places: dict[str, tuple[str, int]] = field(factory=dict)
    results: dict[str, bytes] = field(factory=dict)
    failures: dict[str, str] = field(factory=dict)
    damaged: set[str] = field(factory=set)
    most: int = 0
    open: int = 0

    async def next(self) -> Item | None:
        if not self.items:
            return None
        self.open += 1
        self.most = max(self.most, self.open)
        return self.items.pop(0)

    def uploaded(self, item: Item, image: Image) -> None:
        self.places[item.name] = (image.workload_id, image.seq)

    async def arrived(self, item: Item, result: Result) -> None:
        if item.name in self.damaged:
            raise Damaged("It is damaged.")
        self.results[item.name] = await result.read()
        self.open -= 1

    def failed(self, item: Item, code: str, reason: str) -> None:
        self.failures[item.name] = code
        self.open -= 1


class PipelineTestCase(ServedTestCase):
    """The API, with the test as its worker."""

    async def setUp(self) -> None:
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory(prefix="dpip-test-")))
        ids = IdSource()
        self.store = inline_image_store(self.folder / "store")
        self.controller = MemoryController(lambda: 1_800_000_000.0, ids, self.store)
        self.client = self.serve(make_site(self.controller, self.store, registry, ids, reactor))
        await self.client.login("admin", "password")
        self.over = False

    async def work(self, failing: str) -> None:
        worker = await self.controller.authenticate(self.controller.join_worker("w"))
        while not self.over:
            job = self.controller.lease("w")
            if job is None:
                await deferLater(reactor, 0.01)
            elif job.original.file.name == failing:
                self.controller.fail_job(job.lease, "corrupt-picture", "It is cut short.")
            else:
                incoming, data = self.store.incoming(), BytesIO()
                with Pillow.open(self.store.absolute(job.original.file.path)) as picture:
                    picture.convert("L").save(data, "PNG")
                incoming.write(data.getvalue())
                file = await self.store.keep(
                    incoming, job.workload_id, ImageType.FILTERED, job.result_id, 10**9
                )
                await self.controller.commit_results(worker, [(job.lease, file)])


@define(eq=False)
class SlowServer:
    """A client whose server takes ``seconds`` for its first answer; the images are filtered in the third."""

    clock: Clock
    seconds: float
    asked: list[float] = field(factory=list)

    async def upload(self, workload_id: str, source: object, name: str, key: str) -> Image:
        return Image("i", workload_id, "original", 0, name)

    async def workload(self, workload_id: str) -> Workload:
        self.asked.append(self.clock.seconds())
        await deferLater(self.clock, self.seconds if len(self.asked) == 1 else 0.01)
        return Workload(
            workload_id, "", "running", accepted=1, filtered_images=("0",) if len(self.asked) > 2 else ()
        )

    async def download(self, place: str, workload_id: str) -> bytes:
        return b"filtered"


@define
class IdleServer(SlowServer):
    """A client whose server has no worker until the time ``seconds``."""

    async def workload(self, workload_id: str) -> Workload:
        self.asked.append(self.clock.seconds())
        done = self.clock.seconds() >= self.seconds
        return Workload(workload_id, "", "running", accepted=1, filtered_images=("0",) if done else ())

    async def why(self, workload_id: str) -> dict[str, list[dict[str, str]]]:
        return {"waiting": [{"why": "No worker has joined"}]}


class UploadPipelineTests(PipelineTestCase):
    def sender(self, count: int) -> Told:
        pictures = {f"{number}.png": encoded(number, 32, 24) for number in range(count)}
        return Told([Item(name, data, name) for name, data in pictures.items()])

    async def filter_all(self, sender: Told, failing: str = "", **options: object) -> UploadPipeline:
        pipeline = UploadPipeline(
            self.client,
            reactor,
            sender,
            lambda: self.client.create_workload(filter="grayscale", numbering="frames"),
            **options,  # type: ignore[arg-type]
        )
        worker = Deferred.fromCoroutine(self.work(failing))
        try:
            await pipeline.run()
        finally:
            self.over = True
            await worker
        return pipeline

    async def workloads_left(self) -> int:
        return len(await self.client._json("GET", "/workloads"))

    async def test_each_picture_comes_back_as_itself(self) -> None:
        sender = self.sender(11)
        originals = {item.name: item.source for item in sender.items}
        pipeline = await self.filter_all(sender)
        self.assertEqual(sender.results.keys(), originals.keys())
        for name, original in originals.items():
            with (
                Pillow.open(BytesIO(original)) as before,
                Pillow.open(BytesIO(sender.results[name])) as after,
            ):  # type: ignore[arg-type]
                self.assertEqual(after.tobytes(), before.convert("L").tobytes())
        self.assertEqual((pipeline.counts.uploaded, pipeline.counts.done), (11, 11))
        self.assertEqual(await self.workloads_left(), 1)

    async def test_no_more_than_the_window_is_under_way(self) -> None:
        sender = self.sender(9)
        await self.filter_all(sender, window=3)
        self.assertEqual((len(sender.results), sender.most), (9, 3))

    async def test_in_batches_each_of_which_is_deleted_when_it_is_done(self) -> None:
        sender = self.sender(7)
        pipeline = await self.filter_all(sender, batch=3, delete=True, window=4)
        self.assertEqual((len(sender.results), len(pipeline.workload_ids)), (7, 3))
        self.assertEqual(await self.workloads_left(), 0)

    async def test_no_pictures_make_no_workload(self) -> None:
        pipeline = await self.filter_all(self.sender(0))
        self.assertEqual((pipeline.workload_ids, await self.workloads_left()), ([], 0))

    async def test_what_cannot_be_read_or_sent_or_filtered_or_fetched_fails_alone(self) -> None:
        sender = self.sender(4)
        sender.items[1:1] = [
            Item("text", b"This is no image.", "t"),
            Item("gone", self.folder / "gone.png", "g"),
        ]
        sender.damaged.add("2.png")
        pipeline = await self.filter_all(sender, failing="3.png")
        self.assertEqual(sorted(sender.results), ["0.png", "1.png"])
        self.assertEqual(
            sender.failures,
            {"text": "not-an-image", "gone": "unreadable", "2.png": "damaged", "3.png": "corrupt-picture"},
        )
        self.assertEqual((pipeline.counts.done, pipeline.counts.failed), (2, 4))

    async def test_uploads_of_an_earlier_run_are_not_repeated(self) -> None:
        workload = await self.client.create_workload(filter="grayscale", numbering="frames")
        known = await self.client.upload(workload.workload_id, encoded(1, 32, 24), "known.png")
        sender = self.sender(2)
        sender.items[0:0] = [
            Item("known.png", b"never sent", "k", (workload.workload_id, known.seq)),
            Item("lost.png", encoded(5, 32, 24), "l", ("01aaaaaaaaaaaaaaaaaaaaaaaa", 0)),
        ]
        pipeline = await self.filter_all(sender, concurrency=1)
        self.assertEqual(sorted(sender.results), ["0.png", "1.png", "known.png", "lost.png"])
        self.assertEqual(sorted(sender.places), ["0.png", "1.png", "lost.png"])
        self.assertEqual({where for where, _ in sender.places.values()}, {workload.workload_id})
        self.assertEqual(pipeline.workload_ids, [workload.workload_id])

    async def test_what_will_not_get_better_ends_it(self) -> None:
        sender = self.sender(30)
        self.client._transport.token = "dead"
        error = await self.refusal(ApiError, self.filter_all(sender))
        self.assertEqual(error.status, 401)

    def test_a_pause_of_the_server_makes_none_of_the_clients(self) -> None:
        clock = Clock()
        server = SlowServer(clock, seconds=12)
        sender = Told([Item("a.png", b"a picture", "a")])

        async def make_workload() -> Workload:
            return Workload("w", "", "scheduling")

        pipeline = UploadPipeline(server, clock, sender, make_workload)  # type: ignore[arg-type]
        running = Deferred.fromCoroutine(pipeline.run())
        clock.pump([0.01] * 1500)
        self.successResultOf(running)
        self.assertEqual(sender.results, {"a.png": b"filtered"})
        self.assertLess(server.asked[1] - 12, 1.2)

    def test_what_stands_still_is_told_with_the_reason(self) -> None:
        clock = Clock()
        server, said = IdleServer(clock, seconds=10), []
        sender = Told([Item("a.png", b"a picture", "a")])

        async def make_workload() -> Workload:
            return Workload("w", "", "scheduling")

        pipeline = UploadPipeline(server, clock, sender, make_workload, stalled=said.append)  # type: ignore[arg-type]
        running = Deferred.fromCoroutine(pipeline.run())
        clock.pump([0.05] * 40)
        self.assertNotIn("No worker has joined", said)
        clock.pump([0.05] * 180)
        self.successResultOf(running)
        self.assertEqual(set(said), {"No worker has joined", ""})
        self.assertEqual(said[-1], "")

    def test_programs_of_last_week_know_it_by_other_names(self) -> None:
        sender = Told([])
        before = Conveyor(self.client, reactor, sender, self.client.create_workload, hands=2, window=3)
        self.assertIsInstance(before, UploadPipeline)
        self.assertEqual((before.concurrency, before.window), (2, 3))
        self.assertIs(Parcel, Item)
