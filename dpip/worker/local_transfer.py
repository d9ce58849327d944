"""Sharing files with a controller on this machine: proving that it is on this machine, and delivering."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.spread.pb import RemoteReference

from dpip.errors import DpipError, Malformed, NotAnImage, StaleLease, TooLarge, WrongHash
from dpip.link import worker_messages as wire
from dpip.link.broker import call
from dpip.model import Outcome
from dpip.runtime.coroutines import deferred
from dpip.worker.transfer import NotTransferred

PROVE_SECONDS: Final = 10.0
DELIVER_SECONDS: Final = 60.0
"""For a disk that is slow or busy. A controller that is gone is noticed much earlier, by its silence."""
_REFUSED: Final = frozenset({NotAnImage.code, TooLarge.code, WrongHash.code})
_MAX_PROOF: Final = 1024


class NotOnThisMachine(Exception):
    """The image store is on another machine, or its files are not ours to read, in a sentence."""


class LocalTransfer:
    """Use it only after :meth:`prove`."""

    log = Logger()

    def __init__(self, address: wire.TransferPaths, controller: RemoteReference, clock: IReactorTime) -> None:
        self.address = address
        self._controller = controller
        self._clock = clock
        self._waiting: list[tuple[wire.ResultFile, Deferred[wire.Receipt | None]]] = []

    @deferred
    async def prove(self) -> None:
        """Show the controller that we read its files and it ours. Raises NotOnThisMachine."""
        folder = Path(self.address.results)
        try:
            with (folder / wire.PROOF).open("rb") as file:
                proof = file.read(_MAX_PROOF)
            (folder / wire.ANSWER).write_bytes(proof)
        except OSError as error:
            raise NotOnThisMachine(str(error)) from None
        try:
            await call(self._controller, "prove", clock=self._clock, timeout=PROVE_SECONDS)
        except DpipError as error:
            raise NotOnThisMachine(error.detail) from None

    async def deliver(self, result: wire.ResultFile) -> bool:
        """True when it is durable and the job done; False when the controller could not take it this way.

        Raises NotTransferred: it is not wanted, whichever way it comes.
        """
        receipt = await self._receipt(result)
        if receipt is None:
            return False
        if receipt.code == StaleLease.code:
            raise NotTransferred(Outcome.RETURNED, "stale-lease", receipt.detail, void=True)
        if receipt.code in _REFUSED:
            raise NotTransferred(Outcome.FAILED, "result-refused", receipt.detail)
        if receipt.code:
            self.log.info("A result goes over HTTP instead: {why}", why=receipt.detail)
        return not receipt.code

    def _receipt(self, result: wire.ResultFile) -> Deferred[wire.Receipt | None]:
        """Results of one turn of the reactor go in one call."""
        if not self._waiting:
            self._clock.callLater(0, self._send)
        receipt: Deferred[wire.Receipt | None] = Deferred()
        self._waiting.append((result, receipt))
        return receipt

    def _send(self) -> None:
        waiting, self._waiting = self._waiting, []
        for start in range(0, len(waiting), wire.BATCH):
            self._send_batch(waiting[start : start + wire.BATCH])

    @deferred
    async def _send_batch(self, batch: list[tuple[wire.ResultFile, Deferred[wire.Receipt | None]]]) -> None:
        receipts: tuple[wire.Receipt | None, ...] = (None,) * len(batch)
        message = wire.encode(wire.ResultFiles(tuple([result for result, _ in batch])))
        try:
            answer = await call(
                self._controller, "deliver", message, clock=self._clock, timeout=DELIVER_SECONDS
            )
            told = wire.decode(answer, wire.Receipts).receipts
            if len(told) != len(batch):
                raise Malformed(f"{len(told)} receipts for {len(batch)} results.")
            receipts = told
        except DpipError as error:
            self.log.info("Results go over HTTP instead: {why}", why=error.detail)
        for (_, waiting), receipt in zip(batch, receipts, strict=True):
            waiting.callback(receipt)
