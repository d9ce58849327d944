"""Errors as ``application/problem+json`` (RFC 9457).

``type`` is ``urn:dpip:problem:<code>``, with the codes of :mod:`dpip.errors`; it never changes. Members
beyond the standard ones are facts for programs, for example ``available`` (the known filters).
``request_id`` is also in the server's log.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from dpip import errors
from dpip.api.http.answers import Answer
from dpip.errors import DpipError

CONTENT_TYPE = "application/problem+json"
TYPE = "urn:dpip:problem:"


class MethodNotAllowed(DpipError):
    code = "method-not-allowed"
    title = "This path does not take this method"

    def __init__(self, detail: str, allowed: Iterable[str]) -> None:
        self.allowed = ", ".join(sorted(allowed))
        super().__init__(detail, allowed=sorted(allowed))


class UnsupportedBody(DpipError):
    code = "unsupported-media-type"
    title = "A body of a type that is not understood here"


class TooSlow(DpipError):
    code = "too-slow"
    title = "The request did not arrive in time"


class RangeNotSatisfiable(DpipError):
    code = "range-not-satisfiable"
    title = "The range lies outside the image"

    def __init__(self, detail: str, size: int) -> None:
        super().__init__(detail)
        self.size = size


class InternalError(DpipError):
    code = "internal-error"
    title = "A fault of the server"

    def __init__(self) -> None:
        super().__init__(
            "This is a fault of the server, not of your request. "
            "It is in the server's log under this request_id; tell the operator."
        )


#: Looked up along a class's bases, so that a new kind of error has its parent's status.
_STATUS: dict[type[DpipError], int] = {
    errors.Malformed: 400,
    errors.Unauthenticated: 401,
    errors.BadCredentials: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    MethodNotAllowed: 405,
    TooSlow: 408,
    errors.Conflict: 409,
    errors.TooLarge: 413,
    errors.PictureTooLarge: 413,
    errors.NotAnImage: 415,
    errors.PictureError: 415,
    UnsupportedBody: 415,
    RangeNotSatisfiable: 416,
    errors.KeyReused: 422,
    errors.BadParameter: 422,
    errors.WrongHash: 422,
    errors.UnknownFilter: 422,
    errors.TooManyRequests: 429,
    errors.RetryLater: 503,
    errors.DiskFull: 507,
}


#: The statuses of what may succeed later: each of these answers says when.
LATER = frozenset({429, 503, 507})


def status_of(error: DpipError) -> int:
    return next((_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS), 500)


def problem(error: DpipError, request_id: str) -> Answer:
    """Return the answer that tells a client of this error."""
    status = status_of(error)
    document: dict[str, Any] = {
        **error.members,
        "type": TYPE + error.code,
        "title": error.title,
        "status": status,
        "detail": error.detail,
        "request_id": request_id,
    }
    body = json.dumps(document, default=str).encode() + b"\n"
    return Answer(
        body, status, {**_headers(error), "Content-Type": CONTENT_TYPE, "Cache-Control": "no-store"}
    )


def _headers(error: DpipError) -> dict[str, str]:
    if error.retry_after is not None:
        return {"Retry-After": str(max(1, error.retry_after))}
    if isinstance(error, errors.BadCredentials):
        return {"WWW-Authenticate": 'Basic realm="DPIP", charset="UTF-8"'}
    if isinstance(error, errors.Unauthenticated):
        return {"WWW-Authenticate": 'Bearer realm="DPIP"'}
    if isinstance(error, MethodNotAllowed):
        return {"Allow": error.allowed}
    if isinstance(error, RangeNotSatisfiable):
        return {"Content-Range": f"bytes */{error.size}"}
    return {}
