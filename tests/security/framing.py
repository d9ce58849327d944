"""Requests whose end, or beginning, one server may see where another does not: hundreds of ways to say it.

Sources: RFC 9112 and RFC 9110, and the ways of smuggling that are known (CL.TE, TE.CL, TE.TE, bare LF, chunk
extensions, obs-fold).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from attrs import frozen

BODY = b'{"filter": "blur"}'
_N = len(BODY)
_HEXED = b"%x" % _N


@frozen
class Case:
    """``statuses`` is what a right answer may be; empty: this must be refused, and the connection closed."""

    name: str
    data: bytes
    statuses: frozenset[int] = frozenset()


class Post(Protocol):
    """A request with a body, to make a workload."""

    def __call__(
        self, name: str, headers: bytes, body: bytes, statuses: frozenset[int] = frozenset()
    ) -> Case: ...


_CREATED = frozenset({201})
_ANY = frozenset({200, 201, 400, 401, 404, 405, 411, 413, 415, 422})


def _post(headers: bytes, body: bytes, token: bytes) -> bytes:
    return (
        b"POST /workloads HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer "
        + token
        + b"\r\nContent-Type: application/json\r\n"
        + headers
        + b"\r\n"
        + body
    )


def _chunked(size: bytes = _HEXED, after: bytes = b"\r\n", last: bytes = b"0\r\n\r\n") -> bytes:
    return size + b"\r\n" + BODY + after + last


def cases(token: str) -> Iterator[Case]:
    """All of them, for the holder of this token."""
    secret = token.encode()

    def post(name: str, headers: bytes, body: bytes, statuses: frozenset[int] = frozenset()) -> Case:
        return Case(name, _post(headers, body, secret), statuses)

    yield from _lengths(post)
    yield from _encodings(post)
    yield from _both(post)
    yield from _chunks(post)
    yield from _names(post)
    yield from _lines()
    yield from _ends(secret)


def _lengths(post: Post) -> Iterator[Case]:
    n = b"%d" % _N
    good = (n, b" " + n, n + b" ", b"\t" + n, b"0" + n, b"000000" + n)
    for value in good:
        yield post(f"length {value!r}", b"Content-Length:" + value + b"\r\n", BODY, _CREATED)
    bad = (
        b"+" + n, b"-" + n, b"-0", b"0x12", b"1e1", n + b".0", n + b",", b"," + n, n + b";", n + b" " + n,
        b"1 8",
        b"", b" ", b"eighteen", "١٨".encode(), "１８".encode(), b"\x0b" + n, n + b"\x0b", n + b"\x00",
        b"\x00" + n,
        n + b"\x0c", b"1_8", b"'18'", b'"18"', b"18L", b"9" * 400, b"-1", b"\xa018", n + b"\xa0",
        b"0b10010", b"&18",
        n + b"\x85", n + b"/1", b"(18)", b"18 (comment)", b"%31%38",
    )  # fmt: skip
    for value in bad:
        yield post(f"length {value!r}", b"Content-Length: " + value + b"\r\n", BODY)
    twice = ((n, b"5"), (b"5", n), (n, b"0"), (n, b"+" + n), (n, b""), (b"", n), (b"x", n))
    for first, second in twice:
        both = b"Content-Length: " + first + b"\r\nContent-Length: " + second + b"\r\n"
        yield post(f"lengths {first!r} and {second!r}", both, BODY)
    for value in (n + b", 5", b"5, " + n, b"5," + n + b",5"):
        yield post(f"lengths in one line {value!r}", b"Content-Length: " + value + b"\r\n", BODY)
    same = b"Content-Length: " + n + b"\r\n"
    yield post("the same length twice", same + same, BODY, _CREATED)
    yield post(
        "the same length twice in one line", b"Content-Length: " + n + b", " + n + b"\r\n", BODY, _CREATED
    )


def _encodings(post: Post) -> Iterator[Case]:
    for value in (b"chunked", b" chunked", b"Chunked", b"CHUNKED", b"chunked ", b"\tchunked", b"chunked\t"):
        yield post(f"encoding {value!r}", b"Transfer-Encoding:" + value + b"\r\n", _chunked(), _CREATED)
    bad = (
        b"xchunked", b"chunkedx", b"x chunked", b"chunked x", b"\x0bchunked", b"chunked\x0b",
        b"\x00chunked",
        b"chunked\x00", b"chunked;q=1", b"chunked, identity", b"identity, chunked", b"identity", b"gzip",
        b"gzip, chunked",
        b"chunked, chunked", b"deflate", b"'chunked'", b'"chunked"', b"chunk ed", b"chunk\ted",
        b"ch\xc3\xbcnked",
        "ｃhunked".encode(), b"cow", b"", b" ", b",chunked", b"chunked,", b"\xa0chunked",
        b"chunked\x85", b"[chunked]",
        b"chunked;", b"trailers, chunked", b"chunked=", b"=chunked",
    )  # fmt: skip
    for value in bad:
        yield post(f"encoding {value!r}", b"Transfer-Encoding: " + value + b"\r\n", _chunked())
    chunked = b"Transfer-Encoding: chunked\r\n"
    for other in (b"identity", b"chunked", b"cow", b"", b"gzip"):
        second = b"Transfer-Encoding: " + other + b"\r\n"
        yield post(f"encodings chunked and {other!r}", chunked + second, _chunked())
        yield post(f"encodings {other!r} and chunked", second + chunked, _chunked())


def _both(post: Post) -> Iterator[Case]:
    """A length and an encoding: RFC 9112 section 6.1 lets a server refuse that, and this one does."""
    body = _chunked()
    for length in (b"0", b"4", b"%d" % len(body), b"%d" % _N, b"999999"):
        for encoding in (b"chunked", b"Chunked", b" chunked", b"xchunked", b"identity", b"chunked, identity"):
            te, cl = b"Transfer-Encoding: " + encoding + b"\r\n", b"Content-Length: " + length + b"\r\n"
            yield post(f"length {length!r}, encoding {encoding!r}", cl + te, body)
            yield post(f"encoding {encoding!r}, length {length!r}", te + cl, body)


def _chunks(post: Post) -> Iterator[Case]:
    te = b"Transfer-Encoding: chunked\r\n"
    for size in (_HEXED.upper(), b"0" + _HEXED, b"0000000" + _HEXED, _HEXED + b";a=b", _HEXED + b';a="b"'):
        yield post(f"chunk of size {size!r}", te, _chunked(size), _CREATED)
    bad = (
        b"+" + _HEXED, b"-" + _HEXED, b"0x" + _HEXED, b" " + _HEXED, b"\t" + _HEXED, b"", b"g", b"1g",
        b"_" + _HEXED, b"1_2",
        b"-1", _HEXED + b"\x00", b"\x00" + _HEXED, _HEXED + b" 5", "１２".encode(), _HEXED + b"\x0b",
        _HEXED + b"," + _HEXED, _HEXED + b";" + b"x" * 70_000, b"h" + _HEXED, b"#12", b'"12"',
        b"1 2", b"0X12", b"1e1.",
    )  # fmt: skip
    for size in bad:
        yield post(f"chunk of size {size[:20]!r}", te, _chunked(size))
    for after in (b"\n", b"\r", b"", b"\r\r\n", b"x\r\n", b"  ", b"\n\r", b"\0\r\n"):
        yield post(f"{after!r} after a chunk", te, _chunked(after=after))
    yield post("a bare LF after the size", te, _HEXED + b"\n" + BODY + b"\r\n0\r\n\r\n")
    yield post("a bare CR after the size", te, _HEXED + b"\r" + BODY + b"\r\n0\r\n\r\n")
    yield post("a bare LF in an extension", te, _chunked(_HEXED + b";a\nb"))
    for last in (b"0\n\n", b"0\r\n\n", b"0\n\r\n", b"-0\r\n\r\n", b"+0\r\n\r\n", b"0x0\r\n\r\n"):
        yield post(f"{last!r} as the end", te, _chunked(last=last))
    for trailer in (b"X: a\r\n", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Host: b\r\n"):
        yield post(f"trailer {trailer!r}", te, _chunked(last=b"0\r\n" + trailer + b"\r\n"), _CREATED)
    yield post("an endless trailer", te, _chunked(last=b"0\r\nX: " + b"a" * 70_000 + b"\r\n\r\n"))


def _names(post: Post) -> Iterator[Case]:
    """Headers that some take for Content-Length or Transfer-Encoding, and some do not."""
    n = b"%d" % _N
    names = (
        b"Content-Length ", b" Content-Length", b"\tContent-Length", b"Content-Length\t",
        b"Content-Length\x00",
        b"\x00Content-Length", b"Content Length", b"Content-Length\x0b", b"Content-Length\xa0",
        b"(Content-Length)",
        b'"Content-Length"', b"Content-Length,", b"Content\r-Length",
    )  # fmt: skip
    for name in names:
        yield post(f"header {name!r}", b"X: y\r\n" + name + b": " + n + b"\r\n", BODY)
    for name in (
        b"Transfer-Encoding ",
        b"Transfer Encoding",
        b"\tTransfer-Encoding",
        b"Transfer-Encoding\x00",
    ):
        yield post(f"header {name!r}", b"X: y\r\n" + name + b": chunked\r\n", _chunked())
    good = b"Content-Length: " + n + b"\r\n"
    for line in (
        b"no colon",
        b": empty name",
        b"a b: c",
        b"a\x00b: c",
        b"a: b\x00c",
        b"\xff: x",
        b"a;b: c",
        b"a@b: c",
    ):
        yield post(f"header line {line!r}", line + b"\r\n" + good, BODY)
    for line in (
        b"X: a\nTransfer-Encoding: chunked",
        b"X: a\rTransfer-Encoding: chunked",
        b"X: a\n",
        b"X: a\r",
    ):
        yield post(f"header line {line!r}", line + b"\r\n" + good, BODY)
    yield post("a folded length", b"Content-Length:\r\n " + n + b"\r\n", BODY)
    yield post("a folded encoding", b"Transfer-Encoding:\r\n chunked\r\n", _chunked())
    yield post("a folded header", b"X: a\r\n b\r\n" + good, BODY)
    yield post("a header of 70 KB", b"X: " + b"a" * 70_000 + b"\r\n" + good, BODY)
    yield post("2,000 headers", b"X: a\r\n" * 2000 + good, BODY)


def _lines() -> Iterator[Case]:
    """Request lines."""
    rest = b"\r\nHost: a\r\n\r\n"
    bad = (
        b"GET", b"GET /", b"GET  / HTTP/1.1", b"GET /  HTTP/1.1", b" GET / HTTP/1.1", b"GET / HTTP/1.1 ",
        b"GET / HTTP/1.1 x",
        b"GET\t/\tHTTP/1.1", b"GET / HTTP/1.2.3", b"GET / HTTP/2.0", b"GET / HTTP/11", b"GET / HTTP/1.10",
        b"GET / http/1.1",
        b"GET / HTTP/1,1", b"GET / HTTPS/1.1", b"GET / HTTP/+1.1", b"GET / HTTP/1.1\x00",
        b"G\x00T / HTTP/1.1",
        b"G(T / HTTP/1.1", b"GET /\x00 HTTP/1.1", b"GET /\x7f HTTP/1.1", b"GET /a\rb HTTP/1.1",
        b"GET /\xff HTTP/1.1",
        b"GET healthz HTTP/1.1", b"/healthz", b"HTTP/1.1 200 OK",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/0.9", b"PRI * HTTP/2.0", b"GET /" + b"a" * 70_000 + b" HTTP/1.1",
    )  # fmt: skip
    for line in bad:
        yield Case(f"request line {line[:40]!r}", line + rest, frozenset({400, 404, 414, 505}))
    yield Case("only line feeds", b"GET /healthz HTTP/1.1\nHost: a\n\n")
    yield Case("a line feed after the request line", b"GET /healthz HTTP/1.1\nHost: a\r\n\r\n")
    yield Case("only carriage returns", b"GET /healthz HTTP/1.1\rHost: a\r\r")
    yield Case("empty lines before it", b"\r\n\r\nGET /healthz HTTP/1.1" + rest, frozenset({200}))
    yield Case("an absolute form", b"GET http://a/healthz HTTP/1.1" + rest, frozenset({200}))


def _ends(token: bytes) -> Iterator[Case]:
    """GET with a body is read to its end, and what looks like a request in it is none."""
    inner = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
    head = b"GET /status HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer " + token + b"\r\n"
    length = b"Content-Length: %d\r\n\r\n" % len(inner)
    yield Case("a request in a body", head + length + inner, _ANY)
    chunk = b"%x\r\n" % len(inner) + inner + b"\r\n0\r\n\r\n"
    yield Case("a request in a chunk", head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk, _ANY)
    yield Case("an upgrade", head + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n", frozenset({200}))
    yield Case("a hop-by-hop length", head + b"Connection: Content-Length\r\n" + length + inner, _ANY)
