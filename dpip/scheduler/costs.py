"""What jobs cost, learned from those that have ended.

The model is multiplicative: seconds = size × cost of the filter chain × slowness of the worker, each learned
as a robust running mean of logarithms, and a pair (chain, worker) by itself once it has been seen: a GPU may
be ten times as fast at one filter and no faster at another. A chain nobody has run costs ``_DEFAULT``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import exp, log

from attrs import define, field

from dpip.model import Step

_FIXED_PIXELS = 50_000  # what a job costs besides its pixels (transfer, decoding's set-up), about 1 ms
_DEFAULT = log(
    20e-9
)  # seconds per pixel: grayscale of a 720p JPEG with decoding and encoding takes about 18 ms
_SHORTEST = 1e-6
_MEMORY = 0.1  # weight of the newest value, once ten have been seen
_CLIP = 0.7  # one outlier moves the mean as a factor of two would
_CHANGED = 3  # outliers in a row
_TRUSTED = 4  # values before outliers are clipped, and before a pair is believed
_EAGER = 16  # jobs of a worker that are learned from without exception
_EVERY = 0.1  # seconds between two others: learning takes 20 µs, as long as a decision
_MAX_CHAINS = 4096
_MAX_PAIRS = 32


def size_of(pixels: int) -> int:
    """A job's size: its pixels, and a constant for what every job costs."""
    return pixels + _FIXED_PIXELS


@define(eq=False)
class Estimate:
    """A running mean of logarithms that one odd value cannot throw off. Three odd values are a change."""

    mean: float = 0.0
    count: int = 0
    odd: int = 0  # values in a row that were far above, or (negative) far below

    def learn(self, value: float) -> None:
        self.count += 1
        error = value - self.mean
        if self.count > _TRUSTED and abs(error) > _CLIP:
            sign = 1 if error > 0 else -1
            self.odd = self.odd + sign if self.odd * sign > 0 else sign
            if abs(self.odd) < _CHANGED:
                error = sign * _CLIP
            else:
                self.count = 1
        else:
            self.odd = 0
        self.mean += error * max(_MEMORY, 1 / self.count)


@define(eq=False)
class Chain:
    """A filter chain with its parameters; ``cost``: log of seconds per pixel on a worker of slowness 0."""

    key: str
    cost: Estimate = field(factory=lambda: Estimate(_DEFAULT))

    def seconds(self, size: int) -> float:
        return size * exp(self.cost.mean)


@define(eq=False)
class Pace:
    """How slow a worker is: the log of its seconds over those of the average worker."""

    slowness: Estimate = field(factory=Estimate)
    job: Estimate = field(factory=Estimate)  # log of seconds of its jobs of late, whatever they were
    pairs: dict[str, Estimate] = field(factory=dict)
    learned: float = 0.0  # when it learned last

    def seconds(self, chain: Chain, size: int) -> float:
        """What the job will take here."""
        pair = self.pairs.get(chain.key)
        if pair is not None and pair.count >= _TRUSTED:
            return size * exp(pair.mean)
        return size * exp(chain.cost.mean + self.slowness.mean)

    def wants_to_learn(self, now: float) -> bool:
        """Short jobs by the hundred tell nothing new: after the first ones, a few each second are enough."""
        return self.job.count <= _EAGER or now >= self.learned + _EVERY

    def learn(self, chain: Chain, size: int, seconds: float, now: float) -> None:
        """One job of this chain has taken ``seconds`` of computing here."""
        self.learned = now
        taken = log(max(seconds, _SHORTEST))
        self.job.learn(taken)
        cost = taken - log(size)
        self._pair(chain).learn(cost)
        newcomer = self.slowness.count == 0 and chain.cost.count > 0
        if not newcomer:  # what a first job tells is about the worker, unless the chain is as new
            chain.cost.learn(cost - self.slowness.mean)
        self.slowness.learn(cost - chain.cost.mean)

    def _pair(self, chain: Chain) -> Estimate:
        pair = self.pairs.pop(chain.key, None) or Estimate()
        self.pairs[chain.key] = pair
        if len(self.pairs) > _MAX_PAIRS:
            del self.pairs[next(iter(self.pairs))]
        return pair


class Chains:
    """The chains known, the latest used last: bounded, since users choose parameters freely."""

    def __init__(self) -> None:
        self._chain = lru_cache(_MAX_CHAINS)(Chain)

    def chain_of(self, steps: Sequence[Step]) -> Chain:
        return self._chain(repr(steps))
