"""Sending a request once, and reading its whole answer."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from attrs import define, field, frozen
from twisted.internet.defer import CancelledError
from twisted.web.client import RequestGenerationFailed
from twisted.web.iweb import IResponse

from dpip import __version__
from dpip.client.errors import NotDpip, Unreachable, Untrusted, refusal
from dpip.http.agent import PersistentClient
from dpip.http.answers import header
from dpip.http.failures import NO_ANSWER, causes, in_words, is_untrusted
from dpip.http.idle_timeout import IdleTimeout
from dpip.http.multipart import MultipartBody
from dpip.http.receiving import Progress, Write, receive
from dpip.runtime.twisted_private import WrongBodyLength

_NEXT = re.compile(r'<(/[^<>\s]*)>\s*;\s*rel="?next"?')


@frozen
class Reply:
    """A 2xx answer; ``body`` is empty when its bytes went to ``write``."""

    response: IResponse
    body: bytes

    def json(self) -> Any:
        """Decode the body. Raises NotDpip when it is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            raise NotDpip("The server's answer is not JSON: is that the address of a DPIP server?") from None

    def next_page(self) -> str | None:
        """Return path and query of the next page, or None when this is the last."""
        found = _NEXT.search(header(self.response, "Link"))
        return found and found[1]


@define
class Transport:
    """Sends requests to the server at ``url`` (without a slash at its end), each of them once.

    A request on which nothing moves for ``timeout`` seconds counts as lost.
    """

    url: str
    http: PersistentClient
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
        body: Callable[[Progress], MultipartBody] | None = None,
        write: Write | None = None,
    ) -> Reply:
        """Send a request and read the answer to its end.

        ``content`` is sent as JSON; ``body`` makes a body that calls its argument at each progress; ``write``
        takes the bytes of a 2xx answer.

        Raises ApiError for any status but a 2xx, Unreachable when there is no whole answer, OSError when a
        file that is sent cannot be read.
        """
        idle = IdleTimeout(self.clock, self.timeout)
        pieces: list[bytes] = []
        try:
            sent = self._sent(headers, content, body(idle.restart) if body is not None else None)
            response = await idle.watch(self.http.request(method, self.url + path, params=query, **sent))
            good = 200 <= response.code < 300
            take = write if write is not None and good else pieces.append
            await idle.watch(receive(response, take, moved=idle.restart))
        except (CancelledError, RequestGenerationFailed, *NO_ANSWER) as error:
            raise self._explained(error, idle) from error
        finally:
            idle.stop()
        if not good:
            raise refusal(response, b"".join(pieces))
        return Reply(response, b"".join(pieces))

    def _sent(
        self, more: Mapping[str, str] | None, content: object, body: MultipartBody | None
    ) -> dict[str, Any]:
        headers = {"Accept": "application/json, */*", "User-Agent": f"dpip-client/{__version__}"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        if body is not None:
            headers["Content-Type"] = body.content_type
        headers.update(more or {})
        return {"headers": headers, "data": body} | ({} if content is None else {"json": content})

    def _explained(self, error: BaseException, idle: IdleTimeout) -> BaseException:
        if idle.expired:
            return Unreachable(self.url, f"nothing moved for {idle.seconds:g} seconds")
        (cause, *_) = causes(error)
        if isinstance(cause, WrongBodyLength):
            return OSError("The file changed while it was sent.")
        if isinstance(cause, CancelledError) or isinstance(error, RequestGenerationFailed):
            # The caller cancelled, or the file cannot be read; Agent reports both as failures of the network.
            return cause
        kind = Untrusted if is_untrusted(error) else Unreachable
        return kind(self.url, in_words(error))
