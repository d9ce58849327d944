"""The acceptance flow of the contract by a plain HTTP client, with real processes, and with the axe in it."""

from __future__ import annotations

from http.client import HTTPException
from io import BytesIO
from typing import Any

from PIL import Image
from twisted.trial.unittest import TestCase

from tests.frames import encoded, pixels
from tests.system.plain_client import PlainClient
from tests.system.processes import PASSWORD, Cluster, wait_until

FRAMES = 130


class AcceptanceTests(TestCase):
    def setUp(self) -> None:
        self.cluster = Cluster()
        self.client = PlainClient(self.cluster.http)

    def _login(self) -> None:
        self.assertEqual(self.client.login("admin", PASSWORD).status, 200)

    def _upload(self, workload: str, numbers: range) -> None:
        for number in numbers:
            answer = self.client.upload(workload, f"{number}.png", encoded(number), send_type=number % 2 == 0)
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
        self.assertEqual(ids, [str(number) for number in range(FRAMES)])
        for number in range(FRAMES):
            answer = self.client.download(workload, ids[number])
            self.assertEqual((answer.status, answer.headers["content-type"]), (200, "image/png"))
            picture = Image.open(BytesIO(answer.body))
            expected = Image.fromarray(pixels(number)).convert("L")
            self.assertEqual((picture.mode, picture.size), ("L", (1280, 720)))
            self.assertEqual(picture.tobytes(), expected.tobytes(), f"frame {number}")

    def test_first_and_second_workload_with_uploads_before_any_worker(self) -> None:
        with self.cluster:
            self.cluster.start_controller()
            self._login()
            self.assertEqual(self.client.request("GET", "/status").json["active_workloads"], [])
            first = self.client.create_workload()
            self._upload(first, range(FRAMES))
            self.assertEqual(self.client.workload(first)["status"], "running")
            self.cluster.start_worker("one")
            second = self.client.create_workload()
            self._upload(second, range(FRAMES))
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
            self._upload(workload, range(FRAMES // 2))
            self.cluster.start_worker("second", "--slots", "1")
            wait_until(lambda: self.client.workload(workload)["filtered_images"], "a first result")
            first.kill()
            self._upload(workload, range(FRAMES // 2, FRAMES))
            self._check(workload, self._wait_completed(workload))

    def test_the_controller_killed_and_restarted_half_way(self) -> None:
        with self.cluster:
            controller = self.cluster.start_controller()
            self.cluster.start_worker("one")
            self._login()
            workload = self.client.create_workload()
            self._upload(workload, range(FRAMES // 2))
            wait_until(lambda: self.client.workload(workload)["filtered_images"], "a first result")
            controller.kill()
            controller = self.cluster.start_controller()
            self._upload(workload, range(FRAMES // 2, FRAMES))
            wait_until(
                lambda: len(self.client.workload(workload)["filtered_images"]) > FRAMES // 3, "some more"
            )
            controller.kill()
            self.cluster.start_controller()
            self._check(workload, self._wait_completed(workload))
