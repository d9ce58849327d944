"""The whole system under test: real processes, watched if wanted, and a client that keeps it busy."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from types import TracebackType

import psutil
from attrs import frozen

from tests.system.plain_client import PlainClient
from tests.system.processes import PASSWORD, Cluster, Process, wait_until

CONNECTIONS = 4
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_BOUNDARY = "dpip-bench-boundary"


def cpu_seconds(pid: int) -> float:
    """Of that process, without its children."""
    own = psutil.Process(pid).cpu_times()
    return float(own.user + own.system)


class System:
    """The cluster under test and a client that keeps ``CONNECTIONS`` connections busy."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.client = PlainClient(cluster.http)
        self.client.login("admin", PASSWORD)

    def workload(self, filter: str) -> str:
        """A new one's id."""
        answer = self.client.request("POST", "/workloads", f"filter={filter}".encode(), FORM)
        return str(answer.json["workload_id"])

    def connection(self) -> HTTPConnection:
        return HTTPConnection("127.0.0.1", self.client.port)

    def post(self, connection: HTTPConnection, workload: str, *frames: bytes) -> None:
        """All frames in one request."""
        field = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="workload_id"\r\n\r\n{workload}\r\n'
        part = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="data"; filename="f"\r\n\r\n'.encode()
        files = b"".join(part + frame + b"\r\n" for frame in frames)
        body = field.encode() + files + f"--{_BOUNDARY}--\r\n".encode()
        headers = {
            "Authorization": f"Bearer {self.client.token}",
            "Content-Type": f"multipart/form-data; boundary={_BOUNDARY}",
        }
        connection.request("POST", "/images", body, headers)
        response = connection.getresponse()
        answer = response.read()
        assert response.status == 201, answer

    def upload(self, workload: str, frames: list[bytes]) -> None:
        """All of them, over ``CONNECTIONS`` connections at once."""
        waiting = iter(frames)

        def lane(_: int) -> None:
            connection = self.connection()
            for frame in waiting:
                self.post(connection, workload, frame)
            connection.close()

        with ThreadPoolExecutor(CONNECTIONS) as lanes:
            list(lanes.map(lane, range(CONNECTIONS)))

    def rate(self, frames: list[bytes], filter: str) -> float:
        """Images/s from the first upload to the last result; the workload is deleted in the end."""
        workload = self.workload(filter)
        start = time.perf_counter()
        self.upload(workload, frames)
        wait_until(lambda: self.client.workload(workload)["status"] == "completed", "results", every=0.05)
        seconds = time.perf_counter() - start
        now = self.client.workload(workload)
        assert len(now["filtered_images"]) == len(frames), now["failed_images"]
        self.client.request("DELETE", f"/workloads/{workload}")
        return len(frames) / seconds

    def latency(self, frame: bytes, filter: str, least: float) -> float:
        """Seconds from the first byte of one image's upload until its result has been read. It is not asked
        for earlier than ``least`` seconds after the upload: to answer takes the controller time, too."""
        workload = self.workload(filter)
        connection = self.connection()
        headers = {"Authorization": f"Bearer {self.client.token}"}
        start = time.perf_counter()
        self.post(connection, workload, frame)
        time.sleep(least)
        while True:
            connection.request("GET", f"/images/0?workload_id={workload}", headers=headers)
            response = connection.getresponse()
            response.read()
            if response.status == 200:
                break
            time.sleep(0.003)
        seconds = time.perf_counter() - start
        connection.close()
        self.client.request("DELETE", f"/workloads/{workload}")
        return seconds


class _Watched(Cluster):
    """Its processes run under ``bench.watched``."""

    def run(self, name: str, *arguments: str, program: Sequence[str] = ()) -> Process:
        """Whatever the program was to be, it is ``bench.watched``."""
        seen = str(self.directory / f"{name}.seen")
        return super().run(name, *arguments, program=("-m", "bench.watched", seen))

    def seen(self, name: str, process: Process) -> dict[str, float]:
        """See ``bench.watched``."""
        file = self.directory / f"{name}.seen"
        file.unlink(missing_ok=True)
        process.process.send_signal(signal.SIGUSR1)
        wait_until(file.exists, "what was seen")
        found: dict[str, float] = json.loads(file.read_text())
        return found


@frozen
class Cpu:
    """CPU time; ``worker`` is without the computing. In milliseconds for each image, or in seconds."""

    controller: float
    api: float
    worker: float
    client: float


@frozen
class Run:
    """One workload from its first upload to its last result. The stops are the longest turn of each reactor,
    in milliseconds of CPU time and of wall-clock time."""

    rate: float
    cpu: Cpu
    idle_percent: float
    controller_stop: tuple[float, float]
    worker_stop: tuple[float, float]


class WatchedSystem:
    """A controller, and one worker with two compute children; a context manager."""

    def __init__(
        self, *, controller: tuple[str, ...] = (), worker: tuple[str, ...] = (), slots: int = 2
    ) -> None:
        self._cluster = _Watched()
        self._controller_options = controller
        self._worker_options = worker
        self._slots = slots

    def __enter__(self) -> WatchedSystem:
        cluster = self._cluster.__enter__()
        self._controller = cluster.start_controller(*self._controller_options)
        self._worker = cluster.start_worker("bench", "--slots", str(self._slots), *self._worker_options)
        self._worker.wait_for_log("Joined")
        self.system = System(cluster)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cluster.__exit__(kind, error, trace)

    def run(self, frames: list[bytes], filter: str) -> Run:
        """The frames as one workload."""
        self._seen()
        before = self._cpu()
        rate = self.system.rate(frames, filter)
        after = self._cpu()
        ours, its = self._seen()

        def each(name: str) -> float:
            spent: float = getattr(after, name) - getattr(before, name)
            return spent / len(frames) * 1000

        return Run(
            rate=rate,
            cpu=Cpu(each("controller"), each("api"), each("worker"), each("client")),
            idle_percent=100 * its["waited"] / (self._slots * len(frames) / rate),
            controller_stop=(ours["cpu"] * 1000, ours["wall"] * 1000),
            worker_stop=(its["cpu"] * 1000, its["wall"] * 1000),
        )

    def _cpu(self) -> Cpu:
        controller = self._controller.process.pid
        return Cpu(
            controller=cpu_seconds(controller),
            api=sum(cpu_seconds(child.pid) for child in psutil.Process(controller).children()),
            worker=cpu_seconds(self._worker.process.pid),
            client=time.process_time(),
        )

    def _seen(self) -> tuple[dict[str, float], dict[str, float]]:
        cluster = self._cluster
        return cluster.seen("controller", self._controller), cluster.seen("bench", self._worker)
