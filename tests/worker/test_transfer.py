"""Downloads and uploads against a real HTTP server on loopback that does not always behave."""

from __future__ import annotations

import hashlib
import json
import tempfile
from itertools import groupby
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.protocol import Protocol
from twisted.trial.unittest import TestCase
from twisted.web.http import Request

from dpip.errors import Malformed, NotAnImage, RetryLater, StaleLease
from dpip.http.batch import list_head
from dpip.link.certificates import Authority
from dpip.link.worker_messages import Receipt, Receipts, encode
from dpip.model import LeasedJob, Outcome
from dpip.worker import transfer as transfer_module
from dpip.worker.compute_child import Verdict
from dpip.worker.transfer import TRIES, ApiAddress, Closed, NotTransferred, TokenRefused, Transfer
from tests.worker.api import TOKEN, Api, Handler, answering, cut, hang, job

PICTURE = b"an original picture" * 100


def verdict(data: bytes, *notices: str) -> Verdict:
    sha256 = hashlib.sha256(data).hexdigest()
    return Verdict(Outcome.DONE, "", "", 0.1, sha256, "image/png", len(data), notices)


class TransferCase(TestCase):
    """Pictures go one by one, unless ``small`` says otherwise."""

    timeout = 30
    small = -1
    authority: str | None = None

    async def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.directory = Path(temporary.name)
        self.path = self.directory / "spooled"
        self.patch(transfer_module, "_FIRST_PAUSE", 0.001)
        self.patch(transfer_module, "_MAX_PAUSE", 0.002)
        self.patch(transfer_module, "_SMALL", self.small)
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


class BatchTransferTests(TransferCase):
    """Small pictures go together, and alone where a batch does not bring them through."""

    small = 100_000

    async def setUp(self) -> None:
        await super().setUp()
        self.jobs = [job(number, b"original %d" % number) for number in range(4)]
        for number in range(4):
            self.api.originals[f"image{number}"] = b"original %d" % number
        self.transfer = self.make()

    def ways(self) -> list[str]:
        """What was asked for, in short."""
        return [f"{method} {path.rpartition('/')[2]}" for method, path in self.api.requests]

    def download(self, *jobs: LeasedJob) -> list[Deferred[None]]:
        return [
            Deferred.fromCoroutine(self.transfer.download(each, self.directory / each.original.id))
            for each in jobs
        ]

    def send(self, *jobs: LeasedJob) -> list[Deferred[None]]:
        works = []
        for each in jobs:
            data = b"result %d" % each.lease.job
            path = self.directory / each.result_id
            path.write_bytes(data)
            works.append(
                Deferred.fromCoroutine(self.transfer.upload(each, path, verdict(data, "It is dark.")))
            )
        return works

    def receipts(self, *codes: str) -> Handler:
        answer = encode(Receipts(tuple(Receipt(code, "Why." if code else "") for code in codes)))
        return lambda request: answer

    async def test_originals_come_together(self) -> None:
        await gatherResults(self.download(*self.jobs))
        for each in self.jobs:
            data = (self.directory / each.original.id).read_bytes()
            self.assertEqual(data, b"original %d" % each.lease.job)
        self.assertEqual(self.ways(), ["GET batch"])

    async def test_results_go_together(self) -> None:
        await gatherResults(self.send(*self.jobs))
        self.assertEqual([data for _, data in self.api.results], [b"result %d" % n for n in range(4)])
        self.assertEqual(self.api.results[1][0]["nonce"], "nonce1")
        self.assertEqual(json.loads(self.api.results[1][0]["notices"]), ["It is dark."])
        self.assertEqual(self.ways(), ["POST batch"])

    async def test_an_original_that_is_missing_or_damaged_fails_alone(self) -> None:
        del self.api.originals["image1"]
        self.api.originals["image2"] = b"original X"
        first, missing, damaged, last = self.download(*self.jobs)
        await gatherResults([first, last])
        trouble = await self.assertFailure(missing, NotTransferred)
        self.assertEqual((trouble.outcome, trouble.code), (Outcome.CRASHED, "original-missing"))
        trouble = await self.assertFailure(damaged, NotTransferred)
        self.assertEqual((trouble.outcome, trouble.code), (Outcome.CRASHED, "original-damaged"))

    async def test_each_result_has_its_own_receipt(self) -> None:
        self.api.next = [self.receipts("", StaleLease.code, NotAnImage.code, RetryLater.code)]
        kept, stale, refused, again = self.send(*self.jobs)
        await kept
        trouble = await self.assertFailure(stale, NotTransferred)
        self.assertEqual(
            (trouble.outcome, trouble.code, trouble.void), (Outcome.RETURNED, "stale-lease", True)
        )
        trouble = await self.assertFailure(refused, NotTransferred)
        self.assertEqual((trouble.outcome, trouble.code), (Outcome.FAILED, "result-refused"))
        await again
        self.assertEqual([data for _, data in self.api.results], [b"result 3"])
        self.assertEqual(self.ways(), ["POST batch", "POST images"])

    async def test_a_lost_answer_is_asked_for_again(self) -> None:
        def lost(request: Request) -> Any:
            self.api.behave(request)
            return cut(request)

        self.api.next = [lost, answering(503)]
        await gatherResults(self.send(*self.jobs))
        self.assertEqual(self.ways(), ["POST batch"] * 3)
        self.assertEqual(len(self.api.results), 8)

    async def test_an_api_that_knows_no_batches_gets_them_one_by_one(self) -> None:
        self.api.next = [answering(404), *[self.api.behave] * 4, answering(405)]
        await gatherResults(self.download(*self.jobs))
        await gatherResults(self.send(*self.jobs))
        alone = [f"GET image{number}" for number in range(4)]
        self.assertEqual(
            sorted(self.ways()), sorted(["GET batch", "POST batch", *alone, *["POST images"] * 4])
        )

    async def test_answers_that_make_no_sense(self) -> None:
        for answer in (b"", b"\xff" * 10, list_head(b"[]"), list_head(b'[{"status": 200, "size": 9}]') * 2):
            self.api.next = [lambda _, answer=answer: answer]  # type: ignore[misc]
            await gatherResults(self.download(self.jobs[0]))
        for answer in (b"", b"{}", encode(Receipts(())), encode(Receipts((Receipt(),) * 3))):
            self.api.next = [lambda _, answer=answer: answer]  # type: ignore[misc]
            await gatherResults(self.send(self.jobs[0]))
        ways = [way for way, _ in groupby(self.ways())]  # a connection may be closed by our end
        self.assertEqual(ways, ["GET batch", "GET image0"] * 4 + ["POST batch", "POST images"] * 4)

    async def test_a_result_that_is_not_what_was_said_goes_alone(self) -> None:
        first, second = self.send(*self.jobs[:2])
        (self.directory / "result0").write_bytes(b"longer than it was")
        await gatherResults([first, second])
        self.assertEqual(self.ways(), ["POST batch", "POST images"])

    async def test_large_ones_go_alone(self) -> None:
        self.patch(transfer_module, "_SMALL", 9)
        await gatherResults(self.download(self.jobs[0]))
        self.assertEqual(self.ways(), ["GET image0"])

    async def test_a_dead_token_ends_all_of_them(self) -> None:
        self.api.token = "another"
        for waiting in [*self.download(*self.jobs), *self.send(*self.jobs)]:
            await self.assertFailure(waiting, TokenRefused)

    async def test_when_the_link_is_lost_all_of_a_batch_end_and_what_waits_too(self) -> None:
        reached: Deferred[None] = Deferred()

        def hanging(request: Request) -> Any:
            reached.callback(None)
            return hang(request)

        self.api.next = [hanging]
        under_way = self.send(*self.jobs[:2])
        await reached
        waiting = self.send(*self.jobs[2:])
        await self.transfer.close()
        for each in [*under_way, *waiting]:
            await self.assertFailure(each, Closed)
        self.assertEqual(self.ways(), ["POST batch"])

    async def test_a_disk_that_is_full_fails_one_alone(self) -> None:
        full = Deferred.fromCoroutine(self.transfer.download(self.jobs[0], Path("/dev/full")))
        [good] = self.download(self.jobs[1])
        await good
        trouble = await self.assertFailure(full, NotTransferred)
        self.assertEqual((trouble.outcome, trouble.code), (Outcome.RETURNED, "disk-full"))


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
