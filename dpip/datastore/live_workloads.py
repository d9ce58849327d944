"""Workloads that are looked at, kept in memory: a poll costs no query, and shows what has been answered.

What is not known here is read in the writer's thread, which answers in the order in which it commits. So a
value read is exactly of that moment, and every change that is answered later is added to it, once.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from typing import Any

from attrs import define, evolve
from cachetools import TTLCache

from dpip.datastore.rows import micros, seconds
from dpip.model import RESULTS_PAGE, StoredFile, Workload
from dpip.runtime.sizes import memory_of

_TRUSTED_SECONDS = 30.0
"""How long a workload is believed without looking: ``dpip users remove`` deletes in another process."""
KEPT_BYTES = 64 * 2**20
"""Of memory, for all workloads that are kept; some 10,000 of the usual length."""


@define
class _Live:
    """A workload as it is now. Counting changes it in place, since that does not make it fresher."""

    now: Workload
    size: int  # bytes of memory


class LiveWorkloads:
    """Workloads that are looked at, and for those whose results are read, how often images of each page have
    ended. ``changed(workload id)`` is called whenever any workload has changed, looked at or not."""

    def __init__(self, monotonic: Callable[[], float], changed: Callable[[str], object]) -> None:
        self.changed = changed
        self._workloads: TTLCache[str, _Live] = TTLCache(
            KEPT_BYTES, _TRUSTED_SECONDS, monotonic, getsizeof=lambda live: live.size
        )
        self.endings: TTLCache[str, array[int]] = TTLCache(1_000, _TRUSTED_SECONDS, monotonic)

    def workload(self, workload_id: str) -> Workload | None:
        """The workload, or None when it has to be read (again)."""
        known = self._workloads.get(workload_id)
        return None if known is None else known.now

    def remember(self, workload: Workload) -> None:
        """Keep a workload that has just been read."""
        live = _Live(workload, memory_of(workload))
        if live.size <= KEPT_BYTES:
            self._workloads[workload.id] = live

    def opened(self, workload: Workload) -> None:
        """Keep a new workload."""
        self.remember(workload)
        self.changed(workload.id)

    def accepted(self, workload_id: str, count: int, size: int) -> None:
        """Count ``count`` originals that came in, of ``size`` bytes in all."""
        known = self._workloads.get(workload_id)
        if known is not None and known.now.finished_at is not None:
            del self._workloads[workload_id]  # the database knows how long it lay completed
        elif known is not None:
            accepted, total = known.now.accepted + count, known.now.size + size
            self._change(known, accepted=accepted, size=total)
        self.changed(workload_id)

    def ended(self, workload_id: str, seq: int, result: StoredFile | None, at: float) -> None:
        """Count one image that has ended, with a result or (None) without."""
        known = self._workloads.get(workload_id)
        if known is not None:
            now = known.now
            filtered = now.filtered + (result is not None)
            failed = now.failed + (result is None)
            done = filtered + failed == now.accepted
            self._change(
                known,
                filtered=filtered,
                failed=failed,
                size=now.size + (result.size if result else 0),
                noticed=now.noticed + bool(result and result.notices),
                finished_at=seconds(micros(at)) if done else now.finished_at,
            )
        pages = self.endings.get(workload_id)
        if pages is not None:
            _count(pages, seq // RESULTS_PAGE)
        self.changed(workload_id)

    def _change(self, known: _Live, **changes: Any) -> None:
        known.now = evolve(known.now, version=known.now.version + 1, **changes)

    def renewed(self, workload: Workload) -> None:
        """Keep a workload that was read after a change, and forget how often its images had ended."""
        self.remember(workload)
        self.endings.pop(workload.id, None)
        self.changed(workload.id)

    def deleted(self, workload_ids: Sequence[str]) -> None:
        for workload_id in workload_ids:
            self._workloads.pop(workload_id, None)
            self.endings.pop(workload_id, None)


def pages_of(counts: Sequence[tuple[int, int]]) -> array[int]:
    """Counts by page, from ``(page, count)`` of the pages that have any."""
    pages = array("I", bytes(4 * (1 + max((page for page, _ in counts), default=-1))))
    for page, count in counts:
        pages[page] += count
    return pages


def _count(pages: array[int], page: int) -> None:
    pages.extend([0] * (page + 1 - len(pages)))
    pages[page] += 1
