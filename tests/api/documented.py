"""Holds what the API answers against its own OpenAPI document."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from twisted.internet.task import Clock

from dpip.api.app import all_routes
from dpip.api.openapi import document
from tests.api.client import Response

_TYPES: dict[str, Any] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "object": dict,
    "array": list,
    "null": type(None),
}


@cache
def the_document() -> Any:
    """It is the same whatever controller answers."""
    nothing: Any = None
    return document(all_routes(nothing, nothing, nothing, nothing, Clock(), nothing))


def mistakes(api: Any, method: str, path: str, response: Response) -> list[str]:
    """What about this answer the document does not say. Paths that are in no document are passed over."""
    said = _operation(api, method, path.partition("?")[0])
    if said is None:
        return []
    if str(response.status) not in said["responses"]:
        return [f"{response.status} is not documented"]
    answer = said["responses"][str(response.status)]
    missing = [name for name in answer.get("headers", {}) if name.lower() not in response.headers]
    contents = answer.get("content", {})
    kind = response.headers.get("content-type")
    if not contents or not response.body:
        return missing
    if kind not in contents:
        return [*missing, f"{kind} is not documented"]
    if not kind.endswith("json"):
        return missing
    return [*missing, *_wrong(api, contents[kind]["schema"], json.loads(response.body), "answer")]


def _operation(api: Any, method: str, path: str) -> Any:
    """Literal parts of a path go before names."""
    fits = [
        (template.count("{"), row[method.lower()])
        for template, row in api["paths"].items()
        if method.lower() in row and re.fullmatch(_pattern(template), path)
    ]
    return min(fits, key=lambda fit: fit[0])[1] if fits else None


def _pattern(template: str) -> str:
    """Names of users and workers may hold slashes."""
    segment = ".+" if template.startswith(("/users", "/workers")) else "[^/]+"
    return re.sub(r"\\\{\w+\\\}", segment, re.escape(template))


def _wrong(api: Any, schema: Any, value: Any, where: str) -> Iterator[str]:
    """The part of JSON Schema that the document uses; members that are not described are wrong, too."""
    if "$ref" in schema:
        yield from _wrong(api, api["components"]["schemas"][schema["$ref"].rpartition("/")[2]], value, where)
    elif "anyOf" in schema:
        if all(list(_wrong(api, one, value, where)) for one in schema["anyOf"]):
            yield f"{where} is none of what it may be: {value!r}"
    elif "allOf" in schema:
        for one in schema["allOf"]:
            yield from (wrong for wrong in _wrong(api, one, value, where) if "is not described" not in wrong)
    elif not isinstance(value, _TYPES[schema["type"]]) or (
        isinstance(value, bool) and schema["type"] != "boolean"
    ):
        yield f"{where} is not of type {schema['type']}: {value!r}"
    elif "enum" in schema and value not in schema["enum"]:
        yield f"{where} is not one of {schema['enum']}: {value!r}"
    elif isinstance(value, list):
        for item in value:
            yield from _wrong(api, schema["items"], item, f"an item of {where}")
    elif isinstance(value, dict) and "properties" in schema:
        yield from (f"{where} has no {name}" for name in schema["required"] if name not in value)
        for name, one in value.items():
            if name in schema["properties"]:
                yield from _wrong(api, schema["properties"][name], one, f"{where}.{name}")
            elif "additionalProperties" not in schema and not where.endswith("parameters"):
                yield f"{where}.{name} is not described"
