"""The nouns of DPIP as frozen values, which all other modules share.

Times are seconds since the epoch (UTC) as floats unless a name ends in ``_seconds``, which is a duration.
Sizes are bytes. Paths of images are relative to the image store, with forward slashes.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from attrs import field, frozen

Params = dict[str, Any]
Step = tuple[str, Params]

RESULTS_PAGE = 1000
"""How many places of a workload make a page: their results are told, counted and kept together."""


class Role(StrEnum):
    USER = "user"
    ADMIN = "admin"
    WORKER = "worker"


class ImageType(StrEnum):
    ORIGINAL = "original"
    FILTERED = "filtered"


class Numbering(StrEnum):
    """The keys of ``filtered_images``: global ids, or places in the workload (``"0"``…)."""

    IDS = "ids"
    FRAMES = "frames"


class WorkloadStatus(StrEnum):
    SCHEDULING = "scheduling"
    RUNNING = "running"
    COMPLETED = "completed"


class JobState(StrEnum):
    WAITING = "waiting"
    LEASED = "leased"
    DONE = "done"
    FAILED = "failed"


class Outcome(StrEnum):
    """How one attempt at a job ended, by its worker's message or by its loss."""

    DONE = "done"
    FAILED = "failed"  # this picture cannot be filtered: another attempt would fail as well
    CRASHED = "crashed"  # the compute child died or ran past its deadline: charged to the job, tried again
    RETURNED = "returned"  # handed back untouched (leaving, disk full, transfer failed): not charged
    LOST = "lost"  # the worker went away


@frozen
class Principal:
    """The caller of a request. ``session`` differs for each connection of a worker."""

    name: str
    role: Role
    session: str = ""
    quota: int | None = None  # bytes, of a user; None is without limit

    @property
    def is_admin(self) -> bool:
        return self.role is Role.ADMIN

    @property
    def counted_as(self) -> str:
        """By what shares and refusals are counted: a worker may have a user's name."""
        return f"worker:{self.name}" if self.role is Role.WORKER else self.name


@frozen
class User:
    name: str
    role: Role
    created_at: float
    quota: int | None  # bytes of originals and results; None is without limit
    used: int  # bytes
    reserved: int = 0  # bytes that the results of jobs under way may take


@frozen
class Token:
    """A session of a user; ``secret`` is shown once and kept only as a hash."""

    secret: str = field(repr=False)
    user: str
    expires_at: float


@frozen
class TokenRecord:
    """A token without its secret."""

    id: str
    user: str
    name: str | None  # None for what a login gave
    created_at: float
    expires_at: float


@frozen
class WorkloadSpec:
    """What a user asks for, validated: one filter (or a chain of steps) for every image to come."""

    name: str
    steps: tuple[Step, ...]
    tags: tuple[str, ...] = ()
    output: Params = field(factory=dict)
    numbering: Numbering = Numbering.IDS


@frozen
class Preset:
    """What a user has put by under a name for later workloads; the name in ``spec`` is the preset's, too."""

    name: str
    spec: WorkloadSpec
    created_at: float


@frozen
class Workload:
    """A workload with its counters as of one committed moment; ``version`` grows with every change."""

    id: str
    owner: str
    spec: WorkloadSpec
    directory: str  # under the image store
    created_at: float
    accepted: int = 0
    filtered: int = 0
    failed: int = 0
    size: int = 0  # bytes of originals and results
    finished_at: float | None = None
    version: int = 0
    retried: int = 0  # images that got a new job after they had failed, counted each time
    sealed: bool = False  # no more originals: then none at all are complete, too
    noticed: int = 0  # results with notices
    idle_seconds: float = 0.0  # that it lay completed before it was opened again

    @property
    def status(self) -> WorkloadStatus:
        if self.accepted == 0 and not self.sealed:
            return WorkloadStatus.SCHEDULING
        if self.filtered + self.failed < self.accepted:
            return WorkloadStatus.RUNNING
        return WorkloadStatus.COMPLETED


@frozen
class Selection:
    """A choice of workloads: of these statuses (none: of any), with this text in their names, in any case."""

    statuses: tuple[WorkloadStatus, ...] = ()
    name: str = ""

    def takes(self, workload: Workload) -> bool:
        named = self.name.lower() in workload.spec.name.lower()
        return named and (not self.statuses or workload.status in self.statuses)


ALL = Selection()
UNFINISHED = Selection((WorkloadStatus.SCHEDULING, WorkloadStatus.RUNNING))


@frozen
class Eta:
    """Seconds until a workload will be done, with a plausible lower and upper bound."""

    seconds: float
    low: float
    high: float


@frozen
class Progress:
    """A workload at this moment; ``running`` of its jobs are held by workers. Without ``eta`` nobody can
    tell."""

    workload: Workload
    running: int = 0
    eta: Eta | None = None


@frozen
class StoredPicture:
    """The facts in a picture's header.

    ``channels`` and ``bits`` are as decoded. Of an original ``memory`` are the bytes that its job needs, and
    ``result_bytes`` what its result will probably have, which is only known while the upload is committed.
    """

    format: str
    content_type: str
    width: int
    height: int
    memory: int
    channels: int = 4
    bits: int = 16
    result_bytes: int = 0


MAX_NOTICES = 8
"""Notices of one image."""
MAX_NOTICE = 300
"""Characters of a notice."""


@frozen
class StoredFile:
    """A file that is durable in the image store, whether or not the datastore has a row for it."""

    path: str
    size: int
    sha256: str
    picture: StoredPicture
    name: str | None = None  # the client's own file name: data, never a path
    notices: tuple[str, ...] = ()  # what a result lacks of its original, a sentence each


@frozen
class Image:
    """``seq`` is the 0-based place in the workload; an original and its result share it."""

    id: str
    workload_id: str
    type: ImageType
    seq: int
    file: StoredFile
    created_at: float


class PlaceOrder(StrEnum):
    """What images of a workload are sorted by."""

    SEQ = "seq"
    NAME = "name"
    SIZE = "size"


@frozen
class PlaceSelection:
    """A choice of a workload's images: with this text in their names, in any case; only those that failed."""

    name: str = ""
    failed: bool = False
    order: PlaceOrder = PlaceOrder.SEQ
    descending: bool = False


CANCELLED = "cancelled"
"""The code of images that had not ended when their workload was cancelled."""


@frozen
class Thumbnail:
    """A small JPEG of an image."""

    image: Image
    data: bytes = field(repr=False)


@frozen
class Failure:
    """The recorded reason why the image at ``seq`` has no result."""

    seq: int
    image_id: str
    name: str | None
    code: str
    detail: str


@frozen
class Results:
    """Results of some images as ``(seq, image id)``, and the failures, both in upload order."""

    filtered: Sequence[tuple[int, str]] = ()
    failed: Sequence[Failure] = ()


@frozen
class Reason:
    """Why ``jobs`` jobs of a workload wait or run; each that a worker holds has a reason of its own."""

    sentence: str
    jobs: int = 1
    seq: int | None = None  # of one job's image, and the worker that has it
    worker: str | None = None


class WaitingJob(NamedTuple):
    """What the scheduler needs to know about a job; the rest stays in the datastore until it is leased.

    It is a tuple, since that is made in a third of the time: at its start a controller may make a million.
    """

    job: int
    pixels: int  # stands for the job's cost
    memory: int  # bytes that it needs
    crashes: int = 0
    losses: int = 0


@frozen
class AcceptedOriginal:
    """An original that has been committed, with the job that was made for it in the same transaction."""

    image: Image
    job: WaitingJob


@frozen
class Lease:
    """The right to deliver the result of ``job``: a result is stale unless all three fields match."""

    job: int
    attempt: int
    nonce: str


@frozen
class LeasedJob:
    """Everything that a worker must know to do one job."""

    lease: Lease
    workload_id: str
    original: Image
    result_id: str
    steps: tuple[Step, ...]
    output: Params


@frozen
class CommitReceipt:
    """What became of one of several results: its image, or an error's code, words and facts."""

    image: Image | None
    code: str = ""
    detail: str = ""
    members: Params = field(factory=dict)
    retry_after: int = 0


@frozen
class GpuLoad:
    name: str
    load_percent: float
    memory_total: int
    memory_used: int


@frozen
class Load:
    """What a worker reports of itself and its machine, every few seconds."""

    cpu_percent: float  # of the machine, 0–100 over all cores
    memory_total: int
    memory_available: int
    own_cpu_percent: float = 0.0  # of the worker and its compute children, 100 is one core
    own_memory: int = 0  # resident, worker and compute children
    gpus: tuple[GpuLoad, ...] = ()
    running: tuple[int, ...] = ()  # jobs being computed now
    disk_free: int = 0
    idle_percent: float = 0.0  # of its compute slots' time since the report before: they waited for work
    slots: int = 0  # jobs computed at once from now on; 0: as many as when it joined


@frozen
class WorkerInfo:
    """What a worker says of itself when it joins: how much it can hold, and what it can do."""

    name: str
    version: str
    machine: str  # the same for all workers of one machine: they share its memory
    slots: int  # jobs computed at once
    capacity: int  # jobs held at once, those in transfer included
    tags: frozenset[str]
    filters: dict[str, str]  # name -> version of every filter it has
    has_gpu: bool
    fingerprint: str  # of its engine: equal fingerprints give equal bytes


@frozen
class WorkerJob:
    """A job that a worker holds: ``computing`` now, or waiting there for a slot."""

    workload_id: str
    seq: int
    name: str | None  # of the original
    steps: tuple[Step, ...]
    computing: bool


class Presence(StrEnum):
    """Whether a worker is here."""

    JOINED = "joined"
    GONE = "gone"


@frozen
class WorkerRecord:
    """A worker as the datastore remembers it, joined or gone."""

    info: WorkerInfo
    address: str
    first_seen: float
    last_seen: float
    joined: bool
    done: int
    failed: int
    offences: int = 0  # what no honest worker sends, ever since
    suspended_until: float | None = None  # for that
    revoked_at: float | None = None  # by an admin
    certified_until: float | None = None  # by its newest certificate that is not revoked


@frozen
class NewcomersToken:
    """The join token, with which any machine may become a worker. Times are None when nobody has set them."""

    text: str = field(repr=False)
    made_at: float | None
    expires_at: float | None


@frozen
class CertificateRecord:
    """A certificate that was issued to a worker."""

    serial: str  # hex
    worker: str
    address: str
    issued_at: float
    expires_at: float


@frozen
class Sample:
    """One point of a worker's utilisation history."""

    at: float
    load: Load


@frozen
class WorkerState:
    """A worker at this moment; ``load`` is the newest that it has reported."""

    name: str
    joined: bool
    load: Load | None = None


@frozen
class Update:
    """The state of a workload, or of a worker, or the id of a workload that has been ``deleted``."""

    id: str
    workload: Progress | None = None
    deleted: str | None = None
    worker: WorkerState | None = None


@frozen
class Updates:
    """Updates in their order; ``id`` is that of the last. A ``snapshot`` has everything that is
    unfinished."""

    id: str
    items: Sequence[Update] = ()
    snapshot: bool = False


@frozen
class Metric:
    """One measure for Prometheus; each of the samples has a suffix of its name, labels and a value."""

    name: str
    kind: str
    help: str
    samples: Sequence[tuple[str, Params, float]]


@frozen
class RequestTimes:
    """How long requests took, by the bounds of ``dpip.runtime.metrics``; ``status`` is its class: ``2xx``."""

    method: str
    route: str
    status: str
    counts: tuple[int, ...]
    total: float


@frozen
class Webhook:
    """The URL that is called when a workload has completed, and the secret that signs the call."""

    url: str
    secret: str = field(repr=False)


@frozen
class Delivery:
    """One attempt to call a webhook: the answer's ``status``, or the ``error`` when there was none."""

    at: float
    attempt: int
    status: int | None
    error: str | None = None


@frozen
class DueWebhook:
    """A webhook to be called now for a completed workload, after so many attempts."""

    workload: Workload
    webhook: Webhook
    attempts: int


@frozen
class WebhookState:
    """A webhook that is or is not ``pending``, the time of its next call, and its calls, the newest first."""

    url: str
    pending: bool
    next_at: float | None
    log: Sequence[Delivery] = ()


@frozen
class Activity:
    """What ``actor`` did, and when: ``subject`` is the thing's id or name, ``detail`` further facts."""

    at: float
    actor: str
    action: str
    subject: str
    detail: Params = field(factory=dict)


@frozen
class IdempotencyKey:
    """A client's name for one request; ``fingerprint`` is the hash of what the request asked for."""

    owner: str
    key: str
    fingerprint: str
