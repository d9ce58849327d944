"""New originals: their rows, their jobs, the workload's and the owner's counters, in one transaction."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence

from attrs import define, frozen
from sqlalchemy import Connection, insert, null, select, update

from dpip.datastore import idempotency_keys, images
from dpip.datastore.bulk import as_json, execute, fetch, given, text
from dpip.datastore.dialects import InsertedInOrder
from dpip.datastore.rows import micros, seconds
from dpip.datastore.schema import images as images_table
from dpip.datastore.schema import jobs, users, workloads
from dpip.datastore.workloads import idle_until
from dpip.datastore.writer import OperationKind
from dpip.errors import DpipError, NotFound, QuotaExceeded, Sealed
from dpip.model import AcceptedOriginal, IdempotencyKey, Image, ImageType, JobState, StoredFile, WaitingJob

Answer = tuple[Sequence[AcceptedOriginal], bool]


@frozen
class UploadOperation:
    """An upload whose ``files`` are ``(image id, result id to reserve, file)``."""

    workload_id: str
    files: Sequence[tuple[str, str, StoredFile]]
    key: IdempotencyKey | None
    now: float


@define
class _Target:
    """A workload with its owner, as they will be after the uploads taken so far."""

    row: int
    next_seq: int
    owner: int
    used: int
    owner_reserved: int
    quota: int | None
    sealed: int | None
    accepted: int = 0
    size: int = 0
    reserved: int = 0
    opened: float = 0.0  # when the first of them came


@frozen
class _Taken:
    """An upload that goes in, with the rows its images will be."""

    upload: UploadOperation
    target: _Target
    originals: list[Image]


def _add(connection: Connection, uploads: Sequence[UploadOperation]) -> Sequence[Answer | DpipError]:
    earlier = idempotency_keys.find(connection, [upload.key for upload in uploads])
    targets = _targets(connection, uploads)
    decided = [_decide(connection, upload, earlier, targets) for upload in uploads]
    waiting = _write(connection, [one for one in decided if isinstance(one, _Taken)])
    return [_accepted(one, waiting) if isinstance(one, _Taken) else one for one in decided]


def _touches(upload: UploadOperation) -> Iterator[Hashable]:
    """Uploads without keys commute with everything but the end of their workload; see ``OperationKind``."""
    if upload.key is not None:
        yield "key", upload.key.owner, upload.key.key


ADD: OperationKind[UploadOperation, Answer] = OperationKind(_add, _touches)


# What is there

_wanted = given("public")
_TARGETS = as_json(
    select(workloads.c.public, workloads.c.id, workloads.c.next_seq, users.c.id.label("owner"))
    .add_columns(users.c.used, users.c.reserved, users.c.quota, workloads.c.sealed)
    .join_from(_wanted, workloads, workloads.c.public == _wanted.c.public)
    .join(users, users.c.id == workloads.c.owner_id)
    .where(workloads.c.deleted.is_(None))
)


def _targets(connection: Connection, uploads: Iterable[UploadOperation]) -> dict[str, _Target]:
    wanted = {upload.workload_id for upload in uploads}
    found = fetch(connection, _TARGETS, [[text(public)] for public in wanted])
    return {public: _Target(*facts) for public, *facts in found}


# What becomes of each


def _decide(
    connection: Connection,
    upload: UploadOperation,
    earlier: idempotency_keys.Earlier,
    targets: dict[str, _Target],
) -> _Taken | Answer | DpipError:
    try:
        answer = idempotency_keys.answered(earlier, upload.key, "originals")
        if answer is not None:
            return _earlier(connection, *answer), False
        return _take(upload, targets)
    except DpipError as error:
        return error


def _take(upload: UploadOperation, targets: dict[str, _Target]) -> _Taken:
    target = targets.get(upload.workload_id)
    if target is None:
        raise NotFound(f"There is no workload {upload.workload_id}.")
    if target.sealed is not None:
        raise Sealed.workload(upload.workload_id)
    size = sum(file.size for _, _, file in upload.files)
    reserved = sum(file.picture.result_bytes for _, _, file in upload.files)
    _charge(target, size, reserved, targets)
    if not target.accepted:
        target.opened = upload.now
    first = target.next_seq
    target.next_seq += len(upload.files)
    target.accepted += len(upload.files)
    target.size += size
    target.reserved += reserved
    created = seconds(micros(upload.now))
    originals = [
        Image(image_id, upload.workload_id, ImageType.ORIGINAL, seq, file, created)
        for seq, (image_id, _, file) in enumerate(upload.files, first)
    ]
    return _Taken(upload, target, originals)


def _charge(target: _Target, size: int, reserved: int, targets: dict[str, _Target]) -> None:
    """Charge the bytes to all workloads of the owner: they share its quota. Raises QuotaExceeded."""
    QuotaExceeded.check(size + reserved, target.used, target.owner_reserved, target.quota)
    for other in targets.values():
        if other.owner == target.owner:
            other.used += size
            other.owner_reserved += reserved


# Writing it down

_job = given("original", "workload_id", "seq", "result", "state", "pixels", "memory", "reserved")
_INSERT_JOBS = insert(jobs).from_select(
    ["original_id", "workload_id", "seq", "result", "state", "pixels", "memory", "reserved"],
    select(images_table.c.id, *list(_job.c)[1:])
    .join_from(_job, images_table, images_table.c.public == _job.c.original)
    .order_by(InsertedInOrder(images_table.c.id)),
)

_original = given("public")
_JOBS = as_json(
    select(images_table.c.public, jobs.c.id, jobs.c.pixels, jobs.c.memory)
    .add_columns(jobs.c.crashes, jobs.c.losses)
    .join_from(_original, images_table, images_table.c.public == _original.c.public)
    .join(jobs, jobs.c.original_id == images_table.c.id)
    .where(jobs.c.retried.is_(None))
)

_grown = given("id", "accepted", "size", "reserved", "now")
_COUNT = (
    update(workloads)
    .where(workloads.c.id == _grown.c.id)
    .values(
        next_seq=workloads.c.next_seq + _grown.c.accepted,
        accepted=workloads.c.accepted + _grown.c.accepted,
        size=workloads.c.size + _grown.c.size,
        reserved=workloads.c.reserved + _grown.c.reserved,
        version=workloads.c.version + 1,
        idle=idle_until(_grown.c.now),
        finished=null(),
    )
)

_used = given("id", "used", "reserved")
_USE = update(users).where(users.c.id == _used.c.id).values(used=_used.c.used, reserved=_used.c.reserved)


def _write(connection: Connection, taken: Sequence[_Taken]) -> dict[str, WaitingJob]:
    """Write the rows of the uploads; the new jobs, by public id of their originals."""
    if not any(one.originals for one in taken):
        return {}
    images.add(connection, [(one.target.row, image) for one in taken for image in one.originals])
    execute(connection, _INSERT_JOBS, [row for one in taken for row in _job_rows(one)])
    grown = {one.target.row: one.target for one in taken if one.originals}.values()
    execute(connection, _COUNT, [_growth(one) for one in grown])
    charged = {one.owner: (one.owner, one.used, one.owner_reserved) for one in grown}
    execute(connection, _USE, charged.values())
    idempotency_keys.remember(connection, [(one.upload.key, _answer(one), one.upload.now) for one in taken])
    return _jobs(connection, [image for one in taken for image in one.originals])


def _growth(target: _Target) -> Sequence[int]:
    return target.row, target.accepted, target.size, target.reserved, micros(target.opened)


def _jobs(connection: Connection, originals: Iterable[Image]) -> dict[str, WaitingJob]:
    found = fetch(connection, _JOBS, [[image.id] for image in originals])
    return {public: WaitingJob(*facts) for public, *facts in found}


def _job_rows(taken: _Taken) -> Iterator[tuple[object, ...]]:
    for image, (_, result_id, file) in zip(taken.originals, taken.upload.files, strict=True):
        picture = file.picture
        cost = picture.width * picture.height, picture.memory, picture.result_bytes
        yield image.id, taken.target.row, image.seq, result_id, JobState.WAITING, *cost


def _accepted(taken: _Taken, waiting: dict[str, WaitingJob]) -> Answer:
    return [AcceptedOriginal(image, waiting[image.id]) for image in taken.originals], True


# The same request again


def _answer(taken: _Taken) -> idempotency_keys.Answer:
    seqs = [image.seq for image in taken.originals]
    return {"originals": [taken.upload.workload_id, min(seqs, default=0), len(seqs)]}


def _earlier(connection: Connection, workload_id: str, first: int, count: int) -> Sequence[AcceptedOriginal]:
    originals = images.page(connection, workload_id, ImageType.ORIGINAL, first - 1, count)
    if len(originals) != count:
        raise NotFound(f"Workload {workload_id}, which had these images, has been deleted.")
    waiting = _jobs(connection, originals)
    return [AcceptedOriginal(image, waiting[image.id]) for image in originals]
