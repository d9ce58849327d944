"""A worker's connections go silent, with a result on its way: nobody says that the link has ended.

The controller must notice within 15 s, another worker does the work, and the result that arrives after all is
refused and changes nothing.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any
from unittest import mock

from tests.chaos.ledger import check_disk
from tests.chaos.poisonous import SECONDS, SLEEPS, install, picture
from tests.system.plain_client import PlainClient
from tests.system.processes import PASSWORD, REPOSITORY, Cluster, Process, free_port, wait_until

NOTICED_WITHIN = 15.0
_PICTURES = 6
_REFUSED = re.compile(r"POST /images (401|409) ")


class Proxy:
    """See :mod:`tests.chaos.proxy`; a context manager."""

    def __init__(self, *pairs: tuple[int, int]) -> None:
        arguments = [f"{listen}:{target}" for listen, target in pairs]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.proxy", *arguments],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._hear("listening")

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def silence(self) -> None:
        self._process.send_signal(signal.SIGUSR1)
        self._hear("silent")

    def resume(self) -> None:
        self._process.send_signal(signal.SIGUSR2)
        self._hear("resumed")

    def _hear(self, word: str) -> None:
        assert self._process.stdout is not None
        heard = self._process.stdout.readline().strip()
        assert heard == word, heard


class Scene:
    """A controller whose API and workers' port are reached over the line, too."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._path = install(cluster.directory / "plugins")
        api, self._pb = free_port(), free_port()
        self.proxy = Proxy((api, cluster.http), (self._pb, cluster.pb))
        with mock.patch.dict(os.environ, {"PYTHONPATH": self._path}):
            more = ("--api-url", f"http://127.0.0.1:{api}", "--log-requests")
            self.controller = cluster.start_controller(*more)
        self.client = PlainClient(cluster.http)
        self.client.login("admin", PASSWORD)

    def start_worker(self, name: str, seconds: float, over_the_line: bool) -> Process:
        with mock.patch.dict(os.environ, {"PYTHONPATH": self._path, SECONDS: str(seconds)}):
            port = self._pb if over_the_line else self._cluster.pb
            worker = self._cluster.start_worker(name, "--slots", "1", "--controller", f"127.0.0.1:{port}")
        worker.wait_for_log("Joined")
        return worker

    def upload(self) -> str:
        body = b'{"filter": "poison", "numbering": "frames"}'
        answer = self.client.request("POST", "/workloads", body, {"Content-Type": "application/json"})
        workload = str(answer.json["workload_id"])
        for number in range(_PICTURES):
            assert self.client.upload(workload, f"{number}.png", picture(SLEEPS)).status == 201
        return workload

    def joined(self, name: str) -> bool:
        workers = self.client.request("GET", "/workers").json
        return any(worker["worker"] == name and worker["joined"] for worker in workers)

    def results(self, workload: str) -> list[Any]:
        listed = self.client.request("GET", f"/images?workload_id={workload}&type=filtered").json
        return sorted((image["seq"], image["sha256"]) for image in listed)


def silent_link() -> tuple[list[str], str]:
    """What is wrong, and what happened."""
    with Cluster() as cluster:
        scene = Scene(cluster)
        with scene.proxy:
            far = scene.start_worker("far", seconds=1.5, over_the_line=True)
            workload = scene.upload()
            wait_until(lambda: scene.client.workload(workload)["filtered_images"], "a first result")
            scene.proxy.silence()  # while it computes the second
            began = time.monotonic()
            near = scene.start_worker("near", seconds=0.0, over_the_line=False)
            wait_until(lambda: "Worker far is lost" in scene.controller.log, "far noticed", every=0.05)
            noticed = time.monotonic() - began
            wait_until(lambda: scene.client.workload(workload)["status"] == "completed", "all done")
            done = time.monotonic() - began
            before = scene.results(workload)
            wait_until(lambda: far.log.count("Joined as") == 2, "far joined again")
            scene.proxy.resume()
            late = wait_until(lambda: _REFUSED.search(scene.controller.log), "the late result")
            wrong = list(_differences(before, scene.results(workload), noticed))
        for process in (far, near, scene.controller):
            process.stop()
        wrong += check_disk(cluster.state)
    return wrong, (
        f"silence noticed after {noticed:.1f} s, all {_PICTURES} pictures done after {done:.1f} s, "
        f"the late result refused with {late[1]}"
    )


def _differences(before: list[Any], after: list[Any], noticed: float) -> Iterator[str]:
    if after != before or len(after) != _PICTURES:
        yield f"I3: the late result has changed {before} to {after}"
    if noticed > NOTICED_WITHIN:
        yield f"I7: the silence was noticed only after {noticed:.1f} s"


def main() -> int:
    wrong, what = silent_link()
    print("\n".join([*wrong, f"{what}; {len(wrong)} violations"]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
