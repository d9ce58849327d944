"""The exceptions of a request without a whole answer, and their words for people."""

from __future__ import annotations

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

NO_ANSWER = (
    ConnectError,
    ConnectionClosed,
    DNSLookupError,
    RequestTransmissionFailed,
    ResponseFailed,
    TlsError,
    VerificationError,
)
"""Everything that Twisted's HTTP client raises when there is no whole answer."""

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
    """Return why there was no answer, from the nested reasons that Twisted gives."""
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
    """Say whether the server's certificate is wrong, so that trying again does not help."""
    cause = causes(error)[0]
    return isinstance(cause, VerificationError) or (
        isinstance(cause, TlsError) and "certificate" in str(cause)
    )


def causes(error: BaseException) -> list[BaseException]:
    """Return the error itself, or the innermost errors that it wraps, as ``ResponseNeverReceived`` does."""
    reasons = getattr(error, "reasons", None)
    if not reasons:
        return [error]
    return [cause for reason in reasons for cause in causes(reason.value)]
