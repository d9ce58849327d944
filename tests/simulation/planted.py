"""Bugs planted one at a time, to see whether the simulation can see.

Each is a small change of one function of the product, by its text: when that text has changed, the bug must
be planted anew. Without this list a green run would say little.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import reduce
from importlib import import_module
from types import CodeType, ModuleType
from typing import Any

from attrs import frozen


class NoGround(Exception):
    """The text that a planted bug replaces is not there any more."""


@frozen
class Bug:
    """``place`` is ``module:Class.function``; ``right`` is the text in it, ``wrong`` what replaces it.

    ``also`` are further places: what is held twice must be let go twice.
    """

    place: str
    right: str
    wrong: str
    also: tuple[Bug, ...] = ()


@contextmanager
def planted(name: str) -> Iterator[None]:
    """While this lasts the product has that bug. Raises NoGround."""
    bug = BUGS[name]
    with ExitStack() as stack:
        for each in (bug, *bug.also):
            stack.enter_context(changed(each))
        yield


@contextmanager
def changed(bug: Bug) -> Iterator[None]:
    """The function stays the same object, whoever has got hold of it: only its code is another one."""
    module_name, _, path = bug.place.partition(":")
    module = import_module(module_name)
    *outer, name = path.split(".")
    owner = reduce(getattr, outer, module)
    function = inspect.unwrap(getattr(owner, name))
    source = textwrap.dedent(inspect.getsource(function))
    if source.count(bug.right) != 1:
        raise NoGround(f"{bug.right!r} is there {source.count(bug.right)} times in {bug.place}")
    right, function.__code__ = function.__code__, _code(source.replace(bug.right, bug.wrong), name, module)
    try:
        yield
    finally:
        function.__code__ = right


def _code(source: str, name: str, module: ModuleType) -> CodeType:
    """Compiled where ``super()`` finds its class."""
    body = textwrap.indent(source, "    ")
    space: dict[str, Any] = {}
    exec(
        f"from __future__ import annotations\ndef make(__class__):\n{body}\n    return {name}",
        vars(module),
        space,
    )
    code: CodeType = inspect.unwrap(space["make"](None)).__code__
    return code


_STORE = "dpip.store.image_store:ImageStore"
_WRITING = "dpip.store.writing"
_DATA = "dpip.datastore"
_CORE = "dpip.controller.core:Controller"
_HELD_JOBS = "dpip.scheduler.held_jobs:HeldJobs"

_DURABLE = {
    "file not fsynced": Bug(f"{_WRITING}:Write.sync", "sync(self._descriptor)", "pass"),
    "name not fsynced": Bug(
        f"{_WRITING}:StoreWriter._write_part", "self._attempt(inside, sync, folder)", "pass"
    ),
    "directory not fsynced": Bug(f"{_STORE}._descend", "sync(parent)", "pass"),
    "store not fsynced": Bug(f"{_STORE}.startService", "sync_folder(folder)", "pass"),
    "commits not fsynced": Bug(
        f"{_DATA}.engine:writing", '"synchronous": synchronous', '"synchronous": "NORMAL"'
    ),
    "answered before the commit": Bug(
        f"{_DATA}.writer:Writer._transaction",
        "with self._connection.begin():",
        "self._connection.in_transaction() or self._connection.begin()\n    if True:",
    ),
    "failed commits are good commits": Bug(
        f"{_DATA}.writer:Writer._done",
        "return [explained(error) for _ in group]",
        "return [None for _ in group]",
    ),
    "files of a failed commit are removed": Bug(
        f"{_CORE}.commit_originals", "except _REFUSED:", "except DpipError:"
    ),
}

_LEASES = {
    "lease not persisted": Bug(
        f"{_DATA}.jobs:_lease", "check_all_changed(execute(connection, _LEASE, rows), rows)", "pass"
    ),
    "leases stay after a restart": Bug(f"{_DATA}.jobs:recover", "connection.execute(_RECOVER_JOBS)", "pass"),
    "released jobs are forgotten": Bug(
        f"{_HELD_JOBS}.released", "self._backlog.put_back(held.workload, held.job)", "pass"
    ),
    "release not persisted": Bug(
        f"{_DATA}.jobs:_release", "end_attempts(connection, list(endings.values()))", "pass"
    ),
    "slot not freed": Bug(
        "dpip.scheduler.roster:Roster.remove_job", "del worker.held[held.job.number]", "pass"
    ),
    "jobs computed by a lost worker are lost": Bug(
        f"{_HELD_JOBS}._lost", "self.put_back(held, Outcome.LOST)", "pass"
    ),
    "crashed jobs are lost": Bug(f"{_HELD_JOBS}._crashed", "self.put_back(held, Outcome.CRASHED)", "pass"),
    "returned jobs are lost": Bug(f"{_HELD_JOBS}.ended", "self.put_back(held, Outcome.RETURNED)", "pass"),
    "crashes are not counted": Bug(f"{_HELD_JOBS}._charge", "had.crashes + crashes", "had.crashes"),
    "failures are not recorded": Bug(f"{_HELD_JOBS}._fail", "self._out.append(", "str("),
    "deleted jobs keep their slots": Bug(f"{_HELD_JOBS}.drop", "self._abandon(held.worker, held)", "pass"),
    "the datastore is asked once": Bug(
        "dpip.scheduler.datastore_writes:Persistence.until_done",
        "await self.pause(pause)",
        "raise CancelledError",
    ),
    "jobs that waited before the start are lost": Bug(
        "dpip.scheduler.backfill:Backfill._read_jobs",
        "self._handle_event(e.JobsWaiting(workload_id, jobs))",
        "pass",
    ),
    "results do not free": Bug(f"{_HELD_JOBS}.committed", "self._end(held)", "pass"),
}

_UPLOADS = {
    "keys are not looked up": Bug(f"{_DATA}.idempotency_keys:answered", "earlier.get(_name(key))", "None"),
    "keys are not kept": Bug(f"{_DATA}.idempotency_keys:remember", "execute(", "(lambda *_: None)("),
    "a key opens everything": Bug(
        f"{_DATA}.idempotency_keys:answered", "fingerprint != key.fingerprint", "False"
    ),
    "temporary files stay": Bug("dpip.api.http.bodies:UploadBody.close", "file.abandon()", "pass"),
    "room stays reserved": Bug("dpip.api.http.bodies:UploadBody.close", "self.admission.release()", "pass"),
    "the scheduler is not told of uploads": Bug(
        f"{_CORE}.commit_originals", "self.scheduler.jobs_waiting(workload_id, [", "list(["
    ),
    "the scheduler is not told of results": Bug(
        f"{_CORE}._committed", "self.scheduler.result_committed(lease)", "pass"
    ),
    "counted twice": Bug(
        f"{_DATA}.results:_count", "tally.done += ending.state is JobState.DONE", "tally.done += 1"
    ),
    "failures count as done": Bug(f"{_DATA}.results:_fail", "JobState.FAILED", "JobState.DONE"),
    "uploads are not charged": Bug(f"{_DATA}.uploads:_charge", "other.used += size", "pass"),
    "used bytes are not given back": Bug(
        f"{_DATA}.workloads:bury", "of_user - _sum_of(of_workload, which)", "of_user - 0"
    ),
    "files of a deleted workload stay in the rows": Bug(
        f"{_DATA}.workloads:bury", "deleted=micros(now)", "deleted=None"
    ),
}

_OWNERS = {
    "everybody's is everybody's": Bug(
        "dpip.controller.permissions:owned", "workload.owner == by.name", "True"
    ),
    "logged out, and still in": Bug(
        "dpip.controller.accounts:Accounts.logout",
        "await self.datastore.remove_token(_digest(secret))",
        "pass",
    ),
    "tokens are remembered too well": Bug(
        "dpip.controller.accounts:Accounts._forget_tokens", "self._tokens.pop(digest, None)", "pass"
    ),
    "versions are not compared": Bug("dpip.controller.joining:_check_filters", "ours != version", "False"),
}

_LINKS = {
    "the controller never gives up a worker": Bug(
        "dpip.controller.worker_link:WorkerLink.interval_passed", "self._silence >= MAX_SILENCE", "False"
    ),
    "a worker never gives up its controller": Bug(
        "dpip.worker.heartbeat:Heartbeat._beat", "self._unanswered >= MAX_SILENCE", "False"
    ),
    "a worker joins once": Bug("dpip.link.session:JoinedSession._delay", "(0.5 + self._jitter())", "1000"),
    "the heartbeat goes on": Bug("dpip.worker.heartbeat:Heartbeat.stop", "self._loop.stop()", "pass"),
    "the controller's heartbeat goes on": Bug(
        "dpip.controller.workers:Workers.stop", "self._heartbeat.stop()", "pass"
    ),
    "endings are not sent": Bug(
        "dpip.worker.job_runner:JobRunner._flush", 'notify(self._controller, "ended", message)', "pass"
    ),
    "a runner outlives its link": Bug("dpip.worker.session:WorkerSession._left", "runner.abandon()", "pass"),
    "a lost worker stays joined": Bug(
        "dpip.controller.workers:Workers._forget", "self._remember_as_gone(link.info.name)", "pass"
    ),
    "the scheduler does not hear of losses": Bug(
        "dpip.controller.workers:Workers._forget", "self._scheduler.worker_lost(link.session)", "pass"
    ),
}

_COMPUTING = {
    "crashes are nobody's": Bug(
        "dpip.worker.compute_child:ComputeChild.processEnded",
        "charged.finish(verdict)",
        "charged.finish(CANCELLED)",
    ),
    "hanging children live": Bug("dpip.worker.compute_child:ComputeChild._expire", "self.kill()", "pass"),
    "dead children are not replaced": Bug(
        "dpip.worker.compute_pool:ComputePool._replace", "self._spawn()", "pass"
    ),
    "the spool fills": Bug(
        "dpip.worker.image_transport:HttpTransport.remove_files", "os.unlink(path)", "pass"
    ),
}

_BATCHES = {
    "results of a batch are shifted by one": Bug(
        "dpip.api.batches:BatchRoutes.upload_results",
        "zip(body.results, body.incoming, strict=True)",
        "zip(body.results, [*body.incoming[1:], *body.incoming[:1]], strict=True)",
    ),
    "a receipt without a file": Bug(
        "dpip.store.results:_store", "one.outcome = _explained(outcome)", "one.outcome = one.sent"
    ),
    "small files lose their end": Bug(
        "dpip.store.incoming:MemoryContent.place",
        "_write_all(descriptor, self._data)",
        "os.write(descriptor, self._data[:-1])",
    ),
    "the commit window never closes": Bug(
        f"{_DATA}.writer:Writer._start", "self._call_later(left, self._close_window)", "None"
    ),
    "a batch waits for ever": Bug(
        "dpip.worker.batches:Batches._schedule",
        "self._timer = self._clock.callLater(pause, self._begin)",
        "pause or self._begin()",
    ),
    "what comes during an exchange waits for ever": Bug(
        "dpip.worker.batches:Batches._ended", "self._schedule()", "pass"
    ),
    "the writing thread begins once": Bug(
        f"{_WRITING}:StoreWriter._next_group", "self._busy -= not group", "pass"
    ),
    "answers before a window are lost": Bug(
        f"{_DATA}.writer:Writer._pause", "_answer(group, results)", "pass"
    ),
    "uploads keep their memory": Bug(
        "dpip.store.incoming:MemoryContent.discard", "self._memory.give_back(len(self._data))", "pass"
    ),
}

BUGS: dict[str, Bug] = {**_BATCHES, **_DURABLE, **_LEASES, **_UPLOADS, **_OWNERS, **_LINKS, **_COMPUTING}
