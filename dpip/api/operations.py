"""What each route takes and gives, and the shapes of the JSON in it: the facts of the OpenAPI document."""

from __future__ import annotations

from typing import Final

from attrs import frozen

from dpip import model
from dpip.api import views
from dpip.api.http.filenames import PICTURE_TYPES
from dpip.api.http.routes import DEFAULT_PAGE, MAX_PAGE
from dpip.api.schemas import (
    ANYTHING,
    BOOLEAN,
    FILE,
    INTEGER,
    NUMBER,
    STRING,
    TIME,
    Json,
    Schema,
    array,
    choice,
    members,
    or_null,
    ref,
)
from dpip.http.batch import CONTENT_TYPE as BATCH
from dpip.runtime.metrics import CONTENT_TYPE

_PARAMETER: Schema = members(
    ("minimum", "maximum", "choices"),
    name=STRING,
    type=STRING,
    default={"anyOf": [STRING, NUMBER, BOOLEAN, {"type": "null"}]},
    description=STRING,
    minimum=NUMBER,
    maximum=NUMBER,
    choices=array(STRING),
)
_LISTS: dict[str, Schema] = {"filtered_images": array(STRING), "failed_images": array(ref("Failure"))}
SCHEMAS: Final[dict[str, Schema]] = {
    "Problem": {
        **members(type=STRING, title=STRING, status=INTEGER, detail=STRING, request_id=STRING),
        "additionalProperties": True,
        "description": "RFC 9457. type is urn:dpip:problem:<code>; further members are facts for programs.",
    },
    "Login": members(("token",), user=STRING, token=STRING, expires_at=TIME),
    "WorkloadSummary": views.summary.schema,
    "Failure": views.failure_json.schema,
    "Workload": members(**views.summary.properties, **_LISTS),
    "WorkloadPart": {
        **members(views.WORKLOAD_MEMBERS, **views.summary.properties, **_LISTS),
        "description": "Those members of a Workload that fields has named; all of them without it.",
    },
    "Preset": views.preset_json.schema,
    "Image": views.image_json.schema,
    "User": views.user_json.schema,
    "Token": views.token_json.schema,
    "NewToken": members(**views.token_json.properties, token=STRING),
    "RevokedToken": members(**views.token_json.properties, revoked=BOOLEAN),
    "Load": views.load_json.schema,
    "Sample": members(at=TIME, **views.load_json.properties),
    "Worker": views.worker_json.schema,
    "JoinToken": views.join_token_json.schema,
    "Filter": members(name=STRING, summary=STRING, uses_gpu=BOOLEAN, parameters=array(_PARAMETER)),
    "Activity": views.activity_json.schema,
    "Status": members(
        ("warnings",),
        system_name=STRING,
        version=STRING,
        server_time=TIME,
        user=STRING,
        role=choice(model.Role),
        worker_tags={**array(STRING), "description": "Of workers that have joined."},
        active_workloads=array(ref("WorkloadSummary")),
        warnings=array(STRING),
    ),
    "Event": {
        **members(("id", "event", "retry"), id=STRING, event=STRING, data=STRING, retry=STRING),
        "description": "One of the stream; data is JSON.",
    },
    "Why": members(
        workload_id=STRING, running=array(views.running_json.schema), waiting=array(views.waiting_json.schema)
    ),
}


def _query(name: str, schema: Schema, description: str, required: bool = False) -> Json:
    return _header(name, schema, description) | {"in": "query", "required": required}


def _header(name: str, schema: Schema, description: str) -> Json:
    return {"name": name, "in": "header", "required": False, "description": description, "schema": schema}


@frozen
class Operation:
    """What a route takes and gives. ``body`` is taken as JSON, form or multipart, ``upload`` as multipart,
    ``batch`` as ``dpip.http.batch`` has it; ``answers`` are contents by type, for each status that is no
    error."""

    answers: dict[int, dict[str, Schema]]
    errors: tuple[int, ...] = ()
    parameters: tuple[Json, ...] = ()
    body: Schema | None = None
    upload: Schema | None = None
    batch: Schema | None = None


def _json(schema: Schema, status: int = 200) -> dict[int, dict[str, Schema]]:
    return {status: {"application/json": schema}}


_PICTURE = dict.fromkeys(PICTURE_TYPES, FILE)
_LIMIT = _query(
    "limit",
    {**INTEGER, "minimum": 1, "maximum": MAX_PAGE, "default": DEFAULT_PAGE},
    "Length of the page; the header Link leads to the next one.",
)
_KIND = {**choice(model.ImageType), "default": model.ImageType.FILTERED.value}
_TYPE = _query("type", _KIND, "Results or originals.")
_OF = (
    _query("workload_id", STRING, "Needed where the image is given by its place in a workload."),
    _query("type", _KIND, "Which of the two images at that place."),
)
_SEQS = _query("seqs", STRING, "Only images at these places, as 0-3,7.")
_KEY = _header("Idempotency-Key", STRING, "The same request with the same key gives the first answer.")
_KNOWN = _header("If-None-Match", STRING, "An ETag: 304 when nothing has changed.")
_AFTER_EVENT = _header("Last-Event-ID", STRING, "Go on after this event.")
_STREAM: dict[int, dict[str, Schema]] = {200: {"text/event-stream": ref("Event")}}
_SAID = members(workload_id=STRING, deleted=BOOLEAN)
_OUTPUT = members(
    ("format", "quality", "metadata", "colour", "max_bytes", "raw"),
    format=or_null(STRING),
    quality=or_null({**INTEGER, "minimum": 1, "maximum": 100}),
    metadata={"type": "string", "enum": ["keep", "strip", "strip-location", "copyright-only"]},
    colour={"type": "string", "enum": ["keep", "srgb"]},
    max_bytes=or_null({**INTEGER, "minimum": 500}),
    raw={"type": "string", "enum": ["camera", "auto", "linear"]},
)
_PRESET = members(
    ("filter", "params", "steps", "tags", "output", "force"),
    filter=STRING,
    params=ANYTHING,
    steps=array(views.STEP),
    tags=array(STRING),
    output=_OUTPUT,
    force={**BOOLEAN, "default": False, "description": "Replace a preset of the same name."},
)
_SPEC = members(
    ("preset", "filter", "params", "steps", "workload_name", "numbering", "tags", "output"),
    preset={**STRING, "description": "A preset of the caller, instead of filters."},
    filter=STRING,
    params=ANYTHING,
    steps=array(views.STEP),
    workload_name=STRING,
    numbering=choice(model.Numbering),
    tags=array(STRING),
    output=_OUTPUT,
)
#: Of users; workers add their lease, which no other program has.
_UPLOAD = members(
    ("type",),
    data=FILE,
    workload_id=STRING,
    type={"type": "string", "enum": [model.ImageType.ORIGINAL.value]},
)
_USER = members(
    ("role", "quota"),
    user=STRING,
    password=STRING,
    role=choice((model.Role.USER, model.Role.ADMIN)),
    quota=INTEGER,
)
_NEW_TOKEN = members(
    ("days", "user"), name=STRING, days={**INTEGER, "minimum": 1, "maximum": 3650}, user=STRING
)

OPERATIONS: Final[dict[tuple[str, str], Operation]] = {
    ("POST", "/login"): Operation(_json(ref("Login")), (401, 429)),
    ("DELETE", "/logout"): Operation(_json(members(logout_message=STRING))),
    ("GET", "/status"): Operation(_json(ref("Status"))),
    ("POST", "/workloads"): Operation(_json(ref("Workload"), 201), (422,), (_KEY,), body=_SPEC),
    ("GET", "/workloads"): Operation(
        _json(array(ref("WorkloadSummary"))),
        (422,),
        (
            _query("status", STRING, "One or several, with commas: only workloads in these states."),
            _query("name", STRING, "A part of the workload's name."),
            _query("after", STRING, "The last workload_id of the page before."),
            _LIMIT,
        ),
    ),
    ("GET", "/workloads/<workload_id>"): Operation(
        {**_json(ref("WorkloadPart")), 304: {}},
        (422,),
        (_query("fields", STRING, "Names of the members that are wanted, with commas."), _KNOWN),
    ),
    ("GET", "/workloads/<workload_id>/why"): Operation(_json(ref("Why"))),
    ("POST", "/workloads/<workload_id>/seal"): Operation(
        _json(ref("WorkloadSummary")),
        (409, 422),
        body=members(("webhook",), webhook=members(url=STRING, secret=STRING)),
    ),
    ("GET", "/workloads/<workload_id>/webhook"): Operation(_json(views.webhook_json.schema)),
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
            _query("format", {"type": "string", "enum": ["zip", "tar"], "default": "zip"}, "Of the archive."),
            _TYPE,
            _SEQS,
        ),
    ),
    ("GET", "/events"): Operation(_STREAM, (429,), (_AFTER_EVENT,)),
    ("GET", "/workloads/<workload_id>/events"): Operation(_STREAM, (429,), (_AFTER_EVENT,)),
    ("GET", "/workloads/<workload_id>/places"): Operation(
        _json(members(workload_id=STRING, places=array(INTEGER))),
        (422,),
        (
            _query("name", STRING, "A part of the image's name."),
            _query("failed", BOOLEAN, "Only images that failed."),
            _query(
                "sort",
                {
                    "type": "string",
                    "enum": [sign + order.value for order in model.PlaceOrder for sign in ("", "-")],
                    "default": model.PlaceOrder.SEQ.value,
                },
                "What they are sorted by; a minus turns the order around.",
            ),
        ),
    ),
    ("GET", "/presets"): Operation(_json(array(ref("Preset"))), (422,)),
    ("GET", "/presets/<path:name>"): Operation(_json(ref("Preset")), (422,)),
    ("PUT", "/presets/<path:name>"): Operation(_json(ref("Preset"), 201), (409, 422), body=_PRESET),
    ("DELETE", "/presets/<path:name>"): Operation(_json(members(preset=STRING, deleted=BOOLEAN)), (422,)),
    ("GET", "/images"): Operation(
        _json(array(ref("Image"))),
        (404, 422),
        (
            _query("workload_id", STRING, "Whose images.", required=True),
            _TYPE,
            _query("after", {**INTEGER, "minimum": -1}, "The last seq of the page before."),
            _SEQS,
            _LIMIT,
        ),
    ),
    ("GET", "/images/batch"): Operation(
        {200: {BATCH: FILE}},
        (422,),
        (_query("ids", STRING, "Up to 16 image ids, with commas between them.", required=True),),
    ),
    ("POST", "/images/batch"): Operation(
        _json(members(receipts=array(members(code=STRING, detail=STRING)))), (507,), batch=FILE
    ),
    ("GET", "/images/<reference>"): Operation(
        {200: _PICTURE, 206: _PICTURE, 304: {}},
        (416, 422),
        (
            *_OF,
            _KNOWN,
            _header("Range", STRING, "RFC 9110: a part of the bytes."),
            _header("If-Range", STRING, "An ETag that the range is meant for."),
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
    ("DELETE", "/users/<path:name>"): Operation(_json(members(user=STRING, deleted=BOOLEAN)), (409,)),
    ("PUT", "/users/<path:name>/password"): Operation(
        _json(members(user=STRING, message=STRING)),
        (422, 429),
        body=members(("old_password",), password=STRING, old_password=STRING),
    ),
    ("GET", "/tokens"): Operation(
        _json(array(ref("Token"))),
        (404, 422),
        (_query("user", STRING, "For admins: whose."), _LIMIT),
    ),
    ("POST", "/tokens"): Operation(_json(ref("NewToken"), 201), (404, 409, 422), body=_NEW_TOKEN),
    ("DELETE", "/tokens/<token_id>"): Operation(_json(ref("RevokedToken"))),
    ("GET", "/output"): Operation(_json(array(_PARAMETER))),
    ("GET", "/first-login"): Operation(_json(members(password_file=or_null(STRING)))),
    ("GET", "/filters"): Operation(_json(array(ref("Filter")))),
    ("GET", "/workers"): Operation(
        _json(array(ref("Worker"))),
        (422,),
        (
            _query("state", choice(model.Presence), "Only workers that have joined, or that are gone."),
            _query("after", STRING, "The last worker of the page before."),
            _LIMIT,
        ),
    ),
    ("GET", "/workers/<path:name>/history"): Operation(
        _json(array(ref("Sample"))), (422,), (_query("since", TIME, "By default an hour ago."),)
    ),
    ("GET", "/workers/<path:name>/jobs"): Operation(_json(array(views.worker_job_json.schema)), (422,)),
    ("DELETE", "/workers/<path:name>"): Operation(_json(members(worker=STRING, deleted=BOOLEAN)), (409, 422)),
    ("POST", "/workers/<path:name>/drain"): Operation(
        _json(members(worker=STRING, draining=BOOLEAN), 202), (409, 422)
    ),
    ("POST", "/workers/<path:name>/resume"): Operation(
        _json(members(worker=STRING, resuming=BOOLEAN), 202), (409, 422)
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
        (
            _query("before", {**INTEGER, "minimum": 0}, "The last number of the page before."),
            _query("subject", STRING, "Only what was done to this thing, by its id or name."),
            _query("actor", STRING, "Only what this user, or dpip itself, did."),
            _LIMIT,
        ),
    ),
    ("GET", "/metrics"): Operation({200: {CONTENT_TYPE: STRING}}),
    ("GET", "/healthz"): Operation(_json(members(status=STRING))),
    ("GET", "/readyz"): Operation(_json(members(status=STRING))),
}
#: What people read, and this document itself: not part of the API that programs use.
UNDOCUMENTED: Final = frozenset(
    {("GET", "/"), ("GET", "/page/<version>/<name>"), ("GET", "/docs"), ("GET", "/openapi.json")}
)
