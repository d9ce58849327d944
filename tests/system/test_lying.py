"""A worker that lies about what it has made, as a real process: it is found out, and others do its work."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import TestCase

from tests.frames import encoded
from tests.system.plain_client import PlainClient
from tests.system.processes import PASSWORD, Cluster, Process, wait_until

IMAGES = 8
_LIAR = (
    "-c",
    """
from attrs import evolve
from twisted.scripts.twistd import run
from dpip.worker import image_transport

def lying(honest):
    return lambda self, verdict: honest(self, evolve(verdict, sha256="0" * 64))

for way in (image_transport.HttpTransport, image_transport.FileTransport):
    way.deliver_result = lying(way.deliver_result)
run()
""",
)


class LyingTests(TestCase):
    def setUp(self) -> None:
        self.cluster = Cluster()
        self.addCleanup(self.cluster.__exit__, None)

    def _is_found_out(self, controller: Process, *options: str) -> None:
        self._has_joined_before("honest", *options)  # else it may not join while one of its host is suspended
        liar = self.cluster.start_worker("liar", "--slots", "2", *options, program=_LIAR)
        liar.wait_for_log("Joined as")
        client = PlainClient(self.cluster.http)
        client.login("admin", PASSWORD)
        workload = client.create_workload()
        for number in range(IMAGES):
            client.upload(workload, f"{number}.png", encoded(number, 320, 200))

        def suspended() -> Any:
            workers = client.request("GET", "/workers").json
            return next((worker for worker in workers if worker["suspended_until"]), None)

        record = wait_until(suspended, f"the liar is kept out:\n{controller.log}\n{liar.log}")
        self.assertEqual((record["offences"], record["done"], record["failed"]), (4, 0, 0))
        self.assertIn("another hash than it says", controller.log)
        liar.wait_for_log("it may not join before")
        self.cluster.start_worker("honest", "--slots", "2", *options)
        wait_until(lambda: client.workload(workload)["status"] == "completed", "all images")
        done = client.workload(workload)
        self.assertEqual((done["filtered"], done["failed"]), (IMAGES, 0))
        self.assertEqual(controller.log.count("Traceback"), 0)

    def _has_joined_before(self, name: str, *options: str) -> None:
        worker = self.cluster.start_worker(name, *options)
        worker.wait_for_log("Joined as")
        worker.stop()

    def test_over_http_to_an_api_process(self) -> None:
        self._is_found_out(self.cluster.start_controller("--api-processes", "1"))

    def test_in_its_transfer_directory(self) -> None:
        self._is_found_out(self.cluster.start_controller(), "--local-store")
