"""What a client's call can fail with; ``str()`` of each is a sentence for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from OpenSSL.SSL import Error as TlsError
from service_identity import VerificationError
from twisted.internet.error import (
    ConnectError,
    ConnectionClosed,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
    DNSLookupError,
    NoRouteError,
    TCPTimedOutError,
    TimeoutError,
)
from twisted.web.client import RequestTransmissionFailed, ResponseFailed

NETWORK = (
    ConnectError,
    ConnectionClosed,
    DNSLookupError,
    RequestTransmissionFailed,
    ResponseFailed,
    TlsError,
    VerificationError,
)
"""Everything that Agent raises when there is no whole answer."""

MAX_WORDS = 1000
"""Of an answer that is not a problem+json: a proxy's whole error page helps nobody."""


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
"""Codes that refuse one upload; any other says that the next one will fare no better."""


class ClientError(Exception):
    """Anything a call of :class:`dpip.client.Client` raises on purpose."""

    transient = False
    retry_after: float | None = None


class ApiError(ClientError):
    """The server said no.

    ``code`` is stable (``not-found``, ``unknown-filter``, …) and for programs; ``title`` and ``detail`` are
    for people; ``request_id`` is also in the server's log; ``retry_after`` is in seconds, or None;
    ``members`` are further facts, for example the known filters; ``attempts`` counts how often the request
    was sent.
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
        """The same request may succeed later."""
        return self.status in (429, 503)

    def __str__(self) -> str:
        words = self.detail or self.title
        if self.status >= 500 and self.request_id:
            words += f" (request {self.request_id} in the server's log)"
        return words


class Unreachable(ClientError):
    """No answer: the server is down, the network is, or the connection broke on the way."""

    transient = True

    def __init__(self, server: str, reason: str) -> None:
        super().__init__(f"No answer from {server}: {reason}.")
        self.server = server
        self.reason = reason


class Untrusted(Unreachable):
    """Somebody answered, but does not prove to be the server: its certificate is not one we trust."""

    transient = False


class Damaged(ClientError):
    """What was downloaded is not what the server says it sent."""


class NotDpip(ClientError):
    """Something answered, but it does not speak DPIP's API."""


def problem(status: int, phrase: str, facts: object, request_id: str, retry_after: float | None) -> ApiError:
    """The error for an answer that is not a 2xx; ``facts`` is its decoded body, None if that is not JSON."""
    members = dict(facts) if isinstance(facts, Mapping) else {}
    title = str(members.pop("title", "") or phrase)
    detail = str(members.pop("detail", "") or f"The server answered {status} {title}.")
    code = str(members.pop("type", "")).rstrip("/").replace("#", "/").replace(":", "/").rpartition("/")[2]
    request_id = str(members.pop("request_id", "") or request_id)
    members.pop("status", None)
    return ApiError(status, code, title, detail[:MAX_WORDS], request_id, retry_after, members)


_WORDS: tuple[tuple[type[BaseException], str], ...] = (
    (ConnectionRefusedError, "nothing listens there (connection refused)"),
    (DNSLookupError, "there is no machine of that name"),
    (NoRouteError, "there is no way to that machine"),
    (TCPTimedOutError, "the machine does not respond"),
    (TimeoutError, "the machine does not respond"),
    (ConnectionDone, "the connection was closed before the answer was complete"),
    (ConnectionLost, "the connection broke"),
)


def in_words(error: BaseException) -> str:
    """Why there was no answer; looks into the nested reasons that Agent gives."""
    inner = causes(error)
    for kind, words in _WORDS:
        if any(isinstance(cause, kind) for cause in inner):
            return words
    if isinstance(inner[0], VerificationError):
        return "its certificate is for another name"
    if isinstance(inner[0], TlsError):
        return f"no secure connection ({', '.join(part[-1] for part in inner[0].args[0])})"
    return " ".join(str(inner[0]).split()).rstrip(".") or type(inner[0]).__name__


def is_untrusted(error: BaseException) -> bool:
    """Whether it is the server's certificate that is wrong: trying again will not help."""
    cause = causes(error)[0]
    return isinstance(cause, VerificationError) or (
        isinstance(cause, TlsError) and "certificate" in str(cause)
    )


def causes(error: BaseException) -> list[BaseException]:
    """The error itself, or what it wraps (``ResponseNeverReceived`` and its like), the innermost alone."""
    reasons = getattr(error, "reasons", None)
    if not reasons:
        return [error]
    return [cause for reason in reasons for cause in causes(reason.value)]
