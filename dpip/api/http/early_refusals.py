"""Logins that would be refused anyway, refused from their first bytes: no request is made of them.

Guessers come on a new connection for each guess. What Twisted, the routes and the log do for a request would
cost them nothing and everybody else a third of a processor.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from attrs import define, field

from dpip.api.http.auth import basic
from dpip.api.http.text import lenient
from dpip.errors import BadCredentials, DpipError

_LOGIN = b"POST /login HTTP/1.1\r\n"
_HEAD_END = b"\r\n\r\n"
_AUTHORIZATION = re.compile(rb"\r\nAuthorization:[ \t]*([^\r\n]*)", re.IGNORECASE)
LATE_SECONDS = 1.0
"""Whoever waits for the answer before the next guess makes one a second on each connection."""
MOST_HELD = 2_000
"""Connections that wait for that; more are answered at once."""


@define
class EarlyRefusals:
    """``check(name, address)`` raises DpipError for a login that is refused whatever its password."""

    check: Callable[[str, str], None]
    held: int = field(default=0, init=False)

    def of(self, data: bytes, address: str) -> DpipError | None:
        """Return why the request that these bytes begin is refused; None where they have to be parsed.

        They are the whole head of a login, which says once who logs in, or they are none of ours.
        """
        if not data.startswith(_LOGIN) or _HEAD_END not in data:
            return None
        said = _AUTHORIZATION.findall(data.partition(_HEAD_END)[0])
        if len(said) != 1:
            return None
        try:
            name, _ = basic(lenient(said[0]))
            self.check(name, address)
        except BadCredentials:
            return None  # it is not HTTP Basic, and is told so
        except DpipError as error:
            return error
        return None
