"""Presets of users."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Select, delete, func, insert, select, update

from dpip.datastore.bulk import text
from dpip.datastore.dialects import ByBytes
from dpip.datastore.rows import micros, seconds, spec_of, spec_to_json
from dpip.datastore.schema import presets, users
from dpip.errors import Conflict, NotFound, TooMany
from dpip.model import Preset, WorkloadSpec

MOST = 200
"""Presets of one user."""


def all_of(connection: Connection, owner: str) -> Sequence[Preset]:
    return [_preset_of(row) for row in connection.execute(_of(owner).order_by(ByBytes(presets.c.name)))]


def get(connection: Connection, owner: str, name: str) -> Preset:
    """Raises NotFound."""
    row = connection.execute(_of(owner).where(presets.c.name == text(name))).one_or_none()
    if row is None:
        raise NotFound(f"There is no preset {name[:64]!r}.")
    return _preset_of(row)


def save(connection: Connection, owner: str, spec: WorkloadSpec, force: bool, now: float) -> Preset:
    """Keep a preset under the name of ``spec``. Raises Conflict, TooMany, NotFound for a user who is gone."""
    user = connection.scalar(select(users.c.id).where(users.c.name == owner))
    if user is None:
        raise NotFound(f"There is no user {owner!r}.")
    here = (presets.c.owner_id == user) & (presets.c.name == spec.name)
    facts = {"spec": spec_to_json(spec), "created": micros(now)}
    if connection.scalar(select(presets.c.id).where(here)) is None:
        if (connection.scalar(select(func.count()).where(presets.c.owner_id == user)) or 0) >= MOST:
            raise TooMany(f"There are {MOST} presets already. Delete one that is not needed any more.")
        connection.execute(insert(presets).values(owner_id=user, name=spec.name, **facts))
    elif force:
        connection.execute(update(presets).where(here).values(**facts))
    else:
        raise Conflict(f"There is a preset {spec.name!r} already. With force the new one replaces it.")
    return Preset(spec.name, spec, seconds(micros(now)))


def remove(connection: Connection, owner: str, name: str) -> None:
    """Raises NotFound."""
    whose = select(users.c.id).where(users.c.name == owner).scalar_subquery()
    gone = delete(presets).where(presets.c.owner_id == whose, presets.c.name == text(name))
    if connection.execute(gone).rowcount == 0:
        raise NotFound(f"There is no preset {name[:64]!r}.")


def _of(owner: str) -> Select[Any]:
    columns = select(presets.c.name, presets.c.spec, presets.c.created)
    return columns.join_from(presets, users, users.c.id == presets.c.owner_id).where(users.c.name == owner)


def _preset_of(row: Any) -> Preset:
    return Preset(row.name, spec_of(row.spec), seconds(row.created))
