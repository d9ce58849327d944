"""Randomness from one seed, in streams that do not disturb each other."""

from __future__ import annotations

from random import Random


class Streams:
    """``streams[name]`` is the same generator each time, whatever the others have been asked for."""

    def __init__(self, *seed: object) -> None:
        self._seed = ":".join(map(str, seed))
        self._known: dict[str, Random] = {}

    def __getitem__(self, name: str) -> Random:
        if name not in self._known:
            self._known[name] = Random(f"{self._seed}:{name}")
        return self._known[name]

    def child(self, name: str) -> Streams:
        return Streams(self._seed, name)
