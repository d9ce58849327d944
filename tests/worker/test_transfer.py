"""Downloads and uploads against a real HTTP server on loopback that does not always behave."""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol
from twisted.trial.unittest import TestCase
from twisted.web.http import Request

from dpip.errors import Malformed
from dpip.link.certificates import Authority
from dpip.model import Outcome
from dpip.worker import transfer as transfer_module
from dpip.worker.compute_child import Verdict
from dpip.worker.transfer import TRIES, ApiAddress, Closed, NotTransferred, TokenRefused, Transfer
from tests.worker.api import TOKEN, Api, answering, cut, hang, job

PICTURE = b"an original picture" * 100


def verdict(data: bytes, *notices: str) -> Verdict:
    sha256 = hashlib.sha256(data).hexdigest()
    return Verdict(Outcome.DONE, "", "", 0.1, sha256, "image/png", len(data), notices)


class TransferCase(TestCase):
    timeout = 30
    authority: str | None = None

    async def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.directory = Path(temporary.name)
        self.path = self.directory / "spooled"
        self.patch(transfer_module, "_FIRST_PAUSE", 0.001)
        self.patch(transfer_module, "_MAX_PAUSE", 0.002)
        self.api = Api()
        self.job = job(7, PICTURE)
        self.api.originals["image7"] = PICTURE
        await self.listen()

    async def listen(self) -> None:
        await self.api.listen(self)
        self.transfer = self.make()

    def make(self, token: str = TOKEN, lanes: int = 2) -> Transfer:
        transfer = Transfer(ApiAddress(self.api.url, token, self.authority), reactor, lanes, lambda: 0.0)
        self.addCleanup(transfer.close)
        return transfer

    def path_of(self, data: bytes) -> Path:
        path = self.directory / "result"
        path.write_bytes(data)
        return path

    async def upload(self, data: bytes = b"result") -> None:
        await self.transfer.upload(self.job, self.path_of(data), verdict(data))

    async def failing(self, what: Any) -> NotTransferred:
        return await self.assertFailure(Deferred.fromCoroutine(what), NotTransferred)


class DownloadTests(TransferCase):
    async def test_the_original_arrives(self) -> None:
        await self.transfer.download(self.job, self.path)
        self.assertEqual(self.path.read_bytes(), PICTURE)
        self.assertEqual(self.api.requests, [("GET", "/images/image7")])

    async def test_connections_are_kept(self) -> None:
        peers: set[int] = set()

        def remembered(request: Request) -> Any:
            peers.add(request.getClientAddress().port)
            return self.api.behave(request)

        self.api.next = [remembered] * 5
        for _ in range(5):
            await self.transfer.download(self.job, self.path)
        self.assertEqual(len(peers), 1)

    async def test_what_may_pass_is_tried_again(self) -> None:
        self.api.next = [answering(503, retry_after=0), cut, answering(500), answering(429)]
        await self.transfer.download(self.job, self.path)
        self.assertEqual(self.path.read_bytes(), PICTURE)

    async def test_but_not_for_ever(self) -> None:
        self.api.next = [answering(503, "The database is busy.")] * 20
        trouble = await self.failing(self.transfer.download(self.job, self.path))
        self.assertEqual((trouble.outcome, trouble.code), (Outcome.RETURNED, "transfer-refused"))
        self.assertEqual(trouble.detail, "The database is busy.")
        self.assertEqual(len(self.api.requests), TRIES)

    async def test_retry_after_is_respected(self) -> None:
        waited: list[float] = []
        later = transfer_module.deferLater
        self.patch(
            transfer_module,
            "deferLater",
            lambda clock, seconds: (waited.append(seconds), later(clock, 0))[1],
        )
        self.patch(transfer_module, "_MAX_PAUSE", 15.0)
        self.api.next = [answering(503, retry_after=7), answering(503, retry_after=10**9)]
        await self.transfer.download(self.job, self.path)
        self.assertEqual(waited, [7.0, 30.0])

    async def test_nobody_there(self) -> None:
        self.api.url = "http://127.0.0.1:1"
        trouble = await self.failing(self.make().download(self.job, self.path))
        self.assertEqual((trouble.outcome, trouble.code), (Outcome.RETURNED, "transfer-failed"))

    async def test_an_answer_that_never_comes(self) -> None:
        self.patch(transfer_module, "_LEAST_SECONDS", 0.05)
        self.api.next = [hang] * TRIES
        trouble = await self.failing(self.transfer.download(self.job, self.path))
        self.assertEqual(trouble.detail, "The API did not answer in time.")

    async def test_a_damaged_original_is_charged(self) -> None:
        for damaged in (PICTURE[:-1] + b"X", PICTURE[:-1], PICTURE + b"X", b"", PICTURE * 1000):
            self.api.originals["image7"] = damaged
            trouble = await self.failing(self.transfer.download(self.job, self.path))
            self.assertEqual((trouble.outcome, trouble.code), (Outcome.CRASHED, "original-damaged"))

    async def test_an_original_that_is_not_there_is_charged(self) -> None:
        del self.api.originals["image7"]
        trouble = await self.failing(self.transfer.download(self.job, self.path))
        self.assertEqual((trouble.outcome, trouble.code), (Outcome.CRASHED, "original-missing"))
        self.assertEqual(len(self.api.requests), 1)

    async def test_a_token_that_is_dead(self) -> None:
        doing = Deferred.fromCoroutine(self.make("another").download(self.job, self.path))
        await self.assertFailure(doing, TokenRefused)
        self.assertEqual(len(self.api.requests), 1)

    async def test_a_disk_that_is_full(self) -> None:
        trouble = await self.failing(self.transfer.download(self.job, Path("/dev/full")))
        self.assertEqual((trouble.outcome, trouble.code), (Outcome.RETURNED, "disk-full"))

    async def test_redirects_are_not_followed(self) -> None:
        def elsewhere(request: Request) -> bytes:
            request.redirect(b"/elsewhere")
            return b""

        self.api.next = [elsewhere] * TRIES
        await self.failing(self.transfer.download(self.job, self.path))
        self.assertNotIn(("GET", "/elsewhere"), self.api.requests)


class Breaking(Protocol):
    """Breaks the connection as soon as something is sent."""

    transport: Any

    def dataReceived(self, data: bytes) -> None:
        self.transport.abortConnection()


class UploadTests(TransferCase):
    async def test_the_result_arrives_with_its_lease(self) -> None:
        await self.upload(b"result\r\n--with-dashes")
        ((fields, data),) = self.api.results
        self.assertEqual(data, b"result\r\n--with-dashes")
        self.assertEqual(
            fields,
            {
                "workload_id": "workload",
                "type": "filtered",
                "job": "7",
                "attempt": "1",
                "nonce": "nonce7",
                "sha256": hashlib.sha256(data).hexdigest(),
                "content_type": "image/png",
            },
        )

    async def test_notices_go_along(self) -> None:
        data = b"result"
        await self.transfer.upload(self.job, self.path_of(data), verdict(data, "The sound, if any, is lost."))
        ((fields, _),) = self.api.results
        self.assertEqual(json.loads(fields["notices"]), ["The sound, if any, is lost."])

    async def test_a_large_one_is_streamed(self) -> None:
        self.patch(transfer_module, "_PIECE", 1000)
        large = bytes(range(256)) * 100
        await self.upload(large)
        self.assertEqual(self.api.results[0][1], large)

    async def test_it_is_sent_again_when_nobody_knows_whether_it_arrived(self) -> None:
        self.api.next = [cut, answering(503)]
        await self.upload()
        self.assertEqual([data for _, data in self.api.results], [b"result"])

    async def test_it_is_sent_again_when_the_connection_breaks_while_it_is_sent(self) -> None:
        build = self.api.site.buildProtocol

        def breaking(address: Any) -> Any:
            self.api.site.buildProtocol = build  # type: ignore[method-assign]
            return Breaking()

        self.api.site.buildProtocol = breaking  # type: ignore[method-assign]
        large = bytes(2**24)
        await self.upload(large)
        self.assertEqual([data for _, data in self.api.results], [large])

    async def test_the_same_again_is_as_good(self) -> None:
        self.api.next = [answering(200, "It was there already.")]
        await self.upload()

    async def test_a_stale_lease_is_nobodys_trouble(self) -> None:
        self.api.next = [answering(409, "Not leased to you any more.")]
        trouble = await self.failing(self.upload())
        self.assertEqual((trouble.outcome, trouble.code), (Outcome.RETURNED, "stale-lease"))
        self.assertEqual(len(self.api.requests), 1)

    async def test_a_result_that_is_not_taken_has_failed(self) -> None:
        for status in (413, 415, 422):
            self.api.next = [answering(status, "Not this one.")]
            trouble = await self.failing(self.upload())
            self.assertEqual((trouble.outcome, trouble.code), (Outcome.FAILED, "result-refused"))
            self.assertEqual(trouble.detail, "Not this one.")
        self.assertEqual(len(self.api.requests), 3)

    async def test_no_room_at_the_api_is_not_the_jobs_fault(self) -> None:
        self.api.next = [answering(507, "The disk is full.")] * TRIES
        trouble = await self.failing(self.upload())
        self.assertEqual(trouble.outcome, Outcome.RETURNED)

    async def test_answers_of_any_size_and_kind(self) -> None:
        def endless(request: Request) -> bytes:
            request.setResponseCode(422)
            return b"x" * 2**20

        def odd(request: Request) -> bytes:
            request.setResponseCode(422)
            return b"[1]"

        self.api.next = [endless, odd]
        for _ in range(2):
            trouble = await self.failing(self.upload())
            self.assertEqual(trouble.detail, "The API answered with status 422.")


class ClosingTests(TransferCase):
    async def test_what_is_under_way_ends(self) -> None:
        self.api.next = [hang, hang]
        under_way = [
            Deferred.fromCoroutine(self.transfer.download(self.job, self.directory / str(number)))
            for number in range(4)
        ]
        await self.transfer.close()
        for waiting in under_way:
            await self.assertFailure(waiting, Closed)

    async def test_what_waits_for_another_try_ends(self) -> None:
        self.patch(transfer_module, "_FIRST_PAUSE", 1000.0)
        self.patch(transfer_module, "_MAX_PAUSE", 1000.0)
        answered: Deferred[None] = Deferred()

        def busy(request: Request) -> bytes:
            reactor.callLater(0.05, answered.callback, None)  # type: ignore[attr-defined]
            return answering(503)(request)

        self.api.next = [busy]
        waiting = Deferred.fromCoroutine(self.transfer.download(self.job, self.path))
        await answered
        await self.transfer.close()
        await self.assertFailure(waiting, Closed)

    async def test_nothing_begins_any_more(self) -> None:
        await self.transfer.close()
        await self.assertFailure(Deferred.fromCoroutine(self.upload()), Closed)


class TlsTests(TransferCase):
    async def listen(self) -> None:
        self.authorities = [
            Authority.load_or_create(self.directory / name, reactor.seconds())  # type: ignore[attr-defined]
            for name in ("ours", "another")
        ]
        await self.api.listen(self, self.authorities[0].server_options())

    def _download(self) -> Any:
        return self.make().download(self.job, self.path)

    async def test_the_controllers_authority_is_trusted(self) -> None:
        self.authority = self.authorities[0].pem
        await self._download()
        self.assertEqual(self.path.read_bytes(), PICTURE)

    async def test_another_one_is_not(self) -> None:
        self.authority = self.authorities[1].pem
        await self.failing(self._download())
        self.assertEqual(self.api.requests, [])

    async def test_without_one_only_the_public_ones_are(self) -> None:
        self.authority = None
        await self.failing(self._download())
        self.assertEqual(self.api.requests, [])


class AddressTests(TestCase):
    def test_addresses_that_cannot_be_used(self) -> None:
        for url in ("", "ftp://x", "http://", "x:80", "http://x:99999", "http://x:y", "unix:/x"):
            self.assertRaises(Malformed, ApiAddress(url, "t", None).endpoint, reactor)
        self.assertRaises(Malformed, ApiAddress("https://x", "t", "no PEM").endpoint, reactor)

    def test_the_token_is_not_shown(self) -> None:
        self.assertNotIn("hidden", repr(ApiAddress("http://x", "hidden", None)))
