"""Hostile inputs for the workers' port: Hypothesis's expressions, and real sessions with changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.link.test_banana import encoded, expressions

PIECE = 64 * 1024
"""Bytes that a transport hands on at once, at most."""
LONGEST = 1024 * 1024
"""Bytes of one input."""

_DIALECT = encoded(b"pb")
_names = st.sampled_from([b"join", b"serve", b"report", b"ended", b"leaving", b"prove", b"deliver", b"take"])
_targets = st.sampled_from([b"root", 0, 1, 2, 3]) | expressions
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
_texts = st.binary(max_size=200) | _json.map(repr).map(str.encode)
_arguments = st.lists(_texts | expressions | st.just([b"remote", 1]), max_size=4).map(
    lambda some: [b"tuple", *some]
)
_messages = st.one_of(
    st.tuples(st.just(b"message"), st.integers(0, 99), _targets, _names, st.integers(0, 1), _arguments).map(
        lambda parts: [*parts, [b"dictionary"]]
    ),
    st.tuples(st.sampled_from([b"answer", b"error"]), st.integers(0, 9), expressions | _arguments).map(list),
    st.tuples(st.just(b"decref"), _targets).map(list),
    st.tuples(st.just(b"version"), expressions).map(list),
    expressions,
)


def expressions_made(number: int, start: int) -> list[bytes]:
    """So many (or a few less: it stops when it repeats itself) of Hypothesis's own, each one or more
    expressions as Banana encodes them."""
    made: list[bytes] = []

    @seed(start)
    @settings(
        max_examples=number,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(_messages, min_size=1, max_size=3))
    def collect(messages: list[Any]) -> None:
        made.append(encoded(*messages))

    collect()
    return made


Change = Callable[[Random, bytearray, Sequence[bytes]], None]


def _flip(random: Random, data: bytearray, others: Sequence[bytes]) -> None:
    for _ in range(random.choice((1, 1, 2, 8))):
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)


def _truncate(random: Random, data: bytearray, others: Sequence[bytes]) -> None:
    del data[random.randrange(len(data)) :]


def _cut_out(random: Random, data: bytearray, others: Sequence[bytes]) -> None:
    start, end = _slice(random, data)
    del data[start:end]


def _repeat(random: Random, data: bytearray, others: Sequence[bytes]) -> None:
    """Once more, or so often that it is long."""
    start, end = _slice(random, data)
    again = bytes(data[start:end])
    times = 200 if random.random() < 0.02 else random.choice((1, 1, 2, 5))
    data[end:end] = again * times


def _splice(random: Random, data: bytearray, others: Sequence[bytes]) -> None:
    other = random.choice(others)
    start, end = _slice(random, other)
    place = random.randrange(len(data))
    data[place:place] = other[start:end]


def _noise(random: Random, data: bytearray, others: Sequence[bytes]) -> None:
    place = random.randrange(len(data))
    data[place : place + random.randrange(8)] = random.randbytes(random.choice((1, 2, 16, 300)))


def _lie(random: Random, data: bytearray, others: Sequence[bytes]) -> None:
    """About how long a string or a list is: the digits before one of the type bytes of Banana."""
    place = _next(random, data, b"\x80\x82")
    if place is None:
        return
    start = place
    while start > 0 and data[start - 1] < 0x80 and place - start < 10:
        start -= 1
    length = random.choice((0, 1, 63, 64, 65, 1000, 16_000, 2**17, 2**21, 2**31, 2**62, 2**69))
    digits = bytearray()
    while length or not digits:
        digits.append(length & 0x7F)
        length >>= 7
    data[random.choice((start, place - 1 if place else 0)) : place] = digits


def _retype(random: Random, data: bytearray, others: Sequence[bytes]) -> None:
    place = _next(random, data, bytes(range(0x80, 0x88)))
    if place is not None:
        data[place] = random.randrange(0x80, 0x90)


_CHANGES: tuple[Change, ...] = (_flip, _truncate, _cut_out, _repeat, _splice, _noise, _lie, _retype)


def _slice(random: Random, data: bytes | bytearray) -> tuple[int, int]:
    """Of any length up to 4 KiB, short ones more often."""
    start = random.randrange(len(data))
    return start, start + 1 + random.randrange(random.choice((4, 64, 4096)))


def _next(random: Random, data: bytearray, kinds: bytes) -> int | None:
    """The first byte of those behind a place chosen by chance."""
    start = random.randrange(len(data))
    found = [place for kind in kinds if (place := data.find(kind, start, start + 500)) >= 0]
    return min(found, default=None)


def changed(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """With one to four changes."""
    result = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 3, 4))):
        if result:
            random.choice(_CHANGES)(random, result, others)
    return bytes(result[:LONGEST])


def cut(random: Random, data: bytes) -> Iterator[bytes]:
    """Into the pieces in which it arrives; mostly few of them."""
    most = random.choice((PIECE, PIECE, PIECE, 1000, 50)) if len(data) < 20_000 else PIECE
    for start in range(0, len(data), most):
        yield data[start : start + most]


def with_dialect(data: bytes) -> bytes:
    """Behind the one word that every connection begins with."""
    return _DIALECT + data
