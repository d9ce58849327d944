"""What do strangers and bad neighbours cost an honest client?

    python -m bench.hostile [--scenes idle,slow,logins,uploads] [--seconds 8]

Real processes on this machine; each scene prints what its attackers do to the controller, beside the same
without them, in one run:

* ``idle``: 10,000 connections that say nothing: memory for each, and how soon an honest request is answered;
* ``slow``: 2,000 clients that send a header, or a body, a byte at a time: an honest client's rate of uploads;
* ``logins``: 200 logins with wrong passwords each second: the same;
* ``uploads``: 100 uploads of 50 MiB at once, sent as fast as they are taken: the controller's memory.
"""

from __future__ import annotations

import argparse
import itertools
import selectors
import socket
import statistics
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection, HTTPException

import psutil

from bench.system import System
from tests.frames import encoded
from tests.system.processes import Cluster, Process

IDLE = 10_000
SLOW = 2_000
LOGINS = 200
UPLOADS = 100
UPLOAD_BYTES = 50 * 2**20
ROUNDS = 3
PROBES = 200
_PIECE = bytes(64 * 1024)


class Attack(threading.Thread):
    """Runs ``step`` again and again until told to stop; what the network says to it is its own affair."""

    def __init__(self, step: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self._step = step
        self._over = threading.Event()
        self.steps = 0

    def run(self) -> None:
        while not self._over.is_set():
            try:
                self._step()
            except (OSError, HTTPException):
                time.sleep(0.01)  # refused: it comes again
            self.steps += 1

    def stop(self) -> None:
        self._over.set()
        self.join()


@contextmanager
def attacked_by(*attacks: Attack) -> Iterator[None]:
    for attack in attacks:
        attack.start()
    try:
        yield
    finally:
        for attack in attacks:
            attack.stop()


def memory(process: Process) -> int:
    """Bytes that the process has to itself and in common."""
    return int(psutil.Process(process.process.pid).memory_info().rss)


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=10)


def is_open(client: socket.socket) -> bool:
    """Has the server not closed it?"""
    client.setblocking(False)
    try:
        return bool(client.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return True
    except OSError:
        return False


class Honest:
    """A client that uploads frames, one after the other, over one connection."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._frame = encoded(0, format="JPEG")
        self._workload = system.workload("grayscale")

    def rate(self, seconds: float) -> float:
        """Uploads each second."""
        connection, count, start = self._system.connection(), 0, time.perf_counter()
        while (took := time.perf_counter() - start) < seconds:
            self._system.post(connection, self._workload, self._frame)
            count += 1
        connection.close()
        return count / took


def compared(system: System, seconds: float, attack: Callable[[], Attack]) -> tuple[float, float]:
    """Uploads each second alone, and beside the attack: medians of interleaved rounds."""
    honest = Honest(system)
    honest.rate(1.0)
    alone, beside = [], []
    for _ in range(ROUNDS):
        alone.append(honest.rate(seconds))
        with attacked_by(attack()):
            time.sleep(1.0)
            beside.append(honest.rate(seconds))
    return statistics.median(alone), statistics.median(beside)


def answered(system: System) -> tuple[float, float]:
    """Milliseconds until an honest request is answered: the median, and the 99th percentile."""
    connection, times = system.connection(), []
    headers = {"Authorization": f"Bearer {system.client.token}"}
    for _ in range(PROBES):
        start = time.perf_counter()
        connection.request("GET", "/status", headers=headers)
        connection.getresponse().read()
        times.append((time.perf_counter() - start) * 1000)
    connection.close()
    return statistics.median(times), statistics.quantiles(times, n=100)[98]


def idle(system: System, controller: Process, seconds: float) -> None:
    before, (alone, alone_late) = memory(controller), answered(system)
    with ExitStack() as stack:
        clients = [stack.enter_context(connected(system.client.port)) for _ in range(IDLE)]
        middle, late = answered(system)
        kept = sum(map(is_open, clients))
        each = (memory(controller) - before) / max(1, kept)
    print(
        f"{IDLE:,} idle connections, {kept:,} of them kept: {each / 1024:.1f} KiB each; "
        f"GET /status {middle:.1f} ms, p99 {late:.1f} ms (without them {alone:.1f}, {alone_late:.1f})",
        flush=True,
    )


class Dribble:
    """Clients that are always about to finish their request; they are connected again when dropped."""

    def __init__(self, port: int, head: bytes) -> None:
        self._port = port
        self._head = head
        self._open: list[socket.socket] = []

    def step(self) -> None:
        """One byte from each; those that are gone come again."""
        while len(self._open) < SLOW:
            self._open.append(self._begun())
        self._open = [client for client in self._open if self._dribbled(client)]
        time.sleep(1.0)

    def _begun(self) -> socket.socket:
        client = connected(self._port)
        client.sendall(self._head)
        client.setblocking(False)
        return client

    def _dribbled(self, client: socket.socket) -> bool:
        try:
            client.send(b"a")
        except OSError:
            client.close()
            return False
        return True

    def close(self) -> None:
        for client in self._open:
            client.close()


def slow(system: System, controller: Process, seconds: float) -> None:
    post = f"POST /images HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {system.client.token}\r\n"
    heads = {
        "headers": b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ",
        "bodies": (
            f"{post}Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 999999\r\n\r\n"
        ).encode(),
    }
    for name, head in heads.items():
        dribbles: list[Dribble] = []

        def attack(head: bytes = head, dribbles: list[Dribble] = dribbles) -> Attack:
            dribbles.append(Dribble(system.client.port, head))
            return Attack(dribbles[-1].step)

        alone, beside = compared(system, seconds, attack)
        for dribble in dribbles:
            dribble.close()
        print(f"{SLOW:,} slow {name}: uploads at {beside / alone:.0%} of the rate without them", flush=True)


def logins(system: System, controller: Process, seconds: float) -> None:
    statuses: dict[int, int] = {}
    names = itertools.cycle(["admin", *(f"nobody{number}" for number in range(50))])

    def attack() -> Attack:
        due = time.perf_counter()

        def step() -> None:
            nonlocal due
            due = max(due + 1 / LOGINS, time.perf_counter() - 0.1)
            time.sleep(max(0.0, due - time.perf_counter()))
            connection = HTTPConnection("127.0.0.1", system.client.port, timeout=10)
            secret = b64encode(f"{next(names)}:wrong".encode()).decode()
            connection.request("POST", "/login", headers={"Authorization": f"Basic {secret}"})
            status = connection.getresponse().status
            statuses[status] = statuses.get(status, 0) + 1
            connection.close()

        return Attack(step)

    alone, beside = compared(system, seconds, attack)
    told = ", ".join(f"{count} × {status}" for status, count in sorted(statuses.items()))
    print(
        f"{LOGINS} false logins each second ({told}): uploads at {beside / alone:.0%} of the rate without",
        flush=True,
    )


def uploads(system: System, controller: Process, seconds: float) -> None:
    """All at once from one thread, so that none is ahead of the others."""
    workload, before, most = system.workload("grayscale"), memory(controller), 0
    head = (
        f'--b\r\nContent-Disposition: form-data; name="workload_id"\r\n\r\n{workload}\r\n'
        '--b\r\nContent-Disposition: form-data; name="data"; filename="f"\r\n\r\n'
    ).encode() + b"\x89PNG\r\n\x1a\n"
    tail = b"\r\n--b--\r\n"
    request = (
        f"POST /images HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {system.client.token}\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\n"
        f"Content-Length: {len(head) + UPLOAD_BYTES + len(tail)}\r\n\r\n"
    ).encode()
    statuses: dict[str, int] = {}
    start = time.perf_counter()
    with selectors.DefaultSelector() as waiting:
        for _ in range(UPLOADS):
            client = connected(system.client.port)
            client.sendall(request + head)
            client.setblocking(False)
            waiting.register(client, selectors.EVENT_READ | selectors.EVENT_WRITE, [UPLOAD_BYTES])
        looked = 0.0
        while waiting.get_map():
            for key, events in waiting.select(1.0):
                _moved(waiting, key, events, tail, statuses)
            if time.perf_counter() - looked > 0.05:
                looked, most = time.perf_counter(), max(most, memory(controller))
    took = time.perf_counter() - start
    told = ", ".join(f"{count} × {status}" for status, count in sorted(statuses.items()))
    print(
        f"{UPLOADS} uploads of {UPLOAD_BYTES >> 20} MiB at once ({told}): {(most - before) / 2**20:.0f} MiB "
        f"more memory in all, {took:.0f} s",
        flush=True,
    )


def _moved(
    waiting: selectors.BaseSelector,
    key: selectors.SelectorKey,
    events: int,
    tail: bytes,
    statuses: dict[str, int],
) -> None:
    """Send on, or take the answer."""
    client, left = key.fileobj, key.data
    assert isinstance(client, socket.socket)
    try:
        if events & selectors.EVENT_READ:
            answer = client.recv(65536)
            status = answer[9:12].decode() if answer else "closed"
            statuses[status] = statuses.get(status, 0) + 1
            waiting.unregister(client)
            client.close()
        elif left[0] > 0:
            left[0] -= client.send(_PIECE[: left[0]])
            if left[0] == 0:
                client.setblocking(True)
                client.sendall(tail)
                client.setblocking(False)
                waiting.modify(client, selectors.EVENT_READ, left)
    except BlockingIOError:
        return
    except OSError:
        statuses["reset"] = statuses.get("reset", 0) + 1
        waiting.unregister(client)
        client.close()


SCENES = {"idle": idle, "slow": slow, "logins": logins, "uploads": uploads}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scenes", default=",".join(SCENES))
    parser.add_argument("--seconds", type=float, default=8.0, help="of each round of uploads")
    options = parser.parse_args()
    for scene in options.scenes.split(","):
        with Cluster() as cluster:
            controller = cluster.start_controller()
            SCENES[scene](System(cluster), controller, options.seconds)


if __name__ == "__main__":
    main()
