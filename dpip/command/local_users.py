"""The users in a state directory, which may be changed while the service runs, and while it does not."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from attrs import frozen
from twisted.internet.defer import Deferred

from dpip.api.views import user_json
from dpip.command.prompts import ask_password
from dpip.controller.accounts import Accounts, check_name
from dpip.controller.passwords import Passwords
from dpip.datastore.datastore import Datastore
from dpip.datastore.postgres import PostgresDatabase
from dpip.errors import Conflict, NotFound
from dpip.model import Activity, Role
from dpip.runtime.options import default_state_dir
from dpip.runtime.threads import InlineThreads

T = TypeVar("T")

_DATABASE = "dpip.sqlite"
_ACTOR = "dpip users"  # in the activity record


class _Here(InlineThreads):
    """Runs everything before the call returns, hashing too: a command has nothing else to do."""

    def callInThreadWithCallback(
        self, done: Callable[[bool, Any], object], function: Callable[..., Any], *args: Any
    ) -> None:
        done(True, function(*args))


@frozen
class LocalUsers:
    """The users in a state directory. All changes are durable when a method returns. Raises DpipError."""

    noticed: ClassVar[str] = " A running service takes up to 40 s to notice."  # and its API processes

    datastore: Datastore
    accounts: Accounts

    @classmethod
    @contextmanager
    def opened(cls, path: Path | None, postgres: PostgresDatabase | None = None) -> Iterator[LocalUsers]:
        """Open the PostgreSQL database, or the state directory ``path``, None for the usual one.

        Raises NotFound when there is no state.
        """
        database = (path or default_state_dir()).absolute() / _DATABASE
        if postgres is None and not database.exists():
            raise NotFound(
                f"There is no DPIP in {database.parent}. Start the service once, or say with --state-dir (or "
                "DPIP_STATE_DIR) where its state is."
            )
        here: Any = _Here()
        datastore = Datastore(postgres or database, here, lambda most, name, nice=0: here)
        accounts = Accounts(datastore, Passwords(here, here), time.time, time.monotonic, os.urandom)
        datastore.startService()
        try:
            yield cls(datastore, accounts)
        finally:
            _result(datastore.stopService())

    def users(self) -> Sequence[Mapping[str, Any]]:
        """List the users by name, as the API shows them."""
        return [user_json(user) for user in _result(self.datastore.users())]

    def check_known(self, name: str) -> None:
        """Raise NotFound unless there is a user of that name."""
        if _result(self.datastore.user(name)) is None:
            known = ", ".join(user["user"] for user in self.users())
            raise NotFound(f"There is no user named {name!r}. Known: {known}.")

    def check_new(self, name: str) -> None:
        """Raise BadParameter if the name cannot be one, Conflict if it is taken."""
        if _result(self.datastore.user(check_name(name))) is not None:
            raise Conflict(f"There is a user named {name!r} already. 'dpip users passwd' sets a password.")

    def add(self, name: str, password: str, admin: bool, quota: int | None) -> None:
        """Add a user. Raises BadParameter, Conflict."""
        role = Role.ADMIN if admin else Role.USER
        _finish(self.accounts.add_user(name, password, role, quota))
        self._note("add-user", name, role=role.value)

    def change_password(self, name: str) -> None:
        """Ask for a user's new password and set it. Raises BadParameter, NotFound."""
        _finish(self.accounts.set_password(name, ask_password(name, new=True)))
        self._note("set-password", name)

    def remove(self, name: str) -> int:
        """Remove a user; returns how many workloads were removed too.

        A running service removes their files within hours.
        """
        workloads = _result(self.datastore.remove_user(name, time.time()))
        self._note("remove-user", name)
        return len(workloads)

    def _note(self, action: str, subject: str, **detail: object) -> None:
        _result(self.datastore.record(Activity(time.time(), _ACTOR, action, subject, dict(detail))))


def _finish(work: Coroutine[Any, Any, T]) -> T:
    return _result(Deferred.fromCoroutine(work))


def _result(done: Deferred[T]) -> T:
    """Return the result of a Deferred that has fired, as all do here without threads and reactor."""
    results: list[T] = []
    failures: list[Any] = []
    done.addCallbacks(results.append, failures.append)
    if failures:
        failures[0].raiseException()
    return results[0]
