"""Where a Dask cluster is, whether the way there is safe, and what its machines report."""

from __future__ import annotations

import subprocess
import sys
from typing import Any
from unittest import mock

from click.testing import CliRunner
from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase

from dpip.command.doctor_checks import _engines
from dpip.command.run.command import run
from dpip.worker.dask import opening
from dpip.worker.dask.address import check_secure, cluster_address, machine_of
from dpip.worker.dask.load import cluster_load
from dpip.worker.tap import WorkerOptions

GIB = 2**30


class ClusterAddressTests(SynchronousTestCase):
    def test_a_port_is_the_usual_one_unless_named(self) -> None:
        for text, scheduler in (
            ("dask://cluster", "tcp://cluster:8786"),
            ("dask://10.0.0.1:99/", "tcp://10.0.0.1:99"),
            ("dask+tls://[::1]:5", "tls://[::1]:5"),
        ):
            self.assertEqual(cluster_address(text).scheduler, scheduler)
            self.assertEqual(str(cluster_address(text)), str(cluster_address(str(cluster_address(text)))))

    def test_what_is_no_address_is_refused(self) -> None:
        for text in (
            "cluster:8786",
            "ray://cluster",
            "dask://",
            "dask://a:99999",
            "dask://a/b",
            "dask://u:p@a",
        ):
            self.assertRaises(ValueError, cluster_address, text)

    def test_a_plain_way_is_taken_on_this_machine_or_when_that_is_accepted(self) -> None:
        for text in ("dask://127.0.0.1", "dask://[::1]", "dask://localhost", "dask+tls://cluster"):
            check_secure(cluster_address(text), insecure=False)
        far = cluster_address("dask://10.0.0.1")
        self.assertIn("not encrypted", str(self.assertRaises(ValueError, check_secure, far, False)))
        check_secure(far, insecure=True)

    def test_workers_of_one_cluster_share_a_machine(self) -> None:
        one, same, other = map(cluster_address, ("dask://a", "dask://a:8786", "dask://b"))
        self.assertEqual(machine_of(one), machine_of(same))
        self.assertNotEqual(machine_of(one), machine_of(other))


class EngineOptionTests(SynchronousTestCase):
    def refusal(self, *options: str) -> str:
        result = CliRunner().invoke(run, ["in", "-o", "out", "-f", "grayscale", *options])
        self.assertEqual(result.exit_code, 2)
        return result.output

    def worker(self, *options: str) -> WorkerOptions:
        parsed = WorkerOptions()
        parsed.parseOptions(["--controller", "localhost", *options])
        return parsed

    def test_a_run_says_what_is_wrong(self) -> None:
        self.assertIn("is no engine", self.refusal("--engine", "ray://x"))
        self.assertIn("not encrypted", self.refusal("--engine", "dask://10.0.0.1"))
        self.assertIn("leave --local", self.refusal("--engine", "dask://localhost", "--local"))

    def test_a_worker_says_what_is_wrong(self) -> None:
        for options in (
            ("--engine", "ray://x"),
            ("--engine", "dask://10.0.0.1"),
            ("--engine", "dask://localhost", "--slots", "2"),
        ):
            self.assertRaises(usage.UsageError, self.worker, *options)

    def test_without_the_extra_it_is_named(self) -> None:
        with mock.patch.object(opening, "find_spec", return_value=None):
            error = self.assertRaises(usage.UsageError, self.worker, "--engine", "dask://localhost")
            self.assertIn("pip install 'dpip[dask]'", str(error))
        with mock.patch("dpip.command.doctor_checks.find_spec", return_value=None):
            (finding,) = _engines()
        self.assertEqual(finding.state, "note")
        self.assertIn("dpip[dask]", finding.found)
        with mock.patch.object(opening, "find_spec", return_value=object()):
            self.assertEqual(self.worker("--engine", "dask://localhost")["engine"].port, 8786)

    def test_dask_is_imported_for_a_cluster_alone(self) -> None:
        program = (
            "import sys, dpip.worker.tap, dpip.command.run.local\n"
            "assert not {'dask', 'distributed'} & set(sys.modules)"
        )
        subprocess.run([sys.executable, "-c", program], check=True)


class ClusterLoadTests(SynchronousTestCase):
    def worker(self, slots: int = 1, limit: int = 0, status: str = "running", **told: Any) -> dict[str, Any]:
        load = {"cpu_percent": 50.0, "memory_total": 8 * GIB, "memory_available": 6 * GIB}
        load |= {"own_cpu_percent": 100.0, "own_memory": GIB, "idle_percent": 10.0}
        report = {"machine": told.pop("machine", "m"), "load": {**load, **told}}
        return {"nthreads": slots, "memory_limit": limit, "status": status, "metrics": {"dpip": report}}

    def test_workers_of_one_machine_share_its_memory(self) -> None:
        load = cluster_load({"a": self.worker(2), "b": self.worker(2)}, "dpip")
        self.assertEqual((load.slots, load.memory_total, load.memory_available), (4, 8 * GIB, 6 * GIB))
        self.assertEqual((load.own_memory, load.own_cpu_percent, load.cpu_percent), (2 * GIB, 200.0, 50.0))

    def test_their_limits_hold(self) -> None:
        load = cluster_load({"a": self.worker(limit=2 * GIB), "b": self.worker(limit=2 * GIB)}, "dpip")
        self.assertEqual((load.memory_total, load.memory_available), (4 * GIB, 2 * GIB))

    def test_machines_are_added_up(self) -> None:
        workers = {
            "a": self.worker(1, idle_percent=0.0),
            "b": self.worker(3, machine="n", idle_percent=100.0),
        }
        load = cluster_load(workers, "dpip")
        self.assertEqual((load.slots, load.memory_total, load.idle_percent), (4, 16 * GIB, 75.0))

    def test_a_cluster_without_workers_has_a_slot_so_that_it_is_asked_and_grows(self) -> None:
        self.assertEqual(cluster_load({"a": self.worker(4, status="paused")}, "dpip").slots, 1)
        new = {**self.worker(4), "metrics": {}}
        self.assertEqual((cluster_load({"a": new}, "dpip").slots, cluster_load({}, "dpip").slots), (4, 1))
