"""Messages between controller and worker, and their bytes.

Perspective Broker carries each message as one argument: JSON in bytes, which costs a quarter of what the same
dict costs as PB items. Everything that arrives is checked here, on both sides: size, shape, types and
ranges. ``PROTOCOL`` changes whenever an old peer could misunderstand a new one.

The calls themselves::

    controller root    join(secret: bytes, hello: WorkerHello, agent)
                           -> (Certificate, None) | (WorkerWelcome, session) | (WorkerRefusal, None)
    agent (worker)     run(Jobs)   cancel(Leases)   ping()   leave()
                       thumbnail(Jobs of one) -> bytes of a JPEG
    session (control)  report(Report)   ended(AttemptEndings)   leaving()   prove()
                       deliver(ResultFiles) -> Receipts   renew(CertificateRequest) -> Certificate

A worker without a certificate gets one for the join token's secret and the ``key`` of its ``WorkerHello``,
and connects again with it. A worker with a certificate joins, and sends no secret. ``renew`` gives the next
certificate while the link lasts.

``report`` is also the heartbeat, both ways: the controller drops a worker it has not heard for a few
intervals, the worker a controller that has not answered for as many. A worker is sent jobs from its first
report on, so that no job can overtake the welcome. ``cancel`` and ``ended`` are not answered.
``thumbnail`` answers nothing (no bytes) for a picture that cannot be filtered, and fails when another worker
should try.

A worker that asks for it (``WorkerHello.local_store``) is told :class:`TransferPaths`, with a directory of
its own in the image store. If the two machines are one, the worker finds a file named ``PROOF`` there, and
copies it to ``ANSWER`` beside it. ``prove()`` fails when the controller does not find the same bytes there,
in a file that it can take over. After that the worker reads originals in place, and leaves results in its
transfer directory under :func:`result_name`. No message of a worker holds a path.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, get_args

import cattrs
from attrs import field, frozen
from attrs.validators import and_, deep_iterable, deep_mapping, ge, in_, instance_of, le, matches_re, max_len
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

from dpip.errors import Malformed
from dpip.model import ImageType, Lease, LeasedJob, Load, Outcome

PROTOCOL = 3
MAX_MESSAGE = 512 * 1024
"""Bytes of one message at most: PB itself stops at 640 KiB for one string."""
MAX_REPORT = 128 * 1024
"""Bytes of one message from a worker: its checking must not stop the controller's reactor for long."""
MAX_HELLO = 12 * 1024
"""Bytes of a :class:`WorkerHello`: before joining a peer may send little. 250 filters fit."""
BATCH = 128
"""Things in one message at most: to check 512 of them took the controller 9 ms, to act on them more."""

MAX_THUMBNAIL = 64 * 1024
"""Bytes of a small picture."""

PROOF = "proof"
ANSWER = "answer"

REFUSALS = (
    *("bad-token", "version", "name-taken", "overloaded"),
    *("bad-certificate", "worker-revoked", "worker-suspended"),
)

S = TypeVar("S")
T = TypeVar("T")

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
    """A worker introduces itself."""

    name: str = field(validator=_word)
    version: str = field(validator=_text)
    machine: str = field(validator=_text)
    slots: int = field(validator=_within(int, 1, 1024))
    capacity: int = field(validator=_within(int, 1, 8192))
    tags: tuple[str, ...] = field(validator=_tags)
    filters: dict[str, str] = field(validator=_filters)
    has_gpu: bool = field(validator=instance_of(bool))
    fingerprint: str = field(validator=_text)
    protocol: int = field(default=PROTOCOL, validator=instance_of(int))
    local_store: bool = field(default=False, validator=instance_of(bool))
    key: str = field(default="", validator=_key)  # PEM of a public one, where a certificate is asked for


@frozen
class CertificateRequest:
    """For another certificate."""

    key: str = field(validator=_key)


@frozen
class Certificate:
    """A worker's, as PEM; good for so long from now."""

    certificate: str = field(validator=_pem)
    seconds: float = field(validator=_within(float, 0, 1e9))


@frozen
class TransferPaths:
    """Where a worker on the image store's machine finds originals, and leaves results: absolute paths."""

    originals: str = field(validator=_path)  # what the paths of originals are relative to
    results: str = field(validator=_path)


@frozen
class WorkerWelcome:
    """The controller's answer: where the images are, and the token that opens them to this worker alone."""

    image_store_endpoint: str = field(validator=_text)
    image_store_token: str = field(repr=False, validator=_text)
    image_store_authority: str | None  # PEM of the authority that signed the API's certificate, if ours
    report_seconds: float = field(validator=_within(float, 0.01, 3600))
    job_seconds: float = field(validator=_within(float, 0.01, 86400))  # deadline of one job's computing
    max_pixels: int = field(validator=_within(int, 1, 2**48))
    transfer_paths: TransferPaths | None = None


def _is_credible(instance: object, attribute: object, load: Load) -> None:
    """Far beyond any machine of today; a peer that says more is lying or broken."""
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
    if load.running and (min(load.running) < 0 or max(load.running) >= 2**63):
        raise ValueError("a job's number is out of range")


@frozen
class Report:
    """The newest load of a worker, and its heartbeat."""

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
    endings: tuple[AttemptEnding, ...] = field(validator=max_len(BATCH))


@frozen
class ResultFile:
    """A filtered picture in the worker's transfer directory, under the :func:`result_name` of its lease."""

    lease: Lease
    size: int = field(validator=_within(int, 1, 2**50))
    sha256: str = field(validator=_hexadecimal)


@frozen
class ResultFiles:
    results: tuple[ResultFile, ...] = field(validator=max_len(BATCH))


@frozen
class Receipt:
    """What became of a result: it is kept if ``code`` is empty, else an error's code, and its sentence."""

    code: str = field(default="", validator=_code)
    detail: str = field(default="", validator=_sentence)


@frozen
class Receipts:
    """One for each result, in their order."""

    receipts: tuple[Receipt, ...] = field(validator=max_len(BATCH))


def result_name(lease: Lease) -> str:
    """The file's name in the transfer directory: unique, and not to be guessed before the job is leased."""
    return f"{lease.job}-{lease.attempt}-{lease.nonce}"


_converter = cattrs.Converter(forbid_extra_keys=False)
_converter.register_unstructure_hook(frozenset, sorted)


def _exactly(value: Any, kind: type[T]) -> T:
    """JSON gives the right types or it is not our peer: ``int("3")`` would hide that."""
    if type(value) is not kind:
        raise TypeError(f"{kind.__name__} expected, not {type(value).__name__}")
    return value


def _number(value: Any) -> float:
    if type(value) not in (int, float) or not abs(value) < 1e300:
        raise TypeError("a finite number expected")
    return float(value)


def _tuple_hook(kind: Any) -> Callable[[Any, Any], tuple[Any, ...]]:
    """Of ``tuple[T, ...]`` and ``tuple[A, B]``: from a list alone, where cattrs takes whatever iterates."""
    arguments = get_args(kind)
    if arguments[-1] is Ellipsis:
        item, structure = arguments[0], _converter.get_structure_hook(arguments[0])
        return lambda value, _: tuple([structure(one, item) for one in _exactly(value, list)])
    pairs = [(one, _converter.get_structure_hook(one)) for one in arguments]
    return lambda value, _: tuple(
        [hook(one, wanted) for one, (wanted, hook) in zip(_exactly(value, list), pairs, strict=True)]
    )


_converter.register_structure_hook_factory(
    lambda kind: getattr(kind, "__origin__", None) is tuple, _tuple_hook
)
for _kind in (int, bool, str):
    _converter.register_structure_hook(_kind, _exactly)
for _enum in (Outcome, ImageType):  # or the hook of str would take them, and leave them as they are
    _converter.register_structure_hook(_enum, lambda value, kind: kind(value))
_converter.register_structure_hook(float, lambda value, _: _number(value))
_renamed: Any = {"transfer_paths": override(rename="desk")}  # what protocol 3 calls it
_converter.register_unstructure_hook(
    WorkerWelcome, make_dict_unstructure_fn(WorkerWelcome, _converter, **_renamed)
)
_converter.register_structure_hook(
    WorkerWelcome, make_dict_structure_fn(WorkerWelcome, _converter, **_renamed)
)


_LIMITS: dict[type, int] = {
    WorkerHello: MAX_HELLO,
    CertificateRequest: MAX_HELLO,
    Report: MAX_REPORT,
    AttemptEndings: MAX_REPORT,
    ResultFiles: MAX_REPORT,
}


def encode(message: Any) -> bytes:
    """The bytes of a message.

    Raises:
        Malformed: it would be larger than messages of its kind may be.
    """
    data = json.dumps(_converter.unstructure(message), separators=(",", ":")).encode()
    most = _LIMITS.get(type(message), MAX_MESSAGE)
    if len(data) > most:
        raise Malformed(f"{type(message).__name__} of {len(data)} bytes: at most {most} go in a message.")
    return data


def batches(things: Sequence[Any], kind: type[Jobs] | type[Leases] | type[AttemptEndings]) -> list[bytes]:
    """As few messages as hold them all.

    Raises:
        Malformed: one of them alone is too large.
    """
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


def decode(data: object, kind: type[T]) -> T:
    """The message in ``data``, checked.

    Raises:
        Malformed: anything else than the bytes of a valid ``kind``; says what was wrong, not what was sent.
    """
    most = _LIMITS.get(kind, MAX_MESSAGE)
    if not isinstance(data, bytes) or len(data) > most:
        raise Malformed(f"{kind.__name__}: at most {most} bytes of JSON expected.")
    try:
        return _converter.structure(json.loads(data), kind)
    except (ValueError, TypeError, KeyError, RecursionError, cattrs.BaseValidationError) as error:
        raise Malformed(f"Not a valid {kind.__name__}: {_first_reason(error)}") from None


def decode_either(data: object, one: type[T], other: type[S]) -> T | S:
    """The message in ``data``, of the first kind that it can be. Raises Malformed."""
    try:
        return decode(data, one)
    except Malformed:
        return decode(data, other)


def protocol_of(data: object) -> int | None:
    """The protocol that a :class:`WorkerHello` of whatever version speaks; None when these bytes are none."""
    if not isinstance(data, bytes) or len(data) > MAX_HELLO:
        return None
    try:
        protocol = json.loads(data)["protocol"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return protocol if type(protocol) is int else None


def _first_reason(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"[:200]
