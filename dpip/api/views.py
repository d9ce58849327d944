"""The nouns of :mod:`dpip.model` as JSON: the members that clients see, each with its schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from dpip import model
from dpip.api.schemas import (
    ANYTHING,
    BOOLEAN,
    INTEGER,
    NUMBER,
    STRING,
    TIME,
    Json,
    View,
    array,
    choice,
    members,
    or_null,
    ref,
)

STEP: Final = {**members(name=STRING), "additionalProperties": True}


def timestamp(at: float) -> str:
    """Return a time as RFC 3339 has it: UTC, to the millisecond."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _maybe(at: float | None) -> str | None:
    return None if at is None else timestamp(at)


def filter_label(steps: Sequence[model.Step]) -> str:
    """Return one word for a chain: ``grayscale+blur``."""
    return "+".join(name for name, _ in steps)


def _rough(seconds: float) -> float:
    """Round to two digits: more would only look exact, and make every poll's answer a new one."""
    return float(f"{seconds:.2g}")


def _waiting(progress: model.Progress) -> int:
    workload = progress.workload
    return max(0, workload.accepted - workload.filtered - workload.failed - progress.running)


def _finished_at(workload: model.Workload) -> str | None:
    """Return None again for a workload that a further upload has reopened."""
    return _maybe(workload.finished_at) if workload.status is model.WorkloadStatus.COMPLETED else None


def _took(workload: model.Workload) -> float | None:
    if workload.finished_at is None or workload.status is not model.WorkloadStatus.COMPLETED:
        return None
    return round(max(0.0, workload.finished_at - workload.created_at - workload.idle_seconds), 3)


#: A workload without its lists.
summary: Final = View[model.Progress](
    {
        "workload_id": (STRING, lambda p: p.workload.id),
        "workload_name": (STRING, lambda p: p.workload.spec.name),
        "owner": (STRING, lambda p: p.workload.owner),
        "filter": (
            {**STRING, "description": "Its name; of a chain the names joined with +."},
            lambda p: filter_label(p.workload.spec.steps),
        ),
        "params": (ANYTHING, lambda p: _params(p.workload.spec.steps)),
        "steps": (
            array(STEP),
            lambda p: _steps(p.workload.spec),
        ),
        "output": (ANYTHING, lambda p: p.workload.spec.output),
        "tags": (array(STRING), lambda p: list(p.workload.spec.tags)),
        "numbering": (choice(model.Numbering), lambda p: p.workload.spec.numbering.value),
        "status": (choice(model.WorkloadStatus), lambda p: p.workload.status.value),
        "sealed": ({**BOOLEAN, "description": "It takes no more images."}, lambda p: p.workload.sealed),
        "accepted": (INTEGER, lambda p: p.workload.accepted),
        "filtered": (INTEGER, lambda p: p.workload.filtered),
        "failed": (INTEGER, lambda p: p.workload.failed),
        "noticed": ({**INTEGER, "description": "Results with notices."}, lambda p: p.workload.noticed),
        "running_jobs": ({**INTEGER, "description": "Images that workers hold."}, lambda p: p.running),
        "waiting": (INTEGER, _waiting),
        "size": ({**INTEGER, "description": "Bytes of originals and results."}, lambda p: p.workload.size),
        "eta_seconds": (or_null(NUMBER), lambda p: p.eta and _rough(p.eta.seconds)),
        "eta_range": (or_null(array(NUMBER)), lambda p: p.eta and [_rough(p.eta.low), _rough(p.eta.high)]),
        "created_at": (TIME, lambda p: timestamp(p.workload.created_at)),
        "finished_at": (or_null(TIME), lambda p: _finished_at(p.workload)),
        "took_seconds": (
            {
                **or_null(NUMBER),
                "description": "From creation to completion, without the time in which it lay complete "
                "until images were added or tried again.",
            },
            lambda p: _took(p.workload),
        ),
    }
)

#: All members of a workload, in the order of an answer.
WORKLOAD_MEMBERS: Final = (*summary.members, "filtered_images", "failed_images")


def _steps(spec: model.WorkloadSpec) -> list[Json]:
    return [{"name": name, **params} for name, params in spec.steps]


def _params(steps: Sequence[model.Step]) -> Json:
    return steps[0][1] if len(steps) == 1 else {}


def why_json(workload_id: str, reasons: Sequence[model.Reason]) -> Json:
    return {
        "workload_id": workload_id,
        "running": [running_json(reason) for reason in reasons if reason.worker is not None],
        "waiting": [waiting_json(reason) for reason in reasons if reason.worker is None],
    }


running_json: Final = View[model.Reason](
    {
        "seq": (or_null(INTEGER), lambda reason: reason.seq),
        "worker": (STRING, lambda reason: reason.worker),
        "why": (STRING, lambda reason: reason.sentence),
    }
)
waiting_json: Final = View[model.Reason](
    {"jobs": (INTEGER, lambda reason: reason.jobs), "why": (STRING, lambda reason: reason.sentence)}
)
failure_json: Final = View[model.Failure](
    {
        "seq": (INTEGER, lambda failure: failure.seq),
        "image_id": (STRING, lambda failure: failure.image_id),
        "name": (or_null(STRING), lambda failure: failure.name),
        "code": (STRING, lambda failure: failure.code),
        "reason": (STRING, lambda failure: failure.detail),
    }
)
image_json: Final = View[model.Image](
    {
        "workload_id": (STRING, lambda image: image.workload_id),
        "image_id": (STRING, lambda image: image.id),
        "type": (choice(model.ImageType), lambda image: image.type.value),
        "seq": ({**INTEGER, "description": "Its place in the workload, from 0."}, lambda image: image.seq),
        "name": (or_null(STRING), lambda image: image.file.name),
        "size": (INTEGER, lambda image: image.file.size),
        "sha256": (STRING, lambda image: image.file.sha256),
        "format": (STRING, lambda image: image.file.picture.format),
        "content_type": (STRING, lambda image: image.file.picture.content_type),
        "width": (INTEGER, lambda image: image.file.picture.width),
        "height": (INTEGER, lambda image: image.file.picture.height),
        "notices": (
            {**array(STRING), "description": "What a result lacks of its original, a sentence each."},
            lambda image: list(image.file.notices),
        ),
        "created_at": (TIME, lambda image: timestamp(image.created_at)),
    }
)
#: ``filter`` and ``steps`` as a workload has them.
preset_json: Final = View[model.Preset](
    {
        "preset": (STRING, lambda preset: preset.name),
        "filter": (STRING, lambda preset: filter_label(preset.spec.steps)),
        "steps": (
            array(STEP),
            lambda preset: _steps(preset.spec),
        ),
        "output": (ANYTHING, lambda preset: preset.spec.output),
        "tags": (array(STRING), lambda preset: list(preset.spec.tags)),
        "created_at": (TIME, lambda preset: timestamp(preset.created_at)),
    }
)
user_json: Final = View[model.User](
    {
        "user": (STRING, lambda user: user.name),
        "role": (choice(model.Role), lambda user: user.role.value),
        "quota": (or_null(INTEGER), lambda user: user.quota),
        "used": (INTEGER, lambda user: user.used),
        "reserved": (
            {**INTEGER, "description": "Bytes that results still to come may take; they count as used."},
            lambda user: user.reserved,
        ),
        "created_at": (TIME, lambda user: timestamp(user.created_at)),
    }
)
token_json: Final = View[model.TokenRecord](
    {
        "token_id": (STRING, lambda token: token.id),
        "user": (STRING, lambda token: token.user),
        "name": (or_null(STRING), lambda token: token.name),
        "created_at": (TIME, lambda token: timestamp(token.created_at)),
        "expires_at": (TIME, lambda token: timestamp(token.expires_at)),
    }
)
delivery_json: Final = View[model.Delivery](
    {
        "at": (TIME, lambda delivery: timestamp(delivery.at)),
        "attempt": (INTEGER, lambda delivery: delivery.attempt),
        "status": (or_null(INTEGER), lambda delivery: delivery.status),
        "error": (or_null(STRING), lambda delivery: delivery.error),
    }
)
webhook_json: Final = View[model.WebhookState](
    {
        "url": (STRING, lambda state: state.url),
        "pending": (BOOLEAN, lambda state: state.pending),
        "next_attempt_at": (or_null(TIME), lambda state: _maybe(state.next_at)),
        "log": (array(delivery_json.schema), lambda state: [delivery_json(one) for one in state.log]),
    }
)
gpu_json: Final = View[model.GpuLoad](
    {
        "name": (STRING, lambda gpu: gpu.name),
        "load_percent": (NUMBER, lambda gpu: gpu.load_percent),
        "memory_total": (INTEGER, lambda gpu: gpu.memory_total),
        "memory_used": (INTEGER, lambda gpu: gpu.memory_used),
    }
)
load_json: Final = View[model.Load](
    {
        "cpu_percent": (NUMBER, lambda load: load.cpu_percent),
        "memory_total": (INTEGER, lambda load: load.memory_total),
        "memory_available": (INTEGER, lambda load: load.memory_available),
        "own_cpu_percent": (NUMBER, lambda load: load.own_cpu_percent),
        "idle_percent": (NUMBER, lambda load: load.idle_percent),
        "own_memory": (INTEGER, lambda load: load.own_memory),
        "gpus": (array(gpu_json.schema), lambda load: [gpu_json(gpu) for gpu in load.gpus]),
        "running_jobs": (INTEGER, lambda load: len(load.running)),
        "disk_free": (INTEGER, lambda load: load.disk_free),
    }
)


def sample_json(sample: model.Sample) -> Json:
    return {"at": timestamp(sample.at), **load_json(sample.load)}


#: A worker with its newest load, if that is known.
worker_json: Final = View[tuple[model.WorkerRecord, model.Load | None]](
    {
        "worker": (STRING, lambda known: known[0].info.name),
        "joined": (BOOLEAN, lambda known: known[0].joined),
        "address": (STRING, lambda known: known[0].address),
        "version": (STRING, lambda known: known[0].info.version),
        "machine": (STRING, lambda known: known[0].info.machine),
        "slots": (INTEGER, lambda known: (known[1] and known[1].slots) or known[0].info.slots),
        "capacity": (INTEGER, lambda known: known[0].info.capacity),
        "tags": (array(STRING), lambda known: sorted(known[0].info.tags)),
        "filters": ({"type": "object", "additionalProperties": STRING}, lambda known: known[0].info.filters),
        "has_gpu": (BOOLEAN, lambda known: known[0].info.has_gpu),
        "first_seen": (TIME, lambda known: timestamp(known[0].first_seen)),
        "last_seen": (TIME, lambda known: timestamp(known[0].last_seen)),
        "done": (INTEGER, lambda known: known[0].done),
        "failed": (INTEGER, lambda known: known[0].failed),
        "offences": (INTEGER, lambda known: known[0].offences),
        "suspended_until": (or_null(TIME), lambda known: _maybe(known[0].suspended_until)),
        "revoked_at": (or_null(TIME), lambda known: _maybe(known[0].revoked_at)),
        "certified_until": (or_null(TIME), lambda known: _maybe(known[0].certified_until)),
        "load": (or_null(ref("Load")), lambda known: known[1] and load_json(known[1])),
    }
)
worker_job_json: Final = View[model.WorkerJob](
    {
        "workload_id": (STRING, lambda job: job.workload_id),
        "seq": (INTEGER, lambda job: job.seq),
        "name": (or_null(STRING), lambda job: job.name),
        "filter": (STRING, lambda job: filter_label(job.steps)),
        "computing": ({**BOOLEAN, "description": "Now; else it waits there."}, lambda job: job.computing),
    }
)
worker_state_json: Final = View[model.WorkerState](
    {
        "worker": (STRING, lambda state: state.name),
        "joined": (BOOLEAN, lambda state: state.joined),
        "load": (or_null(ref("Load")), lambda state: state.load and load_json(state.load)),
    }
)
join_token_json: Final = View[model.NewcomersToken](
    {
        "join_token": (STRING, lambda token: token.text),
        "made_at": (or_null(TIME), lambda token: _maybe(token.made_at)),
        "expires_at": (or_null(TIME), lambda token: _maybe(token.expires_at)),
    }
)


def _with_times(detail: Mapping[str, object]) -> dict[str, object]:
    """Return the facts of an activity, with times as all others are shown."""
    return {
        name: timestamp(value) if name.endswith("_at") and isinstance(value, int | float) else value
        for name, value in detail.items()
    }


#: What somebody did, with its number in the record.
activity_json: Final = View[tuple[int, model.Activity]](
    {
        "number": (INTEGER, lambda numbered: numbered[0]),
        "at": (TIME, lambda numbered: timestamp(numbered[1].at)),
        "actor": (STRING, lambda numbered: numbered[1].actor),
        "action": (STRING, lambda numbered: numbered[1].action),
        "subject": (STRING, lambda numbered: numbered[1].subject),
        "detail": (ANYTHING, lambda numbered: _with_times(numbered[1].detail)),
    }
)
