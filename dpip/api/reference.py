"""The API's description: ``/openapi.json`` for programs, and ``/docs`` for people, without a script."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from hashlib import sha256
from html import escape
from typing import Any

from attrs import define

from dpip.api.http.answers import Answer, to_json
from dpip.api.http.auth import Access
from dpip.api.http.routes import ApiCall, Route
from dpip.api.openapi import document

_STYLE = """
:root { color-scheme: light dark; --line: light-dark(#d5d9e0, #3a404c); --soft: light-dark(#f4f6f9, #1d2129) }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem }
nav ul { columns: 18rem; list-style: none; padding: 0 }
article { border-top: 1px solid var(--line); margin-top: 2rem; overflow-wrap: anywhere }
code, pre { font: 0.9em/1.45 ui-monospace, monospace }
pre { background: var(--soft); padding: 0.75rem; overflow-x: auto; white-space: pre-wrap }
table { border-collapse: collapse; width: 100% }
th, td { border-bottom: 1px solid var(--line); padding: 0.3rem 0.6rem 0.3rem 0 }
th, td { text-align: left; vertical-align: top }
h2 code { background: var(--soft); padding: 0.1em 0.3em; border-radius: 4px }
"""
_POLICY = (
    f"default-src 'none'; style-src 'sha256-{b64encode(sha256(_STYLE.encode()).digest()).decode()}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@define(slots=False)
class ReferenceRoutes:
    """The description of all the ``others``; it is made when somebody asks for the first time."""

    others: Sequence[Route]

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/openapi.json", Access.PUBLIC, self.machine_readable),
            Route("GET", "/docs", Access.PUBLIC, self.readable),
        ]

    async def machine_readable(self, _call: ApiCall) -> Answer:
        headers = {"Content-Type": "application/json", "Cache-Control": "no-cache"}
        return Answer(self._json, 200, headers)

    async def readable(self, _call: ApiCall) -> Answer:
        headers = {
            "Content-Type": "text/html; charset=utf-8",
            "Cache-Control": "no-cache",
            "Content-Security-Policy": _POLICY,
            "Referrer-Policy": "no-referrer",
        }
        return Answer(self._html, 200, headers)

    @cached_property
    def _json(self) -> bytes:
        return to_json(document(self.others))

    @cached_property
    def _html(self) -> bytes:
        return "".join(_page(document(self.others))).encode()


def _page(api: Mapping[str, Any]) -> Iterator[str]:
    operations = [
        (f"{method.upper()} {path}", said)
        for path, row in api["paths"].items()
        for method, said in row.items()
    ]
    yield '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>DPIP: the API</title>'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<style>{_STYLE}</style></head><body><header>"
    yield f"<h1>The API of DPIP {escape(api['info']['version'])}</h1><p>{escape(api['info']['description'])} "
    yield "Send your token as <code>Authorization: Bearer …</code>; <code>POST /login</code> gives one. "
    yield 'For programs: <a href="/openapi.json">openapi.json</a>.</p></header>'
    yield '<nav aria-label="Requests"><ul>'
    for name, said in operations:
        yield f'<li><a href="#{said["operationId"]}"><code>{escape(name)}</code></a></li>'
    yield "</ul></nav><main>"
    for name, said in operations:
        yield from _operation(name, said)
    yield "<h2>What the answers hold</h2>"
    for name, schema in api["components"]["schemas"].items():
        yield f'<article id="{name}"><h3>{name}</h3>'
        yield f"<p>{_text(schema['description'])}</p>" if "description" in schema else ""
        yield from _members(schema)
        yield "</article>"
    yield "</main></body></html>\n"


def _operation(name: str, said: Mapping[str, Any]) -> Iterator[str]:
    yield f'<article id="{said["operationId"]}"><h2><code>{escape(name)}</code></h2>'
    for paragraph in said["description"].split("\n\n"):
        yield f"<p>{_text(paragraph)}</p>"
    rows = [
        (one["name"], one["in"], _kind(one["schema"]), one.get("description", ""))
        for one in said["parameters"]
    ]
    yield from _table("Parameters", rows)
    contents = said.get("requestBody", {}).get("content", {})
    if contents:
        yield f"<h3>Body: {', '.join(contents)}</h3>"
        yield from _members(next(iter(contents.values()))["schema"])
    yield from _table(
        "Answers",
        [
            (status, one["description"], _contents(one.get("content", {})), ", ".join(one.get("content", {})))
            for status, one in said["responses"].items()
        ],
    )
    yield "</article>"


def _members(schema: Mapping[str, Any]) -> Iterator[str]:
    required = schema.get("required", ())
    yield from _table(
        "Members",
        [
            (name, "" if name in required else "optional", _kind(one), one.get("description", ""))
            for name, one in schema.get("properties", {}).items()
        ],
    )


def _table(caption: str, rows: Sequence[tuple[str, str, str, str]]) -> Iterator[str]:
    """Yield a table of four columns, the third of which is HTML already."""
    if rows:
        yield f"<table><caption hidden>{caption}</caption><tbody>"
        for first, second, third, fourth in rows:
            yield f'<tr><th scope="row"><code>{escape(first)}</code></th><td>{escape(second)}</td>'
            yield f"<td>{third}</td><td>{_text(fourth)}</td></tr>"
        yield "</tbody></table>"


def _text(words: str) -> str:
    """Return text as HTML, with what stands in backticks as code."""
    return re.sub(r"`+([^`]+)`+", r"<code>\1</code>", escape(words))


def _contents(contents: Mapping[str, Any]) -> str:
    kinds = {_kind(one["schema"]): None for one in contents.values()}
    return ", ".join(kinds)


def _kind(schema: Mapping[str, Any]) -> str:
    """Return the kind of value in words, as HTML."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f'<a href="#{name}">{name}</a>'
    for several, word in (("anyOf", " or "), ("allOf", " and ")):
        if several in schema:
            return word.join(_kind(one) for one in schema[several])
    if "enum" in schema:
        return " or ".join(f"<code>{escape(value)}</code>" for value in schema["enum"])
    if schema["type"] == "array":
        return f"list of {_kind(schema['items'])}"
    if schema["type"] == "object" and "properties" in schema:
        return "object of " + ", ".join(f"<code>{escape(name)}</code>" for name in schema["properties"])
    return escape(schema.get("format", schema["type"]))
