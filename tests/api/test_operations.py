"""Cancelling, retrying and sealing a workload."""

from __future__ import annotations

from typing import Any

from tests.api.fixture import ApiTest, picture, result_form


class OperationsTest(ApiTest):
    async def act(self, workload_id: str, action: str, token: str | None = None, **body: Any) -> Any:
        """The answer's members."""
        path = f"/workloads/{workload_id}/{action}"
        response = await self.send_json("POST", path, token or self.user, body)
        self.assertEqual(response.status, 200, response.body)
        return response.json()

    async def shown(self, workload_id: str) -> Any:
        return (await self.get(f"/workloads/{workload_id}", self.user)).json()

    def leased(self) -> Any:
        job = self.controller.lease("w")
        assert job is not None
        return job

    async def failed_workload(self, count: int = 2) -> str:
        """Of so many images, all failed."""
        workload_id = self.stored_workload(*[picture(shade=n) for n in range(count)])
        for _ in range(count):
            self.controller.fail_job(self.leased().lease, "bad-picture", "It is torn.")
        return workload_id

    async def assert_not_anothers(self, workload_id: str, action: str) -> None:
        self.new_user("eve")
        for token, path in (
            (self.token_of("eve", "password-of-eve"), f"/workloads/{workload_id}/{action}"),
            (self.user, f"/workloads/nothing/{action}"),
        ):
            self.assert_problem(await self.request("POST", path, token), 404, "not-found")
        self.assertEqual((await self.act(workload_id, action, self.admin))["workload_id"], workload_id)


class CancelTests(OperationsTest):
    async def test_what_has_not_ended_is_a_recorded_failure(self) -> None:
        workload_id = self.stored_workload(*[picture(shade=n) for n in range(3)])
        done = await self.finish_job("w", picture(shade=9))
        self.leased()
        answer = await self.act(workload_id, "cancel")
        self.assertEqual(answer["cancelled"], 2)
        self.assertEqual((answer["status"], answer["filtered"], answer["failed"]), ("completed", 1, 2))
        shown = await self.shown(workload_id)
        self.assertEqual((shown["status"], shown["running_jobs"], shown["waiting"]), ("completed", 0, 0))
        self.assertEqual(shown["filtered_images"], [done])
        self.assertEqual(
            [(one["seq"], one["code"]) for one in shown["failed_images"]],
            [(1, "cancelled"), (2, "cancelled")],
        )
        self.assertIn("cancelled", shown["failed_images"][0]["reason"])

    async def test_a_late_result_is_refused_and_no_further_job_is_given(self) -> None:
        workload_id = self.stored_workload(picture(), picture(shade=1))
        worker = self.controller.join_worker("w")
        job = self.leased()
        await self.act(workload_id, "cancel")
        response = await self.send_multipart(
            "POST", "/images", worker, result_form(job.lease, picture(shade=8))
        )
        self.assert_problem(response, 409, "stale-lease")
        self.assertIsNone(self.controller.lease("w"))
        self.assertEqual((await self.shown(workload_id))["filtered_images"], [])
        self.assert_nothing_left()

    async def test_again_it_changes_nothing(self) -> None:
        workload_id = self.stored_workload(picture())
        await self.act(workload_id, "cancel")
        before = await self.shown(workload_id)
        self.now += 5
        self.assertEqual((await self.act(workload_id, "cancel"))["cancelled"], 0)
        self.assertEqual(await self.shown(workload_id), before)

    async def test_an_upload_reopens_it(self) -> None:
        workload_id = self.stored_workload(picture())
        await self.act(workload_id, "cancel")
        self.assertEqual((await self.upload(workload_id, picture(shade=3))).status, 201)
        await self.finish_job("w", picture(shade=9))
        shown = await self.shown(workload_id)
        self.assertEqual((shown["status"], shown["filtered"], shown["failed"]), ("completed", 1, 1))

    async def test_only_ones_own(self) -> None:
        await self.assert_not_anothers(self.stored_workload(picture()), "cancel")


class RetryTests(OperationsTest):
    async def test_all_that_have_failed_run_again_under_the_same_place_and_id(self) -> None:
        workload_id = await self.failed_workload()
        answer = await self.act(workload_id, "retry")
        self.assertEqual(answer["retried"], 2)
        self.assertEqual((answer["status"], answer["failed"], answer["waiting"]), ("running", 0, 2))
        self.assertIsNone(answer["finished_at"])
        self.assertEqual((await self.shown(workload_id))["failed_images"], [])
        ids = [await self.finish_job("w", picture(shade=9)) for _ in range(2)]
        shown = await self.shown(workload_id)
        self.assertEqual((shown["status"], shown["filtered_images"]), ("completed", ids))

    async def test_the_id_of_the_result_stays_and_the_old_lease_is_void(self) -> None:
        workload_id = self.stored_workload(picture())
        worker = self.controller.join_worker("w")
        first = self.leased()
        self.controller.fail_job(first.lease, "bad-picture", "torn")
        await self.act(workload_id, "retry")
        second = self.leased()
        self.assertEqual(second.result_id, first.result_id)
        self.assertEqual(second.original, first.original)
        late = await self.send_multipart(
            "POST", "/images", worker, result_form(first.lease, picture(shade=7))
        )
        self.assert_problem(late, 409, "stale-lease")
        good = await self.send_multipart(
            "POST", "/images", worker, result_form(second.lease, picture(shade=8))
        )
        self.assertEqual(good.json()["image_id"], first.result_id)

    async def test_only_those_named(self) -> None:
        workload_id = await self.failed_workload(3)
        failed = (await self.shown(workload_id))["failed_images"]
        answer = await self.act(workload_id, "retry", images=[failed[1]["image_id"]])
        self.assertEqual((answer["retried"], answer["failed"]), (1, 2))
        self.assertEqual([one["seq"] for one in (await self.shown(workload_id))["failed_images"]], [0, 2])
        again = await self.act(workload_id, "retry", images=[failed[1]["image_id"]])
        self.assertEqual(again["retried"], 0, "it runs already")
        self.assertEqual((await self.act(workload_id, "retry", images=[]))["retried"], 0)

    async def test_an_image_that_is_not_there_changes_nothing(self) -> None:
        workload_id = await self.failed_workload()
        failed = (await self.shown(workload_id))["failed_images"]
        body = {"images": [failed[0]["image_id"], "nothing"]}
        response = await self.send_json("POST", f"/workloads/{workload_id}/retry", self.user, body)
        self.assertIn("nothing", self.assert_problem(response, 404, "not-found")["detail"])
        self.assertEqual(len((await self.shown(workload_id))["failed_images"]), 2)
        response = await self.send_json("POST", f"/workloads/{workload_id}/retry", self.user, {"images": 5})
        self.assert_problem(response, 422, "bad-parameter")
        response = await self.send_json(
            "POST", f"/workloads/{workload_id}/retry", self.user, {"image": ["a"]}
        )
        self.assert_problem(response, 422, "bad-parameter")

    async def test_when_nothing_has_failed_nothing_changes(self) -> None:
        workload_id = self.stored_workload(picture())
        await self.finish_job("w", picture(shade=9))
        before = await self.shown(workload_id)
        self.assertEqual((await self.act(workload_id, "retry"))["retried"], 0)
        self.assertEqual(await self.shown(workload_id), before)

    async def test_a_second_failure_shows_its_own_reason_to_whoever_has_seen_the_first(self) -> None:
        workload_id = await self.failed_workload(1)
        first = await self.get(f"/workloads/{workload_id}", self.user)
        await self.act(workload_id, "retry")
        self.controller.fail_job(self.leased().lease, "bad-picture", "It is upside down.")
        second = await self.get(
            f"/workloads/{workload_id}?fields=failed_images", self.user, If_None_Match=first.headers["etag"]
        )
        self.assertEqual(second.status, 200)
        self.assertEqual([one["reason"] for one in second.json()["failed_images"]], ["It is upside down."])

    async def test_a_poll_of_one_field_sees_the_second_failure_too(self) -> None:
        workload_id = await self.failed_workload(1)
        path = f"/workloads/{workload_id}?fields=failed_images"
        first = await self.get(path, self.user)
        await self.act(workload_id, "retry")
        self.controller.fail_job(self.leased().lease, "bad-picture", "It is upside down.")
        second = await self.get(path, self.user, If_None_Match=first.headers["etag"])
        self.assertEqual((second.status, len(second.json()["failed_images"])), (200, 1))

    async def test_what_was_cancelled_can_be_retried(self) -> None:
        workload_id = self.stored_workload(picture(), picture(shade=1))
        await self.act(workload_id, "cancel")
        self.assertEqual((await self.act(workload_id, "retry"))["retried"], 2)
        for _ in range(2):
            await self.finish_job("w", picture(shade=9))
        shown = await self.shown(workload_id)
        self.assertEqual((shown["status"], shown["filtered"], shown["failed"]), ("completed", 2, 0))

    async def test_only_ones_own(self) -> None:
        await self.assert_not_anothers(await self.failed_workload(), "retry")


class SealTests(OperationsTest):
    async def test_uploads_are_refused_from_then_on(self) -> None:
        workload_id = self.stored_workload(picture())
        self.assertIs((await self.shown(workload_id))["sealed"], False)
        answer = await self.act(workload_id, "seal")
        self.assertEqual((answer["sealed"], answer["status"]), (True, "running"))
        response = await self.upload(workload_id, picture(shade=1))
        problem = self.assert_problem(response, 409, "workload-sealed")
        self.assertIn(workload_id, problem["detail"])
        self.assert_nothing_left()
        await self.finish_job("w", picture(shade=9))
        shown = await self.shown(workload_id)
        self.assertEqual((shown["status"], shown["accepted"]), ("completed", 1))

    async def test_again_it_changes_nothing(self) -> None:
        workload_id = self.stored_workload(picture())
        await self.finish_job("w", picture(shade=9))
        first = await self.act(workload_id, "seal")
        self.now += 5
        self.assertEqual(await self.act(workload_id, "seal"), first)

    async def test_one_without_images_is_complete(self) -> None:
        workload_id = await self.new_workload()
        answer = await self.act(workload_id, "seal")
        self.assertEqual((answer["status"], answer["accepted"]), ("completed", 0))
        self.assertIsNotNone(answer["finished_at"])
        status = (await self.get("/status", self.user)).json()
        self.assertEqual(status["active_workloads"], [])

    async def test_a_retry_runs_it_again_but_takes_no_uploads(self) -> None:
        workload_id = await self.failed_workload(1)
        await self.act(workload_id, "seal")
        self.assertEqual((await self.act(workload_id, "retry"))["status"], "running")
        self.assert_problem(await self.upload(workload_id, picture(shade=1)), 409, "workload-sealed")

    async def test_an_upload_under_a_key_is_answered_again(self) -> None:
        workload_id = await self.new_workload()
        form = self.upload_form(workload_id)
        first = await self.send_multipart("POST", "/images", self.user, form, Idempotency_Key="k")
        await self.act(workload_id, "seal")
        again = await self.send_multipart("POST", "/images", self.user, form, Idempotency_Key="k")
        self.assertEqual((again.status, again.json()), (201, first.json()))

    async def test_a_webhook_is_given_with_the_sealing(self) -> None:
        workload_id = self.stored_workload(picture())
        path = f"/workloads/{workload_id}/webhook"
        self.assert_problem(await self.get(path, self.user), 404, "not-found")
        hook = {"url": "https://allowed.example/done", "secret": "sixteen letters!"}
        await self.act(workload_id, "seal", webhook=hook)
        await self.act(workload_id, "seal", webhook=hook)
        await self.act(workload_id, "seal")
        response = await self.get(path, self.user)
        self.assertNotIn(b"sixteen", response.body)
        self.assertEqual(
            response.json(), {"url": hook["url"], "pending": True, "next_attempt_at": None, "log": []}
        )
        other = await self.send_json(
            "POST", f"/workloads/{workload_id}/seal", self.user, {"webhook": {**hook, "secret": "s" * 20}}
        )
        self.assert_problem(other, 409, "conflict")

    async def test_a_webhook_that_may_not_be_called_is_refused_and_nothing_is_sealed(self) -> None:
        workload_id = self.stored_workload(picture())
        good = {"url": "https://allowed.example/", "secret": "sixteen letters!"}
        for change in (
            {"url": "http://127.0.0.1:8080/"},
            {"url": ""},
            {"secret": "short"},
            {"secret": None},
            {"header": "x"},
        ):
            with self.subTest(change=change):
                body = {"webhook": {**good, **change}}
                response = await self.send_json("POST", f"/workloads/{workload_id}/seal", self.user, body)
                self.assert_problem(response, 422, "bad-parameter")
        self.assertIs((await self.shown(workload_id))["sealed"], False)

    async def test_only_ones_own(self) -> None:
        await self.assert_not_anothers(self.stored_workload(picture()), "seal")
