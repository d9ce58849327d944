"""One compute child as its worker sees it: the process, and the tasks it has been given, in order."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Final, Protocol

from attrs import asdict, define, field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from dpip.model import Outcome, Step
from dpip.worker.child_main import FILES, REPLIES

WARM_UP_SECONDS: Final = 900.0
"""The first start on a machine compiles every kernel; a slow one may need minutes."""
MAX_JOBS: Final = 20_000
MAX_GROWTH: Final = 512 * 2**20
"""A child is replaced after so many jobs, or when it keeps so many bytes more than it began with."""
CANCEL_SECONDS: Final = 2.0
"""A cancelled job may run on for so long, about what replacing its child would cost."""
_TOLERANCE_SECONDS: Final = 0.05
_MAX_LINE: Final = 1024 * 1024
"""Bytes of one message of a child; a ``ready`` with a thousand filters needs 100 KB."""


@frozen
class ComputeTask:
    """What a child is asked to do, from file to file. After ``seconds`` it is killed.

    ``sha256`` is what the source must have, if that has not been checked already. If ``at_least`` is not 0,
    the original may be decoded to that many pixels each way instead of all that it has.
    """

    source: str
    result: str
    steps: tuple[Step, ...]
    output: Mapping[str, Any]
    max_pixels: int
    threads: int
    seconds: float
    sha256: str = ""
    at_least: int = 0


@frozen
class Verdict:
    """How a task ended. ``size``, ``sha256``, ``content_type`` and ``notices`` are of a result."""

    outcome: Outcome
    code: str = ""
    detail: str = ""
    seconds: float = 0.0
    sha256: str = ""
    content_type: str = ""
    size: int = 0
    notices: tuple[str, ...] = ()


_MAKE: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
_MODE: Final = 0o666  # less the umask, as ever
_LAST_LINES: Final = 8
_MAX_PRINTED: Final = 500
_MAX_SECONDS: Final = 1e6
_OUTCOMES: Final = {outcome.value: outcome for outcome in Outcome if outcome is not Outcome.LOST}
CANCELLED: Final = Verdict(Outcome.RETURNED, "cancelled")


@define(eq=False)
class Work:
    """A task on its way through the pool. ``done`` fires with its verdict, :data:`CANCELLED` if it was
    cancelled, once its files are not in use any more."""

    task: ComputeTask
    started: bool = False
    cancelled: bool = False
    done: Deferred[Verdict] = field(factory=Deferred)

    def finish(self, verdict: Verdict) -> None:
        self.done.callback(CANCELLED if self.cancelled else verdict)


class ChildOwner(Protocol):
    """What a child calls when its state changes."""

    def kernels_are_cached(self) -> None: ...

    def child_ready(self, child: ComputeChild) -> None: ...

    def child_free(self, child: ComputeChild, seconds: float) -> None: ...

    def child_ended(self, child: ComputeChild, why: str) -> None: ...

    def log_line(self, line: str) -> None: ...


class ComputeChild(ProcessProtocol):
    """The first of ``work`` is being computed, the rest wait inside the child."""

    transport: Any = None

    def __init__(
        self, owner: ChildOwner, clock: IReactorTime, monotonic: Callable[[], float], files: socket.socket
    ) -> None:
        self.ready: Mapping[str, Any] | None = None
        self.work: deque[Work] = deque()
        self.worn_out = False
        self.died_at_work = False
        self._owner = owner
        self._clock = clock
        self._monotonic = monotonic
        self._files = files
        self._deadline: IDelayedCall | None = None
        self._killed_for: Verdict | None = None
        self._replies = bytearray()
        self._output_lines: deque[str] = deque(maxlen=_LAST_LINES)
        self._partial_line = ""
        self._jobs = 0
        self._rss = 0
        self._waited = 0.0
        self._free_since: float | None = None

    @property
    def pid(self) -> int | None:
        """None when it has ended."""
        pid: int | None = self.transport.pid
        return pid

    def waited(self) -> float:
        """Return the seconds that it has been idle since it was ready: until its last task by its own clock,
        which excludes the pipe, and since then by ours."""
        return self._waited + (self._monotonic() - self._free_since if self._free_since is not None else 0.0)

    def add(self, work: Work) -> None:
        """Give it one more task; one whose files cannot be opened ends at once."""
        try:
            self._send_files(work.task)
        except _NotOpened as error:
            work.finish(error.verdict)
            return
        self._free_since = None
        self.work.append(work)
        self._write({**asdict(work.task), "job": id(work)})
        if len(self.work) == 1:
            self._begin_first()

    def cancelled(self, work: Work) -> None:
        """Kill the child soon if it computes this work, which has been cancelled, and does not finish."""
        if self.work and self.work[0] is work:
            self._expire(CANCEL_SECONDS, CANCELLED)

    def retire(self) -> None:
        """Close its input, with which an idle child ends."""
        self.transport.closeStdin()

    def kill(self) -> None:
        """Kill it."""
        if self.pid is not None:
            self.transport.signalProcess("KILL")

    # ProcessProtocol

    def connectionMade(self) -> None:
        self._expire(WARM_UP_SECONDS, Verdict(Outcome.CRASHED, "warm-up-timeout"))

    def childDataReceived(self, childFD: int, data: Any) -> None:
        if childFD != REPLIES:
            self._read_output(data.decode(errors="replace"))
            return
        self._replies += data
        *lines, self._replies = self._replies.split(b"\n")
        try:
            if len(self._replies) > _MAX_LINE:
                raise ValueError("an endless line")
            for line in lines:
                self._handle_reply(json.loads(line))
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            self._owner.log_line(f"Compute child {self.pid} is killed for a bad answer ({error!r:.200}).")
            self.kill()

    def processEnded(self, reason: Failure) -> None:
        self._cancel_deadline()
        self._files.close()
        verdict = self._killed_for or Verdict(Outcome.CRASHED, "compute-crashed", _how(reason))
        charged = self.work.popleft() if self.work else None
        self.died_at_work = charged is not None
        last = "".join(f"\n    {line}" for line in (*self._output_lines, self._partial_line) if line.strip())
        self._owner.child_ended(self, f"{verdict.detail or verdict.code}{last}")
        if charged is not None:
            charged.finish(verdict)

    # What it prints and answers

    def _read_output(self, text: str) -> None:
        """Keep the last lines that it prints: they may say why it died. Log the lines of a warm child."""
        *lines, rest = (self._partial_line + text).split("\n")
        self._partial_line = rest[-_MAX_PRINTED:]
        for line in filter(str.strip, lines):
            self._output_lines.append(line[:_MAX_PRINTED])
            if self.ready:
                self._owner.log_line(f"Compute child {self.pid}: {line[:_MAX_PRINTED]}")

    def _handle_reply(self, message: Mapping[str, Any]) -> None:
        if "say" in message:
            self._owner.log_line(str(message["say"])[:500])
        elif "cached" in message:
            self._owner.kernels_are_cached()
        elif "ready" in message:
            self._cancel_deadline()
            self._rss = int(message["rss"])
            self.ready = message["ready"]
            self._free_since = self._monotonic()
            self._owner.child_ready(self)
        else:
            self._finish(message)

    def _finish(self, message: Mapping[str, Any]) -> None:
        if message["job"] != id(self.work[0]):
            raise ValueError("an answer to no question")
        verdict = as_verdict(message)
        work = self.work.popleft()
        self._cancel_deadline()
        self._jobs += 1
        grown = int(message["rss"]) - self._rss
        self.worn_out |= self._jobs >= MAX_JOBS or grown > MAX_GROWTH or verdict.code == "out-of-memory"
        self._waited += min(max(0.0, float(message.get("waited", 0.0))), _MAX_SECONDS)
        if self.work:
            self._begin_first()
        else:
            self._free_since = self._monotonic()
        self._owner.child_free(self, verdict.seconds)
        work.finish(verdict)

    def _begin_first(self) -> None:
        first = self.work[0]
        first.started = True
        seconds = first.task.seconds
        words = f"Filtering took longer than {seconds:g} s and was stopped."
        limit = CANCEL_SECONDS if first.cancelled else seconds
        self._expire(limit, Verdict(Outcome.CRASHED, "compute-timeout", words))

    # Deadlines

    def _expire(self, seconds: float, verdict: Verdict) -> None:
        """Kill it after so many monotonic seconds: the reactor's timers follow the wall clock."""
        end = self._monotonic() + seconds

        def expired() -> None:
            left = end - self._monotonic()
            if left > _TOLERANCE_SECONDS:
                self._deadline = self._clock.callLater(left, expired)
                return
            self._killed_for = verdict
            self.kill()

        self._cancel_deadline()
        self._deadline = self._clock.callLater(seconds, expired)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()

    def _send_files(self, task: ComputeTask) -> None:
        """Send the child the open files of a task, and kill one that takes none. Raises _NotOpened."""
        with _opened(task) as descriptors:
            try:
                socket.send_fds(self._files, [b"."], descriptors)
            except ConnectionError:
                pass  # it has died, and processEnded follows
            except OSError as error:
                self._owner.log_line(f"Compute child {self.pid} is killed, as it takes no files ({error}).")
                self.kill()

    def _write(self, message: Mapping[str, Any]) -> None:
        with suppress(KeyError):  # its pipe is closed: it has died, and processEnded follows
            self.transport.writeToChild(0, json.dumps(message).encode() + b"\n")


@frozen
class _NotOpened(Exception):
    verdict: Verdict


@contextmanager
def _opened(task: ComputeTask) -> Iterator[list[int]]:
    """Open the source for reading and the result, which is made, for writing. Raises _NotOpened."""
    with ExitStack() as stack:
        descriptors = []
        for path, flags, code, words in (
            (task.source, os.O_RDONLY, "spool-error", "The original could not be read"),
            (task.result, _MAKE, "disk-full", "The result could not be written"),
        ):
            try:
                descriptors.append(os.open(path, flags | os.O_CLOEXEC, _MODE))
            except OSError as error:
                raise _NotOpened(Verdict(Outcome.RETURNED, code, f"{words}: {error}")) from None
            stack.callback(os.close, descriptors[-1])
        yield descriptors


def _environment() -> dict[str, str]:
    """Return what a child's environment is: ours with our module path, and without our secrets."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not (name.startswith("DPIP_") and name.endswith(("TOKEN", "PASSWORD")))
    }
    # Slots are one core each; and threads that a library starts early are not reached by every confinement.
    kept.setdefault("OPENBLAS_NUM_THREADS", "1")
    return {**kept, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def spawn(
    reactor: Any, monotonic: Callable[[], float], owner: ChildOwner, command: Sequence[str], memory_limit: int
) -> ComputeChild:
    """Start a compute child, with our module path and none of our descriptors."""
    ours, theirs = socket.socketpair()
    with theirs:
        ours.setblocking(False)
        ours.shutdown(socket.SHUT_RD)
        child = ComputeChild(owner, reactor, monotonic, ours)
        arguments = [*command, str(os.getpid()), str(memory_limit)]
        descriptors = {0: "w", 1: "r", 2: "r", REPLIES: "r", FILES: theirs.fileno()}
        reactor.spawnProcess(child, arguments[0], arguments, _environment(), childFDs=descriptors)
    return child


def as_verdict(message: Mapping[str, Any]) -> Verdict:
    """Return the verdict in an answer. Raises ValueError, KeyError, TypeError."""
    return Verdict(
        outcome=_OUTCOMES[message["outcome"]],
        code=str(message["code"]),
        detail=str(message["detail"]),
        seconds=min(max(0.0, float(message["seconds"])), _MAX_SECONDS),
        sha256=str(message.get("sha256", "")),
        content_type=str(message.get("content_type", "")),
        size=int(message.get("size", 0)),
        notices=tuple(map(str, message.get("notices", ()))),
    )


def _how(reason: Failure) -> str:
    """Return how a process ended, for people."""
    number = getattr(reason.value, "signal", None)
    if number is None:
        code = getattr(reason.value, "exitCode", "?")
        return f"The filtering process ended by itself, with exit code {code}."
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    hint = " Perhaps the machine ran out of memory." if name == "SIGKILL" else ""
    return f"The filtering process was ended by {name}.{hint}"
