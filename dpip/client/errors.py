"""The errors of the client's methods; ``str()`` of each is a sentence for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from twisted.web.iweb import IResponse

from dpip.http.answers import header, problem_members, retry_after

MAX_WORDS = 1000
"""Characters that are kept of an answer: a proxy's whole error page helps nobody."""

OF_THE_PICTURE: Final = frozenset(
    {
        "too-large",
        "not-an-image",
        "bad-picture",
        "corrupt-picture",
        "unsupported-picture",
        "picture-too-large",
    }
)
"""Codes that refuse one picture; with any other code the next upload would fail too."""


class ClientError(Exception):
    """The base of all that :class:`dpip.client.Client` raises on purpose."""

    transient = False
    retry_after: float | None = None


class ApiError(ClientError):
    """The server refused.

    ``code`` is stable (``not-found``, ``unknown-filter``, …) and for programs; ``title`` and ``detail`` are
    for people; ``request_id`` is also in the server's log; ``retry_after`` is in seconds, or None;
    ``members`` are further facts, such as the known filters; ``attempts`` is how often it was sent.
    """

    def __init__(
        self,
        status: int,
        code: str,
        title: str,
        detail: str = "",
        request_id: str = "",
        retry_after: float | None = None,
        members: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail or title)
        self.status = status
        self.code = code
        self.title = title
        self.detail = detail
        self.request_id = request_id
        self.retry_after = retry_after
        self.members = dict(members or {})
        self.attempts = 1

    @property
    def transient(self) -> bool:  # type: ignore[override]
        """Whether the same request may succeed later."""
        return self.status in (429, 503)

    def __str__(self) -> str:
        words = self.detail or self.title
        if self.status >= 500 and self.request_id:
            words += f" (request {self.request_id} in the server's log)"
        return words


class Unreachable(ClientError):
    """There was no answer: the server or the network is down, or the connection broke."""

    transient = True

    def __init__(self, server: str, reason: str) -> None:
        super().__init__(f"No answer from {server}: {reason}.")
        self.server = server
        self.reason = reason


class Untrusted(Unreachable):
    """There was an answer, but from a server whose certificate is not trusted."""

    transient = False


class Damaged(ClientError):
    """A download is not what the server says it sent."""


class NotDpip(ClientError):
    """There was an answer, but not one of DPIP's API."""


def refusal(response: IResponse, body: bytes) -> ApiError:
    """Make the error for an answer that is not a 2xx, from its problem document if it has one."""
    members = problem_members(body)
    phrase = response.phrase.decode("ascii", "replace")
    if response.code < 400:
        place = header(response, "Location") or "another place"
        members = {"detail": f"The server wants us to go to {place}."}
    title = str(members.pop("title", "") or phrase)
    detail = str(members.pop("detail", "") or f"The server answered {response.code} {title}.")
    code = str(members.pop("type", "")).rstrip("/").replace("#", "/").replace(":", "/").rpartition("/")[2]
    request_id = str(members.pop("request_id", "") or header(response, "X-Request-Id"))
    members.pop("status", None)
    return ApiError(
        response.code, code, title, detail[:MAX_WORDS], request_id, retry_after(response), members
    )
