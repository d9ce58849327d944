"""Results that workers on this machine leave as files; they pass the same checks and fences as over HTTP."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define
from twisted.internet.defer import gatherResults
from twisted.logger import Logger

from dpip.errors import DpipError
from dpip.interfaces import IController
from dpip.link import worker_messages as wire
from dpip.model import Principal
from dpip.runtime.coroutines import deferred
from dpip.store.image_store import ImageStore
from dpip.store.local_transfer import TransferDirectory
from dpip.store.results import keep_result

_MAX_SENTENCE = 500


@define
class LocalResults:
    """The transfer directories of one image store, and the results in them."""

    log = Logger()

    controller: IController
    store: ImageStore

    def open_directory(self) -> TransferDirectory | None:
        """A new directory; None when it cannot be made now: the worker uses HTTP then."""
        try:
            return self.store.open_transfer_directory()
        except DpipError as error:
            self.log.warn("A worker gets no transfer directory in the image store: {why}", why=error.detail)
            return None

    def paths_of(self, directory: TransferDirectory) -> wire.TransferPaths:
        return wire.TransferPaths(originals=self.store.root, results=directory.folder)

    def close_directory(self, directory: TransferDirectory) -> None:
        """Begin to remove the directory. When the controller stops it stays; the next start removes it."""
        if self.store.running:
            closing = self.store.close_transfer_directory(directory)
            closing.addErrback(
                lambda failure: self.log.failure("A transfer directory could not be removed", failure)
            )

    @deferred
    async def keep_results(
        self, by: Principal, directory: TransferDirectory, results: Sequence[wire.ResultFile]
    ) -> wire.Receipts:
        """Keep all results at the same time, so that they share fsyncs and a transaction."""
        keeping = [self._keep_result(by, directory, result) for result in results]
        return wire.Receipts(tuple(await gatherResults(keeping, consumeErrors=True)))

    @deferred
    async def _keep_result(
        self, by: Principal, directory: TransferDirectory, result: wire.ResultFile
    ) -> wire.Receipt:
        try:
            job = await self.controller.check_lease(by, result.lease)
            file = directory.take_file(wire.result_name(job.lease), result.size, result.sha256)
            await keep_result(self.controller, self.store, by, job, file, result.notices)
        except DpipError as error:
            return wire.Receipt(error.code, error.detail[:_MAX_SENTENCE])
        return wire.Receipt()
