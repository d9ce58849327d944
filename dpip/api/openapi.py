"""The API as an OpenAPI 3.1 document, made from the route table and :mod:`dpip.api.operations`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from inspect import cleandoc
from typing import Any, Final

from dpip import __version__
from dpip.api.http.auth import ENCRYPTED_SESSION, SESSION, Access
from dpip.api.http.problems import LATER
from dpip.api.http.routes import Route
from dpip.api.operations import OPERATIONS, SCHEMAS, UNDOCUMENTED, Operation
from dpip.api.schemas import INTEGER, STRING, ref
from dpip.http.batch import CONTENT_TYPE as BATCH

#: What an answer gives that other operations take: parameter, where it is in the answer, which paths mean it.
_GIVEN: Final = {
    ("POST", "/workloads"): ("workload_id", "workload_id", ""),
    ("POST", "/images"): ("reference", "image_id", ""),
    ("POST", "/users"): ("name", "user", "/users/"),
    ("POST", "/tokens"): ("token_id", "token_id", ""),
}
_TAGS: Final = {
    "logins": "Logging in and out, and tokens for programs.",
    "workloads": "Pictures that are filtered in the same way.",
    "images": "Originals and results.",
    "users": "Who may use the system.",
    "workers": "What filters the pictures.",
    "system": "The state of the whole.",
}
_TAG_OF: Final = {
    "login": "logins",
    "logout": "logins",
    "tokens": "logins",
    "workloads": "workloads",
    "images": "images",
    "users": "users",
    "workers": "workers",
    "join-token": "workers",
}
"""By the first part of the path; all others are of the system."""
_ALWAYS: Final = (400, 408, 413, 415, 500, 503)
"""Any request may be malformed, too slow, or have a body that is too long or of another type."""


def document(routes: Iterable[Route]) -> dict[str, Any]:
    """Describe these routes. Raises KeyError for a route that has no operation."""
    paths: dict[str, Any] = {}
    for route in routes:
        if (route.method, route.path) not in UNDOCUMENTED:
            path, _ = template(route.path)
            paths.setdefault(path, {})[route.method.lower()] = _operation(route)
    for (method, made_at), (parameter, member, start) in _GIVEN.items():
        links = _links(paths, parameter, f"$response.body#/{member}", start)
        paths[made_at][method.lower()]["responses"]["201"]["links"] = links
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "DPIP",
            "version": __version__,
            "description": "Filters images on any number of workers. Every refusal is a problem document.",
        },
        "servers": [{"url": "/", "description": "The server that this document is from."}],
        "tags": [{"name": name, "description": about} for name, about in _TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "password": {"type": "http", "scheme": "basic"},
                "page": {"type": "apiKey", "in": "cookie", "name": SESSION},
                "page-tls": {"type": "apiKey", "in": "cookie", "name": ENCRYPTED_SESSION},
            },
        },
    }


def _links(paths: dict[str, Any], parameter: str, value: str, start: str) -> dict[str, Any]:
    """Return links to every operation that takes this parameter."""
    return {
        operation["operationId"]: {
            "operationId": operation["operationId"],
            "parameters": {parameter: value},
            "description": operation["summary"],
        }
        for path, row in paths.items()
        for operation in row.values()
        if path.startswith(start) and parameter in {one["name"] for one in operation["parameters"]}
    }


def template(path: str) -> tuple[str, list[str]]:
    """Return ``/workers/<path:name>`` as ``/workers/{name}``, and the names."""
    names = re.findall(r"<(?:\w+:)?(\w+)>", path)
    return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", path), names


def statuses_of_errors(route: Route) -> list[int]:
    operation = OPERATIONS[route.method, route.path]
    found = {*_ALWAYS, *operation.errors}
    if route.access is not Access.PUBLIC:
        found |= {401, 403}
    if template(route.path)[1]:
        found.add(404)
    return sorted(found)


def _operation(route: Route) -> dict[str, Any]:
    operation = OPERATIONS[route.method, route.path]
    path, names = template(route.path)
    described = cleandoc(route.handler.__doc__ or "").replace("``", "`")
    said: dict[str, Any] = {
        "tags": [_tag(path)],
        "operationId": f"{route.method.lower()}{re.sub(r'[^a-z]+', '_', path)}".strip("_"),
        "summary": described.partition("\n\n")[0].replace("\n", " "),
        "description": described,
        "security": _security(route),
        "parameters": [
            *({"name": name, "in": "path", "required": True, "schema": STRING} for name in names),
            *operation.parameters,
        ],
        "responses": _responses(operation, statuses_of_errors(route)),
    }
    body = _body(operation)
    if body is not None:
        said["requestBody"] = body
    return said


def _tag(path: str) -> str:
    return _TAG_OF.get(path.split("/")[1], "system")


def _security(route: Route) -> Sequence[dict[str, list[str]]]:
    if route.path == "/login":
        return [{"password": []}]
    if route.access is Access.PUBLIC:
        return []
    names = ("token", "page", "page-tls") if route.by_link else ("token",)
    return [{name: []} for name in names]


def _body(operation: Operation) -> dict[str, Any] | None:
    if operation.upload is not None:
        return {"required": True, "content": {"multipart/form-data": {"schema": operation.upload}}}
    if operation.batch is not None:
        return {"required": True, "content": {BATCH: {"schema": operation.batch}}}
    if operation.body is None:
        return None
    kinds = ("application/json", "application/x-www-form-urlencoded", "multipart/form-data")
    required = bool(operation.body["required"])
    return {"required": required, "content": {kind: {"schema": operation.body} for kind in kinds}}


def _responses(operation: Operation, errors: Iterable[int]) -> dict[str, Any]:
    said: dict[str, Any] = {}
    for status, contents in operation.answers.items():
        said[str(status)] = {"description": HTTPStatus(status).phrase}
        if contents:
            said[str(status)]["content"] = {kind: {"schema": schema} for kind, schema in contents.items()}
    for status in errors:
        said[str(status)] = {
            "description": HTTPStatus(status).phrase,
            "content": {"application/problem+json": {"schema": ref("Problem")}},
        }
        if status in LATER:
            said[str(status)]["headers"] = {"Retry-After": {"required": True, "schema": INTEGER}}
    return said
