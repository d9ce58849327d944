"""Idempotency-Key on both POSTs."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from tests.api.client import Form, Response
from tests.api.fixture import ApiTest, picture


class WorkloadKeyTests(ApiTest):
    async def make(self, key: str, token: str | None = None, **fields: str) -> Response:
        return await self.send_json("POST", "/workloads", token or self.user, fields, Idempotency_Key=key)

    async def test_the_same_again_gives_the_first_answer(self) -> None:
        first = await self.make("k", filter="blur", workload_name="n")
        self.now += 60
        again = await self.make("k", workload_name="n", filter="blur")
        form = {"workload_name": "n", "filter": "blur"}
        as_form = await self.send_form("POST", "/workloads", self.user, form, Idempotency_Key="k")
        self.assertEqual([first.status, again.status, as_form.status], [201, 201, 201])
        self.assertEqual(again.json(), first.json())
        self.assertEqual(as_form.json(), first.json())
        self.assertEqual(len((await self.get("/workloads", self.user)).json()), 1)

    async def test_a_generated_name_is_not_part_of_the_question(self) -> None:
        headers = {"Idempotency-Key": "k"}
        first = await self.request("POST", "/workloads", self.user, headers=headers)
        self.now += 60
        again = await self.request("POST", "/workloads", self.user, headers=headers)
        self.assertEqual(again.json(), first.json())

    async def test_another_question_under_the_same_key(self) -> None:
        await self.make("k", filter="blur")
        self.assert_problem(await self.make("k", filter="grayscale"), 422, "idempotency-key-reused")

    async def test_a_key_is_its_owners(self) -> None:
        first = await self.make("k", filter="blur")
        other = await self.make("k", self.admin, filter="blur")
        self.assertNotEqual(first.json()["workload_id"], other.json()["workload_id"])

    async def test_keys_that_are_none(self) -> None:
        for key in ("", "x" * 256, "caf\u00e9"):
            self.assert_problem(await self.make(key, filter="blur"), 400, "malformed-request")


class UploadKeyTests(ApiTest):
    def setUp(self) -> None:
        super().setUp()
        self.workload = self.stored_workload()

    async def send(
        self, *pictures: bytes, key: str = "k", workload: str = "", boundary: str = "b"
    ) -> Response:
        form = Form(boundary).field("workload_id", workload or self.workload)
        for data in pictures:
            form.file("data", "a.png", data)
        return await self.send_multipart("POST", "/images", self.user, form, Idempotency_Key=key)

    async def accepted(self) -> int:
        return int((await self.get(f"/workloads/{self.workload}", self.user)).json()["accepted"])

    async def test_the_same_files_again_whatever_the_boundary(self) -> None:
        first = await self.send(picture(), picture(shade=1))
        again = await self.send(picture(), picture(shade=1), boundary="another")
        self.assertEqual((first.status, again.status), (201, 201))
        self.assertEqual(again.json(), first.json())
        self.assertEqual(await self.accepted(), 2)
        self.assert_nothing_left()

    async def test_other_files_or_another_workload_under_the_same_key(self) -> None:
        await self.send(picture())
        for refused in (
            await self.send(picture(shade=1)),
            await self.send(picture(), picture()),
            await self.send(picture(), workload=self.stored_workload()),
        ):
            self.assert_problem(refused, 422, "idempotency-key-reused")
        self.assertEqual(await self.accepted(), 1)

    async def test_a_key_of_a_workload_is_not_one_of_an_upload(self) -> None:
        await self.send_json("POST", "/workloads", self.user, {"filter": "blur"}, Idempotency_Key="k")
        self.assert_problem(await self.send(picture()), 422, "idempotency-key-reused")

    async def test_a_retry_while_the_first_is_in_flight(self) -> None:
        held = self.controller.hold("commit_originals")
        first = Deferred.fromCoroutine(self.send(picture()))
        await self.reached(held)
        second = Deferred.fromCoroutine(self.send(picture()))
        while len(self.calls("commit_originals")) < 2:
            await self.turn()
        held.release()
        self.assertEqual((await first).json(), (await second).json())
        self.assertEqual(await self.accepted(), 1)

    async def test_a_retry_needs_no_quota_a_second_time(self) -> None:
        self.new_user("bob", quota=len(picture()))
        self.user = self.token_of("bob", "password-of-bob")
        self.workload = self.stored_workload()
        first = await self.send(picture())
        self.assertEqual((await self.send(picture())).json(), first.json())
        self.assert_problem(await self.send(picture(), key="other"), 413, "quota-exceeded")
        self.assert_nothing_left()
