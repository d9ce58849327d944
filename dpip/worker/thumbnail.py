"""Makes a thumbnail of an image, for the controller, between the jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from dpip.errors import RetryLater
from dpip.link.worker_messages import MAX_THUMBNAIL
from dpip.model import LeasedJob, Outcome
from dpip.worker.attempt import AttemptContext
from dpip.worker.transfer import Closed, NotTransferred, TokenRefused

_SECONDS: Final = 20.0
_ENOUGH: Final = 512
"""Pixels of each side that a decoder must give at least, where it can give fewer: twice what is shown."""


async def thumbnail(job: LeasedJob, context: AttemptContext) -> bytes:
    """Return the filtered picture, no bytes when it cannot be filtered. Raises RetryLater."""
    transport = context.transport(job)
    try:
        source = await transport.fetch_original()
        task = context.task(job, source, transport.result, threads=1, seconds=_SECONDS, at_least=_ENOUGH)
        verdict = await context.engine.submit(task, first=True).done
        if verdict.outcome is Outcome.FAILED:
            return b""
        if verdict.outcome is not Outcome.DONE or verdict.size > MAX_THUMBNAIL:
            raise RetryLater(verdict.detail or "The thumbnail was not finished.")
        return Path(transport.result).read_bytes()
    except (NotTransferred, TokenRefused, Closed, OSError) as trouble:
        raise RetryLater(str(trouble) or type(trouble).__name__) from None
    finally:
        transport.remove_files()
