"""What PostgreSQL's errors mean to people."""

from __future__ import annotations

from typing import Any

from dpip.errors import DiskFull, DpipError, RetryLater


class UnusableDatabase(DpipError):
    """The database cannot be used, for a reason that waiting does not mend."""

    code = "unusable-database"
    title = "A database that cannot be used"


def sentence(error: Exception) -> str:
    """The first line of what libpq says of an error."""
    said = str(error).strip().splitlines() or [type(error).__name__]
    return said[0].removeprefix("connection failed: ").rstrip(". ") + "."


def not_connected(error: Any) -> DpipError:
    """Wrong credentials or names stay so; all else may be over soon."""
    state = error.sqlstate or ""
    said = sentence(error)
    wrong = state[:2] in ("28", "3D") or any(word in said for word in ("authentication failed", "not exist"))
    if wrong or "no password supplied" in said:
        return UnusableDatabase(f"The database cannot be opened: {said}")
    return RetryLater(f"The database cannot be reached: {said}", retry_after=5)


def explained(error: Any) -> DpipError | None:
    """As :func:`dpip.datastore.engine.explained`, for an error of psycopg's."""
    state = error.sqlstate
    if state == "53100":
        return DiskFull("The disk that holds the database is full. Nothing was changed.")
    if state is None and type(error).__name__ == "OperationalError":
        state = "08006"  # the session has ended, and nobody has said why
    if state and (state[:2] in ("08", "40", "53", "57", "58") or state in ("25006", "25P03", "55P03")):
        return RetryLater("The database cannot be reached. Try again.", retry_after=5)
    return None
