"""What a handler gives back, and how it is written to a request."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from attrs import field, frozen
from twisted.web.http import Request

#: On every answer. Pictures are data of strangers: no browser may take them for anything else.
_ALWAYS = {
    "Server": "DPIP",
    "X-Content-Type-Options": "nosniff",
}


@frozen
class Answer:
    """A status, headers and a body that is small enough to be held in memory."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(factory=dict)


def json_answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """Never cached, unless ``headers`` say otherwise."""
    always = {"Content-Type": "application/json", "Cache-Control": "no-store"}
    return Answer(to_json(value), status, {**always, **(headers or {})})


def to_json(value: Any) -> bytes:
    return json.dumps(value).encode() + b"\n"


def write_head(request: Request, status: int, headers: Mapping[str, str], request_id: str) -> None:
    """Set, not yet send: the first byte written to the request sends it."""
    request.setResponseCode(status, HTTPStatus(status).phrase.encode())  # Twisted does not know 422
    for name, value in {**_ALWAYS, **headers, "X-Request-ID": request_id}.items():
        request.setHeader(name, value)


def cut_short(request: Request) -> None:
    """Drop the connection: the only way to say that an answer under way will not be whole."""
    transport: Any = request.transport
    transport.abortConnection()


def write_answer(request: Request, answer: Answer, request_id: str) -> None:
    """Head and body in one go; the request is left to be finished by its owner."""
    write_head(request, answer.status, answer.headers, request_id)
    if answer.status not in (204, 304):
        request.setHeader("Content-Length", str(len(answer.body)))
    request.write(answer.body)
