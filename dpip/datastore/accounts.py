"""Users and their tokens."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, delete, func, insert, select, update

from dpip.datastore.bulk import Row, text
from dpip.datastore.dialects import ByBytes
from dpip.datastore.rows import USER, micros, seconds, user_of
from dpip.datastore.schema import tokens, users, workloads
from dpip.datastore.workloads import bury
from dpip.errors import BadCredentials, Conflict, NotFound, TooMany
from dpip.model import Principal, Role, TokenRecord, User, Workload


def add_user(
    connection: Connection, name: str, password_hash: str, role: Role, quota: int | None, now: float
) -> User:
    if connection.scalar(select(users.c.id).where(users.c.name == name)) is not None:
        raise Conflict(f"There is a user named {name!r} already.")
    connection.execute(
        insert(users).values(
            name=name, password_hash=password_hash, role=role.value, quota=quota, created=micros(now)
        )
    )
    return User(name, role, seconds(micros(now)), quota, used=0)


def user(connection: Connection, name: str) -> tuple[User, str] | None:
    row = connection.execute(
        select(*USER, users.c.password_hash).where(users.c.name == text(name))
    ).one_or_none()
    return None if row is None else (user_of(row[:-1]), row[-1])


def all_users(connection: Connection) -> Sequence[User]:
    return [user_of(row) for row in connection.execute(select(*USER).order_by(ByBytes(users.c.name)))]


_ADMINS = select(func.count()).where(users.c.role == Role.ADMIN.value)


def remove_user(connection: Connection, name: str, now: float) -> Sequence[Workload]:
    user_id, role = _found(connection, name)
    if role == Role.ADMIN and connection.scalar(_ADMINS) == 1:
        raise Conflict(f"{name!r} is the last admin: without one nobody could manage users.")
    buried = bury(connection, workloads.c.owner_id == user_id, now)
    connection.execute(delete(users).where(users.c.id == user_id))
    return buried


def set_password(connection: Connection, name: str, password_hash: str, verified: str | None = None) -> None:
    if verified is not None:
        _check_verified(connection, name, verified)
    user_id, _ = _found(connection, name)
    connection.execute(update(users).where(users.c.id == user_id).values(password_hash=password_hash))
    connection.execute(delete(tokens).where(tokens.c.user_id == user_id))


def add_token(
    connection: Connection,
    digest: bytes,
    user: str,
    now: float,
    expires_at: float,
    name: str | None = None,
    verified: str | None = None,
) -> TokenRecord:
    if verified is not None:
        _check_verified(connection, user, verified)
    user_id, _ = _found(connection, user)
    _make_room(connection, user_id, name, now)
    created, expires = micros(now), micros(expires_at)
    connection.execute(
        insert(tokens).values(digest=digest, user_id=user_id, created=created, expires=expires, name=name)
    )
    return _token_of((digest, user, name, created, expires))


MOST_TOKENS = 1_000
"""Tokens with names, and as many that logins gave, which one user may have."""


def _make_room(connection: Connection, user_id: int, name: str | None, now: float) -> None:
    """Forget the oldest token of a login where there are too many. Raises TooMany for one with a name."""
    named = tokens.c.name.is_not(None) if name is not None else tokens.c.name.is_(None)
    which = (tokens.c.user_id == user_id) & named
    count = connection.scalar(select(func.count()).where(which, tokens.c.expires > micros(now))) or 0
    if count < MOST_TOKENS:
        return
    if name is not None:
        raise TooMany(
            f"There are {count} tokens with names, as many as one user may have. Revoke some.",
            limit=MOST_TOKENS,
        )
    oldest = select(tokens.c.digest).where(which).order_by(tokens.c.created).limit(count - MOST_TOKENS + 1)
    connection.execute(delete(tokens).where(tokens.c.digest.in_(oldest)))


def _check_verified(connection: Connection, user: str, verified: str) -> None:
    """Raises BadCredentials when that is not the user's password hash, or not any more."""
    stored = connection.scalar(select(users.c.password_hash).where(users.c.name == text(user)))
    if stored != verified:
        raise BadCredentials("The user name or the password is wrong.")


# A token's id is the beginning of its digest: that says nothing of the secret, and is there already.
_ID_BYTES = 8
_TOKENS = select(tokens.c.digest, users.c.name, tokens.c.name, tokens.c.created, tokens.c.expires).join_from(
    tokens, users, users.c.id == tokens.c.user_id
)


def _token_of(row: Row) -> TokenRecord:
    digest, user, name, created, expires = row
    return TokenRecord(digest[:_ID_BYTES].hex(), user, name, seconds(created), seconds(expires))


def all_tokens(connection: Connection, user: str | None, limit: int) -> Sequence[TokenRecord]:
    statement = _TOKENS.order_by(tokens.c.name.is_(None), tokens.c.created.desc(), tokens.c.digest)
    if user is not None:
        statement = statement.where(users.c.name == text(user))
    return [_token_of(row) for row in connection.execute(statement.limit(limit))]


def revoke_token(connection: Connection, token_id: str, user: str | None) -> tuple[TokenRecord, bytes]:
    row = connection.execute(_TOKENS.where(tokens.c.digest.between(*_range(token_id)))).one_or_none()
    if row is None or user not in (None, row[1]):
        raise NotFound(f"There is no token {token_id[:64]!r}.")
    remove_token(connection, row[0])
    return _token_of(row), row[0]


def _range(token_id: str) -> tuple[bytes, bytes]:
    """The first and the last digest that begin with this id. Raises NotFound when it cannot be an id."""
    try:
        beginning = bytes.fromhex(token_id)
    except ValueError:
        beginning = b""
    if len(beginning) != _ID_BYTES:
        raise NotFound(f"There is no token {token_id[:64]!r}.")
    rest = 32 - _ID_BYTES
    return beginning + bytes(rest), beginning + b"\xff" * rest


def token(connection: Connection, digest: bytes) -> tuple[Principal, float] | None:
    row = connection.execute(
        select(users.c.name, users.c.role, users.c.quota, tokens.c.expires)
        .join_from(tokens, users, users.c.id == tokens.c.user_id)
        .where(tokens.c.digest == digest)
    ).one_or_none()
    if row is None:
        return None
    return Principal(row.name, Role(row.role), quota=row.quota), seconds(row.expires)


def remove_token(connection: Connection, digest: bytes) -> None:
    connection.execute(delete(tokens).where(tokens.c.digest == digest))


def _found(connection: Connection, name: str) -> tuple[int, str]:
    row = connection.execute(select(users.c.id, users.c.role).where(users.c.name == text(name))).one_or_none()
    if row is None:
        raise NotFound(f"There is no user named {name!r}.")
    return row.id, row.role
