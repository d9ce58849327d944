"""One job's way through a worker: download, compute, upload."""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen
from twisted.logger import Logger

from dpip.link.worker_messages import AttemptEnding, WorkerWelcome
from dpip.model import LeasedJob, Outcome
from dpip.worker.compute_child import CANCELLED, ComputeTask, Verdict, Work
from dpip.worker.compute_pool import ComputePool
from dpip.worker.image_transport import FileTransport, HttpTransport, ImageTransport, Source
from dpip.worker.local_transfer import LocalTransfer
from dpip.worker.spool import Spool
from dpip.worker.transfer import NotTransferred, Transfer


@frozen
class AttemptContext:
    """What attempts work with between joining and losing the link.

    There is a ``local_transfer`` when the image store is on this machine.
    """

    pool: ComputePool
    spool: Spool
    transfer: Transfer
    welcome: WorkerWelcome
    local_transfer: LocalTransfer | None = None

    def transport(self, job: LeasedJob) -> ImageTransport:
        """The shortest way for its pictures."""
        http = HttpTransport(job, self.spool, self.transfer)
        return FileTransport(job, self.local_transfer, http) if self.local_transfer is not None else http


class Attempt:
    """``threads()`` says, when computing begins, how many the job may use."""

    log = Logger()

    def __init__(self, job: LeasedJob, context: AttemptContext, threads: Callable[[], int]) -> None:
        self.job = job
        self.dropped = False
        """Nobody waits for it any more, and nothing is told of it."""
        self._context = context
        self._threads = threads
        self._work: Work | None = None

    @property
    def begun(self) -> bool:
        """Computing has begun: now it is worth finishing."""
        return self._work is not None and self._work.started

    @property
    def computing(self) -> bool:
        """Just now."""
        return self._work is not None and self._work.started and not self._work.done.called

    def drop(self) -> None:
        """Stop as soon as that is cheap."""
        self.dropped = True
        if self._work is not None:
            self._context.pool.cancel(self._work)

    async def run(self) -> AttemptEnding:
        """How it ended.

        Raises:
            TokenRefused, Closed: this joining is over.
        """
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
        self._work = self._context.pool.submit(self._task(source, transport.result))
        verdict = await self._work.done
        if verdict.outcome is Outcome.DONE and not self.dropped:
            await transport.deliver_result(verdict)
        return verdict

    def _task(self, source: Source, result: str) -> ComputeTask:
        welcome, job = self._context.welcome, self.job
        return ComputeTask(
            source=source.path,
            sha256=source.sha256,
            result=result,
            steps=job.steps,
            output=job.output,
            max_pixels=welcome.max_pixels,
            threads=self._threads(),
            seconds=welcome.job_seconds,
        )
