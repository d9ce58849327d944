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
    Numbering,
    Sample,
    Step,
    User,
    WorkerRecord,
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


def summary(workload: Workload, running: int) -> Json:
    """A workload without its lists."""
    spec = workload.spec
    ended = workload.filtered + workload.failed
    return {
        "workload_id": workload.id,
        "workload_name": spec.name,
        "owner": workload.owner,
        "filter": filter_label(spec.steps),
        "params": spec.steps[0][1] if len(spec.steps) == 1 else {},
        "steps": [{"name": name, **params} for name, params in spec.steps],
        "output": spec.output,
        "tags": list(spec.tags),
        "numbering": spec.numbering.value,
        "status": workload.status.value,
        "accepted": workload.accepted,
        "filtered": workload.filtered,
        "failed": workload.failed,
        "running_jobs": running,
        "waiting": max(0, workload.accepted - ended - running),
        "size": workload.size,
        "created_at": timestamp(workload.created_at),
        "finished_at": _finished_at(workload),
    }


def workload_json(
    workload: Workload, running: int, results: Sequence[tuple[int, str]], failures: Sequence[Failure]
) -> Json:
    """A workload with what has become of its images, in upload order."""
    frames = workload.spec.numbering is Numbering.FRAMES
    return {
        **summary(workload, running),
        "filtered_images": [str(seq) if frames else image_id for seq, image_id in results],
        "failed_images": [failure_json(failure) for failure in failures],
    }


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
        "load": None if load is None else load_json(load),
    }


def load_json(load: Load) -> Json:
    return {
        "cpu_percent": load.cpu_percent,
        "memory_total": load.memory_total,
        "memory_available": load.memory_available,
        "own_cpu_percent": load.own_cpu_percent,
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
