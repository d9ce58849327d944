"""Who is asking: the Authorization header or the page's cookie, and which roles a route is for."""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Callable
from enum import Enum

from dpip.api.http.text import lenient
from dpip.errors import BadCredentials, Forbidden, Unauthenticated
from dpip.model import Principal, Role

SESSION = "dpip-session"
"""The cookie that holds the token of someone who has logged in on the page."""
ENCRYPTED_SESSION = f"__Host-{SESSION}"
"""Its name with TLS: browsers take and send it for this very host alone, with TLS, so that neither another
host of the domain nor a plain connection can plant one."""

PAGE_HEADER = "X-DPIP-Page"
"""What the page's own requests carry, whatever its value. Another origin cannot send it: the browser would
have to be told by us that it may (CORS), and never is."""


class Access(Enum):
    """Who may use a route. The controller decides which of its data they may see."""

    PUBLIC = frozenset[Role]()
    ANY = frozenset(Role)
    USERS = frozenset({Role.USER, Role.ADMIN})
    WORKERS = frozenset({Role.WORKER})
    ADMINS = frozenset({Role.ADMIN})


def check_access(access: Access, by: Principal) -> None:
    if by.role not in access.value:
        allowed = " or ".join(sorted(f"'{role}'" for role in access.value))
        raise Forbidden(f"This needs the role {allowed}; your token has the role '{by.role}'.")


def session_name(encrypted: bool) -> str:
    """Return the name of the page's cookie, on connections with TLS or without."""
    return ENCRYPTED_SESSION if encrypted else SESSION


def secret_of(header: Callable[[str], str | None], encrypted: bool, by_link: bool = False) -> str:
    """Return the token of a request: its Authorization, or else the page's cookie. Raises Unauthenticated.

    A browser adds a cookie to whatever request it is made to send. So a cookie alone opens only what the page
    cannot fetch with a header of its own (``by_link``: pictures, links, event streams), and nothing where the
    browser says that the request comes from elsewhere.
    """
    authorization = header("Authorization")
    if authorization is None and (by_link or header(PAGE_HEADER)):
        secret = _cookie(header("Cookie") or "", session_name(encrypted))
        if secret and header("Sec-Fetch-Site") in (None, "same-origin", "none"):
            return secret
    return bearer(authorization)


def _cookie(cookies: str, wanted: str) -> str | None:
    for cookie in cookies.split(";"):
        name, _, value = cookie.strip().partition("=")
        if name == wanted:
            return value
    return None


def bearer(authorization: str | None) -> str:
    """Return the token in an Authorization header. Raises Unauthenticated."""
    scheme, _, secret = (authorization or "").strip().partition(" ")
    secret = secret.strip()
    if scheme.lower() != "bearer" or not secret:
        raise Unauthenticated("Send your token as 'Authorization: Bearer <token>'; POST /login gives one.")
    return secret


def basic(authorization: str | None) -> tuple[str, str]:
    """Return user and password of HTTP Basic (RFC 7617). Raises BadCredentials."""
    scheme, _, encoded = (authorization or "").strip().partition(" ")
    try:
        if scheme.lower() != "basic":
            raise ValueError
        name, colon, password = lenient(b64decode(encoded.strip(), validate=True)).partition(":")
        if not colon:
            raise ValueError
    except (ValueError, binascii.Error):
        raise BadCredentials(
            "Send user name and password by HTTP Basic, for example: curl -u user:password -X POST …/login"
        ) from None
    return name, password
