"""Runs the attempts of a worker between joining and losing the link; the controller calls it.

When the link is lost all attempts are dropped: the controller gives their jobs to other workers, and the next
joining has a new job runner.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred, TimeoutError, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.spread.pb import RemoteReference

from dpip.errors import RetryLater
from dpip.link import worker_messages as wire
from dpip.link.broker import Callee, notify
from dpip.model import Lease, LeasedJob, Outcome
from dpip.runtime.coroutines import deferred
from dpip.worker.attempt import Attempt, AttemptContext
from dpip.worker.thumbnail import thumbnail
from dpip.worker.transfer import Closed, TokenRefused

DRAIN_SECONDS: Final = 25.0
"""For what is being computed when the worker is asked to end; service managers kill after 30 s or more."""
_FLUSH_SECONDS: Final = 0.02
_HINT_SECONDS: Final = 0.1
"""Endings are collected for so long, to share a message. Those of jobs that are done may wait longer: the
controller knows them by their results, and only learns how long they took."""
_FIRST_PAUSE: Final = 0.5
_MAX_PAUSE: Final = 30.0
"""Seconds before a job is handed back because of a failure of this worker: it might come back at once."""
_NO_FAILURE: Final = frozenset({"stale-lease", "cancelled"})


@define(eq=False, slots=False)
class JobRunner(Callee):
    """``token_refused`` is called when the API does not know this joining's token, ``asked_to_leave`` when
    the controller wants this worker to end. With ``log_jobs`` there is a line for each job."""

    log = Logger()

    _cores: int
    _clock: IReactorTime
    _jitter: Callable[[], float]
    _token_refused: Callable[[], object]
    _asked_to_leave: Callable[[], object]
    _log_jobs: bool = False
    _context: AttemptContext | None = field(default=None, init=False)
    _controller: RemoteReference | None = field(default=None, init=False)
    _attempts: dict[Lease, Attempt] = field(factory=dict, init=False)
    _pauses: dict[Attempt, Deferred[None]] = field(factory=dict, init=False)
    _endings: list[wire.AttemptEnding] = field(factory=list, init=False)
    _flushing: IDelayedCall | None = field(default=None, init=False)
    _failures: int = field(default=0, init=False)  # in a row
    _leaving: bool = field(default=False, init=False)
    _drained: Deferred[None] | None = field(default=None, init=False)

    def begin(self, controller: RemoteReference, context: AttemptContext) -> None:
        """The worker has joined."""
        self._controller = controller
        self._context = context

    def running(self) -> list[int]:
        """Return the numbers of the jobs that are being computed now."""
        return [attempt.job.lease.job for attempt in self._attempts.values() if attempt.computing]

    # What the controller calls

    def remote_run(self, data: object) -> None:
        jobs = wire.decode(data, wire.Jobs).jobs
        if self._context is None or self._leaving:
            raise RetryLater("This worker takes no jobs now.")
        for attempt in [
            self._add_attempt(job, self._context) for job in jobs if job.lease not in self._attempts
        ]:
            self._complete(attempt)

    def remote_cancel(self, data: object) -> None:
        leases = wire.decode(data, wire.Leases).leases
        self._drop([self._attempts[lease] for lease in leases if lease in self._attempts])

    @deferred
    async def remote_thumbnail(self, data: object) -> bytes:
        jobs = wire.decode(data, wire.Jobs).jobs
        if self._context is None or self._leaving or len(jobs) != 1:
            raise RetryLater("This worker makes no thumbnail now.")
        return await thumbnail(jobs[0], self._context)

    def remote_leave(self) -> None:
        self._asked_to_leave()

    def remote_ping(self) -> None:
        """The answer alone is what is asked for."""

    # The end

    def abandon(self) -> Deferred[None]:
        """Drop all attempts after the link is lost. Fires when no connection to the API is left."""
        self._leaving = True
        self._drop(self._attempts.values())
        self._check_drained()
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        return self._context.transfer.close() if self._context is not None else succeed(None)

    @deferred
    async def drain(self) -> None:
        """Finish what is being computed, and hand back all other jobs."""
        if self._controller is None or self._leaving:
            return
        self._leaving = True
        notify(self._controller, "leaving")
        self._hand_back(attempt for attempt in self._attempts.values() if not attempt.begun)
        self._drained = Deferred()
        self._check_drained()
        try:
            await self._drained.addTimeout(DRAIN_SECONDS, self._clock)
        except TimeoutError:
            self._hand_back(self._attempts.values())
        self._flush()

    def _hand_back(self, attempts: Iterable[Attempt]) -> None:
        back = [attempt for attempt in attempts if not attempt.dropped]
        for attempt in back:
            self._report_ending(_returned(attempt, "leaving", "The worker is leaving."))
        self._drop(back)

    def _drop(self, attempts: Iterable[Attempt]) -> None:
        for attempt in list(attempts):
            attempt.drop()
            if attempt in self._pauses:
                self._pauses[attempt].cancel()

    def _check_drained(self) -> None:
        """Fire ``_drained`` if a runner that is leaving has no attempt left whose result is wanted."""
        busy = any(not attempt.dropped for attempt in self._attempts.values())
        if self._drained is not None and not busy and not self._drained.called:
            self._drained.callback(None)

    # Jobs

    def _add_attempt(self, job: LeasedJob, context: AttemptContext) -> Attempt:
        attempt = Attempt(job, context, lambda: self._cores if len(self._attempts) == 1 else 1)
        self._attempts[job.lease] = attempt
        return attempt

    @deferred
    async def _complete(self, attempt: Attempt) -> None:
        try:
            ending = await self._ending(attempt)
            if not attempt.dropped:
                self._report_ending(ending)
                self._log_job(attempt.job, ending)
        except TokenRefused:
            if not attempt.dropped:
                self._token_refused()
        except Closed:
            attempt.dropped = True
        del self._attempts[attempt.job.lease]
        self._check_drained()

    def _log_job(self, job: LeasedJob, ending: wire.AttemptEnding) -> None:
        if self._log_jobs:
            self.log.info(
                "Job {job} of workload {workload}: image {image} {outcome} after {ms} ms{result}",
                job=job.lease.job,
                workload=job.workload_id,
                image=job.original.id,
                outcome=ending.outcome.value,
                ms=round(ending.seconds * 1000),
                result=f", made /images/{job.result_id}" if ending.outcome is Outcome.DONE else "",
            )

    async def _ending(self, attempt: Attempt) -> wire.AttemptEnding:
        try:
            ending = await attempt.run()
        except (TokenRefused, Closed):
            raise
        except Exception:  # noqa: BLE001 - a bug of ours must not lose the job
            self.log.failure("Job {job} could not be done", job=attempt.job.lease.job)
            ending = _returned(attempt, "worker-error", "See the worker's log.")
        if ending.outcome is Outcome.RETURNED and ending.code not in _NO_FAILURE and not attempt.dropped:
            await self._pause(attempt, ending)
        elif ending.outcome is Outcome.DONE:
            self._failures = 0
        return ending

    async def _pause(self, attempt: Attempt, ending: wire.AttemptEnding) -> None:
        self.log.warn(
            "Job {job} goes back to the controller: {detail}", job=ending.lease.job, detail=ending.detail
        )
        seconds = min(_MAX_PAUSE, _FIRST_PAUSE * 2**self._failures) * (0.5 + self._jitter())
        self._failures = min(self._failures + 1, 10)
        self._pauses[attempt] = deferLater(self._clock, seconds)
        try:
            await self._pauses[attempt]
        except CancelledError:
            self.log.debug("Job {job} was dropped meanwhile", job=ending.lease.job)
        del self._pauses[attempt]

    # Endings

    def _report_ending(self, ending: wire.AttemptEnding) -> None:
        self._endings.append(ending)
        seconds = _HINT_SECONDS if ending.outcome is Outcome.DONE else _FLUSH_SECONDS
        if self._flushing is None:
            self._flushing = self._clock.callLater(seconds, self._flush)
        elif self._flushing.getTime() > self._clock.seconds() + seconds:
            self._flushing.reset(seconds)

    def _flush(self) -> None:
        if self._flushing is not None and self._flushing.active():
            self._flushing.cancel()
        self._flushing = None
        endings, self._endings = self._endings, []
        if self._controller is not None:
            for message in wire.batches(endings, wire.AttemptEndings):
                notify(self._controller, "ended", message)


def _returned(attempt: Attempt, code: str, detail: str) -> wire.AttemptEnding:
    return wire.AttemptEnding(attempt.job.lease, Outcome.RETURNED, 0.0, code, detail)
