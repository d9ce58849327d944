"""What the API's JSON looks like, as JSON Schema (2020-12, which is OpenAPI 3.1's)."""

from __future__ import annotations

from typing import Any, Final

from dpip.model import ImageType, Numbering, Role, WorkloadStatus

Schema = dict[str, Any]

STRING: Final[Schema] = {"type": "string"}
INTEGER: Final[Schema] = {"type": "integer"}
NUMBER: Final[Schema] = {"type": "number"}
BOOLEAN: Final[Schema] = {"type": "boolean"}
ANYTHING: Final[Schema] = {"type": "object"}
TIME: Final[Schema] = {"type": "string", "format": "date-time"}
FILE: Final[Schema] = {"type": "string", "format": "binary"}


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def array(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def choice(kind: Any) -> Schema:
    return {"type": "string", "enum": [one.value for one in kind]}


def members(optional: tuple[str, ...] = (), /, **properties: Schema) -> Schema:
    """An object that has all these, but for the optional ones."""
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required}


_STEP = {**members(name=STRING), "additionalProperties": True}
_SUMMARY: dict[str, Schema] = {
    "workload_id": STRING,
    "workload_name": STRING,
    "owner": STRING,
    "filter": {**STRING, "description": "Its name; of a chain the names joined with +."},
    "params": ANYTHING,
    "steps": array(_STEP),
    "output": ANYTHING,
    "tags": array(STRING),
    "numbering": choice(Numbering),
    "status": choice(WorkloadStatus),
    "sealed": {**BOOLEAN, "description": "It takes no more images."},
    "accepted": INTEGER,
    "filtered": INTEGER,
    "failed": INTEGER,
    "running_jobs": {**INTEGER, "description": "Images that workers hold."},
    "waiting": INTEGER,
    "size": {**INTEGER, "description": "Bytes of originals and results."},
    "eta_seconds": or_null(NUMBER),
    "eta_range": or_null(array(NUMBER)),
    "created_at": TIME,
    "finished_at": or_null(TIME),
}
_GPU = members(name=STRING, load_percent=NUMBER, memory_total=INTEGER, memory_used=INTEGER)
_LOAD: dict[str, Schema] = {
    "cpu_percent": NUMBER,
    "memory_total": INTEGER,
    "memory_available": INTEGER,
    "own_cpu_percent": NUMBER,
    "idle_percent": NUMBER,
    "own_memory": INTEGER,
    "gpus": array(_GPU),
    "running_jobs": INTEGER,
    "disk_free": INTEGER,
}
_TOKEN: dict[str, Schema] = {
    "token_id": STRING,
    "user": STRING,
    "name": or_null(STRING),
    "created_at": TIME,
    "expires_at": TIME,
}

SCHEMAS: Final[dict[str, Schema]] = {
    "Problem": {
        **members(type=STRING, title=STRING, status=INTEGER, detail=STRING, request_id=STRING),
        "additionalProperties": True,
        "description": "RFC 9457. type is urn:dpip:problem:<code>; further members are facts for programs.",
    },
    "Login": members(("token",), user=STRING, token=STRING, expires_at=TIME),
    "WorkloadSummary": members(**_SUMMARY),
    "Failure": members(seq=INTEGER, image_id=STRING, name=or_null(STRING), code=STRING, reason=STRING),
    "Workload": members(**_SUMMARY, filtered_images=array(STRING), failed_images=array(ref("Failure"))),
    "WorkloadPart": {
        **members(
            (*_SUMMARY, "filtered_images", "failed_images"),
            **_SUMMARY,
            filtered_images=array(STRING),
            failed_images=array(ref("Failure")),
        ),
        "description": "Those members of a Workload that fields has named; all of them without it.",
    },
    "Image": members(
        workload_id=STRING,
        image_id=STRING,
        type=choice(ImageType),
        seq={**INTEGER, "description": "Its place in the workload, from 0."},
        name=or_null(STRING),
        size=INTEGER,
        sha256=STRING,
        format=STRING,
        content_type=STRING,
        width=INTEGER,
        height=INTEGER,
        created_at=TIME,
    ),
    "User": members(user=STRING, role=choice(Role), quota=or_null(INTEGER), used=INTEGER, created_at=TIME),
    "Token": members(**_TOKEN),
    "NewToken": members(**_TOKEN, token=STRING),
    "RevokedToken": members(**_TOKEN, revoked=BOOLEAN),
    "Load": members(**_LOAD),
    "Sample": members(at=TIME, **_LOAD),
    "Worker": members(
        worker=STRING,
        joined=BOOLEAN,
        address=STRING,
        version=STRING,
        machine=STRING,
        slots=INTEGER,
        capacity=INTEGER,
        tags=array(STRING),
        filters={"type": "object", "additionalProperties": STRING},
        has_gpu=BOOLEAN,
        first_seen=TIME,
        last_seen=TIME,
        done=INTEGER,
        failed=INTEGER,
        offences=INTEGER,
        suspended_until=or_null(TIME),
        revoked_at=or_null(TIME),
        certified_until=or_null(TIME),
        load=or_null(ref("Load")),
    ),
    "JoinToken": members(join_token=STRING, made_at=or_null(TIME), expires_at=or_null(TIME)),
    "Filter": members(
        name=STRING, summary=STRING, uses_gpu=BOOLEAN, parameters=array(members(name=STRING, type=STRING))
    ),
    "Activity": members(
        number=INTEGER, at=TIME, actor=STRING, action=STRING, subject=STRING, detail=ANYTHING
    ),
    "Status": members(
        ("warnings",),
        system_name=STRING,
        version=STRING,
        server_time=TIME,
        user=STRING,
        role=choice(Role),
        active_workloads=array(ref("WorkloadSummary")),
        warnings=array(STRING),
    ),
    "Event": {
        **members(("id", "event", "retry"), id=STRING, event=STRING, data=STRING, retry=STRING),
        "description": "One of the stream; data is JSON.",
    },
    "Why": members(
        workload_id=STRING,
        running=array(members(seq=or_null(INTEGER), worker=STRING, why=STRING)),
        waiting=array(members(jobs=INTEGER, why=STRING)),
    ),
}
