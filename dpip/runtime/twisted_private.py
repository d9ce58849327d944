"""All private names of Twisted that DPIP uses.

A test names each of them and proves that it still means what it is taken for; it also runs with the oldest
versions that ``setup.py`` allows.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.web._newclient import Request as ClientRequest
from twisted.web._newclient import WrongBodyLength
from twisted.web.http import HTTPChannel

__all__ = ("ClientRequest", "HookedChannel", "WrongBodyLength")


class HookedChannel(HTTPChannel):
    """A server's HTTP connection whose subclass answers malformed requests and sees trailers."""

    _command: bytes
    _path: bytes
    _version: bytes
    _transferDecoder: Any

    def malformed(self) -> None:
        """Answer what is not HTTP/1.1. By default a bare status line is written and the connection ends."""
        super()._respondToBadRequestAndDisconnect()

    def accepts_trailers(self, lines: Iterable[bytes]) -> bool:
        """Say whether to go on with a request whose body is complete; ``lines`` followed a chunked one."""
        return True

    def request_line(self) -> tuple[bytes, bytes, bytes]:
        """Return method, target and version, from the end of the headers until the body is complete."""
        return self._command, self._path, self._version

    def _respondToBadRequestAndDisconnect(self) -> None:
        self.malformed()

    def _finishRequestBody(self, data: bytes) -> None:
        if self.accepts_trailers(getattr(self._transferDecoder, "_trailerHeaders", ())):
            super()._finishRequestBody(data)
