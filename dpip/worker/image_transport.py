"""How one job's files reach the compute child and leave it: over HTTP, or as files of this machine."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from attrs import define, field, frozen

from dpip.link import worker_messages as wire
from dpip.model import LeasedJob, Outcome
from dpip.worker.compute_child import Verdict
from dpip.worker.local_transfer import LocalTransfer
from dpip.worker.spool import Spool
from dpip.worker.transfer import NotTransferred, Transfer


@frozen
class Source:
    """An original's file, and its ``sha256`` if that has yet to be checked."""

    path: str
    sha256: str = ""


class ImageTransport(Protocol):
    """The transport of one job's files, used once."""

    @property
    def result(self) -> str:
        """The path to which the result is to be written."""

    async def fetch_original(self) -> Source:
        """Return where the original is. Raises NotTransferred, TokenRefused or Closed."""

    async def deliver_result(self, verdict: Verdict) -> None:
        """Deliver the result: then it is durable, and the job done. Raises as ``fetch_original`` does."""

    def remove_files(self) -> None:
        """Remove the files that are left."""


@define
class HttpTransport:
    """Transfers the files over HTTP, through the spool."""

    job: LeasedJob
    result: str = field(default="", init=False)  # once the original has been fetched
    _spool: Spool
    _transfer: Transfer
    _files: tuple[Path, Path] | None = field(default=None, init=False)

    async def fetch_original(self) -> Source:
        self._files = self._spool.pair(self.job.original.file.size)
        if self._files is None:
            raise NotTransferred(Outcome.RETURNED, "disk-full", "The worker's disk is full.")
        source, result = self._files
        self.result = str(result)
        await self._transfer.download(self.job, source)
        return Source(str(source))

    async def deliver_result(self, verdict: Verdict) -> None:
        await self.send(self.result, verdict)

    async def send(self, path: str, verdict: Verdict) -> None:
        await self._transfer.upload(self.job, Path(path), verdict)

    def remove_files(self) -> None:
        for path in self._files or ():
            with suppress(FileNotFoundError):
                os.unlink(path)


@define
class FileTransport:
    """Reads originals in the image store, and writes results to the transfer directory.

    What fails goes over HTTP: an original that is not in its place, a result that the controller refuses.
    """

    job: LeasedJob
    result: str = field(init=False)
    _local: LocalTransfer
    _http: HttpTransport

    def __attrs_post_init__(self) -> None:
        self.result = os.path.join(self._local.paths.results, wire.result_name(self.job.lease))

    async def fetch_original(self) -> Source:
        file = self.job.original.file
        path = os.path.join(self._local.paths.originals, file.path)
        if _size(path) != file.size:
            return await self._http.fetch_original()
        return Source(path, file.sha256)

    async def deliver_result(self, verdict: Verdict) -> None:
        result = wire.ResultFile.of(self.job.lease, verdict.size, verdict.sha256, verdict.notices)
        if await self._local.deliver(result):
            return
        try:
            await self._http.send(self.result, verdict)
        except FileNotFoundError:
            raise NotTransferred(
                Outcome.RETURNED,
                "transfer-directory-gone",
                "The link has ended, and the transfer directory with it.",
            ) from None

    def remove_files(self) -> None:
        with suppress(OSError):  # the directory goes with the link
            os.unlink(self.result)
        self._http.remove_files()


def _size(path: str) -> int | None:
    """Return the file's size; None when there is no such file, or none that we may read."""
    try:
        return os.stat(path).st_size
    except OSError:
        return None
