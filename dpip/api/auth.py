"""Who is asking: the Authorization header, and which roles a route is for."""

from __future__ import annotations

import binascii
from base64 import b64decode
from enum import Enum

from dpip.api.text import lenient
from dpip.errors import BadCredentials, Forbidden, Unauthenticated
from dpip.model import Principal, Role


class Access(Enum):
    """Who may use a route. What of it is theirs, the controller decides."""

    PUBLIC = frozenset[Role]()
    ANY = frozenset(Role)
    USERS = frozenset({Role.USER, Role.ADMIN})
    ADMINS = frozenset({Role.ADMIN})


def check_access(access: Access, by: Principal) -> None:
    if by.role not in access.value:
        allowed = " or ".join(sorted(f"'{role}'" for role in access.value))
        raise Forbidden(f"This needs the role {allowed}; your token has the role '{by.role}'.")


def bearer(authorization: str | None) -> str:
    """The token of a request. Raises Unauthenticated."""
    scheme, _, secret = (authorization or "").strip().partition(" ")
    secret = secret.strip()
    if scheme.lower() != "bearer" or not secret:
        raise Unauthenticated("Send your token as 'Authorization: Bearer <token>'; POST /login gives one.")
    return secret


def basic(authorization: str | None) -> tuple[str, str]:
    """User and password of HTTP Basic (RFC 7617). Raises BadCredentials."""
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
