"""A controller's term as the leader of those that share a PostgreSQL database.

:mod:`dpip.datastore.leadership` says what leading is. While a controller stands by it listens on no port.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall, deferLater
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from dpip.datastore import shared_secrets
from dpip.datastore.datastore import Datastore
from dpip.datastore.leadership import BEAT_SECONDS, Leadership
from dpip.datastore.postgres import PostgresDatabase, in_words
from dpip.errors import DpipError
from dpip.link.join_token import write_secret
from dpip.runtime.coroutines import deferred
from dpip.runtime.startup import CannotStart

T = TypeVar("T")

_POLL_SECONDS: Final = 0.25
_CHECK_SECONDS: Final = 0.5


@define(eq=False)
class Term:
    """``database`` has the leadership that this process may come to hold; ``state`` is its directory."""

    log = Logger()

    database: PostgresDatabase
    reactor: Any
    state: Path
    _loops: list[LoopingCall] = field(factory=list, init=False)
    _ended: bool = field(default=False, init=False)

    @property
    def leadership(self) -> Leadership:
        assert self.database.leadership is not None
        return self.database.leadership

    async def begin(self) -> bool:
        """Stand by until no other controller leads; False when this one was stopped meanwhile.

        Raises CannotStart when the database cannot be used.
        """
        try:
            leading = await self._lead()
            _, warnings = await self._in_thread(self.database.look)
        except DpipError as error:
            raise CannotStart(error.detail) from None
        for warning in warnings:
            self.log.warn("{warning}", warning=warning)
        if not leading:
            self.log.info("Another controller leads: this one stands by")
        while not (leading or self._ended):
            await deferLater(self.reactor, _POLL_SECONDS)
            try:
                leading = await self._lead()
            except DpipError as error:
                self.log.warn("Standing by, without the database: {why}", why=error.detail)
                await deferLater(self.reactor, BEAT_SECONDS)
        if self._ended:
            self.leadership.resign()
        return leading and not self._ended

    @deferred
    async def _lead(self) -> bool:
        return not self._ended and await self._in_thread(self.database.lead)

    def _in_thread(self, function: Callable[[], T]) -> Deferred[T]:
        """Call what waits for the network."""
        return deferToThreadPool(self.reactor, self.reactor.getThreadPool(), function)

    def take_secrets(self) -> None:
        """Write the files of the secrets that all controllers share. Raises DpipError, OSError."""
        self.database.prepare()
        with in_words(), self.database.writing().begin() as connection:
            shared = shared_secrets.read(connection)
        for name, value in shared.items():
            write_secret(self.state / name, value)
        if shared:
            for name in set(shared_secrets.NAMES) - shared.keys():
                (self.state / name).unlink(missing_ok=True)

    def keep_secrets(self) -> None:
        """Keep the files of the secrets in the database. Raises DpipError."""
        with in_words(), self.database.writing().begin() as connection:
            shared_secrets.keep(connection, self._files())

    def _files(self) -> dict[str, bytes]:
        paths = [self.state / name for name in shared_secrets.NAMES]
        return {path.name: path.read_bytes() for path in paths if path.exists()}

    @deferred
    async def share_secrets(self, datastore: Datastore) -> None:
        """As :meth:`keep_secrets`, while the datastore is open. Raises RetryLater."""
        await datastore.keep_secrets(self._files())

    def keep(self, datastore: Datastore) -> None:
        """Give a sign of life every other second, and end the process when none was answered for too long."""
        beat, check = LoopingCall(self._beat, datastore), LoopingCall(self.leadership.check)
        for loop, seconds in ((beat, BEAT_SECONDS), (check, _CHECK_SECONDS)):
            loop.clock = self.reactor
            loop.start(seconds, now=False)
            self._loops.append(loop)

    @deferred
    async def _beat(self, datastore: Datastore) -> None:
        try:
            await datastore.beat()
        except DpipError as error:
            self.log.warn("The database has not answered a sign of life: {why}", why=error.detail)

    def end(self) -> None:
        """Let another controller lead at once."""
        self._ended = True
        for loop in self._loops:
            loop.stop()
        if self._loops:
            self.leadership.resign()
