"""Admission of uploads: those that cannot be taken are refused at their headers, when that costs least."""

from __future__ import annotations

from collections.abc import Callable
from math import floor

from attrs import define, field
from zope.interface import implementer

from dpip.errors import RetryLater, TooLarge
from dpip.interfaces import IAdmission
from dpip.model import Principal, Role
from dpip.store.disk_space import DiskReservation, DiskSpace

_ASSUMED_CHUNKED = 16 * 1024 * 1024  # reserved for a body that does not say its length
_WORTH_TELLING = 8 * 1024 * 1024  # bytes: other processes' knowledge of this one is wrong by less than that
_UNANSWERED = 512  # uploads: about 1-2 s of work, so that they may come in bursts


@define
class RetryAfterQueue:
    """Spreads the clients that are refused: ``each_second`` of them may return in each second.

    A refusal costs something, too: if all clients returned after a second, a crowd of them would keep the
    server busy with refusals. ``monotonic`` gives seconds.
    """

    monotonic: Callable[[], float]
    each_second: int = 100
    longest: int = 10
    _next: float = field(default=0.0, init=False)

    def next_seconds(self) -> int:
        """The seconds after which one more client may return."""
        now = self.monotonic()
        self._next = max(now + 1.0, min(self._next, now + self.longest))
        seconds = floor(self._next - now)
        self._next += 1 / self.each_second
        return seconds


@define
class AdmissionControl:
    """Bounds one upload to ``max_upload`` bytes, all users' uploads under way to ``max_in_flight`` bytes, and
    those that have arrived and are not answered yet to ``max_unanswered``.

    A slow client's upload takes no time until it has arrived, so only uploads that have arrived say how busy
    the server is, whatever makes it late: processor, disk or database. Workers' results are never refused for
    load, and may use the room that is kept free of uploads. Several processes may admit uploads to one disk:
    ``elsewhere`` are the bytes that the others have promised, as last heard; ``announce`` is called with this
    process's, whenever they have changed by much.
    """

    space: DiskSpace
    max_upload: int
    max_in_flight: int
    retry_after: RetryAfterQueue
    announce: Callable[[int], object] = field(default=lambda promised: None)
    max_unanswered: int = _UNANSWERED
    in_flight: int = field(default=0, init=False)
    unanswered: int = field(default=0, init=False)
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
        if not is_result and self._is_busy(counted):
            after = self.retry_after.next_seconds()
            raise RetryLater(f"Many uploads are under way at the moment. Try again in {after} s.", after)
        reservation = self.space.reserve(expected, essential=is_result, elsewhere=self.elsewhere)
        self.in_flight += counted
        self._promise(expected)
        limit = self.max_upload if length is None else length
        return Admission(self, is_result, counted, expected, reservation, limit)

    def _is_busy(self, more: int) -> bool:
        under_way = self.in_flight + self.elsewhere
        has_room = not under_way or under_way + more <= self.max_in_flight
        return self.unanswered >= self.max_unanswered or not has_room

    def released(self, counted: int, expected: int) -> None:
        """Take back what an upload that has ended was counted for."""
        self.in_flight -= counted
        self._promise(-expected)

    def _promise(self, more: int) -> None:
        self.promised += more
        if abs(self.promised - self._told) >= _WORTH_TELLING:
            self._told = self.promised
            self.announce(self.promised)


@implementer(IAdmission)
@define
class Admission:
    """Room reserved for one upload on its way in."""

    _admission: AdmissionControl
    _is_result: bool
    _counted: int
    _expected: int
    _reservation: DiskReservation | None
    limit: int
    _has_arrived: bool = field(default=False, init=False)

    def arrived(self) -> None:
        """The whole body is here."""
        if not self._is_result:
            self._has_arrived = True
            self._admission.unanswered += 1

    def release(self) -> None:
        """The upload has ended; idempotent."""
        reservation, self._reservation = self._reservation, None
        if reservation is not None:
            self._admission.unanswered -= self._has_arrived
            self._admission.released(self._counted, self._expected)
            reservation.release()
