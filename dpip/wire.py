"""Messages between controller and worker, and their bytes.

Perspective Broker carries each message as one argument: JSON in bytes, which costs a quarter of what the same
dict costs as PB items. Everything that arrives is checked here, on both sides: size, shape, types and
ranges. ``PROTOCOL`` changes whenever an old peer could misunderstand a new one.

The calls themselves::

    controller root    join(secret: bytes, hello: Hello, agent) -> (Welcome, session) | (Refusal, None)
    agent (worker)     run(Jobs)   cancel(Leases)   ping() -> b"pong"
    session (control)  report(Load)   ended(Endings)   leaving()   ping() -> b"pong"
"""

from __future__ import annotations

import json
from typing import Any, TypeVar

import cattrs
from attrs import field, frozen
from attrs.validators import and_, deep_iterable, deep_mapping, ge, in_, instance_of, le, matches_re, max_len

from dpip.errors import Malformed
from dpip.model import Lease, LeasedJob, Outcome

PROTOCOL = 1
MAX_MESSAGE = 512 * 1024
"""Bytes of one message at most: PB itself stops at 640 KiB for one string."""

T = TypeVar("T")

_word: Any = and_(instance_of(str), max_len(64), matches_re(r"[\w.@+-]+"))
_text: Any = and_(instance_of(str), max_len(1024))
_code: Any = and_(instance_of(str), max_len(64))
_sentence: Any = and_(instance_of(str), max_len(4096))
_tags: Any = deep_iterable(_word, and_(instance_of(tuple), max_len(64)))
_filters: Any = and_(max_len(1024), deep_mapping(_word, _text, instance_of(dict)))


def _within(kind: type, low: float, high: float) -> Any:
    return and_(instance_of(kind), ge(low), le(high))


@frozen
class Hello:
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


@frozen
class Welcome:
    """The controller's answer: where the images are, and the token that opens them to this worker alone."""

    image_store_endpoint: str = field(validator=_text)
    image_store_token: str = field(repr=False, validator=_text)
    image_store_authority: str | None  # PEM of the authority that signed the API's certificate, if ours
    report_seconds: float = field(validator=_within(float, 0.01, 3600))
    ping_seconds: float = field(validator=_within(float, 0.01, 3600))
    job_seconds: float = field(validator=_within(float, 0.01, 86400))  # deadline of one job's computing
    max_pixels: int = field(validator=_within(int, 1, 2**48))


@frozen
class Refusal:
    """Why a worker may not join; ``retry`` says whether trying again can help."""

    code: str = field(validator=in_(("bad-token", "version", "name-taken", "overloaded")))
    reason: str = field(validator=_sentence)
    retry: bool


@frozen
class Jobs:
    jobs: tuple[LeasedJob, ...] = field(validator=max_len(1024))


@frozen
class Leases:
    leases: tuple[Lease, ...] = field(validator=max_len(8192))


@frozen
class Ending:
    """How one attempt ended; ``seconds`` is the time of computing alone."""

    lease: Lease
    outcome: Outcome
    seconds: float = field(validator=_within(float, 0, 1e7))
    code: str = field(default="", validator=_code)
    detail: str = field(default="", validator=_sentence)


@frozen
class Endings:
    endings: tuple[Ending, ...] = field(validator=max_len(8192))


_converter = cattrs.Converter(forbid_extra_keys=False)
_converter.register_structure_hook(int, lambda value, _: _exactly(value, int))
_converter.register_structure_hook(bool, lambda value, _: _exactly(value, bool))
_converter.register_structure_hook(str, lambda value, _: _exactly(value, str))
_converter.register_structure_hook(float, lambda value, _: _number(value))
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


def encode(message: Any) -> bytes:
    """The bytes of a message.

    Raises:
        Malformed: it would be larger than ``MAX_MESSAGE``.
    """
    data = json.dumps(_converter.unstructure(message), separators=(",", ":")).encode()
    if len(data) > MAX_MESSAGE:
        raise Malformed(
            f"{type(message).__name__} of {len(data)} bytes: at most {MAX_MESSAGE} go in a message."
        )
    return data


def decode(data: object, kind: type[T]) -> T:
    """The message in ``data``, checked.

    Raises:
        Malformed: anything else than the bytes of a valid ``kind``; says what was wrong, not what was sent.
    """
    if not isinstance(data, bytes) or len(data) > MAX_MESSAGE:
        raise Malformed(f"{kind.__name__}: at most {MAX_MESSAGE} bytes of JSON expected.")
    try:
        return _converter.structure(json.loads(data), kind)
    except (ValueError, TypeError, KeyError, RecursionError, cattrs.BaseValidationError) as error:
        raise Malformed(f"Not a valid {kind.__name__}: {_first_reason(error)}") from None


def _first_reason(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"[:200]
