"""Two workers, real processes: what one of them holds and does not get on with is done by the other."""

from __future__ import annotations

import signal

import psutil
from twisted.trial.unittest import TestCase

from tests.frames import encoded
from tests.system.plain_client import PlainClient
from tests.system.processes import PASSWORD, Cluster, wait_until

IMAGES = 16


class StealingTests(TestCase):
    def test_an_idle_worker_gets_what_a_stopped_one_holds(self) -> None:
        """The stopped worker's compute child is frozen, and the worker itself is well: it answers pings, and
        would keep its jobs for as long as a job may take."""
        with Cluster() as cluster:
            cluster.start_controller()
            frozen = cluster.start_worker("frozen", "--slots", "1")
            frozen.wait_for_log("Joined")
            client = PlainClient(cluster.http)
            client.login("admin", PASSWORD)
            workload = client.create_workload()
            client.upload(workload, "first.png", encoded(0, 320, 200))
            wait_until(lambda: client.workload(workload)["status"] == "completed", "the first image")
            children = psutil.Process(frozen.process.pid).children()
            for child in children:
                child.send_signal(signal.SIGSTOP)
            for number in range(IMAGES):
                client.upload(workload, f"{number}.png", encoded(number, 320, 200))
            wait_until(lambda: client.workload(workload)["running_jobs"] > 1, "jobs that wait behind another")
            cluster.start_worker("idle", "--slots", "1").wait_for_log("Joined")
            wait_until(lambda: client.workload(workload)["status"] == "completed", "all images")
            done = client.workload(workload)
            self.assertEqual((len(done["filtered_images"]), done["failed_images"]), (IMAGES + 1, []))
            self.assertTrue(all(child.status() == psutil.STATUS_STOPPED for child in children))
