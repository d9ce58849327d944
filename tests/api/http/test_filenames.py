"""Clients' file names made harmless."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dpip.api.http.filenames import content_disposition, safe_name, safe_path
from tests.api.client import Form, Response, request_bytes, split_response
from tests.api.fixture import ApiTest, picture


class FileNameTests(SynchronousTestCase):
    def test_examples(self) -> None:
        for given_name, kind, expected in (
            ("a.png", "image/png", "a.png"),
            ("A.PNG", "image/png", "A.PNG"),
            ("a.jpeg", "image/jpeg", "a.jpeg"),
            ("a.png", "image/jpeg", "a.jpg"),
            ("a.apng", "image/png", "a.apng"),
            ("a.apng", "image/jpeg", "a.jpg"),
            ("archive.tar.gz", "image/png", "archive.tar.gz.png"),
            (None, "image/png", "id.png"),
            ("", "image/tiff", "id.tif"),
            (".png", "image/png", "png.png"),
            ("...", "image/png", "id.png"),
            ("/etc/passwd", "image/png", "passwd.png"),
            ("C:\\Users\\ann\\a.bmp", "image/bmp", "a.bmp"),
            ("a\r\nSet-Cookie: x.png", "image/png", "aSet-Cookie_ x.png"),
            ("\u202egnp.exe", "image/png", "gnp.exe.png"),
            ("CON.png", "image/png", "_CON.png"),
            ("COM¹.png", "image/png", "_COM¹.png"),
            ("conout$ .png", "image/png", "_conout$.png"),
            ("\N{CAT}" * 100 + ".png", "image/png", "\N{CAT}" * 50 + ".png"),
            ("x" * 500 + ".png", "image/png", "x" * 120 + ".png"),
            ("a.xyz", "image/unknown", "a.xyz"),
        ):
            self.assertEqual(safe_name(given_name, "id", kind), expected)

    def test_folders_of_a_client_stay_below_the_archive(self) -> None:
        for given_name, expected in (
            ("rome/day 1/a.png", "rome/day 1/a.png"),
            ("a.png", "a.png"),
            (None, "id.png"),
            ("../../etc/passwd", "passwd.png"),
            ("/etc/passwd", "passwd.png"),
            ("a/./b.png", "b.png"),
            ("a//b.png", "b.png"),
            ("a/.. /b.png", "b.png"),
            ("c\\x/..\\b.png", "b.png"),
            ("C:/nul/b.png", "C_/_nul/b.png"),
            ("a.png/b.png", "a.png_/b.png"),
            ("a/" * 17 + "b.png", "b.png"),
            ("\0/\r/b.png", "_/_/b.png"),
        ):
            self.assertEqual(safe_path(given_name, "id", "image/png"), expected)

    @settings(deadline=None, derandomize=True)
    @given(st.text("ab/.\\ :\0", max_size=40))
    def test_no_path_leads_elsewhere(self, name: str) -> None:
        path = safe_path(name, "id", "image/png")
        for part in path.split("/"):
            self.assertNotIn(part.strip(" ."), ("",), path)
            self.assertFalse(set(part) & set("\\\0:"), path)

    @settings(deadline=None, derandomize=True)
    @given(st.text(max_size=200), st.sampled_from(["image/png", "image/jpeg", "image/unknown"]))
    def test_no_name_leaves_its_folder_or_its_header(self, name: str, kind: str) -> None:
        safe = safe_name(name, "id", kind)
        self.assertFalse(set(safe) & set('/\\\0\r\n"<>:|?*'))
        self.assertNotIn(safe, ("", ".", ".."))
        self.assertLess(len(safe), 150)
        self.assertLess(len(safe.encode()), 220)
        header = content_disposition(safe)
        self.assertTrue(header.isascii() and header.isprintable(), header)
        self.assertEqual(header.count('"'), 2)


NAMES = (
    'quo"te.png',
    "line\r\nSet-Cookie: a=b.png",
    "back\\slash.png",
    "../../etc/passwd",
    "C:\\Windows\\nul.png",
    "\u202egnp.exe",
    "\u2066left\u2069 \u200fright.png",
    "AUX",
    "picture.html",
    "größe 测试 \N{CAT}.png",
    "%2e%2e%2f\x00.png",
    "n" * 2_000 + ".png",
)


class NamesOnTheWayTests(ApiTest):
    """From a client's upload into headers and archives, whatever content it says that it sends."""

    async def test_no_name_and_no_type_of_a_client_comes_back_as_it_was(self) -> None:
        workload, ids = await self.new_workload(), []
        for name in NAMES:
            quoted = name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A").replace("\0", "%00")
            form = Form().field("workload_id", workload).file("data", quoted, picture(), "text/html")
            answer = await self.send_multipart("POST", "/images", self.user, form)
            self.assertEqual(answer.status, 201, answer.body)
            ids.append(answer.json()["image_id"])
        for name, image in zip(NAMES, ids, strict=True):
            with self.subTest(name=name[:50]):
                response = await self.get(f"/images/{image}", self.user)
                self.assert_harmless(response, "image/png", "inline")
                self.assertIn('.png"', response.headers["content-disposition"])

    async def test_a_name_that_is_no_name_any_more_is_refused(self) -> None:
        answer = await self.upload(await self.new_workload(), name="n" * 10_000 + ".png")
        self.assert_problem(answer, 400, "malformed-request")
        self.assert_nothing_left()

    async def test_archives_hold_names_that_any_system_takes(self) -> None:
        workload = await self.new_workload()
        for name in NAMES[5:]:
            await self.upload(workload, name=name.replace("\0", ""))
        connection = await self.connect()
        named = {"Authorization": f"Bearer {self.user}", "Connection": "close"}
        connection.send(
            request_bytes("GET", f"/workloads/{workload}/archive?type=original&format=tar", named)
        )
        await connection.closed
        head, _, body = connection.received.partition(b"\r\n\r\n")
        response, _ = split_response(head + b"\r\nContent-Length: 0\r\n\r\n")
        assert response is not None
        self.assert_harmless(response, "application/x-tar", "attachment")
        for name in re.findall(rb"(?:^|\0)([^\0]+\.png)\0", body):
            self.assertNotIn(b"/", name)
            self.assertLess(len(name), 255)

    def assert_harmless(self, response: Response, kind: str, how: str) -> None:
        headers = response.headers
        self.assertEqual((response.status, headers["content-type"]), (200, kind), response.body[:300])
        self.assertEqual(headers["x-content-type-options"], "nosniff")
        self.assertEqual(headers["content-security-policy"], "default-src 'none'; sandbox")
        self.assertNotIn("set-cookie", headers)
        disposition = headers["content-disposition"]
        self.assertTrue(disposition.startswith(f'{how}; filename="'), disposition)
        self.assertTrue(disposition.isascii() and disposition.isprintable(), disposition)
        self.assertEqual(disposition.count('"'), 2, disposition)
        self.assertFalse(set(disposition) & set("/\\<>"), disposition)
