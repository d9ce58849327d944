"""Every bench runs, with its smallest sizes. What it measures is not looked at."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from attrs import evolve, frozen
from twisted.trial.unittest import SkipTest, TestCase

from bench.peers.contenders import NEEDS, Where, missing
from tests.system.processes import REPOSITORY

SECONDS = 300.0
"""After which a bench counts as stuck: only ever reached when something is broken."""
BENCH = REPOSITORY / "bench"


@frozen
class Smoke:
    """One run: its options in one string, and what its standard output contains (a regular expression)."""

    options: str
    prints: str
    records: bool = False


PEERS = Smoke("--rounds 1 --share 0.01 --rows JPEG-grayscale", r"images/s.*JPEG-grayscale\n.* \(1\.00\)")
SMOKES = {
    "backlog": Smoke("--jobs 100", r"100 waiting jobs: .* MiB", records=True),
    "cost": Smoke("--images 4 --formats JPEG", r"JPEG in all( +\d+\.\d\d){5}"),
    "datastore": Smoke("100", r"uploads alone .* jobs/s"),
    "engines": Smoke(
        "--images 4 --rounds 1 --filter grayscale --engines local,paths,bytes",
        r"engine +images/s.*\nlocal +\d+\.\d +1\.00",
    ),
    "folder": Smoke("--images 6 --rounds 1 --rows JPEG-grayscale", r"JPEG grayscale( +\d+\.\d+){6}"),
    "hostile": Smoke("--rounds 1 --share 0.005 --seconds 0.1 --one-controller", r"10 × .* are taken"),
    "jobs": Smoke(
        "--jobs 50 --sizes 20,50 --workers 1 --warm-up 50",
        r"from 20 to 50 images .* flat within \d+%",
        records=True,
    ),
    "kernels": Smoke("--rounds 1 --shrink 16", r"720p thumbnail \| Pillow .* ms"),
    "peers": evolve(PEERS, options=f"{PEERS.options} --contenders dpip,pool", records=True),
    "picture": Smoke("picture.svg", r""),
    "polling": Smoke(
        "--clients 2 --every 0.2 --images 20 --uploads 4 --rounds 1", r"its counts, not changed +304 "
    ),
    "reports": Smoke(
        "--workers 2 --seconds 0.5 --every 0.2", r"2 workers, \d+ reports/s: .* of a core", records=True
    ),
    "scheduling": Smoke("--share 0.1", r"100 images( +\d+\.\d){5}", records=True),
    "startup": Smoke("--starts 1 --warm-ups 0", r"start to first result \d+\.\d\d s"),
    "throughput": Smoke(
        "--images 8 --rounds 1 --rows JPEG-grayscale,latency",
        r"JPEG-grayscale +HTTP .*\n.*upload to result read",
        records=True,
    ),
}
STARTED_BY_OTHERS = ("agents", "watched")


def smoke(name: str, run: Smoke, folder: Path, **environment: str) -> str:
    """What the bench printed. It ran in ``folder``, and ended well."""
    figures = folder / "figures.json"
    command = [sys.executable, "-m", f"bench.{name}", *run.options.split()]
    done = subprocess.run(
        command + (["--record", str(figures)] if run.records else []),
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, f"{name} ended with {done.returncode}:\n{done.stdout}\n{done.stderr[-4000:]}"
    assert re.search(run.prints, done.stdout), f"{name} printed:\n{done.stdout}"
    if run.records:
        assert json.loads(figures.read_text())[name]["figures"], f"{name} recorded nothing"
    return done.stdout


def runnable() -> Iterator[str]:
    """Names of what ``python -m bench.NAME`` can be asked for."""
    for path in BENCH.iterdir():
        if (path / "__main__.py").exists():
            yield path.name
        elif path.suffix == ".py" and '__name__ == "__main__"' in path.read_text(encoding="utf-8"):
            yield path.stem


def imported(path: Path) -> set[str]:
    """Names of the modules that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


class BenchSmokeTests(TestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()

    def run_smoke(self, name: str) -> str:
        return smoke(name, SMOKES[name], self.folder)

    def test_backlog(self) -> None:
        self.run_smoke("backlog")

    def test_cost(self) -> None:
        self.run_smoke("cost")

    def test_datastore(self) -> None:
        self.run_smoke("datastore")

    def test_engines(self) -> None:
        printed = self.run_smoke("engines")
        if find_spec("distributed") is not None:
            self.assertRegex(printed, r"(?m)^paths .*\n^bytes ")

    def test_folder(self) -> None:
        self.run_smoke("folder")

    def test_hostile(self) -> None:
        self.run_smoke("hostile")

    def test_jobs(self) -> None:
        self.run_smoke("jobs")

    def test_kernels(self) -> None:
        self.run_smoke("kernels")

    def test_peers(self) -> None:
        printed = self.run_smoke("peers")
        for contender in ("dpip, HTTP", "pool, bytes", "pool, files"):
            self.assertRegex(printed, rf"(?m)^{contender} +\d+\.\d \(")

    def test_picture(self) -> None:
        self.run_smoke("picture")
        self.assertIn("</svg>", (self.folder / "picture.svg").read_text(encoding="utf-8"))

    def test_polling(self) -> None:
        self.assertRegex(self.run_smoke("polling"), r"Uploads: .*/s alone")

    def test_reports(self) -> None:
        self.run_smoke("reports")

    def test_scheduling(self) -> None:
        self.assertIn("workers, a decision: ", self.run_smoke("scheduling"))

    def test_startup(self) -> None:
        self.run_smoke("startup")

    def test_throughput(self) -> None:
        self.run_smoke("throughput")


class BenchCoverageTests(TestCase):
    def test_every_bench_has_a_smoke_run(self) -> None:
        self.assertEqual(sorted(runnable()), sorted([*SMOKES, *STARTED_BY_OTHERS]))
        missing_tests = [name for name in SMOKES if not hasattr(BenchSmokeTests, f"test_{name}")]
        self.assertEqual(missing_tests, [])

    def test_what_others_start_is_started_by_another(self) -> None:
        sources = [path.read_text(encoding="utf-8") for path in BENCH.glob("*.py")]
        for name in STARTED_BY_OTHERS:
            self.assertTrue(any(f'"bench.{name}"' in text for text in sources), f"nothing starts {name}")

    def test_every_other_module_is_imported_by_one_that_is_run(self) -> None:
        covered = {f"bench.{name}" for name in runnable()}
        todo = [path for name in runnable() for path in (BENCH / f"{name}.py", BENCH / name / "__main__.py")]
        while todo:
            path = todo.pop()
            if path.exists():
                fresh = {name for name in imported(path) if name.startswith("bench.")} - covered
                covered |= fresh
                todo += [REPOSITORY / f"{name.replace('.', '/')}.py" for name in fresh]
        modules = {f"bench.{path.stem}" for path in BENCH.glob("*.py")} - {"bench.__init__"}
        self.assertEqual(sorted(modules - covered), [])


class PeerSmokeTests(TestCase):
    """Each peer that is installed. ``DPIP_PEERS_PYTHON``, ``DPIP_PEERS_THUMBOR`` and
    ``DPIP_PEERS_NODE_MODULES`` tell where, as the options of ``bench.peers`` do."""

    def run_peer(self, name: str) -> None:
        ask = os.environ.get
        where = Where(
            ask("DPIP_PEERS_PYTHON", sys.executable),
            ask("DPIP_PEERS_THUMBOR", "thumbor"),
            Path(ask("DPIP_PEERS_NODE_MODULES", "node_modules")).absolute(),
        )
        if need := missing(where, [name]):
            raise SkipTest(f"{name} is not installed; it needs {need[name]}")
        places = f"--python {where.python} --thumbor {where.thumbor} --node-modules {where.node_modules}"
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        printed = smoke(
            "peers", evolve(PEERS, options=f"{PEERS.options} {places} --contenders {name}"), folder
        )
        self.assertIn(f"\n{name}, ", printed)

    def test_celery(self) -> None:
        self.run_peer("celery")

    def test_dask(self) -> None:
        self.run_peer("dask")

    def test_ray(self) -> None:
        self.run_peer("ray")

    def test_thumbor(self) -> None:
        self.run_peer("thumbor")

    def test_sharp(self) -> None:
        self.run_peer("sharp")

    def test_each_peer_has_its_test(self) -> None:
        self.assertEqual([name for name in NEEDS if not hasattr(self, f"test_{name}")], [])
