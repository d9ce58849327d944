"""One attempt at one request, and its answer in full."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from attrs import define, field, frozen
from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import RequestGenerationFailed, ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IBodyProducer, IResponse

from dpip import __version__
from dpip.client.errors import (
    NETWORK,
    ApiError,
    NotDpip,
    Unreachable,
    Untrusted,
    causes,
    in_words,
    is_untrusted,
    problem,
)
from dpip.client.silence import Silence
from dpip.runtime.twisted_private import WrongBodyLength

Progress = Callable[[], None]
Write = Callable[[bytes], object]


_NEXT = re.compile(r'<(/[^<>\s]*)>\s*;\s*rel="?next"?')


@frozen
class Answer:
    """A good answer; ``body`` is empty when its bytes went elsewhere."""

    response: IResponse
    body: bytes

    def json(self) -> Any:
        """The body, decoded. Raises NotDpip."""
        try:
            return json.loads(self.body)
        except ValueError:
            raise NotDpip("The server's answer is not JSON: is that the address of a DPIP server?") from None

    def next_page(self) -> str | None:
        """Path and query of the next page, or None when this is the last."""
        found = _NEXT.search(header(self.response, "Link"))
        return found and found[1]


@define
class Transport:
    """Sends requests to the server at ``url`` (no slash at its end), each of them once.

    ``timeout`` is for how many seconds nothing at all may move before a request counts as lost.
    """

    url: str
    http: HTTPClient
    clock: Any  # IReactorTime
    timeout: float
    token: str = field(default="", repr=False)

    async def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        content: object = None,
        body: Callable[[Progress], IBodyProducer] | None = None,
        receiver: Callable[[IResponse], Write] | None = None,
    ) -> Answer:
        """The whole answer, read to its end.

        ``content`` is sent as JSON; ``body`` makes a producer that calls its argument whenever it moves;
        ``receiver`` is given a good answer's headers and returns what takes its bytes.

        Raises ApiError for any status but a 2xx, Unreachable when there is no whole answer.
        """
        silence = Silence(self.clock, self.timeout)
        try:
            sent = (
                {"data": body(silence.broken)} if body else {"json": content} if content is not None else {}
            )
            response = await silence.watch(self._send(method, path, query, self._headers(headers), sent))
            good = 200 <= response.code < 300
            pieces: list[bytes] = []
            write = receiver(response) if receiver is not None and good else pieces.append
            await silence.watch(_read(response, write, silence.broken))
        except (CancelledError, RequestGenerationFailed, *NETWORK) as error:
            raise self._explained(error, silence) from error
        finally:
            silence.end()
        if not good:
            raise _problem(response, b"".join(pieces))
        return Answer(response, b"".join(pieces))

    def _send(
        self, method: str, path: str, query: Mapping[str, str] | None, headers: Headers, sent: dict[str, Any]
    ) -> Deferred[Any]:
        return self.http.request(
            method,
            self.url + path,
            params=query,
            headers=headers,
            allow_redirects=False,
            unbuffered=True,
            reactor=self.clock,
            **sent,
        )

    def _headers(self, more: Mapping[str, str] | None) -> Headers:
        headers = {"Accept": "application/json, */*", "User-Agent": f"dpip-client/{__version__}"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        return Headers({name: [value] for name, value in {**headers, **(more or {})}.items()})

    def _explained(self, error: BaseException, silence: Silence) -> BaseException:
        if silence.too_long:
            return Unreachable(self.url, f"nothing moved for {silence.seconds:g} seconds")
        (cause, *_) = causes(error)
        if isinstance(cause, WrongBodyLength):
            return OSError("The file changed while it was sent.")
        if isinstance(cause, CancelledError) or isinstance(error, RequestGenerationFailed):
            # Our caller gave up, or the file cannot be read; Agent wraps either as if the network had failed.
            return cause
        kind = Untrusted if is_untrusted(error) else Unreachable
        return kind(self.url, in_words(error))


class _Receiver(Protocol):
    """Hands each piece of a body to ``write``; ``done`` fires at its end."""

    def __init__(self, write: Write, moved: Progress) -> None:
        self._write = write
        self._moved = moved
        self.done: Deferred[None] = Deferred(lambda _: self._hang_up())

    def dataReceived(self, data: bytes) -> None:
        if self.done.called:
            return
        self._moved()
        try:
            self._write(data)
        except Exception:  # noqa: BLE001 - whatever it is, it belongs to whoever waits for the body
            self.done.errback(Failure())
            self._hang_up()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.done.called:
            return
        # PotentialDataLoss is a body of unstated length ended by closing: its hash tells whether it is whole.
        if reason.check(ResponseDone, PotentialDataLoss):
            self.done.callback(None)
        else:
            self.done.errback(reason)

    def _hang_up(self) -> None:
        if self.transport is not None:
            self.transport.loseConnection()


def _read(response: IResponse, write: Write, moved: Progress) -> Deferred[None]:
    receiver = _Receiver(write, moved)
    response.deliverBody(receiver)
    return receiver.done


def _problem(response: IResponse, body: bytes) -> ApiError:
    try:
        facts = json.loads(body)
    except ValueError:
        facts = None
    if response.code < 400:
        facts = {"detail": f"The server wants us to go to {header(response, 'Location') or 'another place'}."}
    return problem(
        response.code,
        response.phrase.decode("ascii", "replace"),
        facts,
        header(response, "X-Request-Id"),
        _seconds(header(response, "Retry-After")),
    )


def _seconds(value: str) -> float | None:
    return float(value) if value.isascii() and value.isdigit() else None


def header(response: IResponse, name: str) -> str:
    """A header's last value; empty when there is none."""
    values = response.headers.getRawHeaders(name)
    return str(values[-1]) if values else ""
