"""The way of one image, by one grep over the logs of controller and worker."""

from __future__ import annotations

import json

from twisted.trial.unittest import TestCase

from tests.frames import encoded
from tests.system.plain_client import PlainClient
from tests.system.processes import PASSWORD, Cluster


class LogTests(TestCase):
    def test_its_id_finds_the_upload_the_fetching_and_the_job(self) -> None:
        with Cluster() as cluster:
            controller = cluster.start_controller("--log-format", "json", "--log-requests")
            worker = cluster.start_worker("w1", "--log-format", "json", "--log-jobs")
            client = PlainClient(cluster.http)
            client.login("admin", PASSWORD)
            workload = client.create_workload()
            upload = client.upload(workload, "0.png", encoded(1, 64, 48))
            image = upload.json["image_id"]
            worker.wait_for_log(image)
            logs = {"controller": controller.log, "worker": worker.log}
        found = [
            (name, json.loads(line))
            for name, log in logs.items()
            for line in log.splitlines()
            if image in line
        ]
        (_, taken), (_, fetched), (_, done) = found
        self.assertEqual([name for name, _ in found], ["controller", "controller", "worker"])
        self.assertEqual(taken["id"], upload.headers["x-request-id"])
        self.assertEqual((taken["method"], taken["status"], taken["user"]), ("POST", 201, "admin"))
        self.assertEqual((fetched["method"], fetched["user"]), ("GET", "w1"))
        self.assertEqual((done["workload"], done["image"]), (workload, image))
        self.assertIn("done after", done["message"])
