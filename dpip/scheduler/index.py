"""Workers of one kind by free memory and score: finds the best that fits without looking at the others.

There is a heap for each octave of free memory, that is for each number of bits. Entries are never searched
for: a worker whose score changes gets a new entry with a new stamp, and the old one is dropped when it comes
to the top. All workers in buckets above the need's octave have the memory; only in its own must entries be
compared with the need.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush

from dpip.scheduler.workers import JoinedWorker

Entry = tuple[float, int, int, JoinedWorker]  # score, order of joining, stamp

_OCTAVES = 65
_SLACK = 64  # stale entries that a bucket may hold before they are removed


class Index:
    def __init__(self) -> None:
        self._buckets: list[list[Entry]] = [[] for _ in range(_OCTAVES)]
        self._highest = 0
        self.count = 0  # workers with an entry

    def put(self, worker: JoinedWorker) -> None:
        """Give the worker an entry, or a new one after its score or its machine's memory has changed."""
        if not worker.indexed:
            worker.indexed = True
            self.count += 1
        worker.stamp += 1
        level = worker.level = worker.machine.free.bit_length()
        if level > self._highest:
            self._highest = level
        bucket = self._buckets[level]
        heappush(bucket, (worker.score(), worker.order, worker.stamp, worker))
        if len(bucket) > 2 * self.count + _SLACK:
            bucket[:] = [entry for entry in bucket if entry[2] == entry[3].stamp]
            heapify(bucket)

    def remove(self, worker: JoinedWorker) -> None:
        """Remove the entry of a worker that takes no more jobs for now."""
        if worker.indexed:
            worker.indexed = False
            self.count -= 1
            worker.stamp += 1

    def best(self, need: int) -> Entry | None:
        """Return the entry with the lowest score among workers whose machine has ``need`` bytes free."""
        best: Entry | None = None
        if not self.count:
            return best
        low = need.bit_length()
        # Downwards, since an entry found stale moves to a lower bucket.
        for level in range(self._highest, low - 1, -1):
            bucket = self._buckets[level]
            if not bucket or (best is not None and bucket[0] >= best):
                continue
            entry = self._top(level)
            if entry is not None and level == low and entry[3].machine.free < need:
                entry = self._fitting(level, need)
            if entry is not None and (best is None or entry < best):
                best = entry
        return best

    def _top(self, level: int) -> Entry | None:
        bucket = self._buckets[level]
        while bucket:
            entry = bucket[0]
            worker = entry[3]
            if entry[2] != worker.stamp:
                heappop(bucket)
            elif worker.machine.free.bit_length() != level:  # another worker of its machine took memory
                heappop(bucket)
                self.put(worker)
            else:
                return entry
        return None

    def _fitting(self, level: int, need: int) -> Entry | None:
        """Search the whole bucket, which is rare: the need must be about all that any machine has free."""
        fits = (e for e in self._buckets[level] if e[2] == e[3].stamp and e[3].machine.free >= need)
        return min(fits, default=None)
