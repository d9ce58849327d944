"""What do strangers and bad neighbours cost an honest client?

    python -m bench.hostile [--scenes idle,slow,…] [--seconds 4]
        [--rounds 3] [--share 1.0] [--one-controller]

Real processes on this machine; each scene prints what its attackers do to the controller, beside the same
without them, in one run:

* ``idle``: 10,000 connections that say nothing: memory for each, and how soon an honest request is answered;
* ``slow``: 2,000 clients that send a header, or a body, a byte every ten seconds (as slowhttptest does), and
  come again when they are dropped: an honest client's rate of uploads;
* ``slowhttptest``: the same, as the program of this name does it, where there is one;
* ``logins``: 200 logins with wrong passwords each second: the same;
* ``uploads``: 100 uploads of 50 MiB at once, sent as fast as they are taken: the controller's memory;
* ``announced``: a user announces four bodies of the largest size, and sends 2 KiB of each a second: an honest
  client's rate and 99th percentile of uploads, as in all that follow;
* ``files``: four slow requests of a user hold all descriptors that there are for further files;
* ``workloads``: a user with quota 0 makes large workloads without images, eight at a time;
* ``results``: a user uploads tiny pictures whose results would exceed the quota, eight at a time;
* ``relogins``: a user logs in with the right password, eight at a time;
* ``reports``: eight workers with certificates report a thousand times a second each;
* ``overload``: ten times as many small uploads each second as it can take, from clients that come later when
  they are told to, while others come in their place: how many are taken, beside the most that can be.
"""

from __future__ import annotations

import argparse
import json
import selectors
import shutil
import socket
import statistics
import subprocess
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from functools import partial

import psutil
from attrs import frozen

from bench import attackers
from bench.agents import Agents
from bench.attackers import Seen, attacked_by
from bench.system import System, cpu_seconds
from tests.frames import encoded
from tests.system.plain_client import PlainClient
from tests.system.processes import Cluster, Process

IDLE = 10_000
SLOW = 2_000
LOGINS = 200
UPLOADS = 100
UPLOAD_BYTES = 50 * 2**20
BUSY = 4
PEAK = 32  # connections that keep the controller busy
CROWD = 4_000  # connections at most when there are too many
PROBES = 200
SETTLING = 4.0  # seconds at most until a crowd is there
JSON = {"Content-Type": "application/json"}
_PIECE = bytes(64 * 1024)


@frozen
class Measure:
    """How long and how often is measured, beside how many of the attackers."""

    seconds: float
    rounds: int
    share: float

    def of(self, most: int) -> int:
        """So many of them take part: one at least."""
        return max(1, round(most * self.share))


def told(statuses: Mapping[str, int]) -> str:
    """How often what was answered."""
    return ", ".join(f"{number:,} × {status}" for status, number in sorted(statuses.items())) or "no answers"


def memory(process: Process) -> int:
    """Bytes that the process has to itself and in common."""
    return int(psutil.Process(process.process.pid).memory_info().rss)


class Honest:
    """A client that uploads frames, one after the other, over each of its connections, ``files`` in each
    request."""

    def __init__(self, system: System, connections: int, files: int = 1) -> None:
        self._system = system
        self._connections = connections
        self._frames = [encoded(0, format="JPEG")] * files
        self._workload = system.workload("grayscale")
        self._took: list[float] = []

    def p99(self) -> float:
        """Milliseconds of an upload since this was asked last, the 99th percentile; 0 where none was."""
        took, self._took = self._took or [0.0], []
        return 1000 * (statistics.quantiles(took, n=100)[98] if len(took) > 1 else took[0])

    def rate(self, seconds: float) -> float:
        """Uploads each second."""
        start = time.perf_counter()

        def lane(_: int) -> int:
            connection, count = self._system.connection(), 0
            while (began := time.perf_counter()) - start < seconds:
                self._system.post(connection, self._workload, *self._frames)
                self._took.append(time.perf_counter() - began)
                count += 1
            connection.close()
            return count

        with ThreadPoolExecutor(self._connections) as lanes:
            count = sum(lanes.map(lane, range(self._connections)))
        return count / (time.perf_counter() - start)


def compared(
    system: System,
    controller: Process,
    measure: Measure,
    attacked: Callable[[], AbstractContextManager[Seen]],
    files: int = 1,
) -> str:
    """What honest uploads beside the attack are to those without, medians of interleaved rounds: of a client
    that waits for each answer before its next upload, and of one that keeps the controller busy. What the
    attackers were answered; and what they cost the controller while nobody else asks for anything."""
    clients = [Honest(system, connections, files) for connections in (1, BUSY)]
    seconds = measure.seconds
    for client in clients:
        client.rate(min(1.0, seconds))
    rounds: list[list[tuple[float, float]]] = [[], []]
    statuses: Counter[str] = Counter()
    spent = []
    late: list[list[float]] = [[], []]  # p99 of the client that waits: alone, and beside them
    for _ in range(measure.rounds):
        clients[0].p99()
        alone = [client.rate(seconds) for client in clients]
        late[0].append(clients[0].p99())
        with attacked() as seen:
            time.sleep(min(1.0, seconds))
            clients[0].rate(
                min(0.1, seconds)
            )  # on a new connection: all that came before it have been accepted then
            clients[0].p99()
            before = cpu_seconds(controller.process.pid)
            time.sleep(seconds)
            spent.append((cpu_seconds(controller.process.pid) - before) / seconds)
            beside = [client.rate(seconds) for client in clients]
            late[1].append(clients[0].p99())
        for kept, pair in zip(rounds, zip(alone, beside, strict=True), strict=True):
            kept.append(pair)
        statuses += seen.statuses
    ratios = []
    for kept in rounds:
        before, during = (statistics.median(column) for column in zip(*kept, strict=True))
        ratios.append(f"{during / before:.0%} of {before:.0f}/s" if before else "(nothing alone)")
    return (
        f"({told(statuses)}): uploads one by one at {ratios[0]}, {BUSY} at a time at {ratios[1]}, p99 "
        f"{statistics.median(late[1]):.0f} ms (alone {statistics.median(late[0]):.0f}); they cost "
        f"the controller {statistics.median(spent) * 1000:.0f} ms of CPU a second"
    )


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


def idle(system: System, controller: Process, measure: Measure) -> None:
    clients = measure.of(IDLE)
    before, (alone, alone_late) = memory(controller), answered(system)
    with attacked_by(attackers.idle, system.client.port, clients) as seen:
        middle, late = answered(system)
        each = (memory(controller) - before) / clients
    print(
        f"{clients:,} idle connections ({told(seen.statuses)}): {each / 1024:.1f} KiB each; "
        f"GET /status {middle:.1f} ms, p99 {late:.1f} ms (without them {alone:.1f}, {alone_late:.1f})",
        flush=True,
    )


def slow(system: System, controller: Process, measure: Measure) -> None:
    post = f"POST /images HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {system.client.token}\r\n"
    form = "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 999999\r\n\r\n"
    part = '--b\r\nContent-Disposition: form-data; name="slow"\r\n\r\n'
    heads = {"headers": b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ", "bodies": f"{post}{form}{part}".encode()}
    clients = measure.of(SLOW)
    for name, head in heads.items():
        attack = partial(attacked_by, attackers.dribble, system.client.port, head, clients)
        beside = compared(system, controller, measure, attack)
        print(f"{clients:,} slow {name} {beside}", flush=True)


def _neighbour(system: System, name: str, quota: int | None) -> PlainClient:
    """A user of that name, who has logged in."""
    account = {"user": name, "password": f"password of {name}", "quota": quota}
    made = system.client.request("POST", "/users", json.dumps(account).encode(), JSON)
    assert made.status == 201, made.body
    neighbour = PlainClient(system.client.port)
    neighbour.login(name, account["password"])
    return neighbour


def _slow_upload(neighbour: PlainClient, length: int, parts: int) -> bytes:
    """The beginning of an upload of so many files, all but the last of them complete."""
    part = b'--b\r\nContent-Disposition: form-data; name="data"; filename="x"\r\n\r\n'
    head = (
        f"POST /images HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {neighbour.token}\r\n"
        f"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {length}\r\n\r\n"
    )
    return head.encode() + (part + b"x\r\n") * (parts - 1) + part


def announced(system: System, controller: Process, measure: Measure) -> None:
    head = _slow_upload(_neighbour(system, "announcer", None), 2**30 - 2**20, 1)
    attack = partial(attacked_by, attackers.dribble, system.client.port, head, 4, bytes(2048), 1)
    print(f"4 slow bodies of 1 GiB {compared(system, controller, measure, attack)}", flush=True)


def files(system: System, controller: Process, measure: Measure) -> None:
    head = _slow_upload(_neighbour(system, "opener", None), 400_000, 77)
    attack = partial(attacked_by, attackers.dribble, system.client.port, head, 4, bytes(2048), 1)
    beside = compared(system, controller, measure, attack, files=2)
    print(f"4 slow requests of 77 files, beside two files at a time {beside}", flush=True)


def workloads(system: System, controller: Process, measure: Measure) -> None:
    neighbour = _neighbour(system, "maker", 0)
    spec = {
        "steps": [{"name": "brightness_contrast"}] * 32,
        "workload_name": "\U0001f600" * 200,
        "tags": [f"t{number}".ljust(64, "x") for number in range(16)],
    }
    body = json.dumps(spec).encode()
    request = _request(neighbour, "/workloads", "application/json", body)
    _beside_offer(system, controller, measure, "large empty workloads", request)


def results(system: System, controller: Process, measure: Measure) -> None:
    neighbour = _neighbour(system, "enlarger", 10_000)
    large = {"width": 4000, "height": 4000, "fit": "stretch"}
    spec = {"filter": "resize", "params": large, "output": {"format": "BMP"}}
    made = neighbour.request("POST", "/workloads", json.dumps(spec).encode(), JSON)
    body = multipart(made.json["workload_id"], encoded(0, 1, 1, "PNG"))
    request = _request(neighbour, "/images", "multipart/form-data; boundary=b", body)
    _beside_offer(system, controller, measure, "tiny pictures with large results", request)


def relogins(system: System, controller: Process, measure: Measure) -> None:
    _neighbour(system, "forgetful", 0)
    secret = b64encode(b"forgetful:password of forgetful").decode()
    request = f"POST /login HTTP/1.1\r\nHost: a\r\nAuthorization: Basic {secret}\r\n\r\n".encode()
    _beside_offer(system, controller, measure, "logins of a user", request)


def reports(system: System, controller: Process, measure: Measure) -> None:
    count = measure.of(8)
    state = system.cluster.directory / "state"

    @contextmanager
    def flood() -> Iterator[Seen]:
        with Agents(system.cluster.pb, state, count, 1, 0.001):
            yield Seen()

    print(f"{count} workers that flood reports {compared(system, controller, measure, flood)}", flush=True)


def _beside_offer(system: System, controller: Process, measure: Measure, what: str, request: bytes) -> None:
    attack = partial(attacked_by, attackers.offer, system.client.port, request, 1e6, 8, 0.2)
    print(f"8 at a time of {what} {compared(system, controller, measure, attack)}", flush=True)


def _request(client: PlainClient, path: str, kind: str, body: bytes) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {client.token}\r\n"
        f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def slowhttptest(system: System, controller: Process, measure: Measure) -> None:
    """The program of that name: headers, and bodies of a login, for what it knows no token."""
    program = shutil.which("slowhttptest")
    if program is None:
        print("slowhttptest: not measured, there is no such program here")
        return
    url = f"http://127.0.0.1:{system.client.port}"
    clients = measure.of(SLOW)
    common = [program, "-c", str(clients), "-r", str(clients), "-i", "10", "-l", "240", "-p", "5"]
    for name, own in {
        "headers": ["-H", "-u", f"{url}/"],
        "bodies": ["-B", "-t", "POST", "-s", "8000", "-x", "10", "-u", f"{url}/login"],
    }.items():
        beside = compared(system, controller, measure, partial(_running, [*common, *own]))
        print(f"slowhttptest, {clients:,} slow {name} {beside}", flush=True)


@contextmanager
def _running(command: list[str]) -> Iterator[Seen]:
    """It says itself what it was answered, to nobody here."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        time.sleep(2.0)  # all have been connected then
        assert process.poll() is None, f"{command[0]} has ended early"
        yield Seen()
    finally:
        process.terminate()
        process.wait()


def logins(system: System, controller: Process, measure: Measure) -> None:
    logins = measure.of(LOGINS)
    for addresses in (1, 100):
        attack = partial(attacked_by, attackers.guess, system.client.port, logins, addresses)
        beside = compared(system, controller, measure, attack)
        print(f"{logins} false logins each second from {addresses} addresses {beside}", flush=True)


def uploads(system: System, controller: Process, measure: Measure) -> None:
    """All at once from one thread, so that none is ahead of the others."""
    uploads = measure.of(UPLOADS)
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
        for _ in range(uploads):
            client = attackers.connected(system.client.port)
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
    print(
        f"{uploads} uploads of {UPLOAD_BYTES >> 20} MiB at once ({told(statuses)}): "
        f"{(most - before) / 2**20:.0f} MiB more memory in all, {took:.0f} s",
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


def multipart(workload: str, picture: bytes) -> bytes:
    """The body of an upload."""
    fields = (
        f'--b\r\nContent-Disposition: form-data; name="workload_id"\r\n\r\n{workload}\r\n'
        '--b\r\nContent-Disposition: form-data; name="data"; filename="f"\r\n\r\n'
    )
    return fields.encode() + picture + b"\r\n--b--\r\n"


def upload_bytes(system: System, picture: bytes) -> bytes:
    """The request that brings this picture into a workload of its own."""
    body = multipart(system.workload("grayscale"), picture)
    return _request(system.client, "/images", "multipart/form-data; boundary=b", body)


def overload(system: System, controller: Process, measure: Measure) -> None:
    """Interleaved rounds: a few clients that wait for each answer, then ten times the rate that these had."""
    request = upload_bytes(system, encoded(0, 64, 64, "JPEG"))
    seconds, clients, crowd = measure.seconds, measure.of(PEAK), measure.of(CROWD)
    rounds: list[tuple[float, float, float]] = []
    statuses: Counter[str] = Counter()
    _offered(system, controller, request, 1e6, clients, seconds)  # what is made once is there then
    before, most, cpu = memory(controller), 0, 0.0
    for _ in range(measure.rounds):
        peak = _offered(system, controller, request, 1e6, clients, seconds)
        much = _offered(system, controller, request, 10 * peak.taken, crowd, seconds)
        rounds.append((peak.taken, much.taken, much.statuses["sent"] / seconds))
        statuses += much.statuses
        most, cpu = max(most, much.memory), cpu + much.cpu / measure.rounds
        time.sleep(2.0)  # what was under way ends
    peak, goodput, offered = (statistics.median(column) for column in zip(*rounds, strict=True))
    print(
        f"10 × {peak:.0f} uploads each second ({offered / peak:.1f} × sent; {told(statuses)}): "
        f"{goodput / peak:.0%} of that are taken; memory {(most - before) / 2**20:.0f} MiB more at most, "
        f"{(memory(controller) - before) / 2**20:.0f} MiB afterwards, {cpu:.0%} of a processor",
        flush=True,
    )


@frozen
class _Offered:
    taken: float  # each second
    statuses: Counter[str]
    memory: int  # of the controller, the most
    cpu: float  # of the controller, each second


def _offered(
    system: System, controller: Process, request: bytes, rate: float, clients: int, seconds: float
) -> _Offered:
    most = 0
    settling = min(SETTLING, seconds)
    with attacked_by(attackers.offer, system.client.port, request, rate, clients, settling) as seen:
        start, before = time.perf_counter(), cpu_seconds(controller.process.pid)
        while time.perf_counter() - start < seconds:
            time.sleep(0.05)
            most = max(most, memory(controller))
        took = time.perf_counter() - start
        cpu = (cpu_seconds(controller.process.pid) - before) / took
    taken = max(1, seen.statuses["201"])  # ratios are made of it
    return _Offered(taken / took, seen.statuses, most, cpu)


SCENES = {
    "idle": idle,
    "slow": slow,
    "slowhttptest": slowhttptest,
    "logins": logins,
    "uploads": uploads,
    "announced": announced,
    "files": files,
    "workloads": workloads,
    "results": results,
    "relogins": relogins,
    "reports": reports,
    "overload": overload,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scenes", default=",".join(SCENES))
    parser.add_argument("--seconds", type=float, default=4.0, help="of each round of uploads")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--share", type=float, default=1.0, help="of the attackers: less for a first look")
    parser.add_argument("--one-controller", action="store_true", help="for all scenes, not one for each")
    options = parser.parse_args()
    measure = Measure(options.seconds, options.rounds, options.share)
    scenes = [SCENES[name] for name in options.scenes.split(",")]
    for some in [scenes] if options.one_controller else [[scene] for scene in scenes]:
        with Cluster() as cluster:
            controller = cluster.start_controller()
            system = System(cluster)
            for scene in some:
                scene(system, controller, measure)


if __name__ == "__main__":
    main()
