"""Room on a disk, which is reserved before it is used."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field

from dpip.errors import DiskFull

_FRESH_SECONDS = 1.0  # how long a reading of the disk is believed: asking costs a system call per upload

MIB = 1 << 20


@define(eq=False)
class DiskSpace:
    """``measure`` gives (total, free) bytes; ``floor`` bytes stay free for what must not be refused.

    What has been reserved and partly written is counted twice until it is released: that errs to the safe
    side, and by no more than the uploads under way.
    """

    _measure: Callable[[], tuple[int, int]]
    _monotonic: Callable[[], float]
    floor: int
    _reserved: int = field(default=0, init=False)
    _measured: tuple[int, int] = field(default=(0, 0), init=False)
    _measured_at: float | None = field(default=None, init=False)

    def usage(self) -> tuple[int, int]:
        """(total, free) bytes, at most a second old."""
        now = self._monotonic()
        if self._measured_at is None or now - self._measured_at >= _FRESH_SECONDS:
            self._measured, self._measured_at = self._measure(), now
        return self._measured

    def reserve(self, length: int, essential: bool = False, elsewhere: int = 0) -> DiskReservation:
        """Reserve room for ``length`` bytes; what is ``essential`` may use the room below the floor.

        ``elsewhere`` are bytes that other processes have promised of the same disk. Raises DiskFull.
        """
        _, free = self.usage()
        left = free - self._reserved - elsewhere - (0 if essential else self.floor)
        if length > left:
            raise DiskFull(
                f"There is room for {max(left, 0) // MIB} MiB more on the server's disk, and this needs "
                f"{-(-length // MIB)} MiB. Delete workloads that are not needed any more."
            )
        self._reserved += length
        return DiskReservation(self, length)

    def _release(self, length: int) -> None:
        self._reserved -= length


@define(eq=False)
class DiskReservation:
    """Room for one upload until it is released."""

    _space: DiskSpace
    _length: int

    def release(self) -> None:
        """Give the room back; idempotent."""
        length, self._length = self._length, 0
        self._space._release(length)
