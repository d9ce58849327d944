"""Jobs leased, finished, failed, released, deleted and recovered in any order, beside an obvious model.

What must hold after each step: a finished job never changes, every counter says what the rows say, and no
attempt number or job number comes twice.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from attrs import astuple, define, field
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from dpip.datastore.datastore import Datastore
from dpip.errors import NotFound, QuotaExceeded, Sealed, StaleLease
from dpip.model import JobState, Lease, LeasedJob, Outcome, Role, StoredFile
from dpip.runtime.threads import InlineThreads
from tests.datastore.support import EVERYWHERE, NOW, DatabaseFor, key, stored, workload

QUOTA = 5_000
EXAMPLES = int(os.environ.get("DPIP_EXAMPLES", "8"))  # 300 take some three minutes
WORKLOADS = ("w0", "w1", "w2")


@define
class Job:
    workload: str
    seq: int
    original: str
    result_id: str
    reserved: int = 0
    state: JobState = JobState.WAITING
    attempt: int = 0
    nonce: str | None = None
    crashes: int = 0
    losses: int = 0
    result: StoredFile | None = None
    retried: bool = False


@define
class Expected:
    """What the datastore should hold."""

    present: set[str] = field(factory=lambda: set(WORKLOADS))
    sealed: set[str] = field(factory=set)
    jobs: dict[int, Job] = field(factory=dict)
    sizes: dict[str, int] = field(factory=lambda: dict.fromkeys(WORKLOADS, 0))
    leases: list[LeasedJob] = field(factory=list)  # all there ever were
    keys: dict[str, tuple[str, list[int]]] = field(factory=dict)
    versions: dict[str, int] = field(factory=dict)

    def current(self, name: str) -> list[Job]:
        """The newest job of each original of a workload, in upload order."""
        found = [job for job in self.jobs.values() if job.workload == name and not job.retried]
        return sorted(found, key=lambda job: job.seq)


def outcome_of(deferred: Deferred[Any]) -> Any:
    found: list[Any] = []
    deferred.addBoth(found.append)
    return found[0]


class Jobs(RuleBasedStateMachine):
    postgres = EVERYWHERE

    @initialize()
    def start(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.database = DatabaseFor.made(Path(self.folder.name) / "dpip.sqlite", self.postgres)
        self.expected = Expected()
        self.count = 0
        self.open()
        outcome_of(self.store.add_user("ann", "", Role.USER, QUOTA, NOW))
        for name in WORKLOADS:
            outcome_of(self.store.add_workload(workload(name), None))

    def open(self) -> None:
        self.store = Datastore(self.database.place, InlineThreads(), InlineThreads)
        self.store.startService()

    def new(self) -> str:
        self.count += 1
        return f"x{self.count}"

    def used(self) -> int:
        return sum(size for name, size in self.expected.sizes.items() if name in self.expected.present)

    def reserved(self) -> int:
        unended = (JobState.WAITING, JobState.LEASED)
        jobs = [job for job in self.expected.jobs.values() if job.workload in self.expected.present]
        return sum(job.reserved for job in jobs if job.state in unended)

    def fits(self, size: int) -> bool:
        return self.used() + self.reserved() + size <= QUOTA

    # What users do

    @rule(name=st.sampled_from(WORKLOADS), sizes=st.lists(st.integers(1, 900), min_size=1, max_size=4))
    def upload(self, name: str, sizes: list[int]) -> None:
        reserved = [size % 100 for size in sizes]
        files = [
            (self.new(), self.new(), stored(self.new(), size, result_bytes=room))
            for size, room in zip(sizes, reserved, strict=True)
        ]
        found = outcome_of(self.store.add_originals(name, files, None, NOW))
        if name not in self.expected.present:
            assert found.check(NotFound)
        elif name in self.expected.sealed:
            assert found.check(Sealed)
        elif not self.fits(sum(sizes) + sum(reserved)):
            assert found.check(QuotaExceeded)
        else:
            for number, room in zip(self.accepted(name, found[0], files), reserved, strict=True):
                self.expected.jobs[number].reserved = room

    def accepted(self, name: str, originals: Any, files: Any) -> list[int]:
        seqs = [original.image.seq for original in originals]
        places = len(self.expected.current(name))
        assert seqs == list(range(places, places + len(files)))
        for seq, original, (image_id, result_id, file) in zip(seqs, originals, files, strict=True):
            assert original.job.job > max(self.expected.jobs, default=0)
            self.expected.jobs[original.job.job] = Job(name, seq, image_id, result_id)
            self.expected.sizes[name] += file.size
        return [original.job.job for original in originals]

    @rule(name=st.sampled_from(WORKLOADS), which=st.sampled_from("kl"), fingerprint=st.sampled_from("fg"))
    def upload_under_a_key(self, name: str, which: str, fingerprint: str) -> None:
        files = [(self.new(), self.new(), stored(self.new(), 1))]
        request = key(which, f"{fingerprint}{name}")
        found = outcome_of(self.store.add_originals(name, files, request, NOW))
        earlier = self.expected.keys.get(which)
        if earlier is not None and earlier[0] != request.fingerprint:
            assert found.value.code == "idempotency-key-reused"
        elif name not in self.expected.present:
            assert found.check(NotFound)
        elif earlier is not None:
            assert [original.image.id for original in found[0]] == [
                self.expected.jobs[number].original for number in earlier[1]
            ]
            assert found[1] is False
        elif name in self.expected.sealed:
            assert found.check(Sealed)
        elif not self.fits(1):
            assert found.check(QuotaExceeded)
        else:
            assert found[1] is True
            numbers = self.accepted(name, found[0], files)
            self.expected.keys[which] = (request.fingerprint, numbers)

    @rule(name=st.sampled_from(WORKLOADS))
    def delete(self, name: str) -> None:
        found = outcome_of(self.store.delete_workload(name, NOW))
        assert (found is not None) == (name in self.expected.present)
        self.expected.present.discard(name)

    @rule(name=st.sampled_from(WORKLOADS))
    def seal(self, name: str) -> None:
        found = outcome_of(self.store.seal_workload(name, None, NOW))
        if name not in self.expected.present:
            assert found.check(NotFound)
            return
        assert found.sealed
        self.expected.sealed.add(name)

    @rule(name=st.sampled_from(WORKLOADS))
    def cancel(self, name: str) -> None:
        found = outcome_of(self.store.cancel_workload(name, NOW))
        if name not in self.expected.present:
            assert found.check(NotFound)
            return
        jobs = self.expected.current(name)
        left = [job for job in jobs if job.state in (JobState.WAITING, JobState.LEASED)]
        assert found[1] == len(left)
        for job in left:
            job.state, job.nonce = JobState.FAILED, None

    @rule(name=st.sampled_from(WORKLOADS), data=st.data(), everything=st.booleans(), after=st.integers(-1, 3))
    def retry(self, name: str, data: st.DataObject, everything: bool, after: int) -> None:
        jobs = self.expected.current(name)
        originals = [job.original for job in jobs]
        named = None
        if not everything and originals:
            named = data.draw(st.lists(st.sampled_from(originals), max_size=3))
        found = outcome_of(self.store.retry_images(name, named, after, NOW))
        if name not in self.expected.present:
            assert found.check(NotFound)
            return
        wanted = [
            job
            for job in jobs
            if job.state is JobState.FAILED and job.seq > after and (named is None or job.original in named)
        ]
        if not self.fits(sum(job.reserved for job in wanted)):
            assert found.check(QuotaExceeded)
            return
        _, made, further = found
        assert further is None
        assert len(made) == len(wanted)
        for waiting, job in zip(sorted(made, key=lambda one: one.job), wanted, strict=True):
            assert waiting.job > max(self.expected.jobs)
            job.retried = True
            self.expected.jobs[waiting.job] = Job(name, job.seq, job.original, job.result_id, job.reserved)

    # What the scheduler and the workers do

    @precondition(lambda self: self.expected.jobs)
    @rule(data=st.data())
    def lease(self, data: st.DataObject) -> None:
        numbers = data.draw(st.lists(st.sampled_from(sorted(self.expected.jobs)), max_size=5))
        wanted = [(number, "worker", self.new()) for number in numbers]
        for (number, _, nonce), leased in zip(wanted, outcome_of(self.store.lease(wanted, NOW)), strict=True):
            job = self.expected.jobs[number]
            free = job.state is JobState.WAITING and job.workload in self.expected.present
            assert (leased is not None) == free
            if free:
                job.state, job.nonce, job.attempt = JobState.LEASED, nonce, job.attempt + 1
                assert leased.lease == Lease(number, job.attempt, nonce)
                assert leased.result_id == job.result_id
                self.expected.leases.append(leased)

    def holds(self, lease: Lease) -> bool:
        job = self.expected.jobs[lease.job]
        return (
            job.workload in self.expected.present
            and job.state is JobState.LEASED
            and (job.attempt, job.nonce) == (lease.attempt, lease.nonce)
        )

    @precondition(lambda self: self.expected.leases)
    @rule(data=st.data(), content=st.sampled_from("ab"))
    def finish(self, data: st.DataObject, content: str) -> None:
        """By any lease there ever was, with one of two contents."""
        leased = data.draw(st.sampled_from(self.expected.leases))
        job = self.expected.jobs[leased.lease.job]
        file = stored(self.new(), 50, sha256=f"{content} of {leased.lease.job}")
        found = outcome_of(self.store.finish(leased.lease, "worker", file, NOW))
        if self.holds(leased.lease) and self.used() > QUOTA:
            assert found.check(QuotaExceeded)
        elif self.holds(leased.lease):
            image, fresh = found
            assert fresh
            assert (image.id, image.file) == (job.result_id, file)
            job.state, job.result, job.nonce = JobState.DONE, file, None
            self.expected.sizes[job.workload] += file.size
        elif (
            job.workload in self.expected.present
            and job.result is not None
            and job.result.sha256 == file.sha256
        ):
            image, fresh = found
            assert not fresh
            assert image.file == job.result
        else:
            assert isinstance(found, Failure)
            assert found.check(StaleLease)

    @precondition(lambda self: self.expected.leases)
    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        leased = data.draw(st.sampled_from(self.expected.leases))
        expected = self.holds(leased.lease)
        assert (outcome_of(self.store.fail(leased.lease, "bad-picture", "", NOW)) is not None) is expected
        if expected:
            self.expected.jobs[leased.lease.job].state = JobState.FAILED

    @precondition(lambda self: self.expected.leases)
    @rule(data=st.data(), outcome=st.sampled_from([Outcome.CRASHED, Outcome.LOST, Outcome.RETURNED]))
    def release(self, data: st.DataObject, outcome: Outcome) -> None:
        several = data.draw(st.lists(st.sampled_from(self.expected.leases), max_size=4))
        leases = [leased.lease for leased in several]
        ended = {lease.job for lease in leases if self.holds(lease)}
        outcome_of(self.store.release([(lease, outcome) for lease in leases], NOW))
        for number in ended:
            job = self.expected.jobs[number]
            job.state, job.nonce = JobState.WAITING, None
            job.crashes += outcome is Outcome.CRASHED
            job.losses += outcome is Outcome.LOST

    @rule()
    def restart(self) -> None:
        outcome_of(self.store.stopService())
        self.open()
        outcome_of(self.store.recover(NOW))
        for job in self.expected.jobs.values():
            if job.state is JobState.LEASED:
                job.state, job.nonce = JobState.WAITING, None

    # What must hold

    @invariant()
    def every_job_is_as_expected(self) -> None:
        rows = self.database.rows(
            "SELECT id, state, attempt, nonce, crashes, losses, result, seq, retried IS NOT NULL"
            " FROM jobs ORDER BY id"
        )
        assert rows == [
            (
                number,
                job.state,
                job.attempt,
                job.nonce if job.state is JobState.LEASED else None,
                job.crashes,
                job.losses,
                job.result_id,
                job.seq,
                job.retried,
            )
            for number, job in sorted(self.expected.jobs.items())
            if job.workload in self.expected.present
        ]

    @invariant()
    def every_counter_says_what_the_rows_say(self) -> None:
        for name in WORKLOADS:
            found = outcome_of(self.store.workload(name))
            assert (found is not None) == (name in self.expected.present)
            if found is None:
                continue
            states = [job.state for job in self.expected.current(name)]
            done, failed = states.count(JobState.DONE), states.count(JobState.FAILED)
            assert (found.accepted, found.filtered, found.failed) == (len(states), done, failed)
            assert found.size == self.expected.sizes[name]
            some = bool(states) or name in self.expected.sealed
            assert (found.finished_at is not None) == (some and len(states) == done + failed)
            assert found.sealed == (name in self.expected.sealed)
            jobs = self.expected.jobs.values()
            assert found.retried == sum(job.retried for job in jobs if job.workload == name)
            assert found.version >= self.expected.versions.get(name, 0)
            self.expected.versions[name] = found.version

    @invariant()
    def the_owner_is_charged_for_what_is_there(self) -> None:
        user, _ = outcome_of(self.store.user("ann"))
        assert (user.used, user.reserved) == (self.used(), self.reserved())

    @invariant()
    def every_result_is_the_first_that_was_taken(self) -> None:
        for name in self.expected.present:
            filtered, failures = astuple(outcome_of(self.store.results(name, 0)), recurse=False)
            jobs = self.expected.current(name)
            assert filtered == [(job.seq, job.result_id) for job in jobs if job.state is JobState.DONE]
            assert [f.seq for f in failures] == [job.seq for job in jobs if job.state is JobState.FAILED]
            retried = sum(job.retried for job in self.expected.jobs.values() if job.workload == name)
            ends = len(filtered) + len(failures) + 2 * retried
            assert sum(outcome_of(self.store.endings(name))) == ends
            for job in jobs:
                if job.result is not None:
                    assert outcome_of(self.store.image(job.result_id)).file == job.result

    def teardown(self) -> None:
        if hasattr(self, "store"):
            outcome_of(self.store.stopService())
            self.folder.cleanup()


class StatefulTests(SynchronousTestCase):
    def test_in_any_order(self) -> None:
        run_state_machine_as_test(
            Jobs,
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=25,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
