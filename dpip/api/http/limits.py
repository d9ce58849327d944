"""How much, how many and how long: the bounds of requests, connections and streams."""

from __future__ import annotations

from attrs import frozen


@frozen
class HttpLimits:
    """The bounds, in bytes, counts and seconds. Parsing the largest small body takes 2 ms of the reactor."""

    small_body: int = 256 * 1024  # of any request but an upload
    anonymous_body: int = 8 * 1024  # of a request without a token (POST /login needs none at all)

    files: int = 100  # in one upload: each keeps a descriptor open until it is stored …
    more_files: int = 300  # … so users share what the second and further ones of all uploads may hold
    bodies: int = 2048  # requests with a body under way, which users share as well
    fields: int = 100  # in one body or query
    field_size: int = 64 * 1024
    fields_size: int = 256 * 1024  # all of them together
    framing: int = 1280 * 1024  # more than an upload has besides the content of its files

    idle_seconds: float = 75.0  # a kept-alive connection without a request
    header_seconds: float = 20.0  # from a request's first byte to its last header
    body_seconds: float = 3600.0
    pace_seconds: float = 10.0  # in each such window a body must bring at least
    pace_bytes: int = 10 * 1024  # … this many bytes; and so many in all that it can end within body_seconds
    stall_seconds: float = 60.0  # a download that moves no byte for so long is given up

    streams: int = 32  # of events, of one user, at the same time
    archives: int = 8  # the same

    large_answer: int = 64 * 1024  # what is longer is written as the client reads, and …
    large_answers: int = 128 * 1024 * 1024  # … all that is not read yet is shared by users …
    large_answers_each: int = 32 * 1024 * 1024  # … each of whom may have so much
    small_bodies: int = 64 * 1024 * 1024  # all small bodies that are held, which users share

    passed_over: int = 256 * 1024  # of a refused body that is waited for, so that the connection can go on
    linger_seconds: float = 10.0  # for a refused client to read its answer …
    linger_bytes: int = 128 * 1024 * 1024  # … while what it still sends is thrown away
