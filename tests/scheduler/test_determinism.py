"""The same events give the same instructions, whatever the hash seed; and the pure part stays pure."""

from __future__ import annotations

import ast
import hashlib
import os
import random
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import TestCase

import dpip.scheduler
from dpip.model import Outcome
from dpip.scheduler import events as e
from tests.scheduler.fakes import GIB, info, load, waiting, workload
from tests.scheduler.world import World

ROOT = Path(__file__).parents[2]
IMPURE = ("__init__", "dispatcher", "backfill", "datastore_writes", "service")
PURE = sorted(
    path.stem for path in Path(dpip.scheduler.__file__).parent.glob("*.py") if path.stem not in IMPURE
)
FORBIDDEN = {"twisted", "sqlite3", "sqlalchemy", "time", "random", "datetime", "os", "secrets", "uuid"}


def scenario() -> str:
    """Ten owners, many tags and filters, workers that come and go: a digest of all instructions."""
    chance = random.Random(7)
    world = World()
    filters, tags = ["blur", "grayscale", "sharpen", "sepia"], ["fast", "gpu", "near", "trusted"]
    number = 0
    for step in range(400):
        act = chance.randrange(8)
        if act == 0:
            owner, count = f"owner {chance.randrange(10)}", chance.randrange(1, 20)
            made = workload(
                f"w{step}", owner, chance.sample(filters, 2), chance.sample(tags, chance.randrange(3))
            )
            sizes = [chance.choice([10**5, 10**6, 10**7, 10**8]) for _ in range(count)]
            world.add(made, [waiting(number + i, size) for i, size in enumerate(sizes)])
            number += count
        elif act in (1, 2) and len(world.sent) < 40:
            session = f"s{step}"
            facts = info(
                session,
                slots=chance.randrange(1, 5),
                capacity=8,
                machine=f"m{chance.randrange(10)}",
                filters=chance.sample(filters, 3),
                tags=chance.sample(tags, 3),
                gpu=chance.random() < 0.3,
            )
            world.join(session, facts, load(chance.randrange(1, 16) * GIB, cpu=chance.randrange(100)))
        elif act == 3 and world.sent and chance.random() < 0.3:
            world.lose(chance.choice(sorted(world.sent)))
        elif act == 4 and world.sent:
            world.tell(
                e.WorkerReported(chance.choice(sorted(world.sent)), load(chance.randrange(1, 16) * GIB))
            )
        else:
            for session in sorted(world.sent):
                for job in list(world.sent.get(session, {}).values())[:2]:
                    if chance.random() < 0.8:
                        world.finish(session, job.lease, chance.random())
                    else:
                        world.end(session, job.lease, chance.choice([Outcome.CRASHED, Outcome.RETURNED]))
        world.advance(chance.random())
        world.settle()
    assert len(world.log) > 1000
    return hashlib.sha256(repr(world.log).encode()).hexdigest()


class DeterminismTests(TestCase):
    def test_hash_seeds(self) -> None:
        digests = {self.digest(seed) for seed in ("1", "2")}
        self.assertEqual(digests, {scenario()})

    def digest(self, seed: str) -> str:
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        code = "from tests.scheduler.test_determinism import scenario; print(scenario())"
        run = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
        )
        return run.stdout.strip()


class PurityTests(TestCase):
    def test_no_io_no_clock_no_chance(self) -> None:
        for name in PURE:
            source = Path(dpip.scheduler.__file__).with_name(f"{name}.py").read_text()
            imported = {module.split(".")[0] for module in _imports(source)}
            self.assertEqual(imported & FORBIDDEN, set(), name)

    def test_pure_modules_import_only_pure_ones(self) -> None:
        for name in PURE:
            source = Path(dpip.scheduler.__file__).with_name(f"{name}.py").read_text()
            ours = {module for module in _imports(source) if module.startswith("dpip")}
            allowed = {f"dpip.scheduler.{other}" for other in PURE} | {"dpip.model", "dpip.scheduler"}
            self.assertEqual(ours - allowed, set(), name)


def _imports(source: str) -> set[str]:
    nodes = list(ast.walk(ast.parse(source)))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return plain | {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
