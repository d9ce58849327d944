"""Rows to values and back: how each noun of the model lies in its table."""

from __future__ import annotations

import json
from typing import Any

from attrs import asdict
from sqlalchemy import Select, select

from dpip.datastore.bulk import Row, text
from dpip.datastore.schema import images, users, workloads
from dpip.model import (
    Image,
    ImageType,
    Numbering,
    Role,
    StoredFile,
    StoredPicture,
    User,
    Workload,
    WorkloadSpec,
)

_MICROSECONDS = 1_000_000


def micros(at: float) -> int:
    """Seconds to the whole microseconds that the tables hold."""
    return round(at * _MICROSECONDS)


def seconds(at: int) -> float:
    return at / _MICROSECONDS


def seconds_or_none(at: int | None) -> float | None:
    return None if at is None else at / _MICROSECONDS


# Users

USER = (users.c.name, users.c.role, users.c.created, users.c.quota, users.c.used, users.c.reserved)


def user_of(row: Row) -> User:
    name, role, created, *room = row
    return User(name, Role(role), seconds(created), *room)


# Workloads


def spec_to_json(spec: WorkloadSpec) -> str:
    return json.dumps(asdict(spec))


def spec_of(value: str) -> WorkloadSpec:
    spec: dict[str, Any] = json.loads(value)
    steps, tags = tuple((name, params) for name, params in spec["steps"]), tuple(spec["tags"])
    return WorkloadSpec(spec["name"], steps, tags, spec["output"], Numbering(spec["numbering"]))


def select_workloads() -> Select[Any]:
    """The query for workloads that are not deleted, in the columns that :func:`workload_of` takes."""
    return (
        select(workloads.c.public, users.c.name, *workloads.c["spec", "directory", "created"])
        .add_columns(*workloads.c["accepted", "filtered", "failed", "size"])
        .add_columns(*workloads.c["finished", "version", "retried", "sealed", "noticed", "idle"])
        .join_from(workloads, users, users.c.id == workloads.c.owner_id)
        .where(workloads.c.deleted.is_(None))
    )


def workload_of(row: Row) -> Workload:
    public, owner, spec, directory, created, *counts, finished, version, retried, sealed, noticed, idle = row
    spec, created, finished = spec_of(spec), seconds(created), seconds_or_none(finished)
    facts = [public, owner, spec, directory, created, *counts, finished, version, retried]
    facts += [sealed is not None, noticed, seconds(idle)]
    return Workload(*facts)


# Images

FILE = tuple(
    images.c[
        *("path", "size", "sha256", "format", "content_type", "width", "height", "memory"),
        *("channels", "bits", "name", "notices"),
    ]
)
IMAGE = (images.c.public, workloads.c.public.label("workload"), images.c.type, images.c.seq, images.c.created)


def file_row(file: StoredFile) -> list[Any]:
    """The values of the columns ``FILE``."""
    picture = file.picture
    return [
        file.path,
        file.size,
        file.sha256,
        picture.format,
        picture.content_type,
        picture.width,
        picture.height,
        picture.memory,
        picture.channels,
        picture.bits,
        None if file.name is None else text(file.name),
        json.dumps(file.notices) if file.notices else None,
    ]


def image_of(row: Row) -> Image:
    """The image in a row of the columns ``IMAGE`` and then ``FILE``."""
    public, workload, type_, seq, created, path, size, sha256, *picture, name, notices = row
    said = tuple(json.loads(notices)) if notices else ()
    file = StoredFile(path, size, sha256, StoredPicture(*picture), name, said)
    return Image(public, workload, ImageType(type_), seq, file, seconds(created))


def select_images() -> Select[Any]:
    """The query for images of workloads that are not deleted, in the columns that :func:`image_of` takes."""
    return (
        select(*IMAGE, *FILE)
        .join_from(images, workloads, workloads.c.id == images.c.workload_id)
        .where(workloads.c.deleted.is_(None))
    )
