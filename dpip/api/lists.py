"""The lists of a workload's images as JSON, made page by page, each page anew only when it has changed.

A workload of 100,000 images has a body of 3 MB. Making it takes 0.1 s, and a running workload changes with
every result; but of its 100 pages only those change in which images end at the moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from attrs import Factory, define, field, frozen
from cachetools import LRUCache
from twisted.internet.defer import DeferredLock

from dpip.api.http.answers import to_json
from dpip.api.views import failure_json
from dpip.interfaces import IController
from dpip.model import Numbering, Principal, Progress, Results, Workload, WorkloadStatus

_OVERHEAD = 4096
"""Bytes of memory that a workload takes here besides its lists and what it says of itself."""
_PAGE_OVERHEAD = 256
_FACTOR = 8
"""A workload takes at most so many times the length of its ``repr``."""
_OLDEST = 10.0
"""Lists may be so many times as old as they took to make: however many clients poll, making takes a tenth of
the time."""


@frozen
class Lists:
    """The two lists of a workload as of ``progress``: ``filtered`` and ``failed`` are JSON arrays."""

    progress: Progress
    filtered: bytes = b"[]"
    failed: bytes = b"[]"

    @property
    def size(self) -> int:
        return len(self.filtered) + len(self.failed)


@frozen
class _Page:
    """A page's items of the two arrays, without brackets.

    ``ended`` is how often its images had ended or been retried by then.
    """

    ended: int = 0
    filtered: bytes = b""
    failed: bytes = b""


@define
class _Known:
    """What is kept of one workload."""

    lock: DeferredLock = field(factory=DeferredLock)
    pages: list[_Page] = field(factory=list)
    lists: Lists | None = None
    made: float = 0.0  # when
    took: float = 0.0

    @property
    def size(self) -> int:
        """Return the bytes of memory, none too few: many workloads have short lists, or none yet."""
        pages = sum(_PAGE_OVERHEAD + len(page.filtered) + len(page.failed) for page in self.pages)
        if self.lists is None:
            return _OVERHEAD + pages
        facts = _FACTOR * len(repr(self.lists.progress))
        return _OVERHEAD + facts + pages + self.lists.size


@define
class ListMaker:
    """The maker of lists keeps what it has made, up to ``limit`` bytes. ``seconds`` gives the time."""

    controller: IController
    seconds: Callable[[], float]
    limit: int = 64 * 1024 * 1024
    _known: LRUCache[str, _Known] = field(
        default=Factory(lambda self: LRUCache(self.limit, self._size), takes_self=True), init=False
    )

    async def lists(self, by: Principal, progress: Progress) -> Lists:
        """Return the lists as of ``progress``.

        Those of a running workload may be as they were a moment before, but after the newest original came.
        """
        workload = progress.workload
        if not workload.filtered and not workload.failed:
            return Lists(progress)
        known = self._known.setdefault(workload.id, _Known())
        async with known.lock:  # of many who ask at once, one makes them
            if known.lists is None or not self._good_enough(known, known.lists.progress, progress):
                known.lists = await self._make(by, progress, known)
                if workload.id in self._known:  # not deleted meanwhile
                    self._known[workload.id] = known  # it has another size now
            return known.lists

    def forget(self, workload_id: str) -> None:
        self._known.pop(workload_id, None)

    def _good_enough(self, known: _Known, then: Progress, now: Progress) -> bool:
        """Say whether ``then`` is the same as ``now``, or a little earlier in one run of work."""
        old, new = changes(then.workload), changes(now.workload)
        if old == new:
            return True
        running = then.workload.status is now.workload.status is WorkloadStatus.RUNNING
        age = self.seconds() - known.made  # negative: the clock was set back
        return running and old[:2] == new[:2] and 0 <= age < _OLDEST * known.took

    async def _make(self, by: Principal, progress: Progress, known: _Known) -> Lists:
        began = self.seconds()
        await self._renew(by, progress.workload, known)
        filtered = _joined(page.filtered for page in known.pages)
        made = Lists(progress, filtered, _joined(page.failed for page in known.pages))
        known.made = self.seconds()
        known.took = known.made - began
        return made

    async def _renew(self, by: Principal, workload: Workload, known: _Known) -> None:
        """Read anew the pages that have changed.

        The counts come before the rows are read: what ends in between is read again the next time.
        """
        endings = await self.controller.endings(by, workload.id)
        known.pages += [_Page()] * (len(endings) - len(known.pages))
        for number, ended in enumerate(endings):
            if known.pages[number].ended != ended:
                results = await self.controller.results(by, workload.id, number)
                known.pages[number] = _page(ended, results, workload.spec.numbering)

    def _size(self, known: _Known) -> int:
        """Return the size, but no more than the limit: the newest stays, whatever its size."""
        return min(known.size, self.limit)


def changes(workload: Workload) -> tuple[int, int, int, int]:
    """Return counts that no two states of a workload's lists share: ``failed`` falls with a retry alone."""
    return workload.accepted, workload.retried, workload.filtered, workload.failed


def _page(ended: int, results: Results, numbering: Numbering) -> _Page:
    by_seq = numbering is Numbering.FRAMES
    filtered = [str(seq) if by_seq else image_id for seq, image_id in results.filtered]
    failed = [failure_json(failure) for failure in results.failed]
    return _Page(ended, _items(filtered), _items(failed))


def _items(values: Sequence[object]) -> bytes:
    return to_json(values).strip()[1:-1]


def _joined(parts: Iterable[bytes]) -> bytes:
    return b"[" + b", ".join(part for part in parts if part) + b"]"
