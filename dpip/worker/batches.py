"""Gathers what this worker exchanges with the controller, so that one exchange serves many pictures.

A picture alone waits for nothing; a busy worker sends a batch now and then.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, TypeVar

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

WINDOW_SECONDS: Final = 0.05
"""From the beginning of one exchange to that of the next; after that an item alone waits for nothing."""

T = TypeVar("T")
R = TypeVar("R")


@define(eq=False)
class Batches(Generic[T, R]):
    """Batches of items, of which one at most is under way.

    ``exchange(items)`` gives an answer for each item, in their order. A batch has at most ``max_items``, and
    ``max_bytes`` by ``size(item)``, but for one item that is larger alone.
    """

    _exchange: Callable[[Sequence[T]], Deferred[Sequence[R]]]
    _clock: IReactorTime
    _max_items: int
    _max_bytes: float = math.inf
    _size: Callable[[T], int] = lambda _: 0
    _waiting: list[tuple[T, Deferred[R]]] = field(factory=list, init=False)
    _busy: bool = field(default=False, init=False)
    _began: float = field(default=-math.inf, init=False)
    _timer: IDelayedCall | None = field(default=None, init=False)
    _hurried: bool = field(default=False, init=False)

    def add(self, item: T) -> Deferred[R]:
        """Add an item; its answer. Fails as the exchange does that it goes with."""
        answer: Deferred[R] = Deferred()
        self._waiting.append((item, answer))
        self._schedule()
        return answer

    def hurry(self) -> None:
        """Let nothing wait for more from now on."""
        self._hurried = True
        self._schedule()

    def _schedule(self) -> None:
        """Have the next exchange begin when it is due, unless one is under way."""
        if self._busy or not self._waiting:
            return
        pause = self._pause()
        if self._timer is None:
            self._timer = self._clock.callLater(pause, self._begin)
        elif not pause:
            self._timer.reset(0)

    def _pause(self) -> float:
        """Return for how many seconds the next exchange is to wait. With 0 it has what comes in this turn."""
        since = self._clock.seconds() - self._began
        if self._hurried or self._is_full() or not 0 <= since < WINDOW_SECONDS:
            return 0.0
        return WINDOW_SECONDS - since

    def _is_full(self) -> bool:
        return len(self._first()) < len(self._waiting) or len(self._waiting) >= self._max_items

    def _first(self) -> list[tuple[T, Deferred[R]]]:
        """Return what goes into the next batch."""
        total = 0
        for place, (item, _) in enumerate(self._waiting[: self._max_items]):
            total += self._size(item)
            if place and total > self._max_bytes:
                return self._waiting[:place]
        return self._waiting[: self._max_items]

    def _begin(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()
        batch = self._first()
        del self._waiting[: len(batch)]
        self._busy, self._began = True, self._clock.seconds()
        answers = self._exchange([item for item, _ in batch])
        answers.addBoth(self._ended, [answer for _, answer in batch])

    def _ended(self, answers: Sequence[R] | Failure, waiting: Sequence[Deferred[R]]) -> None:
        self._busy = False
        self._schedule()
        given: Sequence[Any] = [answers] * len(waiting) if isinstance(answers, Failure) else answers
        for deferred, answer in zip(waiting, given, strict=True):
            deferred.callback(answer)  # a Failure fails it
