"""POST /images by users."""

from __future__ import annotations

from hashlib import sha256

from twisted.internet.defer import Deferred

from dpip.errors import DiskFull
from tests.api.client import request_bytes
from tests.api.fixture import ApiTest, Form, picture, raiser
from tests.api.wire import Wire


class UploadTests(ApiTest):
    async def test_one_file_gives_one_object(self) -> None:
        workload, data = await self.new_workload(), picture()
        response = await self.upload(workload, data, "holiday.png")
        self.assertEqual(response.status, 201)
        made = response.json()
        self.assertEqual(response.headers["location"], f"/images/{made['image_id']}")
        self.assertEqual((made["workload_id"], made["type"], made["seq"]), (workload, "original", 0))
        self.assertEqual((made["name"], made["size"]), ("holiday.png", len(data)))
        self.assertEqual(made["sha256"], sha256(data).hexdigest())
        self.assertEqual((made["content_type"], made["width"], made["height"]), ("image/png", 4, 3))
        self.assert_nothing_left()

    async def test_any_field_name_carries_a_file_and_fields_may_follow_it(self) -> None:
        workload = await self.new_workload()
        form = Form().file("anything", "a.png", picture()).field("type", "original")
        response = await self.send_multipart(
            "POST", "/images", self.user, form.field("workload_id", workload)
        )
        self.assertEqual(response.status, 201)

    async def test_the_seeds_spelling_and_a_query_are_understood(self) -> None:
        workload = await self.new_workload()
        form = Form().file("data", "a.png", picture()).field("type", "orginal")
        response = await self.send_multipart("POST", f"/images?workload_id={workload}", self.user, form)
        self.assertEqual((response.status, response.json()["type"]), (201, "original"))

    async def test_several_files_are_listed_in_body_order(self) -> None:
        workload = await self.new_workload()
        form = Form().field("workload_id", workload)
        for shade in range(4):
            form.file(f"file{shade}", f"{shade}.png", picture(shade=shade))
        response = await self.send_multipart("POST", "/images", self.user, form)
        self.assertEqual(response.status, 201)
        made = response.json()
        self.assertEqual([image["name"] for image in made], [f"{n}.png" for n in range(4)])
        self.assertEqual([image["seq"] for image in made], [0, 1, 2, 3])

    async def test_several_files_are_taken_all_or_none(self) -> None:
        workload = await self.new_workload()
        form = Form().field("workload_id", workload).file("a", "a.png", picture())
        form.file("b", "b.png", b"not a picture").file("c", "c.png", picture(shade=1))
        response = await self.send_multipart("POST", "/images", self.user, form)
        self.assertEqual(self.assert_problem(response, 415, "not-an-image")["file"], 1)
        self.assertEqual((await self.get(f"/workloads/{workload}", self.user)).json()["accepted"], 0)
        self.assertEqual(self.stored_files(), [])
        self.assert_nothing_left()

    async def test_file_names_are_kept_as_data(self) -> None:
        workload = await self.new_workload()
        names = {
            'filename="../../etc/passwd"': "../../etc/passwd",
            'filename="na\\"me.png"': 'na"me.png',
            'filename="Zoë.png"': "Zoë.png",
            "filename*=UTF-8''%e2%82%ac%20rates.png": "€ rates.png",
            "filename=\"plain.png\"; filename*=UTF-8''b%C3%A9.png": "bé.png",
            "filename=bare.png": "bare.png",
            "x=y": None,
        }
        for header, name in names.items():
            form = Form().field("workload_id", workload)
            form.part(f'Content-Disposition: form-data; name="data"; {header}', picture())
            response = await self.send_multipart("POST", "/images", self.user, form)
            self.assertEqual(response.status, 201, response.body)
            self.assertEqual(response.json()["name"], name)
        form = Form().field("workload_id", workload)
        form.part('Content-Disposition: form-data; name="data"; filename="Zoë"'.encode("latin-1"), picture())
        response = await self.send_multipart("POST", "/images", self.user, form)
        self.assertEqual(response.json()["name"], "Zoë")

    async def test_what_is_not_a_picture(self) -> None:
        workload = await self.new_workload()
        for data in (b"", b"\0", b"hello, world", b"\x89PNG\r\n\x1a\n", picture()[:20], b"<svg/>"):
            with self.subTest(data=data):
                self.assert_problem(await self.upload(workload, data), 415, "not-an-image")
        self.assert_nothing_left()

    async def test_a_picture_with_too_many_pixels(self) -> None:
        workload = await self.new_workload()
        self.controller.max_pixels = 11
        self.assert_problem(await self.upload(workload, picture(4, 3)), 413, "too-large")
        self.assertEqual((await self.upload(workload, picture(11, 1))).status, 201)

    async def test_without_a_file(self) -> None:
        workload = await self.new_workload()
        forms = [
            Form(),
            Form().field("workload_id", workload),
            Form().field("workload_id", workload).field("data", ""),
            Form().field("workload_id", workload).file("data", "", b""),  # a browser's empty file field
        ]
        for form in forms:
            response = await self.send_multipart("POST", "/images", self.user, form)
            self.assertEqual(self.assert_problem(response, 422, "bad-parameter")["parameter"], "data")

    async def test_the_workload_must_be_there_and_ones_own(self) -> None:
        theirs = await self.new_workload(self.admin)
        for workload in (theirs, "nope", "0"):
            self.assert_problem(await self.upload(workload), 404, "not-found")
        response = await self.send_multipart(
            "POST", "/images", self.user, Form().file("data", "a.png", picture())
        )
        self.assertEqual(self.assert_problem(response, 422, "bad-parameter")["parameter"], "workload_id")
        self.assert_nothing_left()

    async def test_a_user_uploads_no_results(self) -> None:
        form = Form().field("workload_id", await self.new_workload()).field("type", "filtered")
        form.file("data", "a.png", picture())
        for token in (self.user, self.admin):
            self.assert_problem(await self.send_multipart("POST", "/images", token, form), 403, "forbidden")
        self.assert_nothing_left()

    async def test_types_that_do_not_exist_and_fields_given_twice(self) -> None:
        workload = await self.new_workload()
        form = Form().field("workload_id", workload).field("type", "blurred").file("data", "a", picture())
        self.assert_problem(
            await self.send_multipart("POST", "/images", self.user, form), 422, "bad-parameter"
        )
        form = Form().field("workload_id", workload).field("workload_id", "x").file("data", "a", picture())
        self.assert_problem(
            await self.send_multipart("POST", "/images", self.user, form), 422, "bad-parameter"
        )

    async def test_the_quota_holds(self) -> None:
        self.new_user("bob", quota=len(picture()))
        bob = self.token_of("bob", "password-of-bob")
        workload = await self.new_workload(bob)
        self.assertEqual((await self.upload(workload, token=bob)).status, 201)
        self.assert_problem(await self.upload(workload, token=bob), 413, "quota-exceeded")
        self.assert_nothing_left()

    async def test_a_full_disk(self) -> None:
        workload = await self.new_workload()
        self.store.incoming = raiser(DiskFull("The disk of the image store is full."))
        self.assert_problem(await self.upload(workload), 507, "disk-full")
        self.assert_nothing_left()

    async def test_a_fault_of_ours_is_logged_and_not_shown(self) -> None:
        workload = await self.new_workload()
        self.store.incoming = raiser(RuntimeError("secret path"))
        response = await self.upload(workload)
        problem = self.assert_problem(response, 500, "internal-error")
        self.assertNotIn("secret", response.body.decode())
        [logged] = self.flushLoggedErrors(RuntimeError)
        self.assertTrue(problem["request_id"])
        self.assertEqual(str(logged.value), "secret path")
        self.assert_nothing_left()

    async def test_a_commit_that_refuses_leaves_no_file(self) -> None:
        workload = await self.new_workload()
        held = self.controller.hold("check_upload")
        waiting = Deferred.fromCoroutine(self.upload(workload))
        await self.reached(held)
        await self.request("DELETE", f"/workloads/{workload}", self.user)
        held.release()
        self.assert_problem(await waiting, 404, "not-found")
        self.assert_nothing_left()

    async def test_parts_in_other_transfer_encodings_are_refused(self) -> None:
        workload = await self.new_workload()
        for encoding, status in (("base64", 400), ("quoted-printable", 400), ("binary", 201), ("8BIT", 201)):
            form = Form().field("workload_id", workload)
            form.part(
                f'Content-Disposition: form-data; name="data"\r\nContent-Transfer-Encoding: {encoding}',
                picture(),
            )
            response = await self.send_multipart("POST", "/images", self.user, form)
            self.assertEqual(response.status, status)

    async def test_bounds_of_files_and_fields(self) -> None:
        workload = await self.new_workload()
        many_files = Form().field("workload_id", workload)
        for _ in range(self.limits.files + 1):
            many_files.file("f", "f.png", b"x")
        many_fields = Form()
        for number in range(self.limits.fields + 1):
            many_fields.field(f"f{number}", "x")
        long_field = Form().field("f", "x" * (self.limits.field_size + 1))
        much = Form()
        for number in range(5):
            much.field(f"f{number}", "x" * self.limits.field_size)
        for form in (many_files, many_fields, long_field, much):
            response = await self.send_multipart("POST", "/images", self.user, form)
            self.assert_problem(response, 413, "too-large")
        long_header = Form().part(f'Content-Disposition: form-data; name="{"x" * 5000}"', b"x")
        many_headers = Form().part("X: y\r\n" * 20 + 'Content-Disposition: form-data; name="a"', b"x")
        for form in (long_header, many_headers):
            response = await self.send_multipart("POST", "/images", self.user, form)
            self.assert_problem(response, 400, "malformed-request")
        self.assert_nothing_left()

    async def test_files_of_all_uploads_together_are_bounded(self) -> None:
        """Each holds a descriptor: a user must not take them all."""
        workload = await self.new_workload()
        form = Form().field("workload_id", workload)
        for _ in range(self.limits.files):
            form.file("f", "f.png", picture())
        named = {"Authorization": f"Bearer {self.user}", "Content-Type": form.content_type}
        under_way = [Wire(self.site) for _ in range(5)]
        for wire in under_way:
            wire.send(request_bytes("POST", "/images", named, form.body)[:-1])
        answered = [wire for wire in under_way if wire.value()]
        self.assertEqual(len(answered), 2)
        for wire in answered:
            self.assertEqual(self.assert_problem(wire.response(), 503, "busy")["status"], 503)
        for wire in under_way:
            wire.hang_up()
        self.assert_nothing_left()
        self.assertEqual((await self.send_multipart("POST", "/images", self.user, form)).status, 201)

    async def test_a_body_that_was_cut_short(self) -> None:
        form = Form().field("workload_id", await self.new_workload()).file("data", "a.png", picture())
        response = await self.request(
            "POST", "/images", self.user, form.body[:-5], {"Content-Type": form.content_type}
        )
        self.assert_problem(response, 400, "malformed-request")
        self.assert_nothing_left()

    async def test_an_error_of_one_file_alone_names_no_place(self) -> None:
        problem = self.assert_problem(await self.upload(await self.new_workload(), b"x"), 415, "not-an-image")
        self.assertNotIn("file", problem)
