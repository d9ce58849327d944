"""The keys and tokens of one DPIP, in the database that its controllers share.

The files in a controller's state directory stay what everything reads: they are written anew from the
database when that controller begins to lead, and kept in the database when it changes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlalchemy import Column, Connection, LargeBinary, MetaData, Table, Text, delete, insert, select

NAMES: Final = ("authority.pem", "join-token", "join-token.former", "api-token")

metadata = MetaData()
secrets = Table(
    "secrets",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", LargeBinary, nullable=False),
)


def read(connection: Connection) -> Mapping[str, bytes]:
    """Every secret by its file's name."""
    return {name: bytes(value) for name, value in connection.execute(select(secrets)).tuples()}


def keep(connection: Connection, files: Mapping[str, bytes]) -> None:
    """Keep these secrets, and no others."""
    if read(connection) != files:
        connection.execute(delete(secrets))
        connection.execute(insert(secrets), [{"name": name, "value": files[name]} for name in sorted(files)])
