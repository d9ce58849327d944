"""GET /openapi.json and GET /docs: complete, as the route table and the handlers have it.

Besides, every answer of every test in this folder is held against the document, see ``fixture``.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

from twisted.internet.defer import Deferred, succeed

from dpip.api.http.auth import Access
from dpip.api.http.forms import Fields
from dpip.api.http.problems import _STATUS
from dpip.api.http.routes import ApiCall
from dpip.api.openapi import template
from dpip.api.operations import OPERATIONS, UNDOCUMENTED
from dpip.api.schemas import FILE
from dpip.errors import DpipError
from dpip.model import Principal, Role
from tests.api.client import Response
from tests.api.documented import mistakes, the_document
from tests.api.fixture import ApiTest

#: Asked for in a test of its presence, or to pass over what our own answers hold.
EXAMPLES: dict[str, Any] = {
    "ids": "i,j",
    "workload_id": "w",
    "type": "original",
    "limit": "5",
    "after": "3",
    "before": "3",
    "since": "2026-01-01T00:00:00Z",
    "fields": "status",
    "format": "zip",
    "user": "ann",
    "password": "password",
    "name": "n",
    "days": "3",
    "role": "user",
    "quota": "5",
    "images": ["i"],
    "filter": "blur",
    "params": {"sigma": 2},
    "workload_name": "n",
    "numbering": "ids",
    "tags": ["t"],
    "output": {"format": "PNG"},
}


class Asked(dict[str, Any]):
    """Remembers which members were looked for."""

    def __init__(self, values: dict[str, Any]) -> None:
        super().__init__(values)
        self.names: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        self.names.add(name)
        return super().get(name, default)

    def __contains__(self, name: object) -> bool:
        self.names.add(str(name))
        return super().__contains__(name)


class OpenApiTests(ApiTest):
    def test_every_route_is_documented_and_nothing_else(self) -> None:
        routes = {(route.method, route.path) for route in self.rows_of_the_api()}
        self.assertEqual(routes - UNDOCUMENTED, set(OPERATIONS))
        self.assertLessEqual(UNDOCUMENTED, routes)

    def test_every_parameter_that_a_handler_looks_for_is_documented(self) -> None:
        by = Principal("admin", Role.ADMIN)
        api = the_document()
        for route in self.rows_of_the_api():
            if (route.method, route.path) in UNDOCUMENTED:
                continue
            path, names = template(route.path)
            said = api["paths"][path][route.method.lower()]
            known = {one["name"] for one in said["parameters"] if one["in"] != "path"}
            schemas = [one["schema"] for one in said.get("requestBody", {}).get("content", {}).values()]
            known |= {name for schema in schemas for name in schema.get("properties", ())}
            fields, headers = Asked({name: EXAMPLES[name] for name in known if name in EXAMPLES}), set()

            def header(name: str, headers: set[str] = headers) -> str | None:
                headers.add(name)
                return None

            call = ApiCall("r", by, "-", header, Fields(fields), None, None, lambda: succeed(by))
            handled = Deferred.fromCoroutine(route.handler(call, **dict.fromkeys(names, "0")))
            handled.addErrback(lambda failure: failure.trap(DpipError))
            self.successResultOf(handled)
            with self.subTest(route=f"{route.method} {route.path}"):
                self.assertEqual(fields.names - known, set())
                headers -= {"Authorization", "X-DPIP-Page", "Cookie", "Sec-Fetch-Site"}
                self.assertEqual(headers - known, set())

    def test_every_kind_of_error_has_its_place(self) -> None:
        api = the_document()
        operations = [one for row in api["paths"].values() for one in row.values()]
        said = {int(status) for one in operations for status in one["responses"] if int(status) >= 400}
        self.assertEqual(said, set(_STATUS.values()) - {405} | {500})

    def test_references_lead_somewhere_and_names_are_unique(self) -> None:
        api = the_document()
        schemas = api["components"]["schemas"]
        for name in re.findall(r"#/components/schemas/(\w+)", str(api)):
            self.assertIn(name, schemas)
        ids = [one["operationId"] for row in api["paths"].values() for one in row.values()]
        self.assertEqual(len(set(ids)), len(ids))
        for row in api["paths"].values():
            for one in row.values():
                self.assertTrue(one["summary"], one["operationId"])

    def test_generators_find_what_they_need(self) -> None:
        api = the_document()
        self.assertEqual(api["servers"][0]["url"], "/")
        tags = {tag["name"] for tag in api["tags"]}
        operations = [one for row in api["paths"].values() for one in row.values()]
        self.assertEqual({tag for one in operations for tag in one["tags"]}, tags)
        pictures = api["paths"]["/images/{reference}"]["get"]["responses"]["200"]["content"]
        self.assertLessEqual({"image/jpeg", "image/avif", "image/jxl"}, set(pictures))
        self.assertEqual({str(one["schema"]) for one in pictures.values()}, {str(FILE)})
        self.assertEqual(
            api["paths"]["/login"]["post"]["summary"], "Log in with Basic auth; returns a token."
        )

    def test_users_are_not_shown_what_only_workers_send(self) -> None:
        body = the_document()["paths"]["/images"]["post"]["requestBody"]["content"]["multipart/form-data"]
        self.assertEqual(set(body["schema"]["properties"]), {"data", "workload_id", "type"})

    async def test_it_is_served_to_everybody(self) -> None:
        response = await self.get("/openapi.json")
        self.assertEqual((response.status, response.json()["openapi"]), (200, "3.1.0"))
        self.assertEqual(response.headers["content-type"], "application/json")
        open_to_all = {
            (r.method.lower(), r.path) for r in self.rows_of_the_api() if r.access is Access.PUBLIC
        }
        for path, row in response.json()["paths"].items():
            for method, said in row.items():
                public = not said["security"] or said["security"] == [{"password": []}]
                self.assertEqual(public, (method, path) in open_to_all, path)

    async def test_the_page_says_all_of_it_without_a_script(self) -> None:
        response = await self.get("/docs")
        self.assertEqual(response.headers["content-type"], "text/html; charset=utf-8")
        self.assertIn("default-src 'none'", response.headers["content-security-policy"])
        page = response.body.decode()
        self.assertNotIn("<script", page)
        self.assertNotIn("`", page)
        for method, path in OPERATIONS:
            self.assertIn(f"<code>{method} {template(path)[0]}</code>", page)
        checked = Balanced()
        checked.feed(page)
        self.assertEqual(checked.open, [])
        self.assertLessEqual(checked.links, checked.ids)


class Balanced(HTMLParser):
    """Every element ends where it should."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: set[str] = set()
        self.ids: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        if (named.get("href") or "").startswith("#"):
            self.links.add(str(named["href"])[1:])
        if "id" in named:
            self.ids.add(str(named["id"]))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self.open.pop() != tag:
            raise AssertionError(f"</{tag}> at {self.getpos()}")


class MistakesTests(ApiTest):
    """The check that is made of every answer finds what it should."""

    def found(self, status: int, body: bytes, kind: str = "application/json") -> list[str]:
        api = the_document()
        return mistakes(api, "GET", "/healthz", Response(status, {"content-type": kind}, body))

    def test_it_does(self) -> None:
        self.assertEqual(self.found(200, b'{"status": "alive"}'), [])
        for status, body, kind in (
            (200, b'{"status": 5}', "application/json"),
            (200, b"{}", "application/json"),
            (200, b'{"status": "alive", "more": 1}', "application/json"),
            (200, b"[]", "application/json"),
            (200, b"alive", "text/plain"),
            (418, b"{}", "application/json"),
            (503, b"{}", "application/problem+json"),
        ):
            self.assertTrue(self.found(status, body, kind), body)
