"""The one thread that writes: everything that waits goes into one transaction with one fsync.

An fsync takes a millisecond or more whatever it covers, so operations that arrive while one runs share the
next; and while commits are frequent, there is a pause between them in which more operations gather.
Operations of one kind are handed to their function together, which makes them a few statements in all (see
``bulk``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import partial
from threading import Lock
from time import monotonic
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from attrs import define, field, frozen
from sqlalchemy import Connection, Engine
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from dpip.datastore.engine import explained
from dpip.errors import DpipError, RetryLater
from dpip.runtime.metrics import Histogram
from dpip.runtime.threads import FromThreads, Threads

WINDOW_SECONDS = 0.02
_FREQUENT = 5
_FREQUENT_SECONDS = 0.08
"""While the last ``_FREQUENT`` commits fall within so long, the next one waits until the last is
``WINDOW_SECONDS`` ago. A window after each commit would cost a lone image, which needs three, all of it."""
_FULL = 32
"""So many operations do not wait: they are worth a commit."""

A = TypeVar("A")
R = TypeVar("R")
P = ParamSpec("P")


@frozen(eq=False)
class OperationKind(Generic[A, R]):
    """A kind of operation: ``run`` does many at once and answers each with its result or its own error.

    ``touches`` names what an operation depends on or changes in a way that another could tell; operations
    of one group that touch nothing in common may be done in any order, so that those of one kind can be done
    together. With None, all keep their places before and after it. A kind that ``sheds`` is refused while too
    many operations wait.
    """

    run: Callable[[Connection, Sequence[A]], Sequence[R | DpipError]]
    touches: Callable[[A], Iterable[Hashable]] | None = None
    sheds: bool = True


_Call = Callable[[Connection], Any]


def _run_calls(connection: Connection, calls: Sequence[_Call]) -> list[Any]:
    return [_run_call(connection, call) for call in calls]


def _run_call(connection: Connection, call: _Call) -> Any:
    """Run one call; a DpipError undoes this call alone."""
    try:
        with connection.begin_nested():
            return call(connection)
    except DpipError as error:
        return error


_CALLS: OperationKind[_Call, Any] = OperationKind(_run_calls)


@define(eq=False)
class _Operation:
    """``answer`` is called with the result, a DpipError or a Failure, in the reactor's thread."""

    kind: OperationKind[Any, Any]
    argument: Any
    answer: Callable[[Any], object]


def _fire(done: Deferred[Any], result: Any) -> None:
    if isinstance(result, DpipError):
        done.errback(result)
    else:
        done.callback(result)  # a Failure fails it


@define(eq=False)
class _Gathered:
    """The answers of operations that were asked for together; they may be of several transactions."""

    results: list[Any]
    left: int
    done: Deferred[Any] = field(factory=Deferred, init=False)

    def set(self, place: int, result: Any) -> None:
        self.results[place] = Failure(result) if isinstance(result, DpipError) else result
        self.left -= 1
        if not self.left:
            self.done.callback(self.results)


@define(eq=False)
class Writer:
    """Takes operations and answers with Deferreds, each of which fires once its transaction is durable.

    At most ``limit`` operations wait, and ``group`` share a transaction. ``call_later`` is the reactor's;
    without it no commit waits for more.
    """

    log = Logger()

    _reactor: FromThreads
    _threads: Threads
    _engine: Engine
    _commits: Histogram = field(factory=Histogram)
    _limit: int = 20_000
    _group: int = 512
    _call_later: Callable[..., IDelayedCall] | None = None
    _monotonic: Callable[[], float] = monotonic
    _lock: Lock = field(factory=Lock, init=False)
    _waiting: deque[_Operation] = field(factory=deque, init=False)
    _draining: bool = field(default=False, init=False)
    _stopped: Deferred[None] | None = field(default=None, init=False)
    _connection: Connection | None = field(default=None, init=False)
    _committed: deque[float] = field(
        factory=lambda: deque(maxlen=_FREQUENT), init=False
    )  # when, the last ones
    _window: IDelayedCall | None = field(default=None, init=False)

    def call(
        self, function: Callable[Concatenate[Connection, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> Deferred[R]:
        """Call ``function(connection, …)`` with the next group; no later operation is done before it."""
        return self.submit(_CALLS, lambda connection: function(connection, *args, **kwargs))

    def submit(self, kind: OperationKind[A, R], argument: A) -> Deferred[R]:
        """Do one operation; its result. Fails with its own DpipError, or with the group's RetryLater or
        DiskFull."""
        done: Deferred[R] = Deferred()
        refused = self._add(kind, [_Operation(kind, argument, lambda result: _fire(done, result))])
        return done if refused is None else fail(refused)

    def submit_many(
        self, kind: OperationKind[A, R], arguments: Sequence[A]
    ) -> Deferred[Sequence[R | Failure]]:
        """Do several operations; the result or the failure of each. Fails when none of them is taken."""
        gathered = _Gathered([None] * len(arguments), len(arguments))
        if not arguments:
            return succeed([])
        operations = [
            _Operation(kind, argument, partial(gathered.set, place))
            for place, argument in enumerate(arguments)
        ]
        refused = self._add(kind, operations)
        return gathered.done if refused is None else fail(refused)

    def _add(self, kind: OperationKind[A, R], operations: Sequence[_Operation]) -> RetryLater | None:
        """Queue the operations; or return why not."""
        with self._lock:
            if self._stopped is not None:
                return RetryLater("The server is shutting down.")
            if kind.sheds and len(self._waiting) >= self._limit:
                return RetryLater("The database has more to write than it can. Try again in a second.")
            self._waiting.extend(operations)
            idle, self._draining = not self._draining, True
        if idle:
            self._start()
        elif self._window is not None and len(self._waiting) >= _FULL:
            self._close_window()
        return None

    def _start(self) -> None:
        """Begin with what waits, at the end of the window."""
        left = self._window_left()
        if left > 0 and self._call_later is not None:
            self._window = self._call_later(left, self._close_window)
        else:
            self._threads.callInThread(self._drain)

    def _close_window(self) -> None:
        window, self._window = self._window, None
        if window is not None and window.active():
            window.cancel()
        self._threads.callInThread(self._drain)

    def _window_left(self) -> float:
        """Return for how many seconds it is worth to wait for more."""
        now, last = self._monotonic(), self._committed
        frequent = len(last) == _FREQUENT and now - last[0] < _FREQUENT_SECONDS
        if not frequent or self._stopped is not None or len(self._waiting) >= _FULL:
            return 0.0
        return min(last[-1] + WINDOW_SECONDS - now, WINDOW_SECONDS)

    def stop(self) -> Deferred[None]:
        """Take no more operations; fires when all that waits is durable."""
        with self._lock:
            if self._draining:
                self._stopped = Deferred()
                if self._window is not None:
                    self._close_window()
            else:
                self._stopped = succeed(None)
                self._disconnect()
            return self._stopped

    # In the writer's thread

    def _drain(self) -> None:
        while group := self._next_group():
            began = self._monotonic()
            results = self._done(group)
            ended = self._monotonic()
            self._committed.append(ended)
            self._commits.observe(ended - began)
            if self._call_later is not None and self._window_left() > 0:
                self._reactor.callFromThread(self._pause, group, results)
                return
            self._reactor.callFromThread(_answer, group, results)

    def _pause(self, group: list[_Operation], results: list[Any]) -> None:
        """Answer, and go on in this way when the window ends (in the reactor's thread)."""
        _answer(group, results)
        with self._lock:
            self._draining = bool(self._waiting) or self._stopped is not None
        if self._draining:
            self._start()

    def _next_group(self) -> list[_Operation]:
        with self._lock:
            group = [self._waiting.popleft() for _ in range(min(self._group, len(self._waiting)))]
            if not group:
                self._draining = False
                if self._stopped is not None:
                    self._disconnect()
                    self._reactor.callFromThread(self._stopped.callback, None)
            return group

    def _done(self, group: list[_Operation]) -> list[Any]:
        """Do the group: each operation's result, or its DpipError or Failure. It never raises."""
        try:
            return self._transaction(group)
        except Exception as error:  # noqa: BLE001 - the thread must go on, and all be answered
            if explained(error) is None:
                return self._one_by_one(group)
            self.log.error("A transaction of {count} failed: {error}", count=len(group), error=error)
            self._disconnect()  # after an I/O error start again with a new connection
            return [explained(error) for _ in group]

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._engine.dispose()

    def _one_by_one(self, group: list[_Operation]) -> list[Any]:
        """Do each by itself after a bug, which has kept the group from its commit: only the culprit fails."""
        if len(group) == 1:
            failure = Failure()
            self.log.failure("An operation on the database failed", failure)
            return [failure]
        return [result for operation in group for result in self._done([operation])]

    def _transaction(self, group: list[_Operation]) -> list[Any]:
        results: dict[int, Any] = {}
        if self._connection is None:
            self._connection = self._engine.connect()
        with self._connection.begin():
            for batch in arranged(group):
                answers = batch[0].kind.run(self._connection, [operation.argument for operation in batch])
                results.update(zip(map(id, batch), answers, strict=True))
        return [results[id(operation)] for operation in group]


def arranged(group: Iterable[_Operation]) -> list[list[_Operation]]:
    """The operations in batches of one kind each, with the same outcome as in their order of arrival."""
    batches: list[list[_Operation]] = []
    newest: dict[int, int] = {}  # kind -> its last batch
    touched: dict[Hashable, int] = {}  # what -> the last batch that touches it
    barrier = 0  # no operation may join a batch before this one
    for operation in group:
        kind = operation.kind
        things = None if kind.touches is None else list(kind.touches(operation.argument))
        if things is None:
            earliest = barrier = max(len(batches) - 1, 0)
        else:
            earliest = max([barrier, *(touched.get(thing, -1) + 1 for thing in things)])
        place = newest.get(id(kind), -1)
        if place < earliest:
            place = newest[id(kind)] = len(batches)
            batches.append([])
        batches[place].append(operation)
        for thing in things or ():
            touched[thing] = place
        if things is None:
            barrier = len(batches)
    return batches


def _answer(group: list[_Operation], results: list[Any]) -> None:
    """Answer the whole group with one call in the reactor's thread."""
    for operation, result in zip(group, results, strict=True):
        operation.answer(result)
