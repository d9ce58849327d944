"""GET and DELETE /workloads/{workload_id}."""

from __future__ import annotations

from dpip.model import Eta
from tests.api.fixture import ApiTest, picture


class ShowWorkloadTests(ApiTest):
    async def test_counts_and_lists_grow_as_work_is_done(self) -> None:
        workload = await self.new_workload()
        for shade in range(3):
            await self.upload(workload, picture(shade=shade), f"{shade}.png")
        shown = (await self.get(f"/workloads/{workload}", self.user)).json()
        self.assertEqual(shown["status"], "running")
        self.assertEqual((shown["accepted"], shown["waiting"], shown["running_jobs"]), (3, 3, 0))
        result = await self.finish_job("w", picture())
        self.controller.lease("w")
        shown = (await self.get(f"/workloads/{workload}", self.user)).json()
        self.assertEqual(shown["filtered_images"], [result])
        self.assertEqual((shown["filtered"], shown["waiting"], shown["running_jobs"]), (1, 1, 1))

    async def test_results_are_in_upload_order_and_failures_beside_them(self) -> None:
        workload = await self.new_workload(numbering="frames")
        for shade in range(3):
            await self.upload(workload, picture(shade=shade), f"{shade}.png")
        first, second = self.controller.lease("w"), self.controller.lease("w")
        await self.finish_job("other", picture())
        shown = (await self.get(f"/workloads/{workload}", self.user)).json()
        self.assertEqual(shown["filtered_images"], ["2"])
        self.controller.fail_job(second.lease, "corrupt-picture", "The picture is cut short.")
        self.controller.requeue(first.lease)
        await self.finish_job("other", picture())
        shown = (await self.get(f"/workloads/{workload}", self.user)).json()
        self.assertEqual(shown["filtered_images"], ["0", "2"])
        self.assertEqual(shown["status"], "completed")
        self.assertEqual(shown["finished_at"], "2027-01-15T08:00:00.000Z")
        [failed] = shown["failed_images"]
        self.assertEqual(failed["seq"], 1)
        self.assertEqual(failed["name"], "1.png")
        self.assertEqual(failed["code"], "corrupt-picture")
        self.assertEqual(failed["reason"], "The picture is cut short.")
        self.assertEqual(failed["image_id"], second.original.id)

    async def test_a_further_upload_reopens_it(self) -> None:
        workload = await self.new_workload()
        await self.upload(workload)
        await self.finish_job("w", picture())
        await self.upload(workload)
        shown = (await self.get(f"/workloads/{workload}", self.user)).json()
        self.assertEqual((shown["status"], shown["finished_at"]), ("running", None))

    async def test_polling_costs_no_look_at_the_results_until_something_changes(self) -> None:
        workload = await self.new_workload()
        await self.upload(workload)
        await self.finish_job("w", picture())
        for _ in range(3):
            await self.get(f"/workloads/{workload}", self.user)
        self.assertEqual(len(self.calls("results")), 1)

    async def test_who_has_the_newest_is_not_sent_it_again(self) -> None:
        workload = await self.new_workload()
        etag = (await self.get(f"/workloads/{workload}", self.user)).headers["etag"]
        again = await self.get(f"/workloads/{workload}", self.user, If_None_Match=etag)
        self.assertEqual((again.status, again.body), (304, b""))
        await self.upload(workload)
        changed = await self.get(f"/workloads/{workload}", self.user, If_None_Match=etag)
        self.assertEqual(changed.status, 200)

    async def test_fields_name_what_is_wanted(self) -> None:
        workload = await self.new_workload()
        await self.upload(workload)
        result = await self.finish_job("w", picture())
        path = f"/workloads/{workload}?fields="
        for asked, expected in (
            ("status,filtered", {"status": "completed", "filtered": 1}),
            ("filtered_images", {"filtered_images": [result]}),
            ("failed_images,accepted", {"accepted": 1, "failed_images": []}),
        ):
            self.assertEqual((await self.get(path + asked, self.user)).json(), expected)
        whole = await self.get(f"/workloads/{workload}", self.user)
        self.assertEqual((await self.get(path + ",".join(whole.json()), self.user)).body, whole.body)
        refused = await self.get(path + "status,colour", self.user)
        self.assert_problem(refused, 422, "bad-parameter")
        self.assertIn("'colour'", refused.json()["detail"])

    async def test_a_poll_for_counts_looks_at_no_results(self) -> None:
        workload = await self.new_workload()
        await self.upload(workload)
        await self.finish_job("w", picture())
        first = await self.get(f"/workloads/{workload}?fields=status,filtered", self.user)
        etag = first.headers["etag"]
        again = await self.get(f"/workloads/{workload}?fields=status,filtered", self.user, If_None_Match=etag)
        self.assertEqual((first.status, again.status), (200, 304))
        self.assertEqual((self.calls("endings"), self.calls("results")), ([], []))

    async def test_other_fields_are_another_answer(self) -> None:
        workload = await self.new_workload()
        etag = (await self.get(f"/workloads/{workload}?fields=status", self.user)).headers["etag"]
        other = await self.get(f"/workloads/{workload}?fields=accepted", self.user, If_None_Match=etag)
        self.assertEqual(other.json(), {"accepted": 0})

    async def test_when_it_will_be_done_and_how_sure_that_is(self) -> None:
        workload = await self.new_workload()
        await self.upload(workload)
        shown = (await self.get(f"/workloads/{workload}", self.user)).json()
        self.assertEqual((shown["eta_seconds"], shown["eta_range"]), (None, None))
        self.controller.etas[workload] = Eta(123.4, 99.9, 1234.5)
        shown = (await self.get(f"/workloads/{workload}", self.user)).json()
        self.assertEqual((shown["eta_seconds"], shown["eta_range"]), (120.0, [100.0, 1200.0]))

    async def test_why_its_jobs_are_where_they_are(self) -> None:
        workload = await self.new_workload()
        for shade in range(3):
            await self.upload(workload, picture(shade=shade), f"{shade}.png")
        self.controller.join_worker("w")
        self.controller.lease("w")
        answer = (await self.get(f"/workloads/{workload}/why", self.user)).json()
        self.assertEqual(answer["running"], [{"seq": 0, "worker": "w", "why": "It was first."}])
        self.assertEqual(answer["waiting"], [{"jobs": 2, "why": "All workers are busy."}])
        theirs = await self.new_workload(self.admin)
        self.assert_problem(await self.get(f"/workloads/{theirs}/why", self.user), 404, "not-found")

    async def test_what_is_unknown_and_what_is_not_yours_look_the_same(self) -> None:
        theirs = await self.new_workload(self.admin)
        for path in (f"/workloads/{theirs}", "/workloads/nope", "/workloads/%00", "/workloads/" + "x" * 5000):
            self.assert_problem(await self.get(path, self.user), 404, "not-found")
        self.assertEqual((await self.get(f"/workloads/{theirs}", self.admin)).status, 200)

    async def test_a_cached_body_is_only_for_who_may_see_it(self) -> None:
        theirs = await self.new_workload(self.admin)
        await self.get(f"/workloads/{theirs}", self.admin)
        self.assert_problem(await self.get(f"/workloads/{theirs}", self.user), 404, "not-found")

    async def test_head_has_the_headers_alone(self) -> None:
        workload = await self.new_workload()
        full = await self.get(f"/workloads/{workload}", self.user)
        head = await self.request("HEAD", f"/workloads/{workload}", self.user)
        self.assertEqual((head.status, head.body), (200, b""))
        self.assertEqual(head.headers["content-length"], str(len(full.body)))


class DeleteWorkloadTests(ApiTest):
    async def test_it_is_gone_with_its_images_while_jobs_run_too(self) -> None:
        workload = await self.new_workload()
        image = (await self.upload(workload)).json()["image_id"]
        self.controller.lease("w")
        response = await self.request("DELETE", f"/workloads/{workload}", self.user)
        self.assertEqual((response.status, response.json()["deleted"]), (200, True))
        for path in (f"/workloads/{workload}", f"/images/{image}", f"/images/0?workload_id={workload}"):
            self.assert_problem(await self.get(path, self.user), 404, "not-found")
        self.assert_problem(await self.upload(workload), 404, "not-found")
        self.assert_nothing_left()
        self.assertEqual(self.stored_files(), [])

    async def test_only_once_and_only_ones_own(self) -> None:
        theirs = await self.new_workload(self.admin)
        response = await self.request("DELETE", f"/workloads/{theirs}", self.user)
        self.assert_problem(response, 404, "not-found")
        self.assertEqual((await self.request("DELETE", f"/workloads/{theirs}", self.admin)).status, 200)
        response = await self.request("DELETE", f"/workloads/{theirs}", self.admin)
        self.assert_problem(response, 404, "not-found")
