"""POST /images by workers."""

from __future__ import annotations

import hashlib
import json

from attrs import evolve

from dpip.model import LeasedJob
from tests.api.fixture import ApiTest, Form, picture, result_form


class ResultTests(ApiTest):
    async def leased(self, worker: str = "w") -> LeasedJob:
        """A job of a new workload, held by this worker."""
        self.workload = await self.new_workload()
        await self.upload(self.workload, picture(), "holiday.png")
        self.token = self.controller.join_worker(worker)
        job = self.controller.lease(worker)
        assert job is not None
        return job

    async def send(self, form: Form, token: str | None = None):
        return await self.send_multipart("POST", "/images", token or self.token, form)

    async def test_the_upload_is_the_completion(self) -> None:
        job = await self.leased()
        response = await self.send(result_form(job.lease, picture(shade=7)))
        self.assertEqual(response.status, 201)
        made = response.json()
        self.assertEqual((made["image_id"], made["type"], made["seq"]), (job.result_id, "filtered", 0))
        self.assertEqual(made["workload_id"], self.workload)
        self.assertEqual(made["name"], "holiday.png")
        shown = (await self.get(f"/workloads/{self.workload}", self.user)).json()
        self.assertEqual((shown["status"], shown["filtered_images"]), ("completed", [job.result_id]))
        got = await self.get(f"/images/{job.result_id}", self.user)
        self.assertEqual(got.body, picture(shade=7))
        self.assert_nothing_left()

    async def test_what_the_result_lacks_is_told_within_bounds(self) -> None:
        job = await self.leased()
        said = ["Spot colours were dropped.", "two\nlines\x1b[2J", "x" * 5000, *map(str, range(20))]
        form = result_form(job.lease, picture(shade=7)).field("notices", json.dumps(said))
        self.assertEqual((await self.send(form)).status, 201)
        (shown,) = (await self.get(f"/images?workload_id={self.workload}", self.user)).json()
        kept = ["Spot colours were dropped.", "two lines [2J", "x" * 300, *map(str, range(5))]
        self.assertEqual(shown["notices"], kept)
        got = await self.get(f"/images/{job.result_id}", self.user)
        self.assertEqual(json.loads(got.headers["dpip-notices"]), kept)

    async def test_long_notices_do_not_make_a_header_that_proxies_refuse(self) -> None:
        job = await self.leased()
        said = [str(number) + "\N{SNOWMAN}" * 299 for number in range(8)]
        form = result_form(job.lease, picture(shade=7)).field("notices", json.dumps(said))
        self.assertEqual((await self.send(form)).status, 201)
        header = (await self.get(f"/images/{job.result_id}", self.user)).headers["dpip-notices"]
        self.assertLess(len(header), 4000)
        self.assertEqual(json.loads(header), [said[0], "The image's record has 7 more."])

    async def test_the_fields_may_come_in_the_query(self) -> None:
        lease, data = (await self.leased()).lease, picture(shade=7)
        digest = hashlib.sha256(data).hexdigest()
        query = f"type=filtered&job={lease.job}&attempt={lease.attempt}&nonce={lease.nonce}&sha256={digest}"
        form = Form().file("data", "result", data)
        response = await self.send_multipart("POST", f"/images?{query}", self.token, form)
        self.assertEqual(response.status, 201)

    async def test_the_worker_reads_its_original_and_nothing_else(self) -> None:
        job = await self.leased()
        other = (await self.upload(self.workload, picture(shade=1))).json()["image_id"]
        self.assertEqual((await self.get(f"/images/{job.original.id}", self.token)).body, picture())
        self.assert_problem(await self.get(f"/images/{other}", self.token), 404, "not-found")

    async def test_bytes_that_changed_on_the_way(self) -> None:
        job = await self.leased()
        response = await self.send(result_form(job.lease, picture(), sha256="0" * 64))
        self.assertEqual(self.assert_problem(response, 422, "wrong-hash")["parameter"], "sha256")
        self.assertEqual([facts[1] for facts in self.calls("accuse")], [job.lease])
        self.assertEqual(self.calls("commit_results"), [])
        self.assert_nothing_left()

    async def test_a_stale_lease_changes_nothing(self) -> None:
        job = await self.leased()
        self.controller.requeue(job.lease)
        self.assert_problem(await self.send(result_form(job.lease, picture())), 409, "stale-lease")
        again = self.controller.lease("w")
        assert again is not None
        self.assert_problem(await self.send(result_form(job.lease, picture())), 409, "stale-lease")
        self.assertEqual((await self.send(result_form(again.lease, picture()))).status, 201)
        self.assert_nothing_left()

    async def test_another_workers_lease_is_of_no_use(self) -> None:
        job = await self.leased()
        thief = self.controller.join_worker("thief")
        self.assert_problem(await self.send(result_form(job.lease, picture()), thief), 409, "stale-lease")

    async def test_a_guessed_nonce_is_of_no_use(self) -> None:
        job = await self.leased()
        guess = evolve(job.lease, nonce="guess")
        self.assert_problem(await self.send(result_form(guess, picture())), 409, "stale-lease")

    async def test_a_lease_that_is_lost_while_the_file_is_stored(self) -> None:
        job = await self.leased()
        keep = self.store.keep_many

        def lose_then_keep(*arguments):
            self.controller.requeue(job.lease)
            return keep(*arguments)

        self.store.keep_many = lose_then_keep
        self.assert_problem(await self.send(result_form(job.lease, picture())), 409, "stale-lease")

    async def test_fields_that_are_missing_or_wrong(self) -> None:
        job = await self.leased()
        for wrong in ({"job": "x"}, {"attempt": "-1"}, {"nonce": ""}, {"sha256": ""}, {"job": "9" * 40}):
            fields = {
                "type": "filtered", "job": "1", "attempt": "1", "nonce": "n", "sha256": "s", **wrong
            }  # fmt: skip
            form = Form().file("data", "r.png", picture())
            for name, value in fields.items():
                form.field(name, value)
            self.assert_problem(await self.send(form), 422, "bad-parameter")
        two = result_form(job.lease, picture()).file("more", "r.png", picture())
        self.assert_problem(await self.send(two), 422, "bad-parameter")
        self.assert_nothing_left()

    async def test_a_worker_uploads_no_originals(self) -> None:
        await self.leased()
        form = Form().field("workload_id", self.workload).file("data", "a.png", picture())
        self.assert_problem(await self.send(form), 403, "forbidden")
