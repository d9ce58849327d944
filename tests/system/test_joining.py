"""Joining for real: the token once, then certificates; rotation, revocation and expiry."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from tests.system.plain_client import PlainClient
from tests.system.processes import PASSWORD, Cluster, Process, wait_until


class JoiningTests(TestCase):
    def setUp(self) -> None:
        self.cluster = Cluster()
        self.addCleanup(self.cluster.__exit__, None)
        self.token_file = self.cluster.state / "join-token"

    def admin(self) -> PlainClient:
        client = PlainClient(self.cluster.http)
        client.login("admin", PASSWORD)
        return client

    def joined(self, worker: Process, times: int) -> None:
        wait_until(lambda: worker.log.count("Joined as") >= times, f"joining number {times}:\n{worker.log}")

    def test_a_worker_lives_on_its_certificate_until_it_is_revoked(self) -> None:
        controller = self.cluster.start_controller("--certificate-hours", "0.002")
        worker = self.cluster.start_worker("one", "--slots", "1")
        self.joined(worker, 1)
        client = self.admin()
        first = client.request("GET", "/workers").json[0]["certified_until"]
        wait_until(lambda: client.request("GET", "/workers").json[0]["certified_until"] > first, "a renewal")
        self.assertEqual(client.request("POST", "/join-token").status, 201)
        self.assertEqual(worker.log.count("Joined as"), 1)
        self.assertEqual(client.request("POST", "/workers/one/revoke").status, 200)
        worker.wait_for_log("An admin has revoked the worker one")
        self.assertFalse(client.request("GET", "/workers").json[0]["joined"])
        self.assertEqual(controller.log.count("Traceback"), 0)

    def test_it_comes_back_to_a_controller_that_was_restarted_without_the_token(self) -> None:
        controller = self.cluster.start_controller()
        worker = self.cluster.start_worker("one", "--slots", "1")
        self.joined(worker, 1)
        controller.stop()
        self.token_file.unlink()  # the next start makes another one
        self.cluster.start_controller()
        self.joined(worker, 2)
        self.assertNotIn("not valid", worker.log)
