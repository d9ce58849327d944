"""Many things at once, but not all of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, DeferredList, FirstError, gatherResults

S = TypeVar("S")
T = TypeVar("T")


async def gather_bounded(limit: int, work: Callable[[S], Awaitable[T]], items: Iterable[S]) -> list[T]:
    """``[await work(item) for item in items]``, with up to ``limit`` under way at a time.

    ``items`` is consumed as it is needed, so it may be a generator over a million files. The first failure
    cancels what is under way, starts nothing more, and is raised when everything has stopped; so does
    cancelling the call.
    """
    waiting = enumerate(items)
    results: dict[int, T] = {}

    async def take_turns() -> None:
        for place, item in waiting:
            results[place] = await work(item)

    hands: list[Deferred[Any]] = [Deferred.fromCoroutine(take_turns()) for _ in range(max(1, limit))]
    try:
        await gatherResults(hands, consumeErrors=True)
    except FirstError as first:
        first.subFailure.raiseException()
    finally:
        for hand in hands:
            hand.cancel()
        await DeferredList(hands, consumeErrors=True)
    return [results[place] for place in sorted(results)]
