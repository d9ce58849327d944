"""Who asked for it is told when a sealed workload has completed: once, signed, again until it is taken."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import Site

from dpip.controller.webhooks import ATTEMPTS, AllowedHosts, WebhookPoster, Webhooks, signature
from dpip.errors import BadParameter, Conflict
from dpip.model import Webhook
from tests.datastore.support import NOW, DatastoreTestCase, stored

HOOK = Webhook("https://ci.example/done", "sixteen letters!")


class DeliveryTests(DatastoreTestCase):
    """A workload of one image, leased, and sealed with a webhook."""

    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()
        self.clock.advance(NOW + 100)
        self.posts: list[tuple[str, dict[str, str], bytes]] = []
        self.answers: Iterator[Any] = iter(())
        [self.job] = self.prepared("a")
        self.now(self.datastore.seal_workload("w1", HOOK, NOW))
        self.service = self.started()

    def started(self, hosts: str = "ci.example") -> Webhooks:
        service = Webhooks(
            self.datastore, self.clock, self.clock.seconds, self.post, AllowedHosts(frozenset({hosts}))
        )
        service.startService()
        self.addCleanup(lambda: service.running and service.stopService())
        return service

    def post(self, url: str, headers: dict[str, str], body: bytes) -> Deferred[int]:
        self.posts.append((url, headers, body))
        answer = next(self.answers, 200)
        if isinstance(answer, Deferred):
            return answer
        return fail(answer) if isinstance(answer, Exception) else succeed(answer)

    def complete(self) -> None:
        self.now(self.datastore.finish(self.job.lease, "worker", stored("r"), NOW + 7))
        self.clock.advance(1)

    def log(self) -> list[tuple[int, int | None]]:
        return [(one.attempt, one.status) for one in self.now(self.datastore.webhook("w1")).log]

    def pending(self) -> bool:
        return bool(self.now(self.datastore.webhook("w1")).pending)

    def test_nothing_is_told_before_the_end_and_then_once(self) -> None:
        self.clock.pump([1] * 5)
        self.assertEqual(self.posts, [])
        self.complete()
        self.clock.pump([1] * 5)
        [(url, headers, body)] = self.posts
        self.assertEqual(url, HOOK.url)
        said = json.loads(body)
        self.assertEqual((said["workload_id"], said["filtered"], said["failed"]), ("w1", 1, 0))
        self.assertEqual(said["finished_at"], "2023-11-14T22:13:27.250Z")
        expected = hmac.new(
            HOOK.secret.encode(), headers["DPIP-Timestamp"].encode() + b"." + body, hashlib.sha256
        )
        self.assertEqual(headers["DPIP-Signature"], "sha256=" + expected.hexdigest())
        self.assertEqual((self.log(), self.pending()), ([(1, 200)], False))
        self.assertEqual(self.clock.getDelayedCalls(), [], "nothing is looked for any more")

    def test_what_is_not_taken_is_tried_again_later_each_time(self) -> None:
        self.answers = iter([500, ConnectionRefusedError("refused"), 302, 204])
        self.complete()
        times = [self.clock.seconds()]
        for _ in range(60):
            before = len(self.posts)
            self.clock.advance(1)
            times += [self.clock.seconds()] * (len(self.posts) - before)
        self.assertEqual([round(b - a) for a, b in pairwise(times)], [5, 10, 20])
        self.assertEqual(self.log(), [(4, 204), (3, 302), (2, None), (1, 500)])
        self.assertEqual(len({headers["DPIP-Delivery"] for _, headers, _ in self.posts}), 1)
        self.assertIn("refused", self.now(self.datastore.webhook("w1")).log[2].error)

    def test_it_is_given_up_in_the_end(self) -> None:
        self.answers = iter([500] * 99)
        self.complete()
        self.clock.pump([60] * 1500)
        self.assertEqual((len(self.posts), self.pending()), (ATTEMPTS, False))

    def test_a_restart_forgets_nothing(self) -> None:
        self.answers = iter([500, Deferred()])
        self.complete()
        self.clock.advance(5)
        self.assertEqual(len(self.posts), 2)
        self.service.stopService()
        self.answers = iter(())
        self.started()
        self.assertEqual(len(self.posts), 3)
        self.assertEqual(self.log()[0], (2, 200))

    def test_one_at_a_time(self) -> None:
        slow: Deferred[int] = Deferred()
        self.answers = iter([slow])
        self.complete()
        self.clock.pump([1] * 5)
        self.assertEqual(len(self.posts), 1)
        slow.callback(200)
        self.clock.pump([1] * 5)
        self.assertEqual((len(self.posts), self.pending()), (1, False))

    def test_a_retried_workload_is_told_again_when_it_completes(self) -> None:
        self.now(self.datastore.cancel_workload("w1", NOW + 1))
        self.clock.advance(1)
        self.assertEqual(json.loads(self.posts[0][2])["failed"], 1)
        self.now(self.datastore.retry_images("w1", None, -1, NOW + 2))
        self.service.wake()
        self.clock.pump([1] * 3)
        self.assertEqual(len(self.posts), 1)
        [self.job] = self.leased(2)
        self.complete()
        self.assertEqual(json.loads(self.posts[1][2])["filtered"], 1)
        self.assertNotEqual(self.posts[0][1]["DPIP-Delivery"], self.posts[1][1]["DPIP-Delivery"])

    def test_a_deleted_workload_is_not_told(self) -> None:
        self.now(self.datastore.delete_workload("w1", NOW))
        self.clock.pump([1] * 3)
        self.assertEqual((self.posts, self.clock.getDelayedCalls()), ([], []))
        self.assertEqual(self.rows("SELECT secret FROM webhooks"), [], "no secret stays behind")

    def test_a_host_that_is_allowed_no_more_is_not_called(self) -> None:
        self.service.stopService()
        self.started("other.example")
        self.complete()
        self.assertEqual(self.posts, [])
        self.assertIn("calls no webhooks", self.now(self.datastore.webhook("w1")).log[0].error)

    def test_another_webhook_is_refused(self) -> None:
        self.now(self.datastore.seal_workload("w1", HOOK, NOW))
        other = Webhook(HOOK.url, "another secret !")
        self.refused(self.datastore.seal_workload("w1", other, NOW), Conflict)


class AllowedHostsTests(TestCase):
    def test_only_named_hosts_at_their_usual_ports_or_the_named_one(self) -> None:
        allowed = AllowedHosts(frozenset({"ci.example", "10.0.0.5:8000", "[::1]:80"}))
        for url in (
            "https://ci.example/x?y=1",
            "http://CI.example",
            "http://ci.example:80/",
            "http://10.0.0.5:8000",
        ):
            allowed.check(url)
        for url in (
            "http://ci.example:8080/",
            "https://ci.example:80/",
            "http://10.0.0.5/",
            "http://ci.example.evil/",
            "http://evil/ci.example",
            "http://ci.example@evil/",
            "http://user:password@ci.example/",
            "ftp://ci.example/",
            "file:///etc/passwd",
            "http://ci.example:port/",
            "http://ci.example/a b",
            "http://ci.example/\r\nX: y",
            "http://",
            "",
        ):
            with self.subTest(url=url):
                self.assertRaises(BadParameter, allowed.check, url)
        error = self.assertRaises(BadParameter, AllowedHosts().check, "http://localhost/")
        self.assertIn("--webhook-hosts", error.detail)


class PosterTests(TestCase):
    async def test_a_real_server_is_told_and_its_redirects_are_not_followed(self) -> None:
        heard: list[tuple[bytes, Any, bytes]] = []

        class Hook(Resource):
            isLeaf = True

            def render_POST(self, request: Any) -> bytes:
                heard.append((request.path, request.getHeader("DPIP-Signature"), request.content.read()))
                if request.path == b"/away":
                    request.redirect(b"/elsewhere")
                return b"x" * 100_000

        port: Any = reactor.listenTCP(0, Site(Hook()), interface="127.0.0.1")  # type: ignore[attr-defined]
        self.addCleanup(port.stopListening)
        poster = WebhookPoster.of(reactor)  # type: ignore[arg-type]
        url = f"http://127.0.0.1:{port.getHost().port}"
        headers = {"DPIP-Signature": signature("s", "1", b"{}")}
        self.assertEqual(await poster.post(f"{url}/done", headers, b"{}"), 200)
        self.assertEqual(await poster.post(f"{url}/away", headers, b"{}"), 302)
        self.assertEqual(heard, [(path, headers["DPIP-Signature"], b"{}") for path in (b"/done", b"/away")])
