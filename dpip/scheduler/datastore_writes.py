"""Repeats calls of the datastore until they succeed: a job whose end is not recorded would be lost."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from dpip.errors import DpipError

T = TypeVar("T")

_FIRST_PAUSE = 0.1  # seconds; doubled up to
_LONGEST_PAUSE = 5.0


@define(eq=False)
class Persistence:
    """Repeats each call until it succeeds, whatever the datastore raises, or until it is stopped."""

    _clock: IReactorTime
    _log: Logger
    _running: dict[Deferred[None], None] = field(factory=dict, init=False)
    _pauses: dict[Deferred[None], None] = field(factory=dict, init=False)
    _stopped: bool = field(default=False, init=False)

    def insist(self, call: Callable[[], Deferred[T]], then: Callable[[T], None]) -> None:
        """Repeat the call until it succeeds, and give its result to ``then``."""

        async def insist() -> None:
            then(await self.until_done(call))

        self.run(insist())

    def run(self, task: Coroutine[Deferred[Any], Any, None]) -> None:
        """Run a task in the background; ``stop`` waits for its end."""
        running = Deferred.fromCoroutine(task)
        self._running[running] = None
        running.addErrback(self._failed)
        running.addBoth(lambda _: self._running.pop(running, None))

    async def until_done(self, call: Callable[[], Deferred[T]]) -> T:
        """Return the result of the first call that succeeds. Raises CancelledError when stopped."""
        pause = _FIRST_PAUSE
        while not self._stopped:
            try:
                return await call()
            except DpipError as error:  # busy, or the disk is full: this passes
                self._log.warn(
                    "The datastore: {why} Trying again in {pause:.1f} s.", why=error.detail, pause=pause
                )
            except Exception:  # noqa: BLE001 - a bug there must not lose jobs here
                self._log.failure("The datastore failed. Trying again in {pause:.1f} s.", pause=pause)
            await self.pause(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
        raise CancelledError

    def stop(self) -> Deferred[None]:
        """Repeat no more calls. Fires when those under way have ended."""
        self._stopped = True
        for pause in list(self._pauses):
            pause.cancel()
        return DeferredList(list(self._running)).addCallback(lambda _: None)

    async def pause(self, seconds: float) -> None:
        if self._stopped:
            raise CancelledError
        pause: Deferred[None] = deferLater(self._clock, seconds)
        self._pauses[pause] = None
        try:
            await pause
        finally:
            del self._pauses[pause]

    def _failed(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            self._log.failure("The scheduler failed.", failure=failure)
