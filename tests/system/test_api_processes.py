"""The API in processes of its own: on the controller's socket and elsewhere, killed while clients upload."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from http.client import HTTPException
from io import BytesIO
from threading import Thread
from typing import Any

import psutil
from PIL import Image
from twisted.trial.unittest import TestCase

from tests.frames import encoded, pixels
from tests.system.plain_client import Answer, PlainClient
from tests.system.processes import PASSWORD, Cluster, free_port, wait_until

FRAMES = 60


class ApiProcessTests(TestCase):
    def setUp(self) -> None:
        self.cluster = Cluster()
        self.addCleanup(self.cluster.__exit__, None)

    def _client(self, port: int) -> PlainClient:
        client = PlainClient(port)
        client.login("admin", PASSWORD)
        return client

    def _insist(self, client: PlainClient, workload: str, number: int) -> None:
        """As a good client does: again under the same key, until there is an answer."""

        def taken() -> Answer | None:
            try:
                answer = client.upload(workload, f"{number}.png", encoded(number, 320, 200), key=str(number))
            except (OSError, HTTPException):
                return None
            return answer if answer.status != 503 else None

        answer = wait_until(taken, f"frame {number} taken", every=0.05)
        self.assertEqual(answer.status, 201, answer.body)

    def _check(self, client: PlainClient, workload: str) -> None:
        """All frames are there, each once, and each is right; they came in any order."""

        def completed() -> Any:
            try:
                now = client.workload(workload)
            except (OSError, HTTPException, AssertionError):
                return None
            return now if now["status"] == "completed" else None

        done = wait_until(completed, "all filtered", every=0.1)
        self.assertEqual((done["accepted"], done["filtered"], done["failed"]), (FRAMES, FRAMES, 0))
        listed = client.request("GET", f"/images?workload_id={workload}&type=filtered&limit=1000").json
        self.assertEqual(sorted(image["name"] for image in listed), sorted(f"{n}.png" for n in range(FRAMES)))
        for image in listed:
            number = int(image["name"].removesuffix(".png"))
            result = Image.open(BytesIO(client.download(workload, image["image_id"]).body))
            expected = Image.fromarray(pixels(number, 320, 200)).convert("L")
            self.assertEqual(result.tobytes(), expected.tobytes(), f"frame {number}")

    def _children(self, pid: int) -> list[psutil.Process]:
        return psutil.Process(pid).children()

    def test_one_of_two_killed_while_clients_upload_and_nothing_is_lost(self) -> None:
        controller = self.cluster.start_controller("--api-processes", "2")
        self.cluster.start_worker("one", "--slots", "1")
        client = self._client(self.cluster.http)
        workload = client.create_workload()
        numbers = iter(range(FRAMES))
        killed: list[int] = []

        def lane(numbers: Iterator[int]) -> None:
            for number in numbers:
                self._insist(client, workload, number)
                if number % 20 == 19:
                    victim = self._children(controller.process.pid)[0].pid
                    killed.append(victim)
                    os.kill(victim, signal.SIGKILL)

        lanes = [Thread(target=lane, args=(numbers,)) for _ in range(1)]
        more = [Thread(target=self._poll, args=(workload,)) for _ in range(2)]
        for thread in [*lanes, *more]:
            thread.start()
        for thread in lanes:
            thread.join()
        self.done = True
        for thread in more:
            thread.join()
        self.assertEqual(len(killed), 3)
        self._check(client, workload)
        wait_until(lambda: len(self._children(controller.process.pid)) == 2, "two again")
        children = self._children(controller.process.pid)
        controller.kill()
        _, alive = psutil.wait_procs(children, timeout=20)
        self.assertEqual(alive, [], "API processes must end when the controller dies")

    done = False

    def _poll(self, workload: str) -> None:
        """Others use the API meanwhile; what they are told never goes backwards."""
        client, seen = PlainClient(self.cluster.http), 0
        client.token = self._client(self.cluster.http).token
        while not self.done:
            try:
                accepted = client.workload(workload)["accepted"]
            except (OSError, HTTPException, AssertionError):
                continue
            assert accepted >= seen, (accepted, seen)
            seen = accepted

    def test_one_elsewhere_answers_503_while_the_controller_is_away_and_then_goes_on(self) -> None:
        controller = self.cluster.start_controller()
        port = free_port()
        api = self.cluster.run(
            "api",
            "dpip-api",
            "--controller", f"127.0.0.1:{self.cluster.pb}",
            "--state-dir", str(self.cluster.state),
            "--http", f"127.0.0.1:{port}",
        )  # fmt: skip
        api.wait_for_log("Joined")
        worker = self.cluster.start_worker("one", "--slots", "1")
        worker.wait_for_log(f"images are at http://127.0.0.1:{port}")
        client = self._client(port)
        workload = client.create_workload()
        for number in range(FRAMES // 2):
            self._insist(client, workload, number)
        controller.kill()

        def away() -> Answer | None:
            answer = client.request("GET", "/status")
            return answer if answer.status == 503 else None

        answer = wait_until(away, "503")
        self.assertGreater(int(answer.headers["retry-after"]), 0)
        self.assertEqual(client.request("GET", "/healthz").status, 200)
        self.assertEqual(client.request("GET", "/readyz").status, 503)
        self.cluster.start_controller()
        for number in range(FRAMES // 2, FRAMES):
            self._insist(client, workload, number)
        self._check(client, workload)
        self.assertEqual(client.request("DELETE", "/logout").status, 200)
        at_controller = PlainClient(self.cluster.http)
        at_controller.token = client.token
        for each in (client, at_controller):
            self.assertEqual(each.request("GET", "/status").status, 401)
        self.assertEqual(api.stop(), -signal.SIGTERM, api.log)
        self.assertNotIn("Traceback", api.log)

    def test_a_store_that_is_not_the_controllers_is_refused(self) -> None:
        self.cluster.start_controller()
        other = self.cluster.directory / "other"
        api = self.cluster.run(
            "api",
            "dpip-api",
            "--controller", f"127.0.0.1:{self.cluster.pb}",
            "--state-dir", str(self.cluster.state),
            "--store", str(other),
            "--http", "0",
        )  # fmt: skip
        api.wait_for_log(f"{other} is not the image store of this controller")
        self.assertFalse(other.exists())
