"""Of several controllers on one PostgreSQL database one leads: the one whose session holds an advisory lock.

The writer uses that very session and no other, so that a commit is possible only while leading. The server
ends a session that has become silent for 10 s, and its lock goes with it. The leader is sooner: it ends when
its last confirmed sign of life is older than 8 s, by a clock that goes on while the machine sleeps. When the
session is lost, nobody knows whether its last commit came to be: the process ends without an answer, and the
next leader's ``recover()`` goes by what is in the database.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from attrs import define, field
from sqlalchemy.pool import StaticPool
from twisted.logger import Logger

LOCK: Final = 7332
BEAT_SECONDS: Final = 2.0
HOLD_SECONDS: Final = 8.0
EXIT_STATUS: Final = 75
"""EX_TEMPFAIL: whoever supervises the process starts it again, and it stands by."""


def boottime() -> float:
    """Seconds that never jump, and pass while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _exit() -> None:
    os._exit(EXIT_STATUS)


@define(eq=False)
class Leadership:
    """Whether this process leads; ``exit`` ends the process at once."""

    log = Logger()

    clock: Callable[[], float] = boottime
    exit: Callable[[], object] = _exit
    _candidate: Any = field(default=None, init=False)
    _session: Any = field(default=None, init=False)
    _given: bool = field(default=False, init=False)
    _confirmed: float = field(default=0.0, init=False)

    def acquire(self, connect: Callable[[], Any]) -> bool:
        """Ask for the lock on a session of ``connect``; whether this process leads now.

        Blocks for a round trip. Raises what ``connect`` does.
        """
        if self._candidate is None or self._candidate.closed:
            self._candidate = connect()
        asked = self.clock()
        [[held]] = self._candidate.execute(f"SELECT pg_try_advisory_lock({LOCK})").fetchall()
        if held:
            self._session, self._confirmed = self._candidate, asked
        return bool(held)

    def session_once(self) -> Any:
        """The session that holds the lock. A second one would not hold it: then the process ends."""
        if self._given or self._session is None:
            self.end("its session with the database is lost")
        self._given = True
        return self._session

    def lost(self) -> bool:
        return self._session is not None and bool(self._session.closed)

    def confirm(self, sent: float) -> None:
        """The database has answered what was sent at that time."""
        self._confirmed = sent

    def check(self) -> None:
        """End the process unless it surely leads: whatever it would answer now may be wrong."""
        if self._session is not None and self.clock() - self._confirmed > HOLD_SECONDS:
            self.end(f"the database has not answered for {HOLD_SECONDS:.0f} s")

    def end(self, why: str) -> None:
        self.log.critical("This controller leads no longer: {why}. Another one may lead now.", why=why)
        self.exit()

    def resign(self) -> None:
        """Let the next one lead at once: to close the session alone takes the server a moment."""
        candidate, self._candidate, self._session = self._candidate, None, None
        if candidate is not None and not candidate.closed:
            with candidate, suppress(candidate.OperationalError):  # a lost session has no lock any more
                candidate.execute("SELECT pg_advisory_unlock_all()")


class OneSession(StaticPool):
    """A pool of the leader's session, which stays open when the writer begins anew after an error."""

    def __init__(self, leadership: Leadership) -> None:
        super().__init__(leadership.session_once)
        self._leadership = leadership

    def dispose(self) -> None:
        if self._leadership.lost():
            self._leadership.end("its session with the database is lost")

    def recreate(self) -> OneSession:
        return self
