"""The user guide's own example of a filter: installed as a package, and run through the API."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from io import BytesIO

import numpy as np
from PIL import Image
from twisted.trial.unittest import TestCase

from tests.frames import encoded, pixels
from tests.system.plain_client import PlainClient
from tests.system.processes import PASSWORD, REPOSITORY, Cluster, wait_until

JSON = {"Content-Type": "application/json"}
CODE = re.compile(r"`([\w.]+)`:\n\n```(?:toml|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class ThirdPartyFilterTests(TestCase):
    def setUp(self) -> None:
        self.cluster = Cluster()
        self.plugins = self.cluster.directory / "plugins"
        self._install()

    def _install(self) -> None:
        sources = self.cluster.directory / "dpip-solarize"
        sources.mkdir()
        files = dict(CODE.findall((REPOSITORY / "user-guide.md").read_text(encoding="utf-8")))
        self.assertEqual(sorted(files), ["dpip_solarize.py", "pyproject.toml"])
        for name, text in files.items():
            (sources / name).write_text(text, encoding="utf-8")
        self.assertLess(len(files["dpip_solarize.py"].splitlines()), 30)
        command = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--target",
            self.plugins,
            sources,
        ]
        subprocess.run(command, check=True, cwd=self.cluster.directory)

    def _with_the_filter(self) -> None:
        """Processes started from now on have it."""
        path = os.pathsep.join([str(self.plugins), os.environ.get("PYTHONPATH", "")])
        self.patch(os, "environ", {**os.environ, "PYTHONPATH": path})

    def test_it_runs_through_the_api_and_only_on_workers_that_have_it(self) -> None:
        with self.cluster:
            self.cluster.start_worker("without", "--slots", "1")
            self._with_the_filter()
            self.cluster.start_controller()
            client = PlainClient(self.cluster.http)
            client.login("admin", PASSWORD)
            self.assertIn("solarize", [one["name"] for one in client.request("GET", "/filters").json])
            asked = {"filter": "solarize", "params": {"limit": 100}, "numbering": "frames"}
            answer = client.request("POST", "/workloads", json.dumps(asked).encode(), JSON)
            workload = answer.json["workload_id"]
            self.assertEqual(client.upload(workload, "0.png", encoded(0, 64, 48)).status, 201)
            self._wait_for_worker(client, "without")
            other = client.create_workload()  # this one the worker without the filter can do
            client.upload(other, "0.png", encoded(0, 64, 48))
            wait_until(lambda: client.workload(other)["status"] == "completed", "the other workload")
            self.assertEqual(client.workload(workload)["status"], "running")
            self.cluster.start_worker("with", "--slots", "1")
            wait_until(lambda: client.workload(workload)["status"] == "completed", "the solarized image")
            result = np.asarray(Image.open(BytesIO(client.download(workload, "0").body)))
            original = pixels(0, 64, 48)
            np.testing.assert_array_equal(result, np.where(original >= 100, 255 - original, original))

    def _wait_for_worker(self, client: PlainClient, name: str) -> None:
        def joined() -> bool:
            workers = client.request("GET", "/workers").json
            return any(worker["worker"] == name and worker["joined"] for worker in workers)

        wait_until(joined, f"worker {name}")
