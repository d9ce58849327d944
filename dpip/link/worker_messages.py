"""Messages between controller and worker.

Perspective Broker carries each message as one argument: JSON in bytes (``dpip.link.codec``), which costs a
quarter of what the same dict costs as Perspective Broker's items. ``PROTOCOL`` changes whenever an old peer
could misunderstand a new one.

The calls::

    controller root    join(secret: bytes, hello: WorkerHello, agent)
                           -> (Certificate, None) | (WorkerWelcome, session) | (WorkerRefusal, None)
    agent (worker)     run(Jobs)   cancel(Leases)   ping()   leave()
                       thumbnail(Jobs of one) -> bytes of a JPEG
    session (control)  report(Report)   ended(AttemptEndings)   leaving()   prove()
                       deliver(ResultFiles) -> Receipts   renew(CertificateRequest) -> Certificate

A worker without a certificate gets one for the join token's secret and the ``key`` of its ``WorkerHello``,
and connects again with it. A worker with a certificate joins, and sends no secret. ``renew`` gives the next
certificate while the link lasts.

``report`` is also the heartbeat, both ways: the controller drops a worker that has sent none for a few
intervals, the worker a controller that has not answered for as many. A worker gets jobs after its first
report, so that no job can overtake the welcome. ``cancel`` and ``ended`` are not answered. ``thumbnail``
answers no bytes for a picture that cannot be filtered, and fails when another worker should try.

A worker that asks for it (``WorkerHello.local_store``) gets :class:`TransferPaths`, with a directory of its
own in the image store. If the two machines are one, the worker finds a file named ``PROOF`` there, and copies
it to ``ANSWER`` beside it. ``prove()`` fails when the controller does not find the same bytes there, in a
file that it can take over. After that the worker reads originals in place, and leaves results in its transfer
directory under :func:`result_name`. No message of a worker holds a path.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from attrs import field, frozen
from attrs.validators import and_, deep_iterable, deep_mapping, ge, in_, instance_of, le, matches_re, max_len
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

from dpip.errors import Malformed
from dpip.link.codec import MAX_MESSAGE as MAX_MESSAGE
from dpip.link.codec import converter
from dpip.link.codec import decode as decode
from dpip.link.codec import decode_either as decode_either
from dpip.link.codec import encode as encode
from dpip.link.codec import protocol_of as protocol_of
from dpip.model import MAX_NOTICE, MAX_NOTICES, Lease, LeasedJob, Load, Outcome

PROTOCOL = 4
MAX_REPORT = 128 * 1024
"""Bytes of one message from a worker: its checking must not stop the controller's reactor for long."""
MAX_HELLO = 12 * 1024
"""Bytes of a :class:`WorkerHello`: before joining a peer may send little. 250 filters fit."""
BATCH = 128
"""Items in one message at most: to check 512 of them took the controller 9 ms, to act on them more."""
MAX_SLOTS = 1024
"""Jobs that one worker computes at once, at most."""
MAX_THUMBNAIL = 64 * 1024
"""Bytes of a small picture."""

PROOF = "proof"
ANSWER = "answer"

REFUSALS = (
    *("bad-token", "version", "name-taken", "overloaded"),
    *("bad-certificate", "worker-revoked", "worker-suspended"),
)

_word: Any = and_(instance_of(str), max_len(64), matches_re(r"[\w.@+-]+"))
_text: Any = and_(instance_of(str), max_len(1024))
_code: Any = and_(instance_of(str), max_len(64))
_sentence: Any = and_(instance_of(str), max_len(1024))
_key: Any = and_(instance_of(str), max_len(512))
_pem: Any = and_(instance_of(str), max_len(8192))
_path: Any = and_(instance_of(str), max_len(4096), matches_re(r"/[^\0]*"))
_hexadecimal: Any = and_(instance_of(str), max_len(64), matches_re(r"[0-9a-f]+"))
_tags: Any = deep_iterable(_word, and_(instance_of(tuple), max_len(64)))
_filters: Any = and_(max_len(1024), deep_mapping(_word, _text, instance_of(dict)))


def _within(kind: type, low: float, high: float) -> Any:
    return and_(instance_of(kind), ge(low), le(high))


@frozen
class WorkerHello:
    """A worker introduces itself. ``key`` is the PEM of a public key that it wants a certificate for."""

    max_bytes: ClassVar = MAX_HELLO
    name: str = field(validator=_word)
    version: str = field(validator=_text)
    machine: str = field(validator=_text)
    slots: int = field(validator=_within(int, 1, MAX_SLOTS))
    capacity: int = field(validator=_within(int, 1, 8192))
    tags: tuple[str, ...] = field(validator=_tags)
    filters: dict[str, str] = field(validator=_filters)
    has_gpu: bool = field(validator=instance_of(bool))
    fingerprint: str = field(validator=_text)
    protocol: int = field(default=PROTOCOL, validator=instance_of(int))
    local_store: bool = field(default=False, validator=instance_of(bool))
    key: str = field(default="", validator=_key)


@frozen
class CertificateRequest:
    """A worker asks for its next certificate, for the public key with this PEM."""

    max_bytes: ClassVar = MAX_HELLO
    key: str = field(validator=_key)


@frozen
class Certificate:
    """A worker's certificate as PEM, valid for so many seconds from now."""

    certificate: str = field(validator=_pem)
    seconds: float = field(validator=_within(float, 0, 1e9))


@frozen
class TransferPaths:
    """Absolute paths where a worker on the image store's machine finds originals, and leaves results."""

    originals: str = field(validator=_path)  # what the paths of originals are relative to
    results: str = field(validator=_path)


@frozen
class WorkerWelcome:
    """The controller lets a worker join: where the images are, and this worker's token for them."""

    image_store_endpoint: str = field(validator=_text)
    image_store_token: str = field(repr=False, validator=_text)
    image_store_authority: str | None  # PEM of the authority that signed the API's certificate, if ours
    report_seconds: float = field(validator=_within(float, 0.01, 3600))
    job_seconds: float = field(validator=_within(float, 0.01, 86400))  # deadline of one job's computing
    max_pixels: int = field(validator=_within(int, 1, 2**48))
    transfer_paths: TransferPaths | None = None


def _is_credible(instance: object, attribute: object, load: Load) -> None:
    """Check a load against limits far beyond any machine of today. Raises ValueError."""
    gpus = load.gpus
    percents = [load.cpu_percent, load.own_cpu_percent, load.idle_percent]
    sizes = [load.memory_total, load.memory_available, load.own_memory, load.disk_free]
    for gpu in gpus:
        percents.append(gpu.load_percent)
        sizes += gpu.memory_total, gpu.memory_used
    if min(percents) < 0 or max(percents) > 1e6:  # finite: every number of a message is
        raise ValueError("a load in percent is out of range")
    if min(sizes) < 0 or max(sizes) > 2**60:
        raise ValueError("a size in bytes is out of range")
    if load.memory_available > load.memory_total:
        raise ValueError("more memory is available than there is")
    if len(gpus) > 64 or len(load.running) > 8192 or any(len(gpu.name) > 256 for gpu in gpus):
        raise ValueError("too many GPUs or jobs")
    if not 0 <= load.slots <= MAX_SLOTS:
        raise ValueError("the number of slots is out of range")
    if load.running and (min(load.running) < 0 or max(load.running) >= 2**63):
        raise ValueError("a job's number is out of range")


@frozen
class Report:
    """The newest load of a worker, and its heartbeat."""

    max_bytes: ClassVar = MAX_REPORT
    load: Load = field(validator=_is_credible)


@frozen
class WorkerRefusal:
    """Why a worker may not join; ``retry`` says whether trying again can help."""

    code: str = field(validator=in_(REFUSALS))
    reason: str = field(validator=_sentence)
    retry: bool


@frozen
class Jobs:
    jobs: tuple[LeasedJob, ...] = field(validator=max_len(BATCH))


@frozen
class Leases:
    leases: tuple[Lease, ...] = field(validator=max_len(BATCH))


@frozen
class AttemptEnding:
    """How one attempt ended; ``seconds`` is the time of computing alone."""

    lease: Lease
    outcome: Outcome
    seconds: float = field(validator=_within(float, 0, 1e7))
    code: str = field(default="", validator=_code)
    detail: str = field(default="", validator=_sentence)


@frozen
class AttemptEndings:
    max_bytes: ClassVar = MAX_REPORT
    endings: tuple[AttemptEnding, ...] = field(validator=max_len(BATCH))


def _is_possible(instance: object, attribute: object, lease: Lease) -> None:
    """Raises ValueError for a lease that no datastore can have."""
    if not 0 <= lease.job < 2**63 or not 0 <= lease.attempt < 2**63 or len(lease.nonce) > 64:
        raise ValueError("a lease is out of range")


@frozen
class ResultFile:
    """A filtered picture: in the worker's transfer directory, under the :func:`result_name` of its lease, or
    behind the message in a body over HTTP (``dpip.http.batch``)."""

    lease: Lease = field(validator=_is_possible)
    size: int = field(validator=_within(int, 1, 2**50))
    sha256: str = field(validator=_hexadecimal)
    notices: tuple[str, ...] = field(
        default=(), validator=and_(max_len(MAX_NOTICES), deep_iterable(_sentence))
    )

    @classmethod
    def of(cls, lease: Lease, size: int, sha256: str, notices: Sequence[str]) -> ResultFile:
        """Return the message, with as many notices as it may have."""
        return cls(lease, size, sha256, tuple([each[:MAX_NOTICE] for each in notices[:MAX_NOTICES]]))


@frozen
class ResultFiles:
    max_bytes: ClassVar = MAX_REPORT
    results: tuple[ResultFile, ...] = field(validator=max_len(BATCH))


@frozen
class Receipt:
    """What became of a result: it is kept if ``code`` is empty, else an error's code and its sentence."""

    code: str = field(default="", validator=_code)
    detail: str = field(default="", validator=_sentence)


@frozen
class Receipts:
    """One receipt for each result, in their order."""

    receipts: tuple[Receipt, ...] = field(validator=max_len(BATCH))


def result_name(lease: Lease) -> str:
    """Return the file's name in the transfer directory: unique, and not to be guessed before the lease."""
    return f"{lease.job}-{lease.attempt}-{lease.nonce}"


_renamed: Any = {"transfer_paths": override(rename="desk")}  # what protocol 3 calls it
converter.register_unstructure_hook(
    WorkerWelcome, make_dict_unstructure_fn(WorkerWelcome, converter, **_renamed)
)
converter.register_structure_hook(WorkerWelcome, make_dict_structure_fn(WorkerWelcome, converter, **_renamed))


def batches(things: Sequence[Any], kind: type[Jobs] | type[Leases] | type[AttemptEndings]) -> list[bytes]:
    """Return as few messages as hold them all. Raises Malformed if one of them alone is too large."""
    if not things:
        return []
    if len(things) <= BATCH:
        try:
            return [encode(kind(tuple(things)))]
        except Malformed:
            if len(things) == 1:
                raise
    half = min(BATCH, (len(things) + 1) // 2)
    return [*batches(things[:half], kind), *batches(things[half:], kind)]
