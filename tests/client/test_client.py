"""What each method sends, and what it makes of the answer."""

from __future__ import annotations

from base64 import b64encode

from dpip.client import ApiError, Client, NotDpip
from tests.client.server import StandInTestCase, answer, hang_up, problem

WORKLOAD = {
    "workload_id": "w1",
    "workload_name": "holidays",
    "filter": "blur",
    "status": "running",
    "running_jobs": 2,
    "accepted": 3,
    "filtered": 1,
    "failed": 1,
    "filtered_images": ["i1"],
    "failed_images": [
        {"image_id": "i0", "seq": 1, "code": "corrupt-picture", "reason": "Cut short.", "name": "a.png"}
    ],
    "something_new": 1,
}


class AddressTests(StandInTestCase):
    def test_what_is_not_an_address_is_refused_with_an_example(self) -> None:
        for url in (
            "",
            "127.0.0.1:8080",
            "ftp://x",
            "http://",
            "http://x:70000",
            "http://x/?a=b",
            "http://[::",
        ):
            error = self.assertRaises(ValueError, Client, None, url)
            self.assertIn("http://127.0.0.1:8080", str(error))

    async def test_a_path_in_front_of_the_api_is_kept(self) -> None:
        self.client._transport.url += "/dpip"
        self.say(answer({"system_name": "DPIP"}))
        await self.client.status()
        self.assertEqual(self.seen[0].uri, "/dpip/status")


class CallerTests(StandInTestCase):
    async def test_login_sends_basic_and_later_calls_carry_the_token(self) -> None:
        self.say(answer({"user": "zoë", "token": "T", "expires_at": "2030-01-01T00:00:00Z"}), answer({}))
        session = await self.client.login("zoë", "pässword:1")
        await self.client.status()
        basic = b64encode("zoë:pässword:1".encode()).decode()
        self.assertEqual((self.seen[0].method, self.seen[0].uri), ("POST", "/login"))
        self.assertEqual(self.seen[0].headers["authorization"], f"Basic {basic}")
        self.assertEqual(self.seen[1].headers["authorization"], "Bearer T")
        self.assertEqual((session.user, session.token, self.client.token), ("zoë", "T", "T"))
        self.assertNotIn("T'", repr(session))

    async def test_logout_forgets_the_token(self) -> None:
        self.client._transport.token = "T"
        self.say(answer({"logout_message": "bye"}), answer({}))
        await self.client.logout()
        await self.client.status()
        self.assertEqual((self.seen[0].method, self.seen[0].uri), ("DELETE", "/logout"))
        self.assertNotIn("authorization", self.seen[1].headers)

    async def test_filters_are_given_as_they_are(self) -> None:
        self.say(answer([{"name": "blur"}]))
        self.assertEqual(await self.client.filters(), [{"name": "blur"}])


class WorkloadTests(StandInTestCase):
    async def test_create_sends_what_is_given_and_nothing_else(self) -> None:
        self.say(answer(WORKLOAD, 201), answer(WORKLOAD, 201), answer(WORKLOAD, 201))
        await self.client.create_workload()
        await self.client.create_workload(
            filter="blur", name="holidays", params={"sigma": 3}, output={"format": "PNG"}, tags=["gpu"]
        )
        await self.client.create_workload(steps=[{"name": "blur"}], numbering="frames")
        self.assertEqual(
            [request.json for request in self.seen],
            [
                {"filter": "grayscale"},
                {
                    "filter": "blur",
                    "workload_name": "holidays",
                    "params": {"sigma": 3},
                    "output": {"format": "PNG"},
                    "tags": ["gpu"],
                },
                {"steps": [{"name": "blur"}], "numbering": "frames"},
            ],
        )
        self.assertEqual(len({request.headers["idempotency-key"] for request in self.seen}), 3)

    async def test_an_answer_becomes_a_value(self) -> None:
        self.say(answer(WORKLOAD))
        workload = await self.client.workload("w/1")
        self.assertEqual(self.seen[0].uri, "/workloads/w%2F1")
        self.assertEqual((workload.status, workload.completed, workload.accepted), ("running", False, 3))
        self.assertEqual(workload.filtered_images, ("i1",))
        (failed,) = workload.failed_images
        self.assertEqual((failed.code, failed.reason, failed.seq), ("corrupt-picture", "Cut short.", 1))
        self.assertEqual(workload.facts["something_new"], 1)

    async def test_wait_asks_until_it_is_completed(self) -> None:
        self.say(answer(WORKLOAD), answer(WORKLOAD), answer({**WORKLOAD, "status": "completed"}))
        told: list[str] = []
        done = await self.client.wait("w1", lambda workload: told.append(workload.status), every=2)
        self.assertEqual(told, ["running", "running", "completed"])
        self.assertTrue(done.completed)
        self.assertEqual(self.clock.pauses, [2, 2])

    async def test_a_deletion_whose_answer_was_lost_is_no_error(self) -> None:
        self.say(hang_up, problem(404))
        await self.client.delete_workload("w1")
        self.assertEqual([request.method for request in self.seen], ["DELETE", "DELETE"])

    async def test_deleting_what_never_was_is_an_error(self) -> None:
        self.say(problem(404, "not-found", "There is no workload 'w1'."))
        error = await self.refusal(ApiError, self.client.delete_workload("w1"))
        self.assertEqual(str(error), "There is no workload 'w1'.")


class ImageListTests(StandInTestCase):
    async def test_every_page_is_read(self) -> None:
        def image(seq: int) -> dict[str, object]:
            return {"image_id": f"i{seq}", "workload_id": "w1", "type": "filtered", "seq": seq}

        link = {"Link": '</images?workload_id=w1&after=1>; rel="next"'}
        self.say(answer([image(0), image(1)], headers=link), answer([image(2)]))
        images = await self.client.images("w1")
        self.assertEqual([one.image_id for one in images], ["i0", "i1", "i2"])
        self.assertTrue(self.seen[0].uri.startswith("/images?workload_id=w1&type=filtered"))
        self.assertEqual(self.seen[1].uri, "/images?workload_id=w1&after=1")

    async def test_a_next_page_elsewhere_is_not_followed(self) -> None:
        self.say(answer([], headers={"Link": '<http://evil.example/images>; rel="next"'}))
        self.assertEqual(await self.client.images("w1"), [])


class UserTests(StandInTestCase):
    async def test_users_are_added_listed_changed_and_removed(self) -> None:
        eve = {"user": "eve/x", "role": "user", "quota": 5, "used": 1, "created_at": "…"}
        self.say(answer(eve, 201), answer([eve]), answer({}), answer({}))
        added = await self.client.add_user("eve/x", "password", quota=5)
        self.assertEqual(await self.client.users(), [added])
        await self.client.set_password("eve/x", "another one")
        await self.client.remove_user("eve/x")
        self.assertEqual((added.user, added.role, added.quota, added.used), ("eve/x", "user", 5, 1))
        asked = [(request.method, request.uri) for request in self.seen]
        self.assertEqual(
            asked,
            [
                ("POST", "/users"),
                ("GET", "/users"),
                ("PUT", "/users/eve%2Fx/password"),
                ("DELETE", "/users/eve%2Fx"),
            ],
        )
        self.assertEqual(
            self.seen[0].json, {"user": "eve/x", "password": "password", "role": "user", "quota": 5}
        )
        self.assertEqual(self.seen[2].json, {"password": "another one"})


class StrangeServerTests(StandInTestCase):
    async def test_a_page_instead_of_json(self) -> None:
        self.say(answer(body=b"<html>hello</html>"))
        error = await self.refusal(NotDpip, self.client.status())
        self.assertIn("DPIP server", str(error))

    async def test_json_of_another_shape(self) -> None:
        self.say(answer(["x"]), answer({"workload_id": "w1"}))
        await self.refusal(NotDpip, self.client.workload("w1"))
        error = await self.refusal(NotDpip, self.client.workload("w1"))
        self.assertIn("not complete", str(error))

    async def test_a_redirect_is_not_followed(self) -> None:
        self.say(answer(body=b"", status=302, headers={"Location": "http://evil.example/"}))
        error = await self.refusal(ApiError, self.client.status())
        self.assertEqual(error.status, 302)
        self.assertIn("http://evil.example/", str(error))
