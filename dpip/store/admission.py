"""Which uploads are let in: refused at their headers, before a byte of the body costs anything."""

from __future__ import annotations

from collections.abc import Callable
from math import floor
from typing import Protocol

from attrs import define, field
from zope.interface import implementer

from dpip.errors import RetryLater, TooLarge
from dpip.interfaces import IAdmission
from dpip.model import Principal, Role

_ASSUMED_CHUNKED = 16 * 1024 * 1024  # reserved for a body that does not say its length
_WORTH_TELLING = 8 * 1024 * 1024  # bytes: by so much at most is wrong what others know of this process
_UNANSWERED = 512  # uploads: work for a second or two, so that they may come in bursts


class Releasable(Protocol):
    def release(self) -> None: ...


class Reservable(Protocol):
    """The image store, as far as room on its disk goes; what is essential finds some below the floor.

    Raises DiskFull.
    """

    def reserve(self, length: int, essential: bool = False, elsewhere: int = 0) -> Releasable: ...


@define
class RetryAfterQueue:
    """When those who are sent away may come again: one after the other, ``each_second``, as ``monotonic`` has
    seconds.

    To send someone away costs something, too: were all told to come in a second, a crowd would keep the
    server busy with nothing else.
    """

    monotonic: Callable[[], float]
    each_second: int = 100
    longest: int = 10
    _next: float = field(default=0.0, init=False)

    def after(self) -> int:
        """Seconds, for one more."""
        now = self.monotonic()
        self._next = max(now + 1.0, min(self._next, now + self.longest))
        seconds = floor(self._next - now)
        self._next += 1 / self.each_second
        return seconds


@define
class AdmissionControl:
    """Bounds one upload to ``max_upload`` bytes, all users' uploads under way to ``max_in_flight``, and those
    that have arrived and are not answered yet to ``max_unanswered``.

    A slow client's upload takes no time but while it is kept, so only what has arrived says how busy we are,
    whatever it is that makes us late: processor, disk or database. Results from workers are never shed, and
    may use what is kept free of uploads. Several processes may admit uploads to one disk: ``elsewhere`` is
    what the others have promised, as last heard, and ``told`` hears what this one has, whenever that has
    changed by much.
    """

    space: Reservable
    max_upload: int
    max_in_flight: int
    returns: RetryAfterQueue
    told: Callable[[int], object] = field(default=lambda promised: None)
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
            after = self.returns.after()
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

    _admission: AdmissionControl
    _is_result: bool
    _counted: int
    _expected: int
    _reservation: Releasable | None
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
