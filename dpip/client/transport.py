"""One attempt at one request, and its answer in full."""

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
        """The whole answer, read to its end.

        ``content`` is sent as JSON; ``body`` makes a body that calls its argument whenever it moves;
        ``write`` takes the bytes of a good answer.

        Raises ApiError for any status but a 2xx, Unreachable when there is no whole answer.
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
            # Our caller gave up, or the file cannot be read; Agent wraps either as if the network had failed.
            return cause
        kind = Untrusted if is_untrusted(error) else Unreachable
        return kind(self.url, in_words(error))
