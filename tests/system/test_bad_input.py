"""Bad input against the real system: a clear 4xx, or a recorded failure of that one image; never a 5xx."""

from __future__ import annotations

import atexit
import json
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image
from twisted.trial.unittest import TestCase

from tests.frames import encoded
from tests.system.plain_client import Answer, PlainClient
from tests.system.processes import PASSWORD, Cluster, wait_until

JSON = {"Content-Type": "application/json"}
SMALL = encoded(0, 64, 48)


@cache
def one_for_all() -> tuple[Cluster, PlainClient]:
    """A system that these tests share, and its admin; it ends with the process. Trial has no setUpClass."""
    cluster = Cluster()
    atexit.register(cluster.__exit__, None)
    cluster.start_controller("--slots", "1", "--max-megapixels", "1", plugin="dpip")
    admin = PlainClient(cluster.http)
    admin.login("admin", PASSWORD)
    return cluster, admin


class BadInputTests(TestCase):
    def setUp(self) -> None:
        self.cluster, self.admin = one_for_all()

    def _post(self, path: str, body: Any) -> Answer:
        return self.admin.request("POST", path, json.dumps(body).encode(), JSON)

    def _assert_problem(self, answer: Answer, status: int, *words: str) -> None:
        self.assertEqual(answer.status, status, answer.body)
        self.assertEqual(answer.headers["content-type"], "application/problem+json")
        problem = answer.json
        self.assertEqual(problem["status"], status)
        self.assertTrue(problem["request_id"] and problem["type"] and problem["title"])
        for word in words:
            self.assertIn(word, problem["detail"])

    def _failure_of(self, data: bytes, name: str) -> Any:
        """Upload one bad picture between two good ones: it fails alone, with the reason."""
        workload = self.admin.create_workload()
        for given in (SMALL, data, SMALL):
            answer = self.admin.upload(workload, name, given)
            self.assertEqual(answer.status, 201, answer.body)
        done = wait_until(
            lambda: (now := self.admin.workload(workload))["status"] == "completed" and now, "completion"
        )
        self.assertEqual(done["filtered_images"], ["0", "2"])
        (failure,) = done["failed_images"]
        self.assertEqual((failure["seq"], failure["name"]), (1, name))
        return failure

    def test_a_truncated_image_is_a_recorded_failure_and_its_neighbours_succeed(self) -> None:
        data = encoded(3, 320, 240)
        self.assertEqual(self._failure_of(data[: len(data) // 2], "cut.png")["code"], "corrupt-picture")

    def test_the_pixels_of_all_frames_of_an_animation_count(self) -> None:
        frames = [Image.new("L", (512, 512), level) for level in (0, 60, 120, 180, 240)]
        file = BytesIO()
        frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
        workload = self.admin.create_workload()
        answer = self.admin.upload(workload, "film.gif", file.getvalue())
        self._assert_problem(answer, 413, "1,310,720", "1,000,000")

    def test_what_is_not_an_image_is_a_415(self) -> None:
        workload = self.admin.create_workload()
        for data in (
            b"",
            b"hello",
            b"%PDF-1.7",
            b"<svg xmlns='http://www.w3.org/2000/svg'/>",
            b"\x89PNG\r\n",
        ):
            self._assert_problem(self.admin.upload(workload, "x.png", data), 415)
        self.assertEqual(self.admin.workload(workload)["status"], "scheduling")

    def test_too_many_pixels_is_a_413_that_names_the_limit(self) -> None:
        file = BytesIO()
        Image.new("1", (2000, 2000)).save(file, "PNG")
        workload = self.admin.create_workload()
        answer = self.admin.upload(workload, "big.png", file.getvalue())
        self._assert_problem(answer, 413, "4,000,000", "1,000,000")

    def test_unknown_and_deleted_workloads_are_404(self) -> None:
        self._assert_problem(self.admin.upload("nonsense", "x.png", SMALL), 404)
        workload = self.admin.create_workload()
        self.assertIn(self.admin.request("DELETE", f"/workloads/{workload}").status, (200, 204))
        self._assert_problem(self.admin.upload(workload, "x.png", SMALL), 404)
        self._assert_problem(self.admin.request("GET", f"/workloads/{workload}"), 404)

    def test_requests_that_make_no_sense(self) -> None:
        self._assert_problem(self.admin.request("POST", "/workloads", b"[1]", JSON), 400)
        self._assert_problem(self.admin.request("POST", "/workloads", b"{", JSON), 400)
        self._assert_problem(self._post("/workloads", {}), 422)
        unknown = self._post("/workloads", {"filter": "sharpenn"})
        self._assert_problem(unknown, 422, "sharpenn")
        self.assertIn("blur", unknown.json["available"])
        out_of_range = self._post("/workloads", {"filter": "blur", "params": {"sigma": 1000}})
        self._assert_problem(out_of_range, 422, "sigma", "100")
        self._assert_problem(self.admin.request("GET", "/images/0"), 400, "workload_id")
        self._assert_problem(self.admin.request("GET", "/no/such/page"), 404)
        self._assert_problem(self.admin.request("PATCH", "/workloads"), 405)

    def test_a_dead_token_is_a_401(self) -> None:
        visitor = PlainClient(self.cluster.http)
        visitor.login("admin", PASSWORD)
        self.assertEqual(visitor.request("DELETE", "/logout").status, 200)
        self._assert_problem(visitor.request("GET", "/status"), 401)
        self._assert_problem(visitor.upload("x", "x.png", SMALL), 401)

    def test_another_users_ids_look_like_nothing(self) -> None:
        self.assertEqual(self._post("/users", {"user": "eve", "password": "eve's password"}).status, 201)
        eve = PlainClient(self.cluster.http)
        eve.login("eve", "eve's password")
        workload = self.admin.create_workload()
        image = self.admin.upload(workload, "x.png", SMALL).json["image_id"]
        self._assert_problem(eve.request("GET", f"/workloads/{workload}"), 404)
        self._assert_problem(eve.request("GET", f"/images/{image}"), 404)
        self._assert_problem(eve.request("GET", f"/images/0?workload_id={workload}"), 404)
        self._assert_problem(eve.upload(workload, "x.png", SMALL), 404)
        self._assert_problem(eve.request("DELETE", f"/workloads/{workload}"), 404)
        self._assert_problem(eve.request("GET", "/users"), 403)
        self.assertEqual(eve.request("GET", "/status").json["active_workloads"], [])

    def test_workload_names_are_data(self) -> None:
        before = set(self.cluster.state.parent.iterdir())
        for name in ("../../etc", "/etc/passwd", "🦊 film", "CON", "a/b\\c", "..", "x" * 200):
            made = self._post("/workloads", {"filter": "grayscale", "workload_name": name})
            self.assertEqual((made.status, made.json["workload_name"]), (201, name))
            workload = made.json["workload_id"]
            self.assertEqual(self.admin.upload(workload, name, SMALL).status, 201)
        self.assertEqual(set(self.cluster.state.parent.iterdir()), before)
        for name in ("x" * 300, "nul\0byte"):
            self._assert_problem(
                self._post("/workloads", {"filter": "grayscale", "workload_name": name}), 422
            )

    def test_two_workloads_of_one_name_do_not_collide(self) -> None:
        made = [
            self._post("/workloads", {"filter": "grayscale", "workload_name": "same"}).json for _ in range(2)
        ]
        self.assertNotEqual(made[0]["workload_id"], made[1]["workload_id"])
        for one in made:
            self.admin.upload(one["workload_id"], "x.png", SMALL)
        images = Path(self.cluster.state, "images")
        self.assertEqual(len([path for path in images.iterdir() if "same" in path.name]), 2)
