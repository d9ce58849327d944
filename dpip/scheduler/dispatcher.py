"""Carries out the state's instructions, in batches, and gives it an event for the outcome of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IReactorTime

from dpip.interfaces import IDatastore, IWorkerLink
from dpip.model import Lease, LeasedJob
from dpip.scheduler import events as e
from dpip.scheduler.datastore_writes import Persistence
from dpip.scheduler.instructions import Assign, Cancel, Dispatch, Drop, Fail, Instruction, Release, WakeAt

_MESSAGE_JOBS = 32  # in one message to a worker: with long chains and names about 160 KiB, of 512 allowed


@define(eq=False)
class Dispatcher:
    """``handle_event`` gives the state an event; ``wake_at(time)`` has it get a ``Tick`` at that time."""

    _clock: IReactorTime
    _datastore: IDatastore
    _new_nonce: Callable[[], str]
    _persistence: Persistence
    _handle_event: Callable[[e.Event], None]
    _wake_at: Callable[[float], None]
    _collected: dict[type, list[Any]] = field(factory=dict, init=False)
    links: dict[str, IWorkerLink] = field(factory=dict, init=False)  # by session
    leasing: int = field(default=0, init=False)  # batches being leased

    def collect(self, instructions: Iterable[Instruction]) -> None:
        """Remember instructions for the next ``flush``."""
        for instruction in instructions:
            if isinstance(instruction, WakeAt):
                self._wake_at(instruction.time)
            else:
                self._collected.setdefault(type(instruction), []).append(instruction)

    def flush(self) -> None:
        """Carry out what has been collected, first what frees slots, then what takes them."""
        while self._collected:
            collected, self._collected = self._collected, {}
            self._cancel(collected.get(Cancel, ()))
            self._release(collected.get(Release, ()))
            self._fail(collected.get(Fail, ()))
            self._lease(collected.get(Assign, ()))
            self._dispatch(collected.get(Dispatch, ()))
            self._drop(collected.get(Drop, ()))

    # The datastore

    def _lease(self, assigns: Sequence[Assign]) -> None:
        if not assigns:
            return
        wanted = [(assign.job, assign.worker, self._new_nonce()) for assign in assigns]
        self.leasing += 1
        self._persistence.insist(
            lambda: self._datastore.lease(wanted, self._clock.seconds()),
            lambda leased: self._leased(assigns, leased),
        )

    def _leased(self, assigns: Sequence[Assign], leased: Sequence[LeasedJob | None]) -> None:
        self.leasing -= 1
        for assign, job in zip(assigns, leased, strict=True):
            self._handle_event(e.LeaseRefused(assign.job) if job is None else e.LeaseGranted(job))
        self.flush()  # not at the next turn: workers wait for these jobs

    def _release(self, releases: Sequence[Release]) -> None:
        if releases:
            wanted = [(release.lease, release.outcome) for release in releases]
            self._persistence.insist(
                lambda: self._datastore.release(wanted, self._clock.seconds()),
                lambda _: self._released(releases),
            )

    def _released(self, releases: Sequence[Release]) -> None:
        for release in releases:
            self._handle_event(e.Released(release.lease))

    def _fail(self, fails: Sequence[Fail]) -> None:
        for fail in fails:
            self._persistence.insist(lambda fail=fail: self._record(fail), lambda _: None)  # type: ignore[misc]

    def _record(self, fail: Fail) -> Deferred[Any]:
        return self._datastore.fail(fail.lease, fail.code, fail.detail, self._clock.seconds())

    # The workers

    def _dispatch(self, dispatches: Sequence[Dispatch]) -> None:
        for session, jobs in _by_session(dispatches, lambda dispatch: dispatch.leased).items():
            for start in range(0, len(jobs), _MESSAGE_JOBS):
                self._send(session, jobs[start : start + _MESSAGE_JOBS])

    def _send(self, session: str, jobs: Sequence[LeasedJob]) -> None:
        leases = [job.lease for job in jobs]
        link = self.links.get(session)
        if link is None:  # lost just now: the state takes its jobs back by itself
            return
        sent = maybeDeferred(link.run, jobs)
        sent.addErrback(lambda _: self._handle_event(e.DispatchFailed(session, leases)))

    def _cancel(self, cancels: Sequence[Cancel]) -> None:
        leases: dict[str, list[Lease]] = _by_session(cancels, lambda cancel: cancel.lease)
        for session, mine in leases.items():
            if session in self.links:
                self.links[session].cancel(mine)

    def _drop(self, drops: Sequence[Drop]) -> None:
        for drop in drops:
            if drop.session in self.links:
                self.links[drop.session].drop(drop.reason)


def _by_session(instructions: Sequence[Any], what: Callable[[Any], Any]) -> dict[str, list[Any]]:
    groups: dict[str, list[Any]] = {}
    for instruction in instructions:
        groups.setdefault(instruction.session, []).append(what(instruction))
    return groups
