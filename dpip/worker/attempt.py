"""One job's way through a worker: download, compute, upload."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from attrs import frozen
from twisted.logger import Logger

from dpip.model import LeasedJob, Outcome
from dpip.wire import Ending, Welcome
from dpip.worker.child import CANCELLED, Task, Verdict, Work
from dpip.worker.compute import Pool
from dpip.worker.spool import Spool
from dpip.worker.transfer import NotTransferred, Transfer

_ROOM: Final = 3
"""Times the original's size that must be free: for it and for a result that compresses worse."""


@frozen
class Tools:
    """What a joining gives to its attempts."""

    pool: Pool
    spool: Spool
    transfer: Transfer
    welcome: Welcome


class Attempt:
    """``threads()`` says, when computing begins, how many the job may use."""

    log = Logger()

    def __init__(self, job: LeasedJob, tools: Tools, threads: Callable[[], int]) -> None:
        self.job = job
        self.dropped = False
        """Nobody waits for it any more, and nothing is told of it."""
        self._tools = tools
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
            self._tools.pool.cancel(self._work)

    async def run(self) -> Ending:
        """How it ended.

        Raises:
            TokenRefused, Closed: this joining is over.
        """
        source, result = self._tools.spool.pair()
        try:
            verdict = await self._verdict(source, result)
        except NotTransferred as trouble:
            verdict = Verdict(trouble.outcome, trouble.code, trouble.detail)
        finally:
            source.unlink(missing_ok=True)
            result.unlink(missing_ok=True)
        code, detail = verdict.code[:64], verdict.detail[:1024]
        return Ending(self.job.lease, verdict.outcome, verdict.seconds, code, detail)

    async def _verdict(self, source: Path, result: Path) -> Verdict:
        tools, job = self._tools, self.job
        if not tools.spool.has_room_for(_ROOM * job.original.file.size):
            return Verdict(Outcome.RETURNED, "disk-full", "The worker's disk is full.")
        await tools.transfer.download(job, source)
        if self.dropped:
            return CANCELLED
        self._work = tools.pool.run(self._task(str(source), str(result)))
        verdict = await self._work.done
        if verdict.outcome is Outcome.DONE and not self.dropped:
            await tools.transfer.upload(job, result, verdict.sha256, verdict.content_type)
        return verdict

    def _task(self, source: str, result: str) -> Task:
        welcome, job = self._tools.welcome, self.job
        return Task(
            source=source,
            result=result,
            steps=job.steps,
            output=job.output,
            max_pixels=welcome.max_pixels,
            threads=self._threads(),
            seconds=welcome.job_seconds,
        )
