"""Results that workers on this machine leave as files; they pass the same checks and fences as over HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from attrs import define
from twisted.logger import Logger

from dpip.errors import DpipError
from dpip.interfaces import IController
from dpip.link import worker_messages as wire
from dpip.model import Principal
from dpip.runtime.coroutines import deferred
from dpip.store.image_store import ImageStore
from dpip.store.local_transfer import TakenFile, TransferDirectory
from dpip.store.results import SentResult, keep_results, receipts_of


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
        sent = [SentResult(one.lease, partial(_take, directory, one), one.notices) for one in results]
        return receipts_of(await keep_results(self.controller, self.store, by, sent))


def _take(directory: TransferDirectory, result: wire.ResultFile) -> TakenFile:
    return directory.take_file(wire.result_name(result.lease), result.size, result.sha256)
