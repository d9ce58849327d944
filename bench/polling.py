"""What do clients cost that ask again and again how far their workload is?

    python -m bench.polling [--clients 200] [--every 1.0] [--images 100000] [--uploads 300] [--rounds 3]

Two questions, on real processes:

* a workload of 100,000 images, all filtered: how long does a poll take, and how much of the controller's CPU,
  for the whole of it at first, again, with ``If-None-Match``, and with ``?fields=status,filtered``;
* uploads while so many clients each ask every so many seconds after the workload that is being filled (as our
  own client does: for its counts, with ``If-None-Match``), against the same uploads alone, interleaved.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from argon2 import PasswordHasher
from twisted.internet.defer import Deferred

from bench.throughput import FORM, System, cpu_seconds
from dpip.datastore.datastore import Datastore
from dpip.model import Role, StoredFile, StoredPicture, Workload, WorkloadSpec
from dpip.runtime.ids import IdSource
from dpip.runtime.threads import InlineThreads
from tests.frames import encoded
from tests.system.processes import PASSWORD, Cluster

PICTURE = StoredPicture("JPEG", "image/jpeg", 1280, 720, 1280 * 720 * 3)
BATCH = 1000
FIELDS = "fields=status,accepted,filtered,failed,eta_seconds"


def now(done: Deferred[Any]) -> Any:
    """The result of what inline threads have done already."""
    results: list[Any] = []
    done.addCallback(results.append)
    return results[0]


def filled(database: Path, images: int) -> str:
    """A workload of so many images, each with its result, in a new database. Their files are not needed."""
    ids = IdSource()
    store = Datastore(database, InlineThreads(), InlineThreads)
    store.startService()
    now(store.add_user("admin", PasswordHasher().hash(PASSWORD), Role.ADMIN, None, time.time()))
    workload = Workload(ids(), "admin", WorkloadSpec("large", (("grayscale", {}),)), "large", time.time())
    now(store.add_workload(workload, None))
    for first in range(0, images, BATCH):
        numbers = range(first, min(images, first + BATCH))
        files = [(ids(), ids(), StoredFile(f"large/{n}", 1, "0", PICTURE, f"{n}.jpg")) for n in numbers]
        accepted, _ = now(store.add_originals(workload.id, files, None, time.time()))
        for job in now(store.lease([(one.job.job, "w", ids()) for one in accepted], time.time())):
            result = StoredFile(f"large/r{job.lease.job}", 1, "0", PICTURE)
            now(store.finish(job.lease, "w", result, time.time()))
    now(store.stopService())
    return workload.id


def one_poll(images: int) -> None:
    """What a poll of a long workload takes."""
    with Cluster() as cluster:
        cluster.state.mkdir()
        workload = filled(cluster.state / "dpip.sqlite", images)
        controller = cluster.start_controller()
        client = System(cluster).client
        pid, path = controller.process.pid, f"/workloads/{workload}"
        etag = ""

        def ask(title: str, path: str, times: int, headers: dict[str, str]) -> str:
            spent, start = cpu_seconds(pid), time.perf_counter()
            for _ in range(times):
                answer = client.request("GET", path, headers=headers)
            wall = (time.perf_counter() - start) / times
            cpu = (cpu_seconds(pid) - spent) / times
            size = len(answer.body) / 1e6
            print(
                f"{title:26}{answer.status:5}{size:9.3f} MB{wall * 1000:9.2f} ms{cpu * 1000:9.2f} ms of CPU"
            )
            return answer.headers["etag"]

        print(f"A workload of {images:,} images:")
        etag = ask("whole, the first time", path, 1, {})
        ask("whole, again", path, 20, {})
        ask("whole, not changed", path, 100, {"If-None-Match": etag})
        etag = ask("its counts", f"{path}?{FIELDS}", 100, {})
        ask("its counts, not changed", f"{path}?{FIELDS}", 100, {"If-None-Match": etag})


# Many who ask


async def poller(port: int, request: str, every: float, offset: float, answers: Any) -> None:
    await asyncio.sleep(offset)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    etag = ""
    while True:
        condition = f"If-None-Match: {etag}\r\n" if etag else ""
        writer.write(f"{request}{condition}\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        lines = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
        await reader.readexactly(int(lines.get("content-length", 0)))
        etag = lines.get("etag", "").replace("w/", "W/")
        answers.value += 1
        await asyncio.sleep(every)


def poll_all(port: int, token: str, path: str, clients: int, every: float, answers: Any) -> None:
    request = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"

    async def everyone() -> None:
        await asyncio.gather(
            *(poller(port, request, every, every * number / clients, answers) for number in range(clients))
        )

    asyncio.run(everyone())


@contextmanager
def polled(system: System, workload: str, options: argparse.Namespace) -> Iterator[Any]:
    """So many clients ask, from a process of their own; gives the count of their answers."""
    context = multiprocessing.get_context("fork")  # nothing is imported again; no thread runs here meanwhile
    answers = context.Value("i", 0, lock=False)
    path = f"/workloads/{workload}?{FIELDS}"
    arguments = system.client.port, system.client.token, path, options.clients, options.every, answers
    process = context.Process(target=poll_all, args=arguments, daemon=True)
    process.start()
    while answers.value < options.clients:
        time.sleep(0.05)
    yield answers
    process.terminate()
    process.join()


def uploads(options: argparse.Namespace) -> None:
    frames = [encoded(1, format="JPEG")] * options.uploads
    with Cluster() as cluster:
        controller = cluster.start_controller()
        system = System(cluster)

        def rate(workload: str) -> float:
            start = time.perf_counter()
            system.upload(workload, frames)
            return options.uploads / (time.perf_counter() - start)

        def new() -> str:
            answer = system.client.request("POST", "/workloads", b"filter=grayscale", FORM)
            return str(answer.json["workload_id"])

        rate(new())
        alone, beside, polls = [], [], []
        for _ in range(options.rounds):
            alone.append(rate(new()))
            workload = new()
            with polled(system, workload, options) as answers:
                before, start = answers.value, time.perf_counter()
                beside.append(rate(workload))
                polls.append((answers.value - before) / (time.perf_counter() - start))
        spent = cpu_seconds(controller.process.pid)
        with polled(system, new(), options) as answers:
            start, before = time.perf_counter(), answers.value
            spent = cpu_seconds(controller.process.pid)
            time.sleep(3)
            idle = (cpu_seconds(controller.process.pid) - spent) / (answers.value - before)
        a, b = statistics.median(alone), statistics.median(beside)
        print(
            f"Uploads: {a:.1f}/s alone, {b:.1f}/s beside {options.clients} clients that ask every "
            f"{options.every:g} s ({statistics.median(polls):.0f} polls/s): {b / a:.3f}; "
            f"a poll takes {idle * 1000:.2f} ms of the controller's CPU"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--every", type=float, default=1.0)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--uploads", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    uploads(options)
    one_poll(options.images)


if __name__ == "__main__":
    main()
