"""Running a bounded number of coroutines at a time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, DeferredList, FirstError, gatherResults

S = TypeVar("S")
T = TypeVar("T")


async def gather_bounded(limit: int, work: Callable[[S], Awaitable[T]], items: Iterable[S]) -> list[T]:
    """Compute ``[await work(item) for item in items]``, with up to ``limit`` under way at a time.

    ``items`` is consumed as it is needed, so it may be a generator over a million files. The first failure
    cancels what is under way and is raised when everything has stopped; so is a cancellation of the call.
    """
    waiting = enumerate(items)
    results: dict[int, T] = {}

    async def work_off() -> None:
        for place, item in waiting:
            results[place] = await work(item)

    loops: list[Deferred[Any]] = [Deferred.fromCoroutine(work_off()) for _ in range(max(1, limit))]
    try:
        await gatherResults(loops, consumeErrors=True)
    except FirstError as first:
        first.subFailure.raiseException()
    finally:
        for loop in loops:
            loop.cancel()
        await DeferredList(loops, consumeErrors=True)
    return [results[place] for place in sorted(results)]
