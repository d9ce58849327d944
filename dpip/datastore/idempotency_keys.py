"""Idempotency keys, and what was answered under each, kept in the transaction of the request itself."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, insert, select

from dpip.datastore.bulk import as_json, execute, fetch, given, text
from dpip.datastore.rows import micros
from dpip.datastore.schema import keys, users
from dpip.errors import KeyReused
from dpip.model import IdempotencyKey

_asked = given("owner", "key")
_FIND = as_json(
    select(users.c.name, keys.c.key, keys.c.fingerprint, keys.c.answer)
    .join_from(_asked, users, users.c.name == _asked.c.owner)
    .join(keys, (keys.c.owner_id == users.c.id) & (keys.c.key == _asked.c.key))
)

_new = given("owner", "key", "fingerprint", "answer", "created")
_REMEMBER = insert(keys).from_select(
    ["owner_id", "key", "fingerprint", "answer", "created"],
    select(users.c.id, _new.c.key, _new.c.fingerprint, _new.c.answer, _new.c.created).join_from(
        _new, users, users.c.name == _new.c.owner
    ),
)

Answer = dict[str, Any]
Earlier = dict[tuple[str, str], tuple[str, Answer]]


def find(connection: Connection, wanted: Iterable[IdempotencyKey | None]) -> Earlier:
    """The fingerprint and the answer of each key that is known, by owner and key."""
    asked = [_name(key) for key in wanted if key is not None]
    if not asked:
        return {}
    return {
        (owner, key): (fingerprint, json.loads(answer))
        for owner, key, fingerprint, answer in fetch(connection, _FIND, asked)
    }


def is_known(connection: Connection, owner: str, key: str) -> bool:
    return bool(fetch(connection, _FIND, [(text(owner), text(key))]))


def _name(key: IdempotencyKey) -> tuple[str, str]:
    return text(key.owner), text(key.key)


def answered(earlier: Earlier, key: IdempotencyKey | None, kind: str) -> Any:
    """What was answered to this very request, or None. Raises KeyReused for another request."""
    found = None if key is None else earlier.get(_name(key))
    if key is None or found is None:
        return None
    fingerprint, answer = found
    if fingerprint != key.fingerprint or kind not in answer:
        raise KeyReused(
            f"The idempotency key {key.key!r} was used for another request: take a new key for each request."
        )
    return answer[kind]


def remember(connection: Connection, answers: Iterable[tuple[IdempotencyKey | None, Answer, float]]) -> None:
    """Keep each ``(key, answer, now)`` that has a key."""
    new = [
        (*_name(key), key.fingerprint, json.dumps(answer), micros(now))
        for key, answer, now in answers
        if key is not None
    ]
    if new:
        execute(connection, _REMEMBER, new)
