"""GET and HEAD /images/{image_id}."""

from __future__ import annotations

import os
from hashlib import sha256

from dpip.runtime.transports import PIECE
from tests.api.client import Form, Response
from tests.api.fixture import ApiTest, noise, picture


class ImageTests(ApiTest):
    async def made(self, data: bytes | None = None, name: str = "0.png") -> str:
        self.workload = await self.new_workload()
        self.data = picture() if data is None else data
        return str((await self.upload(self.workload, self.data, name)).json()["image_id"])

    async def test_the_bytes_with_their_true_type(self) -> None:
        for format, kind in (("PNG", "png"), ("JPEG", "jpeg"), ("WEBP", "webp"), ("GIF", "gif")):
            image = await self.made(picture(format=format), "misleading.exe")
            response = await self.get(f"/images/{image}", self.user)
            self.assertEqual((response.status, response.body), (200, self.data))
            self.assertEqual(response.headers["content-type"], f"image/{kind}")
            self.assertEqual(response.headers["content-length"], str(len(self.data)))
            self.assertEqual(response.headers["etag"], f'"{sha256(self.data).hexdigest()}"')
            self.assertEqual(response.headers["x-content-type-options"], "nosniff")
            self.assertIn("sandbox", response.headers["content-security-policy"])

    async def test_by_number_with_the_workload_in_query_form_json_or_multipart(self) -> None:
        image = await self.made()
        result = await self.finish_job("w", picture(shade=9))
        fields = {"workload_id": self.workload, "type": "filtered"}
        answers = [
            await self.get(f"/images/0?workload_id={self.workload}", self.user),
            await self.get(f"/images/0?workload_id={self.workload}&type=filtered", self.user),
            await self.send_form("GET", "/images/0", self.user, fields),
            await self.send_form("GET", f"/images/{result}", self.user, fields),
            await self.send_json("GET", "/images/0", self.user, fields),
            await self.send_multipart(
                "GET", "/images/0", self.user, Form().field("workload_id", self.workload)
            ),
        ]
        for answer in answers:
            self.assertEqual((answer.status, answer.body), (200, picture(shade=9)))
        for kind in ("original", "orginal", "ORIGINAL"):
            fields = {"workload_id": self.workload, "type": kind}
            for reference in ("0", image):
                answer = await self.send_form("GET", f"/images/{reference}", self.user, fields)
                self.assertEqual((answer.status, answer.body), (200, self.data))

    async def test_a_number_alone_says_what_is_missing(self) -> None:
        problem = self.assert_problem(await self.get("/images/0", self.user), 400, "malformed-request")
        self.assertIn("workload_id", problem["detail"])

    async def test_what_is_not_there_or_not_yours(self) -> None:
        image = await self.made()
        theirs = await self.new_workload(self.admin)
        hidden = (await self.upload(theirs, token=self.admin)).json()["image_id"]
        paths = [
            "/images/nope",
            f"/images/{hidden}",
            f"/images/0?workload_id={theirs}&type=original",
            f"/images/0?workload_id={self.workload}",  # no result yet
            f"/images/1?workload_id={self.workload}&type=original",
            f"/images/{image}?type=filtered",
            f"/images/{image}?workload_id={theirs}",
            "/images/%2e%2e%2fetc%2fpasswd",
            "/images/" + "9" * 30,
        ]
        for path in paths:
            with self.subTest(path=path):
                self.assert_problem(await self.get(path, self.user), 404, "not-found")
        self.assert_problem(await self.get(f"/images/{image}"), 401, "not-logged-in")
        self.assert_problem(await self.get(f"/images/{image}?type=x", self.user), 422, "bad-parameter")
        self.assertEqual((await self.get(f"/images/{image}", self.admin)).status, 200)

    async def test_a_file_that_was_deleted_a_moment_ago(self) -> None:
        image = await self.made()
        for path in self.stored_files():
            os.remove(path)
        self.assert_problem(await self.get(f"/images/{image}", self.user), 404, "not-found")

    async def test_a_file_that_is_shorter_than_its_record_is_cut_short_and_logged(self) -> None:
        for data in (picture(), noise(3 * PIECE)):
            image = await self.made(data)
            [path] = [path for path in self.stored_files() if os.path.getsize(path) == len(data)]
            os.truncate(path, len(data) - 1)
            with self.assertRaises(ConnectionError):
                await self.get(f"/images/{image}", self.user)
            [failure] = self.flushLoggedErrors(OSError)
            self.assertIn("shorter than its record", failure.getErrorMessage())

    async def test_head_has_the_headers_alone(self) -> None:
        image = await self.made()
        response = await self.request("HEAD", f"/images/{image}", self.user)
        self.assertEqual((response.status, response.body), (200, b""))
        self.assertEqual(response.headers["content-length"], str(len(self.data)))

    async def test_who_has_it_is_not_sent_it_again(self) -> None:
        image = await self.made()
        etag = f'"{sha256(self.data).hexdigest()}"'
        for header in (etag, f"W/{etag}", f'"other", {etag}', "*"):
            response = await self.get(f"/images/{image}", self.user, If_None_Match=header)
            self.assertEqual((response.status, response.body), (304, b""))
            self.assertEqual(response.headers["etag"], etag)
        response = await self.get(f"/images/{image}", self.user, If_None_Match='"other"')
        self.assertEqual(response.status, 200)

    async def ranged(self, image: str, spec: str, **headers: str) -> Response:
        return await self.get(f"/images/{image}", self.user, Range=spec, **headers)

    async def test_ranges(self) -> None:
        image = await self.made()
        size = len(self.data)
        for spec, start, stop in (
            ("bytes=0-0", 0, 1),
            ("bytes=2-5", 2, 6),
            ("bytes=5-", 5, size),
            ("bytes=-4", size - 4, size),
            ("bytes=0-99999", 0, size),
            ("bytes=-99999", 0, size),
            (f"bytes={size - 1}-", size - 1, size),
        ):
            response = await self.ranged(image, spec)
            self.assertEqual((response.status, response.body), (206, self.data[start:stop]), spec)
            self.assertEqual(response.headers["content-range"], f"bytes {start}-{stop - 1}/{size}")

    async def test_ranges_outside_the_image(self) -> None:
        image = await self.made()
        for spec in (f"bytes={len(self.data)}-", "bytes=99999-100000", "bytes=-0"):
            response = await self.ranged(image, spec)
            self.assert_problem(response, 416, "range-not-satisfiable")
            self.assertEqual(response.headers["content-range"], f"bytes */{len(self.data)}")

    async def test_ranges_that_are_none_give_the_whole(self) -> None:
        image = await self.made()
        for spec in ("bytes=5-2", "bytes=-", "bytes=a-b", "lines=1-2", "bytes=0-1,3-4", "0-5", "bytes=--5"):
            response = await self.ranged(image, spec)
            self.assertEqual((response.status, response.body), (200, self.data), spec)

    async def test_a_range_of_another_version_gives_the_whole(self) -> None:
        image = await self.made()
        etag = f'"{sha256(self.data).hexdigest()}"'
        self.assertEqual((await self.ranged(image, "bytes=0-1", If_Range=etag)).status, 206)
        for condition in ('"other"', f"W/{etag}", "Sun, 22 Nov 2026 15:00:00 GMT"):
            self.assertEqual((await self.ranged(image, "bytes=0-1", If_Range=condition)).status, 200)

    async def test_file_names_are_made_harmless(self) -> None:
        for name, disposition in (
            ("holiday.png", 'inline; filename="holiday.png"'),
            ("../../etc/passwd", 'inline; filename="passwd.png"'),
            ("evil.html", 'inline; filename="evil.html.png"'),
            ("photo.jpg", 'inline; filename="photo.png"'),
            ("Zoë.png", "inline; filename=\"Zoe.png\"; filename*=UTF-8''Zo%C3%AB.png"),
        ):
            image = await self.made(name=name)
            response = await self.get(f"/images/{image}", self.user)
            self.assertEqual(response.headers["content-disposition"], disposition)

    async def test_a_large_file_is_streamed_whole_and_in_part(self) -> None:
        large = noise(1_500_000)
        image = await self.made(large)
        self.assertEqual((await self.get(f"/images/{image}", self.user)).body, large)
        part = await self.ranged(image, "bytes=100000-1200000")
        self.assertEqual((part.status, part.body), (206, large[100_000:1_200_001]))

    async def test_a_client_that_leaves_in_the_middle(self) -> None:
        """The file is closed and nothing is logged as a fault."""
        image = await self.made(noise(12_000_000))
        connection = await self.connect()
        connection.transport.pauseProducing()
        head = f"GET /images/{image} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self.user}\r\n\r\n"
        connection.send(head.encode())
        connection.transport.resumeProducing()
        await connection.until(b"\r\n\r\n")
        connection.transport.abortConnection()
        await connection.closed
        await self.server_side_gone()
        self.assertEqual(self.flushLoggedErrors(), [])
        self.assertEqual(self.open_files(), [])
        self.assertEqual(self.clock.getDelayedCalls(), [])
