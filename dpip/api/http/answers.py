"""What a handler gives back, and how it is written to a request."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from http import HTTPStatus
from time import time
from typing import Any

from attrs import field, frozen
from twisted.web.http import Request, datetimeToString

#: On every answer. Pictures are data of strangers: no browser may take them for anything else.
_ALWAYS = "Server: DPIP\r\nX-Content-Type-Options: nosniff\r\n"
_PHRASES = {status.value: status.phrase for status in HTTPStatus}


@frozen
class Answer:
    """A status, headers and a body that is small enough to be held in memory.

    ``made`` is for the log: what is there now that was not before, where no ``Location`` says it.
    """

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(factory=dict)
    made: str = ""


def json_answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """Return a JSON answer that nobody caches, unless ``headers`` say otherwise."""
    always = {"Content-Type": "application/json", "Cache-Control": "no-store"}
    return Answer(to_json(value), status, {**always, **(headers or {})})


def to_json(value: Any) -> bytes:
    return json.dumps(value).encode() + b"\n"


def write_head(request: Request, status: int, headers: Mapping[str, str], request_id: str) -> None:
    """Write status line and headers.

    Without ``Content-Length`` in the headers the answer has no body, or one that says its length itself.

    Twisted's own way takes each header apart and puts it together again, which takes longer than all the rest
    of a small answer.
    """
    channel: Any = request.channel
    if channel is None:  # it has been lost
        return
    request.code, request.startedWriting = status, 1
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    if lines.count("\n") != len(headers) or lines.count("\r") != len(headers):
        raise ValueError(f"a header with a line break: {lines!r}")
    closing = "" if channel.persistent else "Connection: close\r\n"
    channel.write(
        f"HTTP/1.1 {status} {_PHRASES[status]}\r\n{_ALWAYS}Date: {_date(int(time()))}\r\n{closing}"
        f"X-Request-ID: {request_id}\r\n{lines}\r\n".encode()
    )


@lru_cache(1)
def _date(second: int) -> str:
    date: bytes = datetimeToString(second)
    return date.decode()


def cut_short(request: Request) -> None:
    """Drop the connection: the only way to say that an answer under way will not be whole."""
    transport: Any = request.transport
    transport.abortConnection()


def write_answer(request: Request, answer: Answer, request_id: str) -> None:
    """Write head and body in one go. The caller finishes the request."""
    has_body = answer.status not in (204, 304)
    length = {"Content-Length": str(len(answer.body))} if has_body else {}
    write_head(request, answer.status, {**answer.headers, **length}, request_id)
    if has_body and request.method != b"HEAD":
        request.write(answer.body)
