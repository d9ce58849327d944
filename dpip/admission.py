"""Which uploads are let in: refused at their headers, before a byte of the body costs anything."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from attrs import define, field
from zope.interface import implementer

from dpip.errors import RetryLater, TooLarge
from dpip.interfaces import IAdmission
from dpip.model import Principal, Role

_ASSUMED_CHUNKED = 16 * 1024 * 1024  # reserved for a body that does not say its length
_WORTH_TELLING = 8 * 1024 * 1024  # bytes: by so much at most is wrong what others know of this process


class Reservation(Protocol):
    def release(self) -> None: ...


class Space(Protocol):
    """The image store, as far as room on its disk goes; what is essential finds some below the floor.

    Raises DiskFull.
    """

    def reserve(self, length: int, essential: bool = False, elsewhere: int = 0) -> Reservation: ...


@define
class AdmissionDesk:
    """Bounds one upload to ``max_upload`` bytes, and all users' uploads under way to ``max_in_flight``.

    Results from workers are never shed, and may use what is kept free of uploads. Several processes may
    admit uploads to one disk: ``elsewhere`` is what the others have promised, as last heard, and ``told``
    hears what this one has, whenever that has changed by much.
    """

    space: Space
    max_upload: int
    max_in_flight: int
    told: Callable[[int], object] = field(default=lambda promised: None)
    in_flight: int = field(default=0, init=False)
    promised: int = field(default=0, init=False)  # those of workers, too
    elsewhere: int = field(default=0, init=False)
    _told: int = field(default=0, init=False)

    def admit(self, by: Principal, length: int | None) -> Admission:
        """Raises TooLarge, DiskFull, RetryLater."""
        if length is not None and length > self.max_upload:
            raise TooLarge(
                f"The upload has {length} bytes; this server takes at most {self.max_upload} in one request.",
                limit=self.max_upload,
            )
        expected = min(_ASSUMED_CHUNKED, self.max_upload) if length is None else length
        is_result = by.role is Role.WORKER
        counted = 0 if is_result else expected
        under_way = self.in_flight + self.elsewhere
        if counted and under_way and under_way + counted > self.max_in_flight:
            raise RetryLater("Many uploads are under way at the moment. Try again in a second.")
        reservation = self.space.reserve(expected, essential=is_result, elsewhere=self.elsewhere)
        self.in_flight += counted
        self._promise(expected)
        return Admission(self, counted, expected, reservation, self.max_upload if length is None else length)

    def released(self, counted: int, expected: int) -> None:
        """One of the admitted has ended."""
        self.in_flight -= counted
        self._promise(-expected)

    def _promise(self, more: int) -> None:
        self.promised += more
        if abs(self.promised - self._told) >= _WORTH_TELLING:
            self._told = self.promised
            self.told(self.promised)


@implementer(IAdmission)
@define
class Admission:
    """Room reserved for one upload on its way in."""

    _desk: AdmissionDesk
    _counted: int
    _expected: int
    _reservation: Reservation | None
    limit: int

    def release(self) -> None:
        """The upload has ended; idempotent."""
        reservation, self._reservation = self._reservation, None
        if reservation is not None:
            self._desk.released(self._counted, self._expected)
            reservation.release()
