"""No number, however large, small or strange, is more than a refusal: in every place of every request.

The places are those of the OpenAPI document, and the controller is the real one: SQLite refuses numbers that
Python takes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import quote, urlencode

from attrs import frozen

from dpip.filters import registry
from tests.api.client import Connection, Form, request_bytes
from tests.api.documented import mistakes, the_document
from tests.api.fixture import ApiTest, picture
from tests.api.real import RealBackend

HUGE: Final = "9" * 400
EXTREMES: Final = (
    *("1e300", "-1e300", "1e-320", "1e999", "-1e999", "NaN", "-Infinity", "-0.0", "-1"),
    *("9223372036854775808", "-9223372036854775809", "253402300800", HUGE, "-" + HUGE),
)
"""As JSON and as text: beyond int64, the last year and float64 among them."""
JSON, FORM = "application/json", "application/x-www-form-urlencoded"
BASES: Final[dict[tuple[str, str], dict[str, Any]]] = {
    ("POST", "/users"): {"user": "bob", "password": "password-of-bob"},
    ("POST", "/tokens"): {"name": "n"},
    ("POST", "/workloads"): {"filter": "blur"},
}
"""What goes with the number, so that it is looked at."""


@frozen
class Place:
    """Where a number goes: in ``query``, ``path``, ``header`` or ``body``, there perhaps inside another."""

    method: str
    template: str
    where: str
    names: tuple[str, ...]


def places() -> Iterator[Place]:
    for template, row in the_document()["paths"].items():
        for method, operation in row.items():
            for parameter in operation.get("parameters", ()):
                yield Place(method.upper(), template, parameter["in"], (parameter["name"],))
            for content in operation.get("requestBody", {}).get("content", {}).values():
                for names in _members(content["schema"], ()):
                    yield Place(method.upper(), template, "body", names)


def _members(schema: Any, names: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for name, member in schema.get("properties", {}).items():
        yield (*names, name)
        yield from _members(member, (*names, name))


class ExtremeNumbersTests(RealBackend, ApiTest):
    def setUp(self) -> None:
        super().setUp()
        self.workload = self.stored_workload(picture())

    def bytes_of(self, place: Place, number: str, kind: str) -> bytes:
        known = {"workload_id": self.workload, "reference": "0", "name": "ann"}
        if place.where == "path":
            known[place.names[0]] = number
        path = place.template
        for name, value in known.items():
            path = path.replace(f"{{{name}}}", quote(value))
        if place.where == "query":
            asked = {"workload_id": self.workload, "type": "original"} if place.template == "/images" else {}
            path += "?" + urlencode({**asked, place.names[0]: number})
        headers = {"Authorization": f"Bearer {self.admin}"}
        if place.where == "header":
            headers[place.names[0]] = f"bytes=0-{number}" if place.names == ("Range",) else number
        body = None
        if place.where == "body":
            headers["Content-Type"], body = self.body(place, number, kind)
        return request_bytes(place.method, path, headers, body)

    def body(self, place: Place, number: str, kind: str) -> tuple[str, bytes]:
        base = BASES.get((place.method, place.template), {})
        if place.template == "/images":
            form = Form().field(place.names[0], number).file("data", "0.png", picture())
            return form.content_type, form.body
        if kind == FORM and len(place.names) == 1:
            return FORM, urlencode({**base, place.names[0]: number}).encode()
        value: Any = "@"
        for name in reversed(place.names):
            value = {name: value}
        return JSON, json.dumps({**base, **value}).replace('"@"', number).encode()

    async def ask(self, connection: Connection, method: str, data: bytes) -> int:
        connection.send(data)
        response = await connection.response(head_only=method == "HEAD")
        path = data.split(b" ", 2)[1].decode()
        self.assertEqual(mistakes(the_document(), method, path, response), [], data[:300])
        self.assertLess(response.status, 500, data[:300])
        return response.status

    async def test_wherever_it_stands(self) -> None:
        connection, streams = await self.connect(), ("/events", "/workloads/{workload_id}/events")
        asked = 0
        for place in dict.fromkeys(places()):  # a body's are told once for each of its formats
            if place.template in streams and place.where == "header":
                continue  # the answer would have no end
            for number in EXTREMES:
                for kind in (JSON, FORM) if place.where == "body" else (JSON,):
                    await self.ask(connection, place.method, self.bytes_of(place, number, kind))
                    asked += 1
        self.assertGreater(asked, 1000)

    async def test_as_a_parameter_of_a_filter(self) -> None:
        connection, statuses = await self.connect(), set()
        for name in registry.names():
            for parameter in registry.find(name).parameters:
                for number in EXTREMES:
                    body = f'{{"steps": [{{"name": "{name}", "{parameter.name}": {number}}}]}}'
                    headers = {"Authorization": f"Bearer {self.user}", "Content-Type": JSON}
                    data = request_bytes("POST", "/workloads", headers, body.encode())
                    statuses.add(await self.ask(connection, "POST", data))
        self.assertEqual(statuses, {201, 400, 422})
