"""Pictures that crash their filter's process, never let it end, or eat all memory, among harmless ones.

Each of them fails alone, with the reason and after three attempts; the others are charged with nothing, and
none is computed more than twice; the worker stays joined all the time.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest import mock

from tests.chaos.poisonous import CRASHES, EATS, LOOPS, install, picture
from tests.system.plain_client import PlainClient
from tests.system.processes import PASSWORD, Cluster, wait_until

REASONS = {
    CRASHES: ("compute-crashed", "SIGSEGV"),
    LOOPS: ("compute-timeout", "longer than"),
    EATS: ("out-of-memory", "memory"),
}
"""Of a picture's character: the failure's code, and a word of its reason."""
_HARMLESS = 200
_PATIENCE = 900.0
"""Every attempt at a poisoned picture costs a new compute child, seconds on a busy machine."""


def poisoned(
    harmless: int, each: int, job_seconds: float, slots: int = 1, poisons: Collection[int] = tuple(REASONS)
) -> tuple[list[str], str]:
    """What is wrong, and what happened, with so many harmless pictures and ``each`` of every poison."""
    characters = [_HARMLESS] * harmless
    bad = list(poisons) * each
    for place, character in enumerate(bad):
        characters.insert((place + 1) * len(characters) // (len(bad) + 1), character)
    began = time.monotonic()
    with Cluster() as cluster:
        path = install(cluster.directory / "plugins")
        with mock.patch.dict(os.environ, {"PYTHONPATH": path}):
            cluster.start_controller("--job-seconds", str(job_seconds))
            worker = cluster.start_worker("one", "--slots", str(slots))
        client = PlainClient(cluster.http)
        client.login("admin", PASSWORD)
        body = json.dumps({"filter": "poison", "numbering": "frames"}).encode()
        answer = client.request("POST", "/workloads", body, {"Content-Type": "application/json"})
        workload = answer.json["workload_id"]
        for number, character in enumerate(characters):
            assert client.upload(workload, f"{number}.png", picture(character)).status == 201
        wait_until(
            lambda: client.workload(workload)["status"] == "completed", "all ended", 0.1, patience=_PATIENCE
        )
        listed = client.workload(workload)["failed_images"]
        wrong = [
            *_reasons(characters, {failure["seq"]: failure for failure in listed}),
            *_charges(cluster.state, characters),
        ]
        if worker.log.count("Joined as") != 1:
            wrong.append(f"the worker did not stay joined:\n{worker.log[-3000:]}")
    seconds = time.monotonic() - began
    return wrong, f"{len(bad)} poisoned among {harmless} pictures, {len(listed)} failed; {seconds:.0f} s"


def _reasons(characters: Sequence[int], failed: Mapping[int, Any]) -> Iterator[str]:
    for seq, character in enumerate(characters):
        failure = failed.get(seq)
        if character not in REASONS:
            if failure is not None:
                yield f"the harmless picture {seq} failed: {failure}"
            continue
        code, word = REASONS[character]
        if failure is None or failure["code"] != code or word not in failure["reason"]:
            yield f"picture {seq} should have failed as {code}: {failure}"


def _charges(state: Path, characters: Sequence[int]) -> Iterator[str]:
    """What the datastore has written down."""
    with closing(sqlite3.connect(state / "dpip.sqlite")) as database:
        jobs = database.execute(_JOBS).fetchall()
    for seq, job_state, crashes, losses, attempts in jobs:
        is_poison = characters[seq] in REASONS
        expected = ("failed", 3) if is_poison else ("done", attempts)
        if (job_state, attempts) != expected or losses or (crashes and not is_poison):
            yield f"picture {seq}: {job_state}, {attempts} attempts, charged {crashes} and {losses}"
        if not is_poison and attempts > 2:
            yield f"the harmless picture {seq} was begun {attempts} times"


_JOBS = "SELECT seq, state, crashes, losses, attempt FROM jobs"


def main() -> int:
    wrong, what = poisoned(harmless=100, each=2, job_seconds=3.0, slots=2)
    print("\n".join([*wrong, f"{what}; {len(wrong)} violations"]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
