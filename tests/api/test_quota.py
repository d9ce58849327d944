"""A user's quota: what does not fit is refused as soon as that is sure, and a retry is answered again."""

from __future__ import annotations

from tests.api.client import Form, request_bytes
from tests.api.fixture import ApiTest, picture, raiser

ROOM = 2 * len(picture())


class QuotaTests(ApiTest):
    """``self.bob`` is the token of a user who may store two pictures."""

    def setUp(self) -> None:
        super().setUp()
        self.bob = self.quota_user("bob", ROOM)

    def quota_user(self, name: str, quota: int) -> str:
        self.new_user(name, quota)
        return self.token_of(name, f"password-of-{name}")

    async def answer_to_headers(self, token: str, length: int | None, key: str = "") -> str:
        """``413 quota-exceeded`` and the like, or ``100`` where the body may come."""
        named = {"Content-Type": Form().content_type, "Authorization": f"Bearer {token}"}
        named |= {"Transfer-Encoding": "chunked"} if length is None else {"Content-Length": str(length)}
        named |= {"Idempotency-Key": key} if key else {}
        connection = await self.connect()
        connection.send(request_bytes("POST", "/images", {**named, "Expect": "100-continue"}))
        await connection.until(b"\r\n\r\n")
        if connection.received == b"HTTP/1.1 100 Continue\r\n\r\n":
            connection.drop()
            await self.server_side_gone()
            return "100"
        response = await connection.response()
        connection.drop()
        return f"{response.status} {response.json()['type'].rpartition(':')[2]}"

    def form(self, workload: str, *pictures: bytes) -> Form:
        form = Form().field("workload_id", workload)
        for data in pictures:
            form.file("data", "a.png", data)
        return form

    async def used(self, name: str = "bob") -> int:
        [user] = [user for user in (await self.get("/users", self.admin)).json() if user["user"] == name]
        return int(user["used"])

    def keep_nothing(self) -> None:
        """From now on no file is made durable."""
        self.store.keep = raiser(AssertionError("A file that does not fit was stored."))

    async def test_the_headers_tell_what_cannot_fit_whatever_the_framing(self) -> None:
        most = ROOM + self.limits.framing
        self.assertEqual(await self.answer_to_headers(self.bob, most), "100")
        self.assertEqual(await self.answer_to_headers(self.bob, most + 1), "413 quota-exceeded")
        self.assertEqual(await self.answer_to_headers(self.bob, most + 1, "key"), "413 quota-exceeded")
        self.assertEqual(await self.answer_to_headers(self.user, most + 1), "100")
        self.assert_nothing_left()

    async def test_nothing_fits_when_it_is_used_up(self) -> None:
        workload = await self.new_workload(self.bob)
        await self.send_multipart("POST", "/images", self.bob, self.form(workload, picture(), picture()))
        for length in (1, 500, None):
            self.assertEqual(await self.answer_to_headers(self.bob, length), "413 quota-exceeded")
        await self.request("DELETE", f"/workloads/{workload}", self.bob)
        self.assertEqual(await self.answer_to_headers(self.bob, 500), "100")

    async def test_the_largest_framing_there_is_takes_nothing_from_it(self) -> None:
        files, fields = self.limits.files, self.limits.fields
        carol = self.quota_user("carol", files * len(picture()))
        boundary = "b" * 200
        form = Form(boundary).field("workload_id", await self.new_workload(carol))
        for number in range(fields - 1):
            form.part(self.long_header(f"f{number}"), "x" * (self.limits.fields_size // fields - 1))
        for _ in range(files):
            form.part(self.long_header("data"), picture())
        framing = len(form.body) - files * len(picture())
        self.assertLess(framing, self.limits.framing)
        self.assertLess(self.limits.framing - framing, 256 * 1024)
        response = await self.send_multipart("POST", "/images", carol, form)
        self.assertEqual(response.status, 201, response.body)

    @staticmethod
    def long_header(name: str) -> str:
        return f'Content-Disposition: form-data; name="{name}"\r\nX: '.ljust(4090, "x")

    async def test_what_does_not_fit_into_the_workload_is_not_stored(self) -> None:
        workload = await self.new_workload(self.bob)
        self.assertEqual((await self.upload(workload, token=self.bob)).status, 201)
        self.keep_nothing()
        form = self.form(workload, picture(), picture())
        for headers in ({}, {"Idempotency_Key": "new"}):
            response = await self.send_multipart("POST", "/images", self.bob, form, **headers)
            problem = self.assert_problem(response, 413, "quota-exceeded")
            self.assertEqual((problem["quota"], problem["used"]), (ROOM, len(picture())))
        self.assert_nothing_left()

    async def test_what_fits_beside_the_rest_is_stored(self) -> None:
        workload = await self.new_workload(self.bob)
        for _ in range(2):
            self.assertEqual((await self.upload(workload, token=self.bob)).status, 201)
        self.assertEqual(await self.used(), ROOM)

    async def test_an_admins_upload_counts_for_the_workloads_owner(self) -> None:
        theirs, own = await self.new_workload(self.bob), await self.new_workload(self.admin)
        self.assertEqual((await self.upload(theirs, token=self.admin)).status, 201)
        self.assertEqual(await self.used(), len(picture()))
        keep = self.store.keep
        self.keep_nothing()
        form = self.form(theirs, picture(), picture())
        response = await self.send_multipart("POST", "/images", self.admin, form)
        self.assert_problem(response, 413, "quota-exceeded")
        self.store.keep = keep
        self.assertEqual((await self.upload(own, token=self.admin)).status, 201)

    async def test_the_quota_of_an_admin_does_not_count_for_workloads_of_others(self) -> None:
        asked = {"user": "root", "password": "password-of-root", "role": "admin", "quota": 1}
        await self.send_json("POST", "/users", self.admin, asked)
        root = self.token_of("root", "password-of-root")
        self.assertEqual((await self.upload(await self.new_workload(), token=root)).status, 201)
        self.keep_nothing()
        own = await self.new_workload(root)
        self.assert_problem(await self.upload(own, token=root), 413, "quota-exceeded")

    async def test_a_retry_is_answered_again_when_there_is_no_room_left(self) -> None:
        workload = await self.new_workload(self.bob)
        form = self.form(workload, picture(), picture())
        answers = [
            await self.send_multipart("POST", "/images", self.bob, form, Idempotency_Key="key")
            for _ in range(2)
        ]
        self.assertEqual([answer.status for answer in answers], [201, 201])
        self.assertEqual(answers[1].json(), answers[0].json())
        self.assertEqual(await self.answer_to_headers(self.bob, len(form.body), "key"), "100")
        self.assertEqual(await self.answer_to_headers(self.bob, len(form.body), "new"), "413 quota-exceeded")
        self.assertEqual(await self.used(), ROOM)
        self.assert_nothing_left()

    async def test_the_key_of_another_user_opens_nothing(self) -> None:
        workload = await self.new_workload(self.bob)
        await self.send_multipart("POST", "/images", self.bob, self.form(workload, picture(), picture()))
        await self.send_json("POST", "/workloads", self.user, {"filter": "blur"}, Idempotency_Key="key")
        self.assertEqual(await self.answer_to_headers(self.bob, 500, "key"), "413 quota-exceeded")

    async def test_whose_room_has_gone_since_the_check_is_refused_at_the_commit(self) -> None:
        workload = await self.new_workload(self.bob)
        check = self.controller.check_upload
        by = self.successResultOf(self.controller.authenticate(self.bob))

        def let_in(*_: object) -> object:
            return check(by, workload, [0], None)

        self.controller.check_upload = let_in
        response = await self.send_multipart(
            "POST", "/images", self.bob, self.form(workload, picture(), picture(), picture())
        )
        self.assert_problem(response, 413, "quota-exceeded")
        self.assertEqual(await self.used(), 0)
        self.assert_nothing_left()
