"""Watches the room that is left for images, and warns the operator before it is used up."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import define, field
from twisted.logger import Logger

_GIB = 1024**3


@define
class DiskWatch:
    """``usage`` gives (total, free) bytes of the images' disk; uploads are refused below ``floor``."""

    log = Logger()

    usage: Callable[[], tuple[int, int]]
    floor: int
    _low: bool = field(default=False, init=False)
    warnings: Sequence[str] = field(default=(), init=False)  # for the status

    def look(self) -> None:
        """Look at the disk; a line is logged only when the state has changed."""
        total, free = self.usage()
        low = free < max(2 * self.floor, total // 20)
        self.warnings = [self._sentence(total, free)] if low else []
        if low and not self._low:
            self.log.warn("{sentence}", sentence=self.warnings[0])
        elif self._low and not low:
            self.log.info("The disk with the images has room again: {free:.1f} GiB free.", free=free / _GIB)
        self._low = low

    def _sentence(self, total: int, free: int) -> str:
        consequence = "Uploads are refused" if free <= self.floor else "Uploads will be refused"
        return (
            f"The disk with the images runs low: {free / _GIB:.1f} of {total / _GIB:.1f} GiB free. "
            f"{consequence} below {self.floor / _GIB:.1f} GiB; delete workloads or use --keep-days."
        )
