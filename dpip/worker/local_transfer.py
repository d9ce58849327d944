"""Shares files with a controller on this machine: proves that it is here, and delivers results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from attrs import Factory, define, field
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.spread.pb import RemoteReference

from dpip.errors import DpipError, Malformed
from dpip.link import worker_messages as wire
from dpip.link.broker import call
from dpip.runtime.coroutines import deferred
from dpip.worker.batches import Batches
from dpip.worker.transfer import is_kept

PROVE_SECONDS: Final = 10.0
DELIVER_SECONDS: Final = 60.0
"""Enough for a slow or busy disk. The heartbeat notices much earlier that a controller is gone."""
_MAX_PROOF: Final = 1024


class NotOnThisMachine(Exception):
    """The image store is on another machine, or we may not read its files; says why."""


@define(eq=False)
class LocalTransfer:
    """The worker's side of local transfer, to be used after :meth:`prove`."""

    log = Logger()

    paths: wire.TransferPaths
    _controller: RemoteReference
    _clock: IReactorTime
    _finished: Batches[wire.ResultFile, wire.Receipt | None] = field(
        default=Factory(lambda self: Batches(self._send, self._clock, wire.BATCH), takes_self=True),
        init=False,
    )

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
        receipt = await self._finished.add(result)
        if is_kept(receipt):
            return True
        if receipt is not None:
            self.log.info("A result goes over HTTP instead: {why}", why=receipt.detail)
        return False

    @deferred
    async def _send(self, batch: Sequence[wire.ResultFile]) -> Sequence[wire.Receipt | None]:
        """Ask for receipts; there are none when the call fails."""
        try:
            message = wire.encode(wire.ResultFiles(tuple(batch)))
            answer = await call(
                self._controller, "deliver", message, clock=self._clock, timeout=DELIVER_SECONDS
            )
            answered = wire.decode(answer, wire.Receipts).receipts
            if len(answered) != len(batch):
                raise Malformed(f"{len(answered)} receipts for {len(batch)} results.")
            return answered
        except DpipError as error:
            self.log.info("Results go over HTTP instead: {why}", why=error.detail)
            return [None] * len(batch)
