"""Workloads that are looked at, in memory: a poll costs no query, and shows what has been answered.

What is not known here is read in the writer's thread, which answers in the order in which it commits. So a
value read is exactly of that moment, and every change that is answered later is counted on top of it, once.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from attrs import define, evolve, field

from dpip.datastore.rows import micros, seconds
from dpip.model import RESULTS_PAGE, Workload

_TRUSTED_SECONDS = 30.0
"""How long a workload is believed without looking: ``dpip users remove`` deletes in another process."""

T = TypeVar("T")


@define
class Recent(Generic[T]):
    """Values that were read lately, the ``limit`` used last; each for so many seconds."""

    limit: int
    monotonic: Callable[[], float]
    _values: OrderedDict[str, tuple[float, T]] = field(factory=OrderedDict, init=False)

    def get(self, name: str) -> T | None:
        """None when it has to be read (again)."""
        known = self._values.get(name)
        if known is None or known[0] + _TRUSTED_SECONDS <= self.monotonic():
            return None
        self._values.move_to_end(name)
        return known[1]

    def put(self, name: str, value: T) -> None:
        """As it has just been read."""
        self._values[name] = self.monotonic(), value
        self._values.move_to_end(name)
        if len(self._values) > self.limit:
            self._values.popitem(last=False)

    def change(self, name: str, changed: Callable[[T], T]) -> None:
        """It is no fresher by that."""
        known = self._values.get(name)
        if known is not None:
            self._values[name] = known[0], changed(known[1])

    def forget(self, name: str) -> None:
        self._values.pop(name, None)


class LiveWorkloads:
    """``workloads``, and of those whose results are read how often images of each page have ended.
    ``changed(workload id)`` is called whenever one of all has changed."""

    def __init__(self, monotonic: Callable[[], float], changed: Callable[[str], object]) -> None:
        self.changed = changed
        self.workloads: Recent[Workload] = Recent(10_000, monotonic)
        self.endings: Recent[array[int]] = Recent(1_000, monotonic)

    def opened(self, workload: Workload) -> None:
        """It is new."""
        self.workloads.put(workload.id, workload)
        self.changed(workload.id)

    def accepted(self, workload_id: str, count: int, size: int) -> None:
        """So many originals, of so many bytes."""
        self.workloads.change(
            workload_id,
            lambda now: evolve(
                now,
                accepted=now.accepted + count,
                size=now.size + size,
                finished_at=None,
                version=now.version + 1,
            ),
        )
        self.changed(workload_id)

    def ended(self, workload_id: str, seq: int, result_size: int | None, at: float) -> None:
        """One image: with a result of so many bytes, or without."""

        def counted(now: Workload) -> Workload:
            filtered = now.filtered + (result_size is not None)
            failed = now.failed + (result_size is None)
            done = filtered + failed == now.accepted
            return evolve(
                now,
                filtered=filtered,
                failed=failed,
                size=now.size + (result_size or 0),
                finished_at=seconds(micros(at)) if done else now.finished_at,
                version=now.version + 1,
            )

        self.workloads.change(workload_id, counted)
        self.endings.change(workload_id, lambda pages: _one_more(pages, seq // RESULTS_PAGE))
        self.changed(workload_id)

    def renewed(self, workload: Workload) -> None:
        """It has just been read after a change; what became of its images is read when it is asked for."""
        self.workloads.put(workload.id, workload)
        self.endings.forget(workload.id)
        self.changed(workload.id)

    def deleted(self, workload_ids: Sequence[str]) -> None:
        for workload_id in workload_ids:
            self.workloads.forget(workload_id)
            self.endings.forget(workload_id)


def pages_of(counts: Sequence[tuple[int, int]]) -> array[int]:
    """From ``(page, count)`` of the pages that have any."""
    pages = array("I", bytes(4 * (1 + max((page for page, _ in counts), default=-1))))
    for page, count in counts:
        pages[page] += count
    return pages


def _one_more(pages: array[int], page: int) -> array[int]:
    pages.extend([0] * (page + 1 - len(pages)))
    pages[page] += 1
    return pages
