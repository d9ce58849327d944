"""What jobs cost, learned from those that have ended.

The model is multiplicative: seconds = size × cost of the filter chain × slowness of the worker. Each is
learned as a robust running mean of logarithms. Size is that of the picture or of what is made of it,
whichever is larger. Chains that differ a little in a parameter share what is learned: else each new value
would look as cheap as the default. A pair (chain, worker) that has been seen often enough has a mean of its
own: a GPU may be ten times as fast at one filter and no faster at another. A chain that no worker has run
costs ``_DEFAULT``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import sha256
from math import exp, frexp, log
from typing import Any

from attrs import define, field

from dpip.model import Step

_FIXED_PIXELS = 50_000  # what a job costs besides its pixels (transfer, decoding's set-up), about 1 ms
_RESIZED = ("width", "height")  # parameters of the filters that change a picture's size
_LONGEST_SIDE = 65_535
_DEFAULT = log(20e-9)  # seconds per pixel: a 720p JPEG to gray, decoded and encoded, takes about 18 ms
_SHORTEST = 1e-6
_MEMORY = 0.1  # weight of the newest value, once ten have been seen
_CLIP = 0.7  # one outlier moves the mean as a factor of two would
_CHANGED = 3  # outliers in a row
_TRUSTED = 4  # values before outliers are clipped, and before a pair is believed
_FIRST_JOBS = 16  # of a worker, which are all learned from
_EVERY = 0.1  # seconds between two later ones: learning takes 20 µs, as long as a decision
_MAX_CHAINS = 4096
_MAX_PAIRS = 32
_LONGEST_KEY = 256


@define(eq=False)
class Estimate:
    """A running mean of logarithms. One outlier hardly moves it; three in a row are taken for a change."""

    mean: float = 0.0
    count: int = 0
    outliers: int = 0  # values in a row that were far above, or (negative) far below

    def learn(self, value: float) -> None:
        self.count += 1
        error = value - self.mean
        if self.count > _TRUSTED and abs(error) > _CLIP:
            sign = 1 if error > 0 else -1
            self.outliers = self.outliers + sign if self.outliers * sign > 0 else sign
            if abs(self.outliers) < _CHANGED:
                error = sign * _CLIP
            else:
                self.count = 1
        else:
            self.outliers = 0
        self.mean += error * max(_MEMORY, 1 / self.count)


@define(eq=False)
class Chain:
    """A filter chain with its parameters, roughly. ``cost`` is the log of seconds per pixel at slowness 0;
    ``made`` is the number of pixels of its largest step's output, where a step says it."""

    key: str
    made: int = 0
    cost: Estimate = field(factory=lambda: Estimate(_DEFAULT))

    @property
    def known(self) -> bool:
        """Whether a job of it has ended, so that its cost is more than the default."""
        return self.cost.count > 0

    def size(self, pixels: int) -> int:
        """Return the size of a job: its pixels, and a constant for what every job costs."""
        return max(pixels, self.made) + _FIXED_PIXELS

    def seconds(self, size: int) -> float:
        return size * exp(self.cost.mean)


@define(eq=False)
class Pace:
    """How slow a worker is: the log of the quotient of its seconds and the average worker's."""

    slowness: Estimate = field(factory=Estimate)
    job: Estimate = field(factory=Estimate)  # log of seconds of its latest jobs, of any chain
    pairs: dict[str, Estimate] = field(factory=dict)
    learned: float = 0.0  # when it learned last

    def seconds(self, chain: Chain, size: int) -> float:
        """Return the seconds that a job of this chain and size will take on this worker."""
        pair = self.pairs.get(chain.key)
        if pair is not None and pair.count >= _TRUSTED:
            return size * exp(pair.mean)
        return size * exp(chain.cost.mean + self.slowness.mean)

    def own_cost(self, size: int, seconds: float) -> float:
        """Return the log of seconds per pixel that such a job would take on the average worker."""
        return log(max(seconds, _SHORTEST) / size) - self.slowness.mean

    def wants_to_learn(self, now: float) -> bool:
        """Say whether a job is worth learning from: after the first ones, a few each second are enough."""
        return self.job.count <= _FIRST_JOBS or now >= self.learned + _EVERY

    def learn(self, chain: Chain, size: int, seconds: float, now: float) -> None:
        """Take note that a job of this chain and size took ``seconds`` of computing on this worker."""
        self.learned = now
        taken = log(max(seconds, _SHORTEST))
        self.job.learn(taken)
        cost = taken - log(size)
        self._pair(chain).learn(cost)
        if self.slowness.count or not chain.cost.count:  # else this first job tells about the worker alone
            chain.cost.learn(cost - self.slowness.mean)
        self.slowness.learn(cost - chain.cost.mean)

    def _pair(self, chain: Chain) -> Estimate:
        pair = self.pairs.pop(chain.key, None) or Estimate()
        self.pairs[chain.key] = pair
        if len(self.pairs) > _MAX_PAIRS:
            del self.pairs[next(iter(self.pairs))]
        return pair


class Chains:
    """The filter chains in use, a bounded number of them: users choose parameters freely."""

    def __init__(self) -> None:
        self._cost = lru_cache(_MAX_CHAINS)(lambda key: Estimate(_DEFAULT))

    def chain_of(self, steps: Sequence[Step]) -> Chain:
        key = repr(
            [
                (name, {key: _rough(params[key]) for key in params if key not in _RESIZED})
                for name, params in steps
            ]
        )
        if len(key) > _LONGEST_KEY:  # a filter may take a whole picture as a parameter
            key = sha256(key.encode(errors="replace")).hexdigest()
        return Chain(key, max((_pixels_made(params) for _, params in steps), default=0), self._cost(key))


def _rough(value: Any) -> Any:
    """Return a number's octave, with its sign; anything else as it is."""
    if isinstance(value, int) and not isinstance(value, bool):
        return (value > 0) - (value < 0), value.bit_length()
    if isinstance(value, float):
        return (value > 0) - (value < 0), frexp(value)[1]
    return value


def _pixels_made(params: Mapping[str, Any]) -> int:
    """Return the pixels that a step makes, by the sides it names; a side alone is taken for both."""
    sides = [min(max(side, 0), _LONGEST_SIDE) for key in _RESIZED if isinstance(side := params.get(key), int)]
    return max(sides, default=0) * min(sides, default=0)
