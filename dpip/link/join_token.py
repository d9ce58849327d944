"""The join token: by it a worker recognises the controller, and is let in until it has a certificate.

Its form is ``<SHA-256 of the authority's certificate, hex>.<secret>.<made>.<expires>``. The last two are
times since the epoch, in milliseconds and in seconds; 0 is never. They are part of what is compared: only the
controller can change them. A token without them was chosen by an operator, or made by an earlier version: it
never expires, and counts as older than all others.
"""

from __future__ import annotations

import hmac
import os
import re
import secrets
from pathlib import Path
from typing import Final

from attrs import define, field, frozen

from dpip.runtime.platform import sync, sync_folder

TOKEN_FILE: Final = "join-token"  # noqa: S105 - a file's name
API_TOKEN_FILE: Final = "api-token"  # noqa: S105
_KINDS: Final = {TOKEN_FILE: "join token", API_TOKEN_FILE: "API token"}
_SECRET_BYTES: Final = 24
_FORM: Final = re.compile(r"([0-9a-f]{64})\.([\w-]{16,200}(?:\.(\d{1,14})\.(\d{1,11}))?)", re.ASCII)


class BadToken(ValueError):
    """Not a valid join token; says what is wrong with it, not what it is."""


@frozen
class JoinToken:
    """What a worker needs to know: the authority's hash, and the secret with its dates."""

    pin: str
    secret: str = field(repr=False)
    made: float = 0.0
    expires: float | None = None

    @classmethod
    def parse(cls, text: str) -> JoinToken:
        """Read a token. Raises BadToken."""
        match = _FORM.fullmatch(text.strip())
        if match is None:
            raise BadToken("This is not a join token: <64 hex digits>.<secret> is expected.")
        return cls(match[1], match[2], int(match[3] or 0) / 1000, float(match[4] or 0) or None)

    @classmethod
    def new(cls, pin: str, now: float, seconds: float | None = None) -> JoinToken:
        """Make a token that is valid for so many seconds, or for ever."""
        expires = 0 if seconds is None else int(now + seconds)
        return cls.parse(f"{pin}.{secrets.token_urlsafe(_SECRET_BYTES)}.{int(now * 1000)}.{expires}")

    def __str__(self) -> str:
        return f"{self.pin}.{self.secret}"


@define
class TokenFile:
    """The token that the controller accepts, and the file at ``path`` where workers on its machine find it.

    A file beside it holds the former token, and until when that is still accepted.
    """

    path: Path
    current: JoinToken
    _former: JoinToken | None = None
    _former_until: float = 0.0

    @classmethod
    def load_or_create(cls, path: Path, pin: str, now: float) -> TokenFile:
        """Read the token in the file if it is this authority's; else write a new one there."""
        try:
            token = JoinToken.parse(path.read_text(encoding="ascii"))
        except (FileNotFoundError, BadToken, UnicodeDecodeError):
            token = JoinToken("", "")
        if token.pin != pin:
            token = JoinToken.new(pin, now)
            _beside(path).unlink(missing_ok=True)  # removing a token revokes the former one, too
            _write(path, token)
        return cls(path, token, *_former(path, pin))

    def admit(self, secret: bytes, now: float) -> JoinToken:
        """Return the token whose secret this is, compared in constant time. Raises BadToken."""
        found = None
        for token in (self.current, self._former):
            if token is not None and hmac.compare_digest(secret, token.secret.encode()):
                found = token
        if found is None or (found is self._former and now >= self._former_until):
            raise BadToken(
                f"The {_KINDS[self.path.name]} is not valid (any more): copy the controller's again."
            )
        if found.expires is not None and now >= found.expires:
            raise BadToken(
                f"The {_KINDS[self.path.name]} has expired. An admin makes a new one: dpip join-token rotate."
            )
        return found

    def write_new(self, now: float, seconds: float | None, grace: float) -> JoinToken:
        """Write a new token to the file, without using it yet. Blocks until it is durable."""
        token = JoinToken.new(self.current.pin, now, seconds)
        write_secret(_beside(self.path), f"{self.current} {now + grace:.0f}\n".encode())
        _write(self.path, token)
        return token

    def use(self, token: JoinToken, now: float, grace: float) -> None:
        """Accept this token, written at ``now``, from now on, and the last one for ``grace`` seconds more."""
        self._former, self._former_until = self.current, now + grace
        self.current = token


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.former")


def _former(path: Path, pin: str) -> tuple[JoinToken | None, float]:
    """Return the token before the one in this file, and until when it is valid."""
    try:
        text, _, until = _beside(path).read_text(encoding="ascii").partition(" ")
        token, end = JoinToken.parse(text), float(int(until))
    except (FileNotFoundError, ValueError):
        return None, 0.0
    return (token, end) if token.pin == pin else (None, 0.0)


def _write(path: Path, token: JoinToken) -> None:
    write_secret(path, f"{token}\n".encode())


def write_secret(path: Path, data: bytes) -> None:
    """Write a file that only its owner may read, durably and all or nothing."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            sync(file.fileno())
        temporary.rename(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
