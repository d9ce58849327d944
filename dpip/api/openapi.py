"""The API as an OpenAPI 3.1 document: made from the route table and what is said of each row here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from inspect import cleandoc
from typing import Any, Final

from attrs import frozen

from dpip import __version__
from dpip.api.http.auth import SESSION, Access
from dpip.api.http.problems import LATER
from dpip.api.http.routes import DEFAULT_PAGE, MAX_PAGE, Route
from dpip.api.schemas import (
    ANYTHING,
    FILE,
    INTEGER,
    SCHEMAS,
    STRING,
    TIME,
    Schema,
    array,
    choice,
    members,
    or_null,
    ref,
)
from dpip.model import ImageType, Numbering, Role
from dpip.runtime.metrics import CONTENT_TYPE

Key = tuple[str, str]


@frozen
class QueryParameter:
    """Of the query; with ``header`` a header."""

    name: str
    schema: Schema
    description: str
    required: bool = False
    header: bool = False


@frozen
class Operation:
    """What a route takes and gives. ``body`` is taken as JSON, form or multipart, ``upload`` as multipart;
    ``answers`` are contents by type, for each status that is no error."""

    answers: dict[int, dict[str, Schema]]
    errors: tuple[int, ...] = ()
    query: tuple[QueryParameter, ...] = ()
    body: Schema | None = None
    upload: Schema | None = None


def _json(schema: Schema, status: int = 200) -> dict[int, dict[str, Schema]]:
    return {status: {"application/json": schema}}


_IMAGE_TYPES = tuple(f"image/{name}" for name in ("jpeg", "png", "webp", "bmp", "gif", "tiff"))
_PICTURE = dict.fromkeys(_IMAGE_TYPES, FILE)
_LIMIT = QueryParameter(
    "limit",
    {**INTEGER, "minimum": 1, "maximum": MAX_PAGE, "default": DEFAULT_PAGE},
    "Length of the page; the header Link leads to the next one.",
)
_KIND = {**choice(ImageType), "default": ImageType.FILTERED.value}
_OF = (
    QueryParameter("workload_id", STRING, "Needed where the image is given by its place in a workload."),
    QueryParameter("type", _KIND, "Which of the two images at that place."),
)
_KEY = QueryParameter(
    "Idempotency-Key", STRING, "The same request with the same key gives the first answer.", header=True
)
_KNOWN = QueryParameter("If-None-Match", STRING, "An ETag: 304 when nothing has changed.", header=True)
_AFTER_EVENT = QueryParameter("Last-Event-ID", STRING, "Go on after this event.", header=True)
_STREAM: dict[int, dict[str, Schema]] = {200: {"text/event-stream": ref("Event")}}
_SAID = members(workload_id=STRING, deleted={"type": "boolean"})
_SPEC = members(
    ("filter", "params", "steps", "workload_name", "numbering", "tags", "output"),
    filter=STRING,
    params=ANYTHING,
    steps=array({**members(name=STRING), "additionalProperties": True}),
    workload_name=STRING,
    numbering=choice(Numbering),
    tags=array(STRING),
    output=members(
        ("format", "quality", "metadata"),
        format=or_null(STRING),
        quality=or_null({**INTEGER, "minimum": 1, "maximum": 100}),
        metadata={"type": "string", "enum": ["keep", "strip"]},
    ),
)
_UPLOAD = members(
    ("type", "job", "attempt", "nonce", "sha256"),
    data=FILE,
    workload_id=STRING,
    type=_KIND | {"default": ImageType.ORIGINAL.value},
    job={**INTEGER, "description": "This and the next three: of a worker's lease."},
    attempt=INTEGER,
    nonce=STRING,
    sha256=STRING,
)
_USER = members(
    ("role", "quota"), user=STRING, password=STRING, role=choice((Role.USER, Role.ADMIN)), quota=INTEGER
)
_NEW_TOKEN = members(
    ("days", "user"), name=STRING, days={**INTEGER, "minimum": 1, "maximum": 3650}, user=STRING
)

_WEBHOOK = members(
    url=STRING,
    pending={"type": "boolean"},
    next_attempt_at=or_null(TIME),
    log=array(members(at=TIME, attempt=INTEGER, status=or_null(INTEGER), error=or_null(STRING))),
)

OPERATIONS: Final[dict[Key, Operation]] = {
    ("POST", "/login"): Operation(_json(ref("Login")), (401, 429)),
    ("DELETE", "/logout"): Operation(_json(members(logout_message=STRING))),
    ("GET", "/status"): Operation(_json(ref("Status"))),
    ("POST", "/workloads"): Operation(_json(ref("Workload"), 201), (422,), (_KEY,), body=_SPEC),
    ("GET", "/workloads"): Operation(
        _json(array(ref("WorkloadSummary"))),
        (422,),
        (
            QueryParameter("status", STRING, "One or several, with commas: only workloads in these states."),
            QueryParameter("name", STRING, "A part of the workload's name."),
            QueryParameter("after", STRING, "The last workload_id of the page before."),
            _LIMIT,
        ),
    ),
    ("GET", "/workloads/<workload_id>"): Operation(
        {**_json(ref("WorkloadPart")), 304: {}},
        (422,),
        (QueryParameter("fields", STRING, "Names of the members that are wanted, with commas."), _KNOWN),
    ),
    ("GET", "/workloads/<workload_id>/why"): Operation(_json(ref("Why"))),
    ("POST", "/workloads/<workload_id>/seal"): Operation(
        _json(ref("WorkloadSummary")),
        (409, 422),
        body=members(("webhook",), webhook=members(url=STRING, secret=STRING)),
    ),
    ("GET", "/workloads/<workload_id>/webhook"): Operation(_json(_WEBHOOK)),
    ("POST", "/workloads/<workload_id>/cancel"): Operation(
        _json({"allOf": [ref("WorkloadSummary"), members(cancelled=INTEGER)]}), (422,)
    ),
    ("POST", "/workloads/<workload_id>/retry"): Operation(
        _json({"allOf": [ref("WorkloadSummary"), members(retried=INTEGER)]}),
        (422,),
        body=members(("images",), images=array(STRING)),
    ),
    ("DELETE", "/workloads/<workload_id>"): Operation(_json(_SAID)),
    ("GET", "/workloads/<workload_id>/archive"): Operation(
        {200: {"application/zip": FILE, "application/x-tar": FILE}},
        (422,),
        (
            QueryParameter(
                "format", {"type": "string", "enum": ["zip", "tar"], "default": "zip"}, "Of the archive."
            ),
            QueryParameter("type", _KIND, "Results or originals."),
        ),
    ),
    ("GET", "/events"): Operation(_STREAM, (429,), (_AFTER_EVENT,)),
    ("GET", "/workloads/<workload_id>/events"): Operation(_STREAM, (429,), (_AFTER_EVENT,)),
    ("GET", "/images"): Operation(
        _json(array(ref("Image"))),
        (404, 422),
        (
            QueryParameter("workload_id", STRING, "Whose images.", required=True),
            QueryParameter("type", _KIND, "Results or originals."),
            QueryParameter("after", {**INTEGER, "minimum": -1}, "The last seq of the page before."),
            _LIMIT,
        ),
    ),
    ("GET", "/images/<reference>"): Operation(
        {200: _PICTURE, 206: _PICTURE, 304: {}},
        (416, 422),
        (
            *_OF,
            _KNOWN,
            QueryParameter("Range", STRING, "RFC 9110: a part of the bytes.", header=True),
            QueryParameter("If-Range", STRING, "An ETag that the range is meant for.", header=True),
        ),
    ),
    ("GET", "/images/<reference>/thumbnail"): Operation(
        {200: {"image/jpeg": FILE}, 304: {}}, (422,), (*_OF, _KNOWN)
    ),
    ("POST", "/images"): Operation(
        _json({"anyOf": [ref("Image"), array(ref("Image"))]}, 201),
        (404, 409, 422, 507),
        (_KEY,),
        upload=_UPLOAD,
    ),
    ("GET", "/users"): Operation(_json(array(ref("User")))),
    ("POST", "/users"): Operation(_json(ref("User"), 201), (409, 422), body=_USER),
    ("DELETE", "/users/<path:name>"): Operation(
        _json(members(user=STRING, deleted={"type": "boolean"})), (409,)
    ),
    ("PUT", "/users/<path:name>/password"): Operation(
        _json(members(user=STRING, message=STRING)),
        (422, 429),
        body=members(("old_password",), password=STRING, old_password=STRING),
    ),
    ("GET", "/tokens"): Operation(
        _json(array(ref("Token"))),
        (404, 422),
        (QueryParameter("user", STRING, "For admins: whose."), _LIMIT),
    ),
    ("POST", "/tokens"): Operation(_json(ref("NewToken"), 201), (404, 409, 422), body=_NEW_TOKEN),
    ("DELETE", "/tokens/<token_id>"): Operation(_json(ref("RevokedToken"))),
    ("GET", "/filters"): Operation(_json(array(ref("Filter")))),
    ("GET", "/workers"): Operation(_json(array(ref("Worker")))),
    ("GET", "/workers/<path:name>/history"): Operation(
        _json(array(ref("Sample"))), (422,), (QueryParameter("since", TIME, "By default an hour ago."),)
    ),
    ("POST", "/workers/<path:name>/drain"): Operation(
        _json(members(worker=STRING, draining={"type": "boolean"}), 202), (409, 422)
    ),
    ("POST", "/workers/<path:name>/revoke"): Operation(
        _json(members(worker=STRING, certificates=INTEGER)), (422,)
    ),
    ("GET", "/join-token"): Operation(_json(ref("JoinToken"))),
    ("POST", "/join-token"): Operation(
        _json(ref("JoinToken"), 201),
        (422,),
        body=members(
            ("seconds", "grace"),
            seconds={**INTEGER, "minimum": 1},
            grace={**INTEGER, "minimum": 0},
        ),
    ),
    ("GET", "/activity"): Operation(
        _json(array(ref("Activity"))),
        (422,),
        (QueryParameter("before", {**INTEGER, "minimum": 0}, "The last number of the page before."), _LIMIT),
    ),
    ("GET", "/metrics"): Operation({200: {CONTENT_TYPE: STRING}}),
    ("GET", "/healthz"): Operation(_json(members(status=STRING))),
    ("GET", "/readyz"): Operation(_json(members(status=STRING))),
}
#: What people read, and this document itself: not part of the API that programs use.
UNDOCUMENTED: Final = frozenset(
    {("GET", "/"), ("GET", "/page/<version>/<name>"), ("GET", "/docs"), ("GET", "/openapi.json")}
)
#: What an answer gives that other operations take: parameter, where it is in the answer, which paths mean it.
_GIVEN: Final = {
    ("POST", "/workloads"): ("workload_id", "workload_id", ""),
    ("POST", "/images"): ("reference", "image_id", ""),
    ("POST", "/users"): ("name", "user", "/users/"),
    ("POST", "/tokens"): ("token_id", "token_id", ""),
}
_ALWAYS: Final = (400, 408, 413, 415, 500, 503)
"""Any request may be malformed, too slow, or have a body that is too long or of another type."""


def document(routes: Iterable[Route]) -> dict[str, Any]:
    """Raises KeyError for a route of which nothing is said."""
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
        "paths": paths,
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "password": {"type": "http", "scheme": "basic"},
                "page": {"type": "apiKey", "in": "cookie", "name": SESSION},
            },
        },
    }


def _links(paths: dict[str, Any], parameter: str, value: str, start: str) -> dict[str, Any]:
    """To every operation that takes this parameter."""
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
    """``/workers/<path:name>`` as ``/workers/{name}``, and the names."""
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
        "operationId": f"{route.method.lower()}{re.sub(r'[^a-z]+', '_', path)}".strip("_"),
        "summary": described.partition("\n\n")[0].replace("\n", " "),
        "description": described,
        "security": _security(route),
        "parameters": [
            *({"name": name, "in": "path", "required": True, "schema": STRING} for name in names),
            *map(_parameter, operation.query),
        ],
        "responses": _responses(operation, statuses_of_errors(route)),
    }
    body = _body(operation)
    if body is not None:
        said["requestBody"] = body
    return said


def _security(route: Route) -> Sequence[dict[str, list[str]]]:
    if route.path == "/login":
        return [{"password": []}]
    if route.access is Access.PUBLIC:
        return []
    return [{"token": []}, {"page": []}] if route.by_link else [{"token": []}]


def _parameter(parameter: QueryParameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": "header" if parameter.header else "query",
        "required": parameter.required,
        "description": parameter.description,
        "schema": parameter.schema,
    }


def _body(operation: Operation) -> dict[str, Any] | None:
    if operation.upload is not None:
        return {"required": True, "content": {"multipart/form-data": {"schema": operation.upload}}}
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
