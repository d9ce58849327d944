"""Examples: systemd takes the units, programs the options in them, and Dask's packages what is for them."""

from __future__ import annotations

import re
import runpy
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import types
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from twisted.python import usage
from twisted.trial.unittest import SkipTest, TestCase

from dpip.controller.options import ControllerOptions
from dpip.worker.dask.address import cluster_address
from dpip.worker.tap import WorkerOptions as WorkerOptions

DEPLOY = Path(__file__).parent.parent / "deploy"
PROGRAM = "/opt/dpip/venv/bin/twistd"


def settings(text: str) -> dict[str, str]:
    """``NAME=value`` lines of an environment file, or of a unit's ``Environment``."""
    lines = [line.removeprefix("Environment=") for line in text.splitlines() if not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines if "=" in line)


class UnitTests(TestCase):
    def unit(self, name: str) -> str:
        return (DEPLOY / f"dpip-{name}.service").read_text()

    def options(self, name: str) -> list[str]:
        """The plugin's, with the example configuration."""
        known = settings(self.unit(name)) | settings((DEPLOY / f"{name}.env").read_text())
        known["CREDENTIALS_DIRECTORY"] = "/run/credentials"
        (line,) = [line for line in self.unit(name).splitlines() if line.startswith("ExecStart=")]
        line = line.replace("%H", "this-host")
        for variable, value in known.items():
            line = line.replace(f"${{{variable}}}", value).replace(f"${variable}", value)
        program, *arguments = shlex.split(line.removeprefix("ExecStart="))
        self.assertEqual(program, PROGRAM)
        return arguments[arguments.index(f"dpip-{name}") + 1 :]

    def test_systemd_takes_them(self) -> None:
        if shutil.which("systemd-analyze") is None:
            raise SkipTest("systemd-analyze is not installed")
        directory = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, directory)
        for name in ("controller", "worker"):
            file = directory / f"dpip-{name}.service"
            file.write_text(self.unit(name).replace(PROGRAM, sys.executable))
            verified = subprocess.run(
                ["systemd-analyze", "verify", str(file)], capture_output=True, text=True, timeout=60
            )
            self.assertEqual((verified.returncode, verified.stderr), (0, ""), name)

    def test_the_programs_take_their_options(self) -> None:
        kinds: dict[str, type[usage.Options]] = {"controller": ControllerOptions, "worker": WorkerOptions}
        for name, kind in kinds.items():
            options = kind()
            options.parseOptions(self.options(name))
            self.assertEqual(options["log-format"], "json", name)


class DaskExampleTests(TestCase):
    def test_the_slurm_cluster_grows_with_the_work_until_it_is_stopped(self) -> None:
        if find_spec("distributed") is None:
            raise SkipTest("distributed is not installed: pip install 'dpip[dask]'")

        class Cluster:
            made: ClassVar[list[Any]] = []

            def __init__(self, **options: Any) -> None:
                self.made.append(options)

            def __enter__(self) -> Cluster:
                return self

            def __exit__(self, *_: object) -> None:
                self.made.append("closed")

            def adapt(self, **limits: int) -> None:
                self.made.append(limits)

        jobqueue = types.ModuleType("dask_jobqueue")
        jobqueue.SLURMCluster = Cluster  # type: ignore[attr-defined]
        self.patch(signal, "sigwait", lambda _: Cluster.made.append("stopped"))
        sys.modules["dask_jobqueue"] = jobqueue
        self.addCleanup(sys.modules.pop, "dask_jobqueue")
        runpy.run_path(str(DEPLOY / "dask-slurm.py"))
        options, *rest = Cluster.made
        self.assertEqual((options["scheduler_options"], options["protocol"]), ({"port": 8786}, "tls://"))
        self.assertTrue(options["security"].require_encryption)
        self.assertEqual(rest, [{"minimum_jobs": 1, "maximum_jobs": 30}, "stopped", "closed"])

    def test_the_kubernetes_cluster_is_reached_by_the_engine_that_is_named(self) -> None:
        if find_spec("yaml") is None:
            raise SkipTest("yaml is not installed: pip install 'dpip[dask]'")
        import yaml

        text = (DEPLOY / "dask-kubernetes.yaml").read_text()
        cluster, scaler, policy = yaml.safe_load_all(text)
        self.assertEqual(
            [each["kind"] for each in (cluster, scaler, policy)],
            ["DaskCluster", "DaskAutoscaler", "NetworkPolicy"],
        )
        (engine,) = re.findall(r"--engine (\S+)", text)
        address = cluster_address(engine)
        service = cluster["spec"]["scheduler"]["service"]
        self.assertEqual(address.host, f"{cluster['metadata']['name']}-scheduler")
        self.assertIn(address.port, [each["port"] for each in service["ports"]])
        self.assertEqual(scaler["spec"]["cluster"], cluster["metadata"]["name"])
        labels = policy["spec"]["podSelector"]["matchLabels"]
        self.assertEqual(labels["dask.org/cluster-name"], cluster["metadata"]["name"])
