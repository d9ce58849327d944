"""One attempt at a job: fetch the original, compute, deliver the result."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field, frozen

from dpip.link.worker_messages import AttemptEnding, WorkerWelcome
from dpip.model import LeasedJob, Outcome
from dpip.worker.compute_child import CANCELLED, ComputeTask, Verdict, Work
from dpip.worker.engine import IEngine
from dpip.worker.image_transport import FileTransport, HttpTransport, ImageTransport, Source
from dpip.worker.local_transfer import LocalTransfer
from dpip.worker.spool import Spool
from dpip.worker.transfer import NotTransferred, Transfer


@frozen
class AttemptContext:
    """What attempts use between joining and losing the link.

    There is a ``local_transfer`` when the image store is on this machine.
    """

    engine: IEngine
    spool: Spool
    transfer: Transfer
    welcome: WorkerWelcome
    local_transfer: LocalTransfer | None = None

    def transport(self, job: LeasedJob) -> ImageTransport:
        """Return the fastest transport for the job's pictures."""
        http = HttpTransport(job, self.spool, self.transfer)
        return FileTransport(job, self.local_transfer, http) if self.local_transfer is not None else http

    def task(
        self, job: LeasedJob, source: Source, result: str, threads: int, seconds: float, at_least: int = 0
    ) -> ComputeTask:
        """Return what a compute child is to do for the job."""
        return ComputeTask(
            source=source.path,
            sha256=source.sha256,
            result=result,
            steps=job.steps,
            output=job.output,
            max_pixels=self.welcome.max_pixels,
            threads=threads,
            seconds=seconds,
            at_least=at_least,
        )


@define(eq=False)
class Attempt:
    """One attempt. ``threads()`` says, when computing begins, how many threads the job may use."""

    job: LeasedJob
    _context: AttemptContext
    _threads: Callable[[], int]
    dropped: bool = field(default=False, init=False)  # its result is not wanted, its end not reported
    _work: Work | None = field(default=None, init=False)

    @property
    def begun(self) -> bool:
        """Whether computing has begun, so that it is worth finishing."""
        return self._work is not None and self._work.started

    @property
    def computing(self) -> bool:
        """Whether it is being computed now."""
        return self._work is not None and self._work.started and not self._work.done.called

    def drop(self) -> None:
        """Stop as soon as that is cheap."""
        self.dropped = True
        if self._work is not None:
            self._context.engine.cancel(self._work)

    async def run(self) -> AttemptEnding:
        """Run it, and return how it ended. Raises TokenRefused or Closed when this joining is over."""
        transport = self._context.transport(self.job)
        try:
            verdict = await self._verdict(transport)
        except NotTransferred as trouble:
            verdict = Verdict(trouble.outcome, trouble.code, trouble.detail)
        finally:
            transport.remove_files()
        code, detail = verdict.code[:64], verdict.detail[:1024]
        return AttemptEnding(self.job.lease, verdict.outcome, verdict.seconds, code, detail)

    async def _verdict(self, transport: ImageTransport) -> Verdict:
        source = await transport.fetch_original()
        if self.dropped:
            return CANCELLED
        context = self._context
        seconds = context.welcome.job_seconds
        task = context.task(self.job, source, transport.result, self._threads(), seconds)
        self._work = context.engine.submit(task)
        verdict = await self._work.done
        if verdict.outcome is Outcome.DONE and not self.dropped:
            await transport.deliver_result(verdict)
        return verdict
