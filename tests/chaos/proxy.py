"""A line that goes silent: forwards TCP until SIGUSR1, from when on what its connections carry is held back.

Neither end hears anything then, not even of the other's end, as behind a router that has lost its table; new
connections pass. At SIGUSR2 all that was held back arrives, late.

``python -m tests.chaos.proxy 8001:8000 9001:9000`` listens on 8001 and 9001 of the loopback interface.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from typing import Any

from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.interfaces import IReactorTCP
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure


class End(Protocol):
    """One end's connection; what it says goes to the ``peer``, at once or when silence ends."""

    peer: End | None = None

    def __init__(self) -> None:
        self.silent = False
        self._held: list[Callable[[End], None]] = []

    def dataReceived(self, data: bytes) -> None:
        self._pass(lambda peer: peer.transport.write(data))  # type: ignore[union-attr]

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._pass(lambda peer: peer.transport.loseConnection())  # type: ignore[union-attr]

    def resume(self) -> None:
        held, self._held, self.silent = self._held, [], False
        for event in held:
            self._pass(event)

    def _pass(self, event: Callable[[End], None]) -> None:
        if self.silent or self.peer is None:
            self._held.append(event)
        else:
            event(self.peer)


class Line(Factory):
    """Makes the near end for whoever connects, and the far end at the target."""

    def __init__(self, reactor: IReactorTCP, port: int) -> None:
        self._target = TCP4ClientEndpoint(reactor, "127.0.0.1", port)
        self.ends: list[End] = []

    def buildProtocol(self, addr: Any) -> End:
        near = End()
        connecting = self._target.connect(Factory.forProtocol(End))  # type: ignore[arg-type]
        connecting.addCallbacks(self._join, lambda _: near.transport.loseConnection(), callbackArgs=(near,))  # type: ignore[union-attr]
        return near

    def _join(self, far: End, near: End) -> None:
        near.peer, far.peer = far, near
        self.ends += [near, far]
        near.resume()
        far.resume()


def main(pairs: list[str]) -> None:
    from twisted.internet import reactor

    lines = []
    for pair in pairs:
        listen, target = map(int, pair.split(":"))
        lines.append(Line(reactor, target))
        reactor.listenTCP(listen, lines[-1], interface="127.0.0.1")

    def ends() -> list[End]:
        return [end for line in lines for end in line.ends]

    def silence(*_: object) -> None:
        for end in ends():
            end.silent = True
        print("silent", flush=True)

    def resume() -> None:
        for end in ends():
            end.resume()
        print("resumed", flush=True)

    signal.signal(signal.SIGUSR1, silence)
    signal.signal(signal.SIGUSR2, lambda *_: reactor.callFromThread(resume))
    reactor.callWhenRunning(print, "listening", flush=True)
    reactor.run()


if __name__ == "__main__":
    main(sys.argv[1:])
