"""Shares files with a controller on this machine: proves that it is here, and delivers results."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.spread.pb import RemoteReference

from dpip.errors import DpipError, Malformed, NotAnImage, QuotaExceeded, StaleLease, TooLarge, WrongHash
from dpip.link import worker_messages as wire
from dpip.link.broker import call
from dpip.model import Outcome
from dpip.runtime.coroutines import deferred
from dpip.worker.transfer import NotTransferred

PROVE_SECONDS: Final = 10.0
DELIVER_SECONDS: Final = 60.0
"""Enough for a slow or busy disk. The heartbeat notices much earlier that a controller is gone."""
_REFUSED: Final = frozenset({NotAnImage.code, QuotaExceeded.code, TooLarge.code, WrongHash.code})
_MAX_PROOF: Final = 1024


_Waiting = tuple[wire.ResultFile, Deferred[wire.Receipt | None]]


class NotOnThisMachine(Exception):
    """The image store is on another machine, or we may not read its files; says why."""


@define(eq=False)
class LocalTransfer:
    """The worker's side of local transfer, to be used after :meth:`prove`."""

    log = Logger()

    paths: wire.TransferPaths
    _controller: RemoteReference
    _clock: IReactorTime
    _waiting: list[_Waiting] = field(factory=list, init=False)

    @deferred
    async def prove(self) -> None:
        """Prove to the controller that each reads the other's files. Raises NotOnThisMachine."""
        folder = Path(self.paths.results)
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
        """Deliver a result; False when the controller could not take it over in this way.

        Raises NotTransferred if it is not wanted in any way.
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
        """Ask for a receipt; the results of one turn of the reactor go in one call."""
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
    async def _send_batch(self, batch: list[_Waiting]) -> None:
        receipts: tuple[wire.Receipt | None, ...] = (None,) * len(batch)
        message = wire.encode(wire.ResultFiles(tuple([result for result, _ in batch])))
        try:
            answer = await call(
                self._controller, "deliver", message, clock=self._clock, timeout=DELIVER_SECONDS
            )
            answered = wire.decode(answer, wire.Receipts).receipts
            if len(answered) != len(batch):
                raise Malformed(f"{len(answered)} receipts for {len(batch)} results.")
            receipts = answered
        except DpipError as error:
            self.log.info("Results go over HTTP instead: {why}", why=error.detail)
        for (_, waiting), receipt in zip(batch, receipts, strict=True):
            waiting.callback(receipt)
