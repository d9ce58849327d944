"""The commands as an operator starts and ends them: from one directory, with -n and as daemons."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
from twisted.trial.unittest import TestCase

from tests.frames import encoded, pixels
from tests.system.plain_client import PlainClient
from tests.system.processes import PASSWORD, REPOSITORY, Cluster, wait_until

TWISTD = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()"]


class ProcessTests(TestCase):
    def setUp(self) -> None:
        self.cluster = Cluster()
        self.addCleanup(self.cluster.__exit__, None)

    def _filter_one(self) -> None:
        client = PlainClient(self.cluster.http)
        client.login("admin", PASSWORD)
        workload = client.create_workload()
        self.assertEqual(client.upload(workload, "0.png", encoded(0, 64, 48)).status, 201)
        wait_until(lambda: client.workload(workload)["status"] == "completed", "one image")

    def _daemon(self, *arguments: str) -> None:
        environment = dict(os.environ, DPIP_ADMIN_PASSWORD=PASSWORD, PYTHONPATH=str(REPOSITORY))
        subprocess.run([*TWISTD, *arguments], cwd=self.cluster.directory, env=environment, check=True)

    def _end_daemon(self, pid_file: Path) -> None:
        process = psutil.Process(int(pid_file.read_text()))
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(psutil.NoSuchProcess):
            process.wait(30)
        self.assertFalse(pid_file.exists())

    def test_controller_and_two_workers_from_one_directory_without_daemonizing(self) -> None:
        controller = self.cluster.start_controller()
        workers = [self.cluster.start_worker(name, "--slots", "1") for name in ("one", "two")]
        for worker in workers:
            worker.wait_for_log("Joined")
        self._filter_one()
        for process in (*workers, controller):
            self.assertEqual(process.stop(), -signal.SIGTERM, process.log)  # as twistd ends: by the signal
            self.assertNotIn("Traceback", process.log)
        self.assertEqual(list(self.cluster.directory.glob("*.pid")), [])

    def test_controller_and_workers_from_one_directory_as_daemons(self) -> None:
        common = ["--state-dir", str(self.cluster.state)]
        http, pb = f"127.0.0.1:{self.cluster.http}", f"127.0.0.1:{self.cluster.pb}"
        self._daemon("dpip-controller", *common, "--http", http, "--pb", pb)
        for name in ("one", "two"):
            self._daemon("dpip-worker", *common, "--controller", pb, "--worker-name", name, "--slots", "1")
        pid_files = wait_until(
            lambda: len(found := sorted(self.cluster.directory.glob("*.pid"))) == 3 and found, "3 pid files"
        )
        self.assertEqual(len(sorted(self.cluster.directory.glob("*.log"))), 3)

        def answers() -> bool:
            with contextlib.suppress(OSError):
                return PlainClient(self.cluster.http).request("GET", "/readyz").status == 200
            return False

        wait_until(answers, "the API")
        self._filter_one()
        for pid_file in reversed(pid_files):
            self._end_daemon(pid_file)

    def test_the_embedded_system_is_one_service_process_with_its_compute_children(self) -> None:
        system = self.cluster.start_controller("--slots", "1", plugin="dpip")
        self._filter_one()
        children = psutil.Process(system.process.pid).children(recursive=True)
        self.assertEqual(len(children), 1, children)
        system.kill()
        _, alive = psutil.wait_procs(children, timeout=10)
        self.assertEqual(alive, [], "compute children must end when their parent dies")

    def test_two_controllers_never_share_a_state_directory(self) -> None:
        self.cluster.start_controller()
        second = self.cluster.run(
            "second", "dpip-controller", "--state-dir", str(self.cluster.state), "--http", "0", "--pb", "0"
        )
        self.assertNotEqual(second.process.wait(30), 0)
        self.assertIn("another controller", second.log)

    def test_opening_the_api_to_a_network_without_tls_is_refused(self) -> None:
        state = str(self.cluster.state)
        refused = self.cluster.run(
            "open", "dpip-controller", "--state-dir", state, "--http", ":0", "--pb", "0"
        )
        self.assertNotEqual(refused.process.wait(30), 0)
        self.assertIn("--behind-proxy", refused.log)

    def test_a_result_of_the_embedded_system_is_right(self) -> None:
        self.cluster.start_controller("--slots", "1", plugin="dpip")
        client = PlainClient(self.cluster.http)
        client.login("admin", PASSWORD)
        workload = client.create_workload()
        client.upload(workload, "5.png", encoded(5, 320, 200))
        wait_until(lambda: client.workload(workload)["status"] == "completed", "one image")
        from io import BytesIO

        from PIL import Image

        result = Image.open(BytesIO(client.download(workload, "0").body))
        self.assertEqual(result.tobytes(), Image.fromarray(pixels(5, 320, 200)).convert("L").tobytes())
