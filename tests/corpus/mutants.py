"""Valid files with something wrong: cut short, or changed at random, the same for the same seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping

STEP = 64  # bytes between two cuts


def truncations(files: Mapping[str, bytes], step: int = STEP) -> Iterator[tuple[str, bytes]]:
    for name, data in files.items():
        for length in range(0, len(data), step):
            yield f"{name} cut to {length}", data[:length]


def mutants(files: Mapping[str, bytes], count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Files in turn, each hit by one to eight changes; headers are hit more often than the rest."""
    names = sorted(files)
    for number in range(count):
        chance = random.Random(f"{seed} {number}")
        name = names[number % len(names)]
        data = bytearray(files[name])
        for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
            chance.choice((_flip, _flip, _set, _number, _delete, _repeat, _splice))(data, chance)
        yield f"{name} mutant {seed}/{number}", bytes(data)


def _place(data: bytearray, chance: random.Random) -> int:
    end = len(data) if chance.random() < 0.5 else min(len(data), 200)
    return chance.randrange(max(1, end))


def _flip(data: bytearray, chance: random.Random) -> None:
    if data:
        data[_place(data, chance)] ^= 1 << chance.randrange(8)


def _set(data: bytearray, chance: random.Random) -> None:
    if data:
        data[_place(data, chance)] = chance.choice((0, 1, 0x7F, 0x80, 0xFE, 0xFF))


def _number(data: bytearray, chance: random.Random) -> None:
    """What may be a length, an offset or a count becomes an awkward one."""
    place, size = _place(data, chance), chance.choice((2, 4))
    value = chance.choice((0, 1, 2 ** (8 * size) - 1, 2 ** (8 * size - 1), len(data), place, 65_536))
    data[place : place + size] = (value % 2 ** (8 * size)).to_bytes(size, chance.choice(("big", "little")))


def _delete(data: bytearray, chance: random.Random) -> None:
    place = _place(data, chance)
    del data[place : place + chance.choice((1, 2, 16, 256))]


def _repeat(data: bytearray, chance: random.Random) -> None:
    place, size = _place(data, chance), chance.choice((1, 4, 64, 512))
    data[place:place] = data[place : place + size] * chance.choice((1, 2, 20))


def _splice(data: bytearray, chance: random.Random) -> None:
    """A piece of the file over another one."""
    size = chance.choice((4, 32, 256))
    source, target = _place(data, chance), _place(data, chance)
    data[target : target + size] = data[source : source + size]
