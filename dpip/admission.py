"""Which uploads are let in: refused at their headers, before a byte of the body costs anything."""

from __future__ import annotations

from typing import Protocol

from attrs import define, field
from zope.interface import implementer

from dpip.errors import RetryLater, TooLarge
from dpip.interfaces import IAdmission
from dpip.model import Principal, Role

_ASSUMED_CHUNKED = 16 * 1024 * 1024  # reserved for a body that does not say its length


class Reservation(Protocol):
    def release(self) -> None: ...


class Space(Protocol):
    """The image store, as far as room on its disk goes; what is essential finds some below the floor.

    Raises DiskFull.
    """

    def reserve(self, length: int, essential: bool = False) -> Reservation: ...


@define
class AdmissionDesk:
    """Bounds one upload to ``max_upload`` bytes, and all users' uploads under way to ``max_in_flight``.

    Results from workers are never shed, and may use what is kept free of uploads.
    """

    space: Space
    max_upload: int
    max_in_flight: int
    in_flight: int = field(default=0, init=False)

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
        if counted and self.in_flight and self.in_flight + counted > self.max_in_flight:
            raise RetryLater("Many uploads are under way at the moment. Try again in a second.")
        reservation = self.space.reserve(expected, essential=is_result)
        self.in_flight += counted
        return Admission(self, counted, reservation, self.max_upload if length is None else length)


@implementer(IAdmission)
@define
class Admission:
    """Room reserved for one upload on its way in."""

    _desk: AdmissionDesk
    _counted: int
    _reservation: Reservation | None
    limit: int

    def release(self) -> None:
        """The upload has ended; idempotent."""
        reservation, self._reservation = self._reservation, None
        if reservation is not None:
            self._desk.in_flight -= self._counted
            reservation.release()
