"""Messages as bytes: JSON, whose size, shape, types and ranges are checked on arrival.

A message is an attrs class whose fields have validators. ``max_bytes`` of its class limits its size, by
default it is ``MAX_MESSAGE``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar, get_args, get_origin

import cattrs

from dpip.errors import Malformed
from dpip.model import ImageType, Outcome

MAX_MESSAGE = 512 * 1024
"""Bytes of one message at most: Perspective Broker itself stops at 640 KiB for one string."""

S = TypeVar("S")
T = TypeVar("T")

converter = cattrs.Converter(forbid_extra_keys=False)
converter.register_unstructure_hook(frozenset, sorted)


def is_of(kind: Any, origin: type) -> bool:
    """Say whether a type annotation is ``origin[…]``."""
    found: Any = get_origin(kind)
    return found is origin


def _exactly(value: Any, kind: type[T]) -> T:
    """Return the value if JSON gave it the right type: ``int("3")`` would hide that a peer is not ours."""
    if type(value) is not kind:
        raise TypeError(f"{kind.__name__} expected, not {type(value).__name__}")
    return value


def _number(value: Any) -> float:
    if type(value) not in (int, float) or not abs(value) < 1e300:
        raise TypeError("a finite number expected")
    return float(value)


def _tuple_hook(kind: Any) -> Callable[[Any, Any], tuple[Any, ...]]:
    """Make ``tuple[T, ...]`` and ``tuple[A, B]`` from a list alone, where cattrs takes any iterable."""
    arguments = get_args(kind)
    if arguments[-1] is Ellipsis:
        item, structure = arguments[0], converter.get_structure_hook(arguments[0])
        return lambda value, _: tuple([structure(one, item) for one in _exactly(value, list)])
    pairs = [(one, converter.get_structure_hook(one)) for one in arguments]
    return lambda value, _: tuple(
        [hook(one, wanted) for one, (wanted, hook) in zip(_exactly(value, list), pairs, strict=True)]
    )


converter.register_structure_hook_factory(lambda kind: is_of(kind, tuple), _tuple_hook)
for _kind in (int, bool, str):
    converter.register_structure_hook(_kind, _exactly)
for _enum in (Outcome, ImageType):  # or the hook of str would take them, and leave them as they are
    converter.register_structure_hook(_enum, lambda value, kind: kind(value))
converter.register_structure_hook(float, lambda value, _: _number(value))


def _limit(kind: type) -> int:
    return int(getattr(kind, "max_bytes", MAX_MESSAGE))


def encode(message: Any) -> bytes:
    """Return the bytes of a message. Raises Malformed if it is larger than messages of its kind may be."""
    data = json.dumps(converter.unstructure(message), separators=(",", ":")).encode()
    most = _limit(type(message))
    if len(data) > most:
        raise Malformed(f"{type(message).__name__} of {len(data)} bytes: at most {most} go in a message.")
    return data


def decode(data: object, kind: type[T]) -> T:
    """Return the message in ``data``, checked.

    Raises Malformed for anything else than the bytes of a valid ``kind``. The error says what was wrong, not
    what was sent.
    """
    most = _limit(kind)
    if not isinstance(data, bytes) or len(data) > most:
        raise Malformed(f"{kind.__name__}: at most {most} bytes of JSON expected.")
    try:
        return converter.structure(json.loads(data), kind)
    except (ValueError, TypeError, KeyError, RecursionError, cattrs.BaseValidationError) as error:
        raise Malformed(f"Not a valid {kind.__name__}: {_first_reason(error)}") from None


def decode_either(data: object, one: type[T], other: type[S]) -> T | S:
    """Return the message in ``data``, of the first kind that it can be. Raises Malformed."""
    try:
        return decode(data, one)
    except Malformed:
        return decode(data, other)


def protocol_of(data: object) -> int | None:
    """Return the protocol that a hello of whatever version speaks; None if these bytes are no hello."""
    try:
        protocol = json.loads(data)["protocol"]  # type: ignore[arg-type]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return protocol if type(protocol) is int else None


def _first_reason(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"[:200]
