"""The client and the real API, over loopback; the controller behind it is the one in memory."""

from __future__ import annotations

import inspect
import os
import textwrap
from io import BytesIO
from typing import Any

from PIL import Image as Pillow
from twisted.internet import task
from twisted.internet.defer import Deferred

import dpip.client
from dpip.api.app import make_site
from dpip.client import ApiError
from dpip.client import client as client_module
from dpip.filters import registry
from dpip.model import ImageType
from dpip.runtime.ids import IdSource
from dpip.testing import MemoryController, inline_image_store
from tests.client.server import ServedTestCase, reactor, temporary_folder
from tests.frames import encoded


class ApiTests(ServedTestCase):
    def setUp(self) -> None:
        self.folder = temporary_folder(self)
        ids = IdSource()
        self.store = inline_image_store(self.folder)
        self.controller = MemoryController(lambda: 1_800_000_000.0, ids, self.store)
        self.client = self.serve(make_site(self.controller, self.store, registry, ids, reactor))

    async def login(self) -> None:
        await self.client.login("admin", "password")

    async def filter_all(self) -> None:
        """Play the worker: every waiting image is turned gray."""
        self.controller.join_worker("w")
        while (job := self.controller.lease("w")) is not None:
            incoming = self.store.incoming()
            file = BytesIO()
            original = self.store.absolute(job.original.file.path)
            Pillow.open(original).convert("L").save(file, "PNG")
            incoming.write(file.getvalue())
            kept = await self.store.keep(incoming, job.workload_id, ImageType.FILTERED, job.result_id, 10**9)
            worker = await self.controller.authenticate(self.controller.join_worker("w"))
            await self.controller.commit_results(worker, [(job.lease, kept)])

    async def test_the_whole_way(self) -> None:
        await self.login()
        status = await self.client.status()
        self.assertEqual((status["system_name"], status["active_workloads"]), ("DPIP", []))
        workload = await self.client.create_workload(filter="grayscale", name="six", output={"format": "PNG"})
        files = [(f"{n}.png", encoded(n, 64, 48)) for n in range(6)]
        originals = await self.client.upload_many(workload.workload_id, files)
        self.assertEqual([image.name for image in originals], [name for name, _ in files])
        self.assertEqual(sorted(image.seq for image in originals), list(range(6)))
        await self.filter_all()
        done = await self.client.wait(workload.workload_id)
        self.assertEqual((done.accepted, done.filtered, len(done.filtered_images)), (6, 6, 6))
        to = self.folder / "results"
        to.mkdir()
        await self.client.download_many((image, to / f"{image}.png") for image in done.filtered_images)
        results = await self.client.images(workload.workload_id)
        for original, (_, data) in zip(originals, files, strict=True):
            result = Pillow.open(to / f"{results[original.seq].image_id}.png")
            self.assertEqual(result.tobytes(), Pillow.open(BytesIO(data)).convert("L").tobytes())
        await self.client.delete_workload(workload.workload_id)
        await self.client.logout()
        error = await self.refusal(ApiError, self.client.status())
        self.assertEqual(error.status, 401)

    async def test_the_example_in_the_documentation_runs(self) -> None:
        lines = inspect.cleandoc(dpip.client.__doc__ or "").splitlines()
        example = "\n".join(line for line in lines if not line or line.startswith("    "))
        code = textwrap.dedent(example).replace("http://127.0.0.1:8080", self.url)
        code = code.replace("the password", "password")
        names: dict[str, Any] = {}
        mains: list[Any] = []
        self.patch(task, "react", mains.append)
        exec(code, names)
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(self.folder)
        for name in ("cat.jpg", "dog.jpg"):
            (self.folder / name).write_bytes(encoded(len(name), 64, 48, "JPEG"))
        running = Deferred.fromCoroutine(mains[0](reactor))
        while len(list(self.folder.glob("*.jpg"))) < 4:
            self.assertFalse(running.called, running)
            await task.deferLater(reactor, 0)
            await self.filter_all()
        await running

    async def test_a_repeated_key_adds_one_image(self) -> None:
        await self.login()
        workload = await self.client.create_workload()
        first = await self.client.upload(workload.workload_id, encoded(1, 64, 48), key="k")
        second = await self.client.upload(workload.workload_id, encoded(1, 64, 48), key="k")
        self.assertEqual(first, second)
        self.assertEqual((await self.client.workload(workload.workload_id)).accepted, 1)

    async def test_frames_are_downloaded_by_their_number(self) -> None:
        await self.login()
        workload = await self.client.create_workload(numbering="frames")
        await self.client.upload(workload.workload_id, encoded(0, 64, 48))
        await self.filter_all()
        done = await self.client.wait(workload.workload_id)
        self.assertEqual(done.filtered_images, ("0",))
        data = await self.client.download("0", workload_id=workload.workload_id)
        assert data is not None
        self.assertEqual(Pillow.open(BytesIO(data)).mode, "L")

    async def test_images_come_in_pages(self) -> None:
        await self.login()
        self.patch(client_module, "_PAGE", 2)
        workload = await self.client.create_workload()
        for n in range(5):
            await self.client.upload(workload.workload_id, encoded(n, 16, 16))
        originals = await self.client.images(workload.workload_id, type="original")
        self.assertEqual([image.seq for image in originals], list(range(5)))

    async def test_refusals_say_what_is_known(self) -> None:
        await self.login()
        error = await self.refusal(ApiError, self.client.create_workload(filter="blurr"))
        self.assertEqual((error.status, error.code), (422, "unknown-filter"))
        self.assertIn("blur", error.members["available"])
        self.assertIn("blurr", str(error))
        names = [facts["name"] for facts in await self.client.filters()]
        self.assertIn("grayscale", names)

    async def test_a_large_upload_refused_at_its_headers(self) -> None:
        await self.login()
        workload = await self.client.create_workload()
        self.controller.max_upload = 1000
        path = self.folder / "large.png"
        path.write_bytes(os.urandom(8_000_000))
        error = await self.refusal(ApiError, self.client.upload(workload.workload_id, path))
        self.assertEqual((error.status, error.code), (413, "too-large"))

    async def test_a_lost_answer_does_not_double_the_image(self) -> None:
        await self.login()
        workload = await self.client.create_workload()
        held = self.controller.hold("commit_originals")
        uploading = Deferred.fromCoroutine(self.client.upload(workload.workload_id, encoded(0, 64, 48)))
        await held.reached
        for connection in list(self.factory.protocols):
            connection.transport.abortConnection()
        held.release()
        image = await uploading
        self.assertEqual(image.seq, 0)
        self.assertEqual((await self.client.workload(workload.workload_id)).accepted, 1)

    async def test_a_workload_is_cancelled_retried_and_sealed(self) -> None:
        await self.login()
        made = await self.client.create_workload("grayscale", "films")
        for number in range(2):
            await self.client.upload(made.workload_id, encoded(number, 8, 6), f"{number}.png")
        cancelled = await self.client.cancel(made.workload_id)
        self.assertEqual((cancelled.completed, cancelled.failed, cancelled.facts["cancelled"]), (True, 2, 2))
        failed = (await self.client.workload(made.workload_id)).failed_images
        self.assertEqual([one.code for one in failed], ["cancelled", "cancelled"])
        one = await self.client.retry(made.workload_id, [failed[1].image_id])
        self.assertEqual((one.failed, one.facts["retried"]), (1, 1))
        self.assertEqual((await self.client.retry(made.workload_id)).facts["retried"], 1)
        await self.filter_all()
        self.assertTrue((await self.client.seal(made.workload_id)).sealed)
        done = await self.client.workload(made.workload_id)
        self.assertEqual((done.completed, done.filtered, done.sealed), (True, 2, True))

    async def test_workloads_are_chosen_by_status_and_name(self) -> None:
        await self.login()
        film, photos = [await self.client.create_workload(name=name) for name in ("film & co", "photos")]
        await self.client.seal(film.workload_id)

        async def ids(**asked: Any) -> list[str]:
            return [each.workload_id for each in await self.client.workloads(**asked)]

        self.assertEqual(await ids(), [photos.workload_id, film.workload_id])
        self.assertEqual(await ids(status="completed"), [film.workload_id])
        self.assertEqual(await ids(status="scheduling,running"), [photos.workload_id])
        self.assertEqual(await ids(name="M & C"), [film.workload_id])
        self.assertEqual(await ids(name="film", status="running"), [])

    async def test_tokens(self) -> None:
        await self.login()
        made = await self.client.add_token("nightly", 30)
        self.assertEqual((made.user, made.name), ("admin", "nightly"))
        self.assertTrue(made.token)
        [named, *_] = await self.client.tokens("admin")
        self.assertEqual((named.token_id, named.token), (made.token_id, ""))
        await self.client.revoke_token(made.token_id)
        self.assertNotIn("nightly", [each.name for each in await self.client.tokens()])
        with self.assertRaises(ApiError) as refused:
            await self.client.revoke_token(made.token_id)
        self.assertEqual(refused.exception.status, 404)

    async def test_users(self) -> None:
        await self.login()
        added = await self.client.add_user("eve", "a long password", quota=1000)
        self.assertEqual((added.user, added.role, added.quota), ("eve", "user", 1000))
        self.assertEqual([user.user for user in await self.client.users()], ["admin", "eve"])
        await self.client.set_password("eve", "another password")
        await self.client.remove_user("eve")
        error = await self.refusal(ApiError, self.client.remove_user("eve"))
        self.assertEqual(error.status, 404)
