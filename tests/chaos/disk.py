"""The disk fills: the controller's, up to the last byte, and a worker's.

Uploads are refused with 507, what is there can still be had, nothing is charged to a picture, and when there
is room again all goes on by itself. Small filesystems in memory stand for the disks.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tests.chaos.ledger import Ledger, Order, check_disk
from tests.system.processes import Cluster, Process, wait_until

MIB = 1 << 20
_FULL = 507
_REFUSED = "POST /images 507 "


def missing() -> str | None:
    """Why this cannot be done here, or None."""
    with tempfile.TemporaryDirectory() as name:
        try:
            with small_disk(Path(name), 1):
                return None
        except (OSError, subprocess.CalledProcessError) as error:
            return f"a small filesystem cannot be mounted here: {error}"


@contextmanager
def small_disk(place: Path, mebibytes: int) -> Iterator[Path]:
    """A filesystem of that size at ``place``."""
    place.mkdir(exist_ok=True)
    options = f"size={mebibytes}m,mode=700"
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], check=True, capture_output=True
    )
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(disk: Path, leave: int = 0) -> Path:
    """A file that leaves so many bytes of the disk free."""
    ballast = disk / "ballast"
    with ballast.open("wb") as file:
        while (free := _free(disk) - leave) > 0:
            try:
                os.write(file.fileno(), bytes(min(free, MIB)))
            except OSError:
                break
    return ballast


def _free(disk: Path) -> int:
    status = os.statvfs(disk)
    return status.f_bavail * status.f_frsize


def full_controller() -> tuple[list[str], str]:
    """What is wrong, and what happened."""
    with Cluster() as cluster, small_disk(cluster.state, 64):
        controller = cluster.start_controller("--disk-floor", "4M")
        worker = cluster.start_worker("one", "--slots", "1")
        ledger = Ledger(cluster.http, width=640, height=400)
        ledger.log_in()
        order = ledger.order()
        ledger.upload(order)
        ledger.completed(order)
        ballast = fill(cluster.state, leave=6 * MIB)
        wait_until(lambda: ledger.try_upload(order) == _FULL, "an upload that is refused")
        ledger.completed(order)  # results find room below the floor
        ledger.download(order)
        ballast.unlink()
        _wait_for_room(ledger, order)
        ledger.completed(order)

        worker.process.send_signal(signal.SIGSTOP)
        for _ in range(3):
            ledger.upload(order)
        ballast = fill(cluster.state)
        refusals = [ledger.try_upload(order) for _ in range(3)]
        refused = controller.log.count(_REFUSED)
        worker.process.send_signal(signal.SIGCONT)  # its results find no room at all
        wait_until(lambda: controller.log.count(_REFUSED) > refused, "a result that finds no room")
        ledger.download(order)
        began = time.monotonic()
        ballast.unlink()
        _wait_for_room(ledger, order)
        ledger.check()
        recovered = time.monotonic() - began
        wrong = list(ledger.violations)
        if set(refusals) != {_FULL}:
            wrong.append(f"a full disk was answered with {refusals}, not {_FULL}")
        wrong += _aftermath(cluster, worker)
    return wrong, f"controller's disk full twice: {order.frames} frames, all well {recovered:.1f} s after"


def full_worker() -> tuple[list[str], str]:
    """As above."""
    with Cluster() as cluster, small_disk(cluster.directory / "spool", 16) as spool:
        ballast = fill(spool)
        cluster.start_controller()
        worker = cluster.start_worker("one", "--slots", "1", "--spool-dir", str(spool))
        worker.wait_for_log("Joined")
        ledger = Ledger(cluster.http)
        ledger.log_in()
        order = ledger.order()
        for _ in range(3):
            ledger.upload(order)
        wait_until(lambda: "goes back to the controller" in worker.log, "jobs handed back")
        wrong = []
        if ledger.client.workload(order.id)["filtered_images"]:
            wrong.append("a worker without room has filtered something: the test is wrong")
        began = time.monotonic()
        ballast.unlink()
        ledger.check()
        recovered = time.monotonic() - began
        wrong += ledger.violations
        wrong += _aftermath(cluster, worker)
    return wrong, f"worker's disk full: all done {recovered:.1f} s after"


def _wait_for_room(ledger: Ledger, order: Order) -> None:
    wait_until(lambda: ledger.try_upload(order) == 201, "an upload that is taken", every=0.1)


def _aftermath(cluster: Cluster, worker: Process) -> Iterator[str]:
    """Complaints that any scene may have in the end; everything is stopped."""
    if worker.log.count("Joined as") != 1:
        yield f"the worker did not stay joined:\n{worker.log[-3000:]}"
    for process in reversed(cluster.processes):
        process.stop()
    yield from _charges(cluster.state)
    yield from check_disk(cluster.state)


def _charges(state: Path) -> Iterator[str]:
    with closing(sqlite3.connect(state / "dpip.sqlite")) as database:
        for row in database.execute("SELECT seq, crashes, losses FROM jobs WHERE crashes OR losses"):
            yield f"a full disk was charged to a picture: seq, crashes and losses are {row}"


def main() -> int:
    reason = missing()
    if reason is not None:
        print(f"Not done: {reason}")
        return 1
    bad = 0
    for scene in (full_controller, full_worker):
        wrong, what = scene()
        print("\n".join([*wrong, f"{what}; {len(wrong)} violations"]), flush=True)
        bad += len(wrong)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
