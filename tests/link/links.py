"""An API process's link to a controller, without Perspective Broker: the same messages, from turn to turn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define, field
from twisted.internet.address import IPv4Address

from dpip.link.exchange import Exchange


@define(eq=False)
class FakeBroker:
    """Either side's; ``drop`` and ``lose`` end the link."""

    host: str = "10.0.0.7"
    peer: str = "10.0.0.7:4711"
    disconnected: bool = False
    trusted: int | None = None
    dropped: list[str] = field(factory=list)
    _then: list[Callable[[], object]] = field(factory=list)

    @property
    def transport(self) -> FakeBroker:
        return self

    def getPeer(self) -> IPv4Address:
        return IPv4Address("TCP", self.host, 4711)

    def trust(self, most: int) -> None:
        self.trusted = most

    def on_lost(self, then: Callable[[], object]) -> None:
        self._then.append(then)

    def drop(self, reason: str) -> None:
        self.dropped.append(reason)
        self.loseConnection()

    def loseConnection(self) -> None:
        self.disconnected = True
        then, self._then = self._then, []
        for each in then:
            each()


@define(eq=False)
class FakeReference:
    """The other end, as Perspective Broker would show it; what is sent is kept in ``sent``, too."""

    end: Exchange | None
    broker: FakeBroker
    clock: Any
    sent: list[bytes] = field(factory=list)

    def callRemote(self, name: str, piece: bytes, more: bytes, pbanswer: bool) -> None:
        self.sent.append(piece)
        self.clock.callLater(0, self._arrive, piece, more)

    def _arrive(self, piece: bytes, more: bytes) -> None:
        if not self.broker.disconnected and self.end is not None:
            self.end.remote_take(piece, more)


def joined(one: Exchange, other: Exchange, clock: Any) -> tuple[FakeReference, FakeReference]:
    """The two ends know each other. Returns the way to the other, and the way to the one."""
    to_other = FakeReference(other, FakeBroker(), clock)
    to_one = FakeReference(one, FakeBroker(), clock)
    one.start(to_other.broker, to_other)  # type: ignore[arg-type]
    other.start(to_one.broker, to_one)  # type: ignore[arg-type]
    return to_other, to_one
