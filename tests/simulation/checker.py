"""After the end: what lies on the controller's disk, and what should not be left anywhere."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.simulation.nodes import WorkerNode
from tests.simulation.users import Order, User
from tests.simulation.world import Machine, World


def check(world: World, controller: Machine, users: Sequence[User]) -> None:
    """Adds what is wrong to the world's violations."""
    _leaks(world)
    with closing(sqlite3.connect(controller.disk.root / "dpip.sqlite")) as database:
        for words in rows_that_cannot_be(database):
            world.violated(words)
        _files(world, database, controller.disk.root / "images")
        _promises(world, database, users)


def busy(world: World, controller: Machine, workers: Sequence[WorkerNode]) -> list[str]:
    """What is held, reserved, or lies about, though all work has ended; and who has not come back."""
    return [*_spooled(world), *_held(controller), *_reserved(controller), *_missing(controller, workers)]


def _missing(controller: Machine, workers: Sequence[WorkerNode]) -> Iterator[str]:
    joined = {worker.info.name for worker in _state(controller)._roster.workers.values()}
    for node in workers:
        if node.name not in joined:
            yield f"I7: {node.name} has not joined again"


def _state(controller: Machine) -> Any:
    return controller.service._parts.scheduler._state


def _spooled(world: World) -> Iterator[str]:
    for machine in world.machines.values():
        spools = [machine.disk.root / "spool", machine.disk.root / "memory"]
        left = [path.name for spool in spools for path in spool.glob("dpip-spool-*/*")]
        if machine.process is not None and left:
            yield f"temporary files of {machine.name} are left: {left}"


def _held(controller: Machine) -> Iterator[str]:
    state = _state(controller)
    if state._held_jobs.any():
        yield f"jobs are held though all have ended: {list(state._held_jobs._held)}"
    for worker in state._roster.workers.values():
        if worker.held:
            yield f"slots of {worker.info.name} are taken though all jobs have ended"


def _reserved(controller: Machine) -> Iterator[str]:
    parts = controller.service._parts
    in_flight = parts.site.gate.controller.admission.in_flight
    if in_flight or parts.image_store.space._reserved:
        yield f"room is reserved for uploads that have ended: {in_flight} bytes"
    if parts.image_store._memory.held:
        yield f"uploads that have ended hold memory: {parts.image_store._memory.held} bytes"
    incoming = list((controller.disk.root / "images" / "incoming").glob("*"))
    if incoming and controller.incarnation == 1:
        yield f"temporary files of uploads are left: {len(incoming)}"


def _leaks(world: World) -> None:
    for machine in world.machines.values():
        if machine.process is None:
            continue
        for timer in machine.process.getDelayedCalls():
            world.violated(f"a delayed call of {machine.name} is left: {timer._function!r}")
        for child in machine.process.children:
            world.violated(f"a compute child of {machine.name} is left: {child.pid}")
        spools = [machine.disk.root / "spool", machine.disk.root / "memory"]
        left = [path for spool in spools for path in spool.glob("dpip-spool-*")]
        if left:
            world.violated(f"a spool of {machine.name} is left: {len(left)}")
    for end in world.network.ends:
        world.violated(f"connection #{end.number} of {end.process.name} is left open")


def rows_that_cannot_be(database: sqlite3.Connection, joined: bool = True) -> Iterator[str]:
    """What no reader should ever find when all work has ended; with ``joined`` all workers must have left."""
    for words, statement in _IMPOSSIBLE.items():
        for row in database.execute(statement).fetchall():
            yield f"{words}: {row}"
    for (name,) in database.execute("SELECT name FROM workers WHERE joined") if joined else ():
        yield f"worker {name} has left, and counts as joined"


_IMPOSSIBLE = {
    "I1: a job that has not ended": """
        SELECT jobs.id, state FROM jobs JOIN workloads w ON w.id = workload_id
        WHERE state NOT IN ('done', 'failed') AND w.deleted IS NULL""",
    "I1: a job that is done without a result": """
        SELECT id FROM jobs WHERE state = 'done' AND result NOT IN (SELECT public FROM images)""",
    "I1: a job that failed with a result": """
        SELECT id FROM jobs WHERE state = 'failed' AND retried IS NULL
        AND result IN (SELECT public FROM images)""",
    "I1: an original without a job": """
        SELECT public FROM images WHERE type = 'original' AND id NOT IN (SELECT original_id FROM jobs)""",
    "I1: counters of a workload that are not its images'": """
        SELECT w.public, w.accepted, w.filtered, w.failed FROM workloads w WHERE w.deleted IS NULL AND (
        w.accepted != (SELECT count(*) FROM jobs WHERE workload_id = w.id AND retried IS NULL)
        OR w.filtered != (SELECT count(*) FROM jobs WHERE workload_id = w.id AND state = 'done')
        OR w.retried != (SELECT count(*) FROM jobs WHERE workload_id = w.id AND retried IS NOT NULL)
        OR w.failed != (SELECT count(*) FROM jobs WHERE workload_id = w.id AND state = 'failed'
                        AND retried IS NULL))""",
    "I1: an original with two jobs that count": """
        SELECT original_id FROM jobs WHERE retried IS NULL GROUP BY original_id HAVING count(*) > 1""",
    "I3: a retried job that had not failed": """
        SELECT id, state FROM jobs WHERE retried IS NOT NULL AND state != 'failed'""",
    "I2: a result whose attempt has no fingerprint": """
        SELECT job_id, attempt FROM attempts WHERE outcome = 'done' AND fingerprint IS NULL""",
    "I3: a job with two attempts that were done": """
        SELECT job_id FROM attempts WHERE outcome = 'done' GROUP BY job_id HAVING count(*) > 1""",
    "I3: a job with more attempts than may be": """
        SELECT id, crashes, losses FROM jobs WHERE crashes > 3 OR losses > 10""",
    "I6: bytes used that nobody has": """
        SELECT name, used FROM users u WHERE used != (SELECT coalesce(sum(i.size), 0) FROM images i
        JOIN workloads w ON w.id = i.workload_id WHERE w.owner_id = u.id AND w.deleted IS NULL)""",
}


def _files(world: World, database: sqlite3.Connection, images: Path) -> None:
    """I4: no row without its file, as it was."""
    for path, digest in database.execute(
        "SELECT path, sha256 FROM images JOIN workloads w ON w.id = workload_id WHERE w.deleted IS NULL"
    ):
        file = images / path
        if not file.exists():
            world.violated(f"I4: a row without its file: {path}")
        elif hashlib.sha256(file.read_bytes()).hexdigest() != digest:
            world.violated(f"I4: a file that is not what its row says: {path}")


def _promises(world: World, database: sqlite3.Connection, users: Sequence[User]) -> None:
    """I8: what was never acknowledged is there as a whole, with its job, or not at all; and only once."""
    for user in users:
        for order in user.orders:
            kept = database.execute(
                "SELECT sha256 FROM images JOIN workloads w ON w.id = workload_id WHERE w.public = ? "
                "AND type = 'original' AND w.deleted IS NULL",
                (order.id,),
            ).fetchall()
            if order.state == "deleted" and kept:
                world.violated(f"I3: deleted workload {order.id} has images again")
            sent = {hashlib.sha256(original.data).hexdigest() for original in order.originals}
            if not {digest for (digest,) in kept} <= sent:
                world.violated(f"I8: something is kept that {user.name} has not sent")
            _results(world, database, order)
            if len(set(kept)) != len(kept):
                world.violated(f"I8: an original of {user.name} is there twice")


def _results(world: World, database: sqlite3.Connection, order: Order) -> None:
    """I2: each result is what the engine makes that is recorded with it."""
    originals = {hashlib.sha256(original.data).hexdigest(): original for original in order.originals}
    for original, result, fingerprint in database.execute(_MADE, (order.id,)):
        if original in originals:
            made = order.result_of(originals[original], fingerprint or "")
            if hashlib.sha256(made).hexdigest() != result:
                world.violated(f"I2: a result that {fingerprint} has not made")


_MADE = """
    SELECT o.sha256, r.sha256, a.fingerprint FROM jobs j JOIN images o ON o.id = j.original_id
    JOIN images r ON r.public = j.result JOIN workloads w ON w.id = j.workload_id
    JOIN attempts a ON a.job_id = j.id AND a.outcome = 'done' WHERE w.public = ? AND w.deleted IS NULL"""
