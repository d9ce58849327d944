"""GET / and what the page is made of."""

from __future__ import annotations

import re

from tests.api.fixture import ApiTest


class PageTests(ApiTest):
    async def parts(self) -> list[str]:
        """The addresses that the page names."""
        index = (await self.get("/")).body.decode()
        return re.findall(r'(?:href|src)="(/page/[^"]+)"', index)

    async def test_anybody_gets_it_and_every_part_it_names(self) -> None:
        index = await self.get("/")
        self.assertEqual(index.status, 200)
        self.assertEqual(index.headers["content-type"], "text/html; charset=utf-8")
        parts = await self.parts()
        self.assertGreaterEqual(len(parts), 2)
        kinds = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
        for part in parts:
            answer = await self.get(part)
            self.assertEqual(answer.status, 200, part)
            self.assertTrue(answer.headers["content-type"].startswith(kinds[part.rpartition(".")[2]]))

    async def test_nothing_of_it_comes_from_elsewhere_or_stands_inline(self) -> None:
        answer = await self.get("/")
        policy = answer.headers["content-security-policy"]
        self.assertTrue(policy.startswith("default-src 'self'; img-src 'self' blob:;"))
        self.assertNotIn("unsafe", policy)
        text = answer.body.decode()
        for script in re.findall(r"<script([^>]*)>(.*?)</script>", text, re.DOTALL):
            self.assertIn("src=", script[0])
            self.assertEqual(script[1].strip(), "")
        self.assertNotRegex(text, r"<style|\sstyle=|\son\w+=|https?://")

    async def test_the_page_is_asked_for_anew_and_its_parts_are_kept_for_good(self) -> None:
        index = await self.get("/")
        self.assertEqual(index.headers["cache-control"], "no-cache")
        again = await self.get("/", If_None_Match=index.headers["etag"])
        self.assertEqual((again.status, again.body), (304, b""))
        for part in await self.parts():
            self.assertIn("immutable", (await self.get(part)).headers["cache-control"])

    async def test_a_part_of_another_version_is_not_there(self) -> None:
        part = (await self.parts())[0]
        _, _, version, name = part.split("/")
        for path in (
            f"/page/{version[::-1]}/{name}",
            f"/page/{version}/none.js",
            f"/page/{version}/index.html",
        ):
            self.assert_problem(await self.get(path), 404, "not-found")
        for path in (f"/page/{version}/../setup.py", f"/page/{version}/%2e%2e%2fmodel.py"):
            self.assert_problem(await self.get(path), 404, "not-found")
