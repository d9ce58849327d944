"""Four workers, each killed again and again, on average five seconds after it has joined.

All pictures must be filtered, and at a rate that is not far below what the time allows in which workers were
there. A picture takes a fixed time, not a part of the processor, which the starting workers need themselves.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from collections.abc import Callable, Sequence
from threading import Thread
from typing import Final
from unittest import mock

from attrs import define, field

from tests.chaos.ledger import check_disk
from tests.chaos.poisonous import SECONDS, SLEEPS, install, picture
from tests.system.plain_client import PlainClient
from tests.system.processes import PASSWORD, Cluster, Process

_JOB_SECONDS: Final = 0.2
_LEAST: Final = 0.7


@define(eq=False)
class Mortal:
    """One worker's name and its lives. ``lifetime()`` is how long it lives after it has joined."""

    name: str
    cluster: Cluster
    path: str
    lifetime: Callable[[], float]
    deaths: int = field(default=0, init=False)
    _there: float = field(default=0.0, init=False)
    _joined: float | None = field(default=None, init=False)
    _dies: float = field(default=0.0, init=False)
    _process: Process | None = field(default=None, init=False)

    def look(self) -> None:
        """Has it joined, is it time to die? Call it often."""
        now = time.monotonic()
        if self._process is None:
            self._start()
        elif self._joined is None:
            if "Joined as" in self._process.log:
                self._joined, self._dies = now, now + self.lifetime()
        elif now >= self._dies:
            self._process.kill()
            self._there += now - self._joined
            self.deaths += 1
            self._start()

    def be_mortal(self) -> None:
        """From now on."""
        self._dies = time.monotonic() + self.lifetime()

    def there(self) -> float:
        """Seconds that it has been joined, in all its lives."""
        return self._there + (time.monotonic() - self._joined if self._joined is not None else 0.0)

    def _start(self) -> None:
        self._joined = None
        with mock.patch.dict(os.environ, {"PYTHONPATH": self.path, SECONDS: str(_JOB_SECONDS)}):
            spools = str(self.cluster.directory / "spools")
            self._process = self.cluster.start_worker(self.name, "--slots", "1", "--spool-dir", spools)


class Churn:
    """A controller, workers that die, and work for them."""

    def __init__(self, cluster: Cluster, workers: int, mean: float, seed: int) -> None:
        self._random = random.Random(seed)
        self._mean = mean
        path = install(cluster.directory / "plugins")
        with mock.patch.dict(os.environ, {"PYTHONPATH": path}):
            cluster.start_controller()
        self.client = PlainClient(cluster.http)
        self.client.login("admin", PASSWORD)
        self.killing = False
        self.workers = [Mortal(f"w{number}", cluster, path, self._lifetime) for number in range(workers)]

    def _lifetime(self) -> float:
        return self._random.expovariate(1 / self._mean) if self.killing else float("inf")

    def rate(self, pictures: int, deadline: float) -> tuple[float, int]:
        """Pictures for each second that a worker was there, and how many of them have ended so far."""
        workload = self._order()
        uploading = Thread(target=self._upload, args=(workload, pictures), daemon=True)
        began, before = time.monotonic(), self._there()
        uploading.start()
        done = 0
        while done < pictures and time.monotonic() - began < deadline:
            for worker in self.workers:
                worker.look()
            done = int(self.client.request("GET", f"/workloads/{workload}").json["filtered"])
            time.sleep(0.05)
        return done / (self._there() - before), done

    def _there(self) -> float:
        return sum(worker.there() for worker in self.workers)

    def wait_for_all(self) -> None:
        while not all(worker.there() for worker in self.workers):
            for worker in self.workers:
                worker.look()
            time.sleep(0.05)

    def _order(self) -> str:
        body = json.dumps({"filter": "poison", "numbering": "frames"}).encode()
        headers = {"Content-Type": "application/json"}
        return str(self.client.request("POST", "/workloads", body, headers).json["workload_id"])

    def _upload(self, workload: str, pictures: int) -> None:
        for number in range(pictures):
            assert self.client.upload(workload, f"{number}.png", picture(SLEEPS)).status == 201


def churn(pictures: int, workers: int = 4, mean: float = 5.0, seed: int = 1) -> tuple[list[str], str]:
    """What is wrong, and what happened."""
    with Cluster() as cluster:
        town = Churn(cluster, workers, mean, seed)
        town.wait_for_all()
        undisturbed, _ = town.rate(max(20, pictures // 20), deadline=300)
        began = time.monotonic()
        town.killing = True
        for worker in town.workers:
            worker.be_mortal()
        disturbed, done = town.rate(pictures, deadline=10 + 30 * _JOB_SECONDS * pictures / workers)
        lasted = time.monotonic() - began
        for process in reversed(cluster.processes):
            process.stop()
        wrong = check_disk(cluster.state)
    share = disturbed / undisturbed
    if done < pictures:
        wrong.append(f"I7: only {done} of {pictures} pictures were filtered")
    if share < _LEAST:
        wrong.append(f"the rate is {share:.0%} of what the workers' time allows, less than {_LEAST:.0%}")
    deaths = sum(worker.deaths for worker in town.workers)
    return wrong, (
        f"{done} of {pictures} pictures in {lasted:.0f} s, {deaths} workers killed; a worker's second makes "
        f"{disturbed:.2f} pictures, undisturbed {undisturbed:.2f}: {share:.0%}"
    )


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.churn", description=__doc__)
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    wrong, what = churn(given.pictures, seed=given.seed)
    print("\n".join([*wrong, f"{what}; {len(wrong)} violations"]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
