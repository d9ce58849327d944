"""The nouns of :mod:`dpip.model` as JSON: the field names that clients see."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from dpip.model import (
    Activity,
    Failure,
    Image,
    Load,
    NewcomersToken,
    Numbering,
    Progress,
    Reason,
    Sample,
    Step,
    TokenRecord,
    User,
    WebhookState,
    WorkerRecord,
    WorkerState,
    Workload,
    WorkloadStatus,
)

Json = dict[str, Any]


def timestamp(at: float) -> str:
    """RFC 3339, UTC, to the millisecond."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def filter_label(steps: Sequence[Step]) -> str:
    """One word for a chain: ``grayscale+blur``."""
    return "+".join(name for name, _ in steps)


#: The members of a summary.
SUMMARY = (
    *("workload_id", "workload_name", "owner", "filter", "params", "steps", "output", "tags", "numbering"),
    *(
        "status",
        "sealed",
        "accepted",
        "filtered",
        "failed",
        "running_jobs",
        "waiting",
        "size",
        "eta_seconds",
        "eta_range",
    ),
    *("created_at", "finished_at"),
)


def summary(progress: Progress) -> Json:
    """A workload without its lists."""
    workload, eta = progress.workload, progress.eta
    spec = workload.spec
    ended = workload.filtered + workload.failed
    values = (
        workload.id,
        spec.name,
        workload.owner,
        filter_label(spec.steps),
        spec.steps[0][1] if len(spec.steps) == 1 else {},
        [{"name": name, **params} for name, params in spec.steps],
        spec.output,
        list(spec.tags),
        spec.numbering.value,
        workload.status.value,
        workload.sealed,
        workload.accepted,
        workload.filtered,
        workload.failed,
        progress.running,
        max(0, workload.accepted - ended - progress.running),
        workload.size,
        None if eta is None else _rough(eta.seconds),
        None if eta is None else [_rough(eta.low), _rough(eta.high)],
        timestamp(workload.created_at),
        _finished_at(workload),
    )
    return dict(zip(SUMMARY, values, strict=True))


def _rough(seconds: float) -> float:
    """To two digits: more would only look exact, and make every poll's answer a new one."""
    return float(f"{seconds:.2g}")


def why_json(workload_id: str, reasons: Sequence[Reason]) -> Json:
    return {
        "workload_id": workload_id,
        "running": [
            {"seq": reason.seq, "worker": reason.worker, "why": reason.sentence}
            for reason in reasons
            if reason.worker is not None
        ],
        "waiting": [
            {"jobs": reason.jobs, "why": reason.sentence} for reason in reasons if reason.worker is None
        ],
    }


def filtered_name(seq: int, image_id: str, numbering: Numbering) -> str:
    """How a result is called in ``filtered_images``."""
    return str(seq) if numbering is Numbering.FRAMES else image_id


def failure_json(failure: Failure) -> Json:
    return {
        "seq": failure.seq,
        "image_id": failure.image_id,
        "name": failure.name,
        "code": failure.code,
        "reason": failure.detail,
    }


def image_json(image: Image) -> Json:
    picture = image.file.picture
    return {
        "workload_id": image.workload_id,
        "image_id": image.id,
        "type": image.type.value,
        "seq": image.seq,
        "name": image.file.name,
        "size": image.file.size,
        "sha256": image.file.sha256,
        "format": picture.format,
        "content_type": picture.content_type,
        "width": picture.width,
        "height": picture.height,
        "created_at": timestamp(image.created_at),
    }


def user_json(user: User) -> Json:
    return {
        "user": user.name,
        "role": user.role.value,
        "quota": user.quota,
        "used": user.used,
        "created_at": timestamp(user.created_at),
    }


def token_json(token: TokenRecord) -> Json:
    return {
        "token_id": token.id,
        "user": token.user,
        "name": token.name,
        "created_at": timestamp(token.created_at),
        "expires_at": timestamp(token.expires_at),
    }


def webhook_json(state: WebhookState) -> Json:
    return {
        "url": state.url,
        "pending": state.pending,
        "next_attempt_at": None if state.next_at is None else timestamp(state.next_at),
        "log": [
            {
                "at": timestamp(delivery.at),
                "attempt": delivery.attempt,
                "status": delivery.status,
                "error": delivery.error,
            }
            for delivery in state.log
        ],
    }


def worker_json(record: WorkerRecord, load: Load | None) -> Json:
    info = record.info
    return {
        "worker": info.name,
        "joined": record.joined,
        "address": record.address,
        "version": info.version,
        "machine": info.machine,
        "slots": info.slots,
        "capacity": info.capacity,
        "tags": sorted(info.tags),
        "filters": info.filters,
        "has_gpu": info.has_gpu,
        "first_seen": timestamp(record.first_seen),
        "last_seen": timestamp(record.last_seen),
        "done": record.done,
        "failed": record.failed,
        "offences": record.offences,
        "suspended_until": _maybe(record.suspended_until),
        "revoked_at": _maybe(record.revoked_at),
        "certified_until": _maybe(record.certified_until),
        "load": None if load is None else load_json(load),
    }


def join_token_json(token: NewcomersToken) -> Json:
    return {
        "join_token": token.text,
        "made_at": _maybe(token.made_at),
        "expires_at": _maybe(token.expires_at),
    }


def _maybe(at: float | None) -> str | None:
    return None if at is None else timestamp(at)


def worker_state_json(state: WorkerState) -> Json:
    return {
        "worker": state.name,
        "joined": state.joined,
        "load": None if state.load is None else load_json(state.load),
    }


def load_json(load: Load) -> Json:
    return {
        "cpu_percent": load.cpu_percent,
        "memory_total": load.memory_total,
        "memory_available": load.memory_available,
        "own_cpu_percent": load.own_cpu_percent,
        "idle_percent": load.idle_percent,
        "own_memory": load.own_memory,
        "gpus": [
            {
                "name": gpu.name,
                "load_percent": gpu.load_percent,
                "memory_total": gpu.memory_total,
                "memory_used": gpu.memory_used,
            }
            for gpu in load.gpus
        ],
        "running_jobs": len(load.running),
        "disk_free": load.disk_free,
    }


def sample_json(sample: Sample) -> Json:
    return {"at": timestamp(sample.at), **load_json(sample.load)}


def activity_json(number: int, activity: Activity) -> Json:
    return {
        "number": number,
        "at": timestamp(activity.at),
        "actor": activity.actor,
        "action": activity.action,
        "subject": activity.subject,
        "detail": activity.detail,
    }


def _finished_at(workload: Workload) -> str | None:
    """None again for a workload that a further upload has reopened."""
    if workload.finished_at is None or workload.status is not WorkloadStatus.COMPLETED:
        return None
    return timestamp(workload.finished_at)
