"""Reads: a few threads with connections of their own, so that no reader waits for a writer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

from attrs import define, field
from sqlalchemy import Connection, Engine
from twisted.internet.defer import Deferred, fail

from dpip.datastore.engine import explained
from dpip.errors import RetryLater
from dpip.runtime.threads import FromThreads, Threads, in_thread

P = ParamSpec("P")
R = TypeVar("R")


@define(eq=False)
class Reader:
    """At most ``limit`` reads wait or run; more are refused with RetryLater."""

    _reactor: FromThreads
    _threads: Threads
    _engine: Engine
    _limit: int = 10_000
    _pending: int = field(default=0, init=False)

    def read(
        self, function: Callable[Concatenate[Connection, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> Deferred[R]:
        """Call ``function(connection, …)``; it sees everything that was durable before."""
        if self._pending >= self._limit:
            return fail(RetryLater("The database has more to read than it can. Try again in a second."))
        self._pending += 1
        return in_thread(self._reactor, self._threads, self._run, function, args, kwargs).addBoth(self._ended)

    def _run(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        try:
            with self._engine.connect() as connection:
                return function(connection, *args, **kwargs)
        except Exception as error:
            if (reason := explained(error)) is not None:
                raise reason from error
            raise

    def _ended(self, result: Any) -> Any:
        self._pending -= 1
        return result
