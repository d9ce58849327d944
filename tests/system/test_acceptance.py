"""The acceptance flow of the contract by a plain HTTP client, with real processes, some of which are killed.

Where processes are killed, the frames are as large as a film's, so that jobs are under way. With
``DPIP_CHAOS=1`` there are more of them.
"""

from __future__ import annotations

import os
from http.client import HTTPException
from io import BytesIO
from typing import Any

from PIL import Image
from twisted.trial.unittest import TestCase

from tests.frames import encoded, pixels
from tests.system.plain_client import PlainClient
from tests.system.processes import PASSWORD, Cluster, wait_until

FRAMES = 130
WHOLE = 1280, 720
SMALL = 128, 72


class AcceptanceTests(TestCase):
    def setUp(self) -> None:
        self.frames = FRAMES if "DPIP_CHAOS" in os.environ else 30
        self.size = WHOLE
        self.cluster = Cluster()
        self.client = PlainClient(self.cluster.http)

    def _login(self) -> None:
        self.assertEqual(self.client.login("admin", PASSWORD).status, 200)

    def _upload(self, workload: str, numbers: range) -> None:
        for number in numbers:
            data = encoded(number, *self.size)
            answer = self.client.upload(workload, f"{number}.png", data, send_type=number % 2 == 0)
            self.assertEqual((answer.status, answer.json["type"]), (201, "original"), answer.body)

    def _wait_completed(self, workload: str) -> list[str]:
        def completed() -> Any:
            try:
                now = self.client.workload(workload)
            except (OSError, HTTPException):  # the controller is being restarted
                return None
            return now if now["status"] == "completed" else None

        done = wait_until(completed, f"workload {workload} completed", every=0.1)
        self.assertEqual(done["failed_images"], [])
        return list(done["filtered_images"])

    def _check(self, workload: str, ids: list[str]) -> None:
        self.assertEqual(ids, [str(number) for number in range(self.frames)])
        for number in range(self.frames):
            answer = self.client.download(workload, ids[number])
            self.assertEqual((answer.status, answer.headers["content-type"]), (200, "image/png"))
            picture = Image.open(BytesIO(answer.body))
            expected = Image.fromarray(pixels(number, *self.size)).convert("L")
            self.assertEqual((picture.mode, picture.size), ("L", self.size))
            self.assertEqual(picture.tobytes(), expected.tobytes(), f"frame {number}")

    def test_first_and_second_workload_with_uploads_before_any_worker(self) -> None:
        self.frames, self.size = FRAMES, SMALL
        with self.cluster:
            self.cluster.start_controller()
            self._login()
            self.assertEqual(self.client.request("GET", "/status").json["active_workloads"], [])
            first = self.client.create_workload()
            self._upload(first, range(self.frames))
            self.assertEqual(self.client.workload(first)["status"], "running")
            self.cluster.start_worker("one")
            second = self.client.create_workload()
            self._upload(second, range(self.frames))
            for workload in (first, second):
                self._check(workload, self._wait_completed(workload))
            self.assertEqual(self.client.request("DELETE", "/logout").status, 200)
            self.assertEqual(self.client.request("GET", "/status").status, 401)

    def test_a_worker_added_and_a_worker_killed_half_way(self) -> None:
        with self.cluster:
            self.cluster.start_controller()
            first = self.cluster.start_worker("first", "--slots", "1")
            self._login()
            workload = self.client.create_workload()
            self._upload(workload, range(self.frames // 2))
            self.cluster.start_worker("second", "--slots", "1")
            wait_until(lambda: self.client.workload(workload)["filtered_images"], "a first result")
            first.kill()
            self._upload(workload, range(self.frames // 2, self.frames))
            self._check(workload, self._wait_completed(workload))

    def test_the_controller_killed_and_restarted_half_way(self) -> None:
        with self.cluster:
            controller = self.cluster.start_controller()
            self.cluster.start_worker("one")
            self._login()
            workload = self.client.create_workload()
            self._upload(workload, range(self.frames // 2))
            wait_until(lambda: self.client.workload(workload)["filtered_images"], "a first result")
            controller.kill()
            controller = self.cluster.start_controller()
            self._upload(workload, range(self.frames // 2, self.frames))
            wait_until(
                lambda: len(self.client.workload(workload)["filtered_images"]) > self.frames // 3, "some more"
            )
            controller.kill()
            self.cluster.start_controller()
            self._check(workload, self._wait_completed(workload))
