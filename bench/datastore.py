"""How many jobs a second can the datastore take from upload to result, every commit with its fsync?

Each job is three operations of its own (add_originals, lease, finish), ``LANES`` jobs under way, through the
real writer thread beside a running reactor. Then: how long until all waiting jobs are read at a start?

``python -m bench.datastore [jobs [postgresql]]``: with the word, on a durable PostgreSQL server of its own.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from twisted.internet import task
from twisted.internet.defer import Deferred, gatherResults

from bench.controlling import new_id, stored
from dpip.datastore.database import Database
from dpip.datastore.datastore import Datastore
from dpip.model import Role, WaitingJob, Workload, WorkloadSpec

LANES = 256
PAGE = 10_000


async def upload(datastore: Datastore) -> WaitingJob:
    [accepted], _ = await datastore.add_originals(
        "bench", [(new_id(), new_id(), stored("originals"))], None, time.time()
    )
    return accepted.job


async def work(datastore: Datastore, job: WaitingJob) -> None:
    [leased] = await datastore.lease([(job.job, "worker", new_id())], time.time())
    assert leased is not None
    await datastore.finish(leased.lease, "worker", stored("results"), time.time())


async def in_lanes(what: str, count: int, operations: int, one: Any) -> None:
    """Print the rate of ``count`` calls, ``LANES`` at a time. CPU time bears noisy neighbours better."""
    left = iter(range(count))

    async def lane() -> None:
        for _ in left:
            await one()

    start, start_cpu = time.perf_counter(), time.process_time()
    await gatherResults([Deferred.fromCoroutine(lane()) for _ in range(LANES)])
    rate, cpu = count / (time.perf_counter() - start), (time.process_time() - start_cpu) / count
    print(f"{what:22}{rate:8,.0f} jobs/s {operations * rate:8,.0f} operations/s {cpu * 1e6:6.0f} µs CPU each")


async def measure(reactor: Any, database: Path | Database, jobs: int) -> None:
    datastore = Datastore(database, reactor)
    datastore.startService()
    await datastore.add_user("bench", "", Role.USER, None, time.time())
    spec = WorkloadSpec("bench", (("grayscale", {}),))
    await datastore.add_workload(Workload("bench", "bench", spec, "bench", time.time()), None)

    async def whole() -> None:
        await work(datastore, await upload(datastore))

    await in_lanes("upload, lease, finish", jobs, 3, whole)
    await in_lanes("uploads alone", jobs, 1, lambda: upload(datastore))
    await datastore.stopService()

    start = time.perf_counter()
    datastore.startService()
    await datastore.recover(time.time())
    ready = time.perf_counter() - start
    found, after = 0, 0
    while page := await datastore.unfinished(after, PAGE):
        found, after = found + len(page), page[-1][1].job
    taken = time.perf_counter() - start
    print(f"start                 {ready:8.2f} s, then {taken:.2f} s for {found:,} waiting jobs")
    await datastore.stopService()


@contextmanager
def place(folder: Path, kind: str) -> Iterator[Path | Database]:
    """A new database. Raises SystemExit when there is no PostgreSQL."""
    if kind == "sqlite":
        yield folder / "bench.sqlite"
        return
    from dpip.datastore.postgres import PostgresDatabase
    from tests.datastore import postgres_server

    if why := postgres_server.why_not():
        raise SystemExit(why)
    folder.chmod(0o755)
    server = postgres_server.Server(folder / "server", **_DURABLE)
    server.make()
    server.start()
    try:
        yield PostgresDatabase(server.url())
    finally:
        server.stop()


_DURABLE = {"fsync": "on", "full_page_writes": "on", "autovacuum": "on", "shared_buffers": "128MB"}


def main(reactor: Any, jobs: str = "20000", kind: str = "sqlite") -> Deferred[None]:
    ends = ExitStack()
    folder = ends.enter_context(tempfile.TemporaryDirectory(dir=Path.cwd()))  # /tmp may be memory: no fsync
    database = ends.enter_context(place(Path(folder), kind))
    done = Deferred.fromCoroutine(measure(reactor, database, int(jobs)))
    return done.addBoth(lambda result: (ends.close(), result)[1])


if __name__ == "__main__":
    task.react(main, sys.argv[1:])
