"""Workloads in memory, with their images, jobs, leases and counters."""

from __future__ import annotations

from attrs import define, evolve, field

from dpip.model import (
    CANCELLED,
    RESULTS_PAGE,
    Eta,
    Failure,
    Image,
    ImageType,
    Lease,
    LeasedJob,
    Progress,
    Reason,
    Results,
    Workload,
)


@define
class MemoryJob:
    """One original and what becomes of it; ``holder`` is the session of the worker that has it."""

    number: int
    original: Image
    result_id: str
    attempt: int = 0
    holder: str | None = None
    result: Image | None = None
    failure: Failure | None = None
    ends: int = 0  # and retries

    @property
    def lease(self) -> Lease:
        return Lease(self.number, self.attempt, f"nonce-{self.number}-{self.attempt}")

    @property
    def waiting(self) -> bool:
        return self.holder is None and self.result is None and self.failure is None


@define
class MemoryWorkload:
    """A workload with its jobs in upload order; ``workload`` has the present counters."""

    workload: Workload
    jobs: list[MemoryJob] = field(factory=list)

    def lease_job(self, job: MemoryJob, session: str) -> LeasedJob:
        job.attempt += 1
        job.holder = session
        return self.leased_job(job)

    def leased_job(self, job: MemoryJob) -> LeasedJob:
        spec = self.workload.spec
        return LeasedJob(job.lease, self.workload.id, job.original, job.result_id, spec.steps, spec.output)

    def end_job(self, job: MemoryJob, ended: Image | Failure, now: float) -> None:
        """End the job: it is done, or has failed."""
        if isinstance(ended, Image):
            job.result = ended
        else:
            job.failure = ended
        job.holder = None
        job.ends += 1
        self.count(now)

    def cancel(self, now: float) -> int:
        """Fail whatever has not ended; return how many that were."""
        left = [job for job in self.jobs if job.result is None and job.failure is None]
        for job in left:
            original = job.original
            why = "The workload was cancelled."
            self.end_job(job, Failure(original.seq, original.id, original.file.name, CANCELLED, why), now)
        return len(left)

    def retry_job(self, job: MemoryJob, number: int) -> None:
        """Make the failed job another one: the image's place and the result's id stay."""
        job.number, job.attempt, job.failure = number, 0, None
        job.ends += 1
        self.workload = evolve(self.workload, retried=self.workload.retried + 1)

    def seal(self, now: float) -> None:
        if not self.workload.sealed:
            self.workload = evolve(self.workload, sealed=True)
            self.count(self.workload.finished_at or now)

    def images(self, kind: ImageType) -> list[Image]:
        if kind is ImageType.ORIGINAL:
            return [job.original for job in self.jobs]
        return [job.result for job in self.jobs if job.result is not None]

    def progress(self, eta: Eta | None = None) -> Progress:
        return Progress(self.workload, sum(job.holder is not None for job in self.jobs), eta)

    def reasons(self) -> list[Reason]:
        held = [
            Reason("It was first.", 1, job.original.seq, job.holder.removeprefix("session-of-"))
            for job in self.jobs
            if job.holder is not None
        ]
        waiting = sum(job.waiting for job in self.jobs)
        return [*held, Reason("All workers are busy.", waiting)] if waiting else held

    def endings(self) -> list[int]:
        """Return how often images of each page have ended, or were retried."""
        counts = [0] * -(-len(self.jobs) // RESULTS_PAGE)
        for job in self.jobs:
            counts[job.original.seq // RESULTS_PAGE] += job.ends
        return counts

    def results(self, page: int) -> Results:
        jobs = [job for job in self.jobs if job.original.seq // RESULTS_PAGE == page]
        filtered = [(job.original.seq, job.result.id) for job in jobs if job.result is not None]
        return Results(filtered, [job.failure for job in jobs if job.failure is not None])

    def count(self, now: float) -> None:
        """Count anew after a change."""
        filtered = sum(job.result is not None for job in self.jobs)
        failed = sum(job.failure is not None for job in self.jobs)
        ended = filtered + failed == len(self.jobs)
        finished = self.workload.finished_at
        self.workload = evolve(
            self.workload,
            idle_seconds=self.workload.idle_seconds + (0 if ended or finished is None else now - finished),
            accepted=len(self.jobs),
            filtered=filtered,
            failed=failed,
            noticed=sum(bool(job.result.file.notices) for job in self.jobs if job.result is not None),
            size=sum(image.file.size for kind in ImageType for image in self.images(kind)),
            finished_at=now if ended else None,
            version=self.workload.version + 1,
        )
