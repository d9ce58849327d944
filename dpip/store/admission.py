"""Admission of uploads: those that cannot be taken are refused at their headers, when that costs least."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import floor

from attrs import Factory, define, field
from zope.interface import implementer

from dpip.errors import QuotaExceeded, RetryLater, TooLarge
from dpip.interfaces import IAdmission
from dpip.model import Principal, Role
from dpip.runtime.shares import Shares
from dpip.store.disk_space import DiskReservation, DiskSpace

_ASSUMED_CHUNKED = 16 * 1024 * 1024  # reserved for a body that does not say its length, again and again
_WORTH_TELLING = 8 * 1024 * 1024  # bytes: other processes' knowledge of this one is wrong by less than that
WORKERS = ""
"""Stands for all workers where bytes are counted by user: no user has that name."""
Promises = Mapping[str, int]
"""Bytes by user."""
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
    those that have arrived and are not answered yet to ``max_unanswered``. Users share the last two, see
    :class:`Shares`; each may have one upload of the largest size under way, whatever the others do.

    A slow client's upload takes no time until it has arrived, so only uploads that have arrived say how busy
    the server is, whatever makes it late: processor, disk or database. Workers' results are never refused for
    load, and may use the room that is kept free of uploads. Several processes may admit uploads to one disk:
    each tells by ``announce`` how many bytes it has promised to whom (:data:`WORKERS` are one), whenever that
    has changed by much; and is told what the others have promised.
    """

    space: DiskSpace
    max_upload: int
    max_in_flight: int
    retry_after: RetryAfterQueue
    announce: Callable[[Promises], object] = field(default=lambda promised: None)
    max_unanswered: int = _UNANSWERED
    promised: dict[str, int] = field(factory=dict, init=False)
    _elsewhere: Promises = field(factory=dict, init=False)
    _told: dict[str, int] = field(factory=dict, init=False)
    _bytes: Shares = field(
        default=Factory(
            lambda self: Shares(self.max_in_flight, lambda: int(self.max_upload)), takes_self=True
        ),
        init=False,
    )
    _unanswered: Shares = field(factory=lambda: Shares(0, lambda: 0), init=False)

    @property
    def in_flight(self) -> int:
        """Bytes of users' uploads under way in this process."""
        return self._bytes.here

    @property
    def unanswered(self) -> int:
        return self._unanswered.here

    @property
    def elsewhere(self) -> int:
        """Bytes that other processes have promised."""
        return sum(self._elsewhere.values())

    def told_of_others(self, promised: Promises) -> None:
        """Take note of what all other processes have promised."""
        self._elsewhere = promised
        self._bytes.elsewhere = {user: size for user, size in promised.items() if user != WORKERS}

    def admit(self, by: Principal, length: int | None, room: int | None = None) -> Admission:
        """Raises TooLarge, DiskFull, RetryLater.

        All that this user has under way may take ``room`` bytes; None is without limit.
        """
        if length is not None and length > self.max_upload:
            raise TooLarge(
                f"The upload has {length} bytes; this server takes at most {self.max_upload} in one request.",
                limit=self.max_upload,
            )
        user = WORKERS if by.role is Role.WORKER else by.name
        admission = Admission(self, user, self.max_upload if length is None else length, room)
        admission.expect(admission.at_most(_ASSUMED_CHUNKED) if length is None else length)
        return admission

    def reserve(self, user: str, more: int, room: int | None, is_new: bool) -> DiskReservation:
        """Count ``more`` bytes for the user's uploads. Raises DiskFull, RetryLater."""
        if user != WORKERS:
            self._check_load(user, more, room, is_new)
        reservation = self.space.reserve(more, essential=user == WORKERS, elsewhere=self.elsewhere)
        if user != WORKERS:
            self._bytes.take(user, more)
        self._promise(user, more)
        return reservation

    def _check_load(self, user: str, more: int, room: int | None, is_new: bool) -> None:
        self._bytes.limit, self._unanswered.limit = self.max_in_flight, self.max_unanswered
        if is_new and not self._unanswered.has_room(user, 1):
            raise self._busy("Many uploads are under way at the moment.")
        under_way = self._bytes.held(user)
        if room is not None and under_way and under_way + more > room:
            raise self._busy("Your other uploads under way may use up your quota.")
        if not self._bytes.has_room(user, more):
            raise self._busy("Many uploads are under way at the moment.")

    def _busy(self, why: str) -> RetryLater:
        after = self.retry_after.next_seconds()
        return RetryLater(f"{why} Try again in {after} s.", after)

    def arrived(self, user: str) -> None:
        self._unanswered.take(user, 1)

    def answered(self, user: str) -> None:
        self._unanswered.give_back(user, 1)

    def released(self, user: str, expected: int) -> None:
        """Take back what an upload that has ended was counted for."""
        if user != WORKERS:
            self._bytes.give_back(user, expected)
        self._promise(user, -expected)

    def _promise(self, user: str, more: int) -> None:
        now = self.promised[user] = self.promised.get(user, 0) + more
        told = self._told.get(user, 0)
        if not now:
            del self.promised[user]
        if abs(now - told) >= _WORTH_TELLING or (told and not now):
            self._told = dict(self.promised)
            self.announce(self._told)


@implementer(IAdmission)
@define
class Admission:
    """Room reserved for one upload on its way in."""

    _control: AdmissionControl
    _user: str
    limit: int
    _room: int | None
    _expected: int = field(default=0, init=False)
    _reservations: list[DiskReservation] = field(factory=list, init=False)
    _has_arrived: bool = field(default=False, init=False)

    def expect(self, size: int) -> None:
        more = size - self._expected
        is_new = not self._reservations
        self._reservations.append(self._control.reserve(self._user, more, self._room, is_new))
        self._expected = size

    def grow(self, size: int) -> None:
        if size > self._expected:
            if self._room is not None and size > self._room:
                raise QuotaExceeded("The upload does not fit into what is left of your quota.")
            self.expect(self.at_most(self._expected + _ASSUMED_CHUNKED))

    def at_most(self, size: int) -> int:
        """The size, but no more than this upload may have."""
        return min(size, self.limit, size if self._room is None else self._room)

    def arrived(self) -> None:
        """The whole body is here."""
        if self._user != WORKERS:
            self._has_arrived = True
            self._control.arrived(self._user)

    def release(self) -> None:
        """The upload has ended; idempotent."""
        reservations, self._reservations = self._reservations, []
        if not reservations:
            return
        if self._has_arrived:
            self._control.answered(self._user)
        self._control.released(self._user, self._expected)
        for reservation in reservations:
            reservation.release()
