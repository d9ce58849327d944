"""A thumbnail on the side: made of an image that is there already, given to who asked, kept by nobody."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from dpip.errors import RetryLater
from dpip.link.worker_messages import MAX_THUMBNAIL
from dpip.model import LeasedJob, Outcome
from dpip.worker.attempt import AttemptContext
from dpip.worker.compute_child import ComputeTask
from dpip.worker.transfer import Closed, NotTransferred, TokenRefused

_SECONDS: Final = 20.0
_ENOUGH: Final = 512
"""Pixels of each side that a decoder has to give if it can give less than all: twice what is shown."""


async def thumbnail(job: LeasedJob, context: AttemptContext) -> bytes:
    """The filtered picture's bytes; none when the picture cannot be filtered.

    Raises RetryLater: it did not work out here and now.
    """
    transport = context.transport(job)
    try:
        source = await transport.fetch_original()
        task = ComputeTask(
            source=source.path,
            sha256=source.sha256,
            result=transport.result,
            steps=job.steps,
            output=job.output,
            max_pixels=context.welcome.max_pixels,
            threads=1,
            seconds=_SECONDS,
            at_least=_ENOUGH,
        )
        verdict = await context.pool.submit(task, first=True).done
        if verdict.outcome is Outcome.FAILED:
            return b""
        if verdict.outcome is not Outcome.DONE or verdict.size > MAX_THUMBNAIL:
            raise RetryLater(verdict.detail or "The thumbnail was not finished.")
        return Path(transport.result).read_bytes()
    except (NotTransferred, TokenRefused, Closed, OSError) as trouble:
        raise RetryLater(str(trouble) or type(trouble).__name__) from None
    finally:
        transport.remove_files()
