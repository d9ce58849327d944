"""An API process and a controller, over TLS and Perspective Broker on loopback, both in this process."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import HostnameEndpoint, serverFromString
from twisted.internet.task import deferLater
from twisted.logger import globalLogPublisher
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import TestCase

from dpip.api_process.remote_controller import RemoteController
from dpip.api_process.session import ApiSession
from dpip.controller import api_processes as apis_module
from dpip.controller.api_processes import ApiProcesses, ApiTerms
from dpip.controller.certificates import Certificates
from dpip.controller.joining import JoinTerms
from dpip.controller.workers import Workers
from dpip.errors import NotFound, RetryLater, StaleLease, Unauthenticated
from dpip.link import session as session_module
from dpip.link.api_messages import PROTOCOL, ApiHello
from dpip.link.certificates import Authority, presented_over
from dpip.link.connector import Connector, token_reader
from dpip.link.join_token import API_TOKEN_FILE
from dpip.model import Lease, Principal, Role, StoredFile, StoredPicture, WorkloadSpec
from dpip.runtime.ids import IdSource
from dpip.store.admission import AdmissionControl, RetryAfterQueue
from dpip.store.disk_space import MIB
from dpip.store.image_store import ImageStore
from dpip.testing import MemoryController
from tests.controller.test_workers import Record

SPEC = WorkloadSpec("film", (("grayscale", {}),))
ADMIN = Principal("admin", Role.ADMIN)
HELLO = ApiHello(PROTOCOL, "1.0", {"grayscale": "1"}, ("here",), wants_identity=False, shares_socket=False)


class RemoteCase(TestCase):
    timeout = 30

    async def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.directory = Path(temporary.name)
        for name in ("FIRST_DELAY", "MAX_DELAY", "LONG_DELAY"):
            self.patch(session_module, name, 0.02)
        self.patch(apis_module, "GRACE_SECONDS", 0.05)
        self.lines: list[str] = []
        globalLogPublisher.addObserver(self._observe)
        self.addCleanup(globalLogPublisher.removeObserver, self._observe)
        self.authority = Authority.load_or_create(self.directory / "state", reactor.seconds())  # type: ignore[attr-defined]
        self.store = ImageStore(self.directory / "images", reactor, floor=0)  # type: ignore[arg-type]
        self.store.startService()
        self.addCleanup(self.store.stopService)
        self.moved: list[str] = []
        self.real = MemoryController(lambda: 0.0, IdSource(), self.store, max_pixels=1234)
        self.port = 0
        await self.start_controller()

    def _observe(self, event: Any) -> None:
        self.lines.append(str(event.get("words") or event.get("why") or event.get("log_format")))

    async def start_controller(self) -> None:
        """At the same port as before."""
        self.apis = ApiProcesses(
            admit=lambda secret: self.authority.api_tokens.admit(secret, reactor.seconds()),  # type: ignore[attr-defined]
            controller=self.real,
            put_mark=self._mark,
            new_nonce=IdSource(),
            terms=ApiTerms("1.0", HELLO.filters, 50 * MIB, 100 * MIB, 7, lambda hosts: f"for {hosts}"),
            admission=AdmissionControl(self.store.space, 50 * MIB, 100 * MIB, RetryAfterQueue(lambda: 0.0)),
            clock=reactor,  # type: ignore[arg-type]
            moved=self.moved.append,
        )
        self.workers = Workers(
            certificates=Certificates(
                authority=self.authority,
                datastore=Record(),  # type: ignore[arg-type]
                clock=reactor,  # type: ignore[arg-type]
                presented=presented_over,
                seconds=3600.0,
            ),
            scheduler=Record(),  # type: ignore[arg-type]
            datastore=Record(),  # type: ignore[arg-type]
            telemetry=Record(),  # type: ignore[arg-type]
            clock=reactor,  # type: ignore[arg-type]
            new_id=IdSource(),
            new_token=IdSource(),
            terms=JoinTerms("1.0", {}, 1, lambda host: ""),
            apis=self.apis,
        )
        factory = TLSMemoryBIOFactory(self.authority.workers_options(), False, self.workers.server_factory)
        self.listening = await serverFromString(reactor, f"tcp:{self.port}:interface=127.0.0.1").listen(
            factory
        )
        self.port = self.listening.getHost().port
        self.workers.start()
        self.addCleanup(self.stop_controller)

    async def stop_controller(self) -> None:
        if self.listening is not None:
            listening, self.listening = self.listening, None
            await listening.stopListening()
            self.apis.stop()
            self.workers.stop()

    def _mark(self, text: str) -> Any:
        mark = self.store.temporary_file()
        mark.write(text.encode())
        return os.path.basename(mark.path), mark

    def process(
        self, hello: ApiHello = HELLO, store: str | None = None, **options: Any
    ) -> tuple[ApiSession, RemoteController]:
        """An API process, started; it ends with the test."""
        path = store or str(self.directory / "images")
        image_store = ImageStore(Path(path), reactor, floor=0)  # type: ignore[arg-type]
        controller = RemoteController(
            AdmissionControl(image_store.space, 0, 0, RetryAfterQueue(lambda: 0.0)), reactor.seconds
        )  # type: ignore[attr-defined]
        self.identities: list[Any] = []

        def listen(identity: str | None) -> Deferred[Any]:
            self.identities.append(identity)
            return succeed(reactor.listenTCP(0, Nothing(), interface="127.0.0.1"))  # type: ignore[attr-defined]

        token = token_reader(options.get("token"), {}, self.directory / "state", API_TOKEN_FILE)
        endpoint = HostnameEndpoint(reactor, "127.0.0.1", self.port)
        session = ApiSession(
            connector=Connector(endpoint, token, reactor),  # type: ignore[arg-type]
            hello=hello,
            store=path,
            image_store=image_store,
            controller=controller,
            listen=listen,
            scheme="http",
            url=options.get("url"),
            jitter=lambda: 0.5,
        )
        session.startService()
        self.addCleanup(session.stopService)
        return session, controller

    async def until(self, condition: Any) -> None:
        while not condition():
            await deferLater(reactor, 0.005)

    async def said(self, words: str) -> None:
        await self.until(lambda: any(words in line for line in self.lines))


class Nothing:
    """Stands for the site."""

    noisy = False

    def doStart(self) -> None: ...

    def doStop(self) -> None: ...


class JoiningTests(RemoteCase):
    async def test_it_joins_listens_and_asks(self) -> None:
        session, controller = self.process()
        await session.joined
        self.assertEqual((controller.max_pixels, session.image_store.space.floor), (1234, 7))
        made = await controller.create_workload(ADMIN, SPEC, None)
        self.assertEqual((await controller.workload(ADMIN, made.workload.id)), made)
        with self.assertRaises(NotFound):
            await controller.workload(ADMIN, "none")

    async def test_workers_are_sent_to_each_in_turn(self) -> None:
        self.assertIsNone(self.apis.url("here"))
        for url in (None, "https://b:1"):
            session, _ = self.process(url=url)
            await session.joined
        await self.until(lambda: len({self.apis.url("here") for _ in range(4)}) == 2)
        one, two = sorted({str(self.apis.url("here")) for _ in range(4)})
        self.assertTrue(one.startswith("http://here:"), one)  # its link comes from this very machine
        self.assertEqual(two, "https://b:1")

    async def test_one_that_shares_our_socket_has_our_address(self) -> None:
        session, _ = self.process(evolve(HELLO, shares_socket=True))
        await session.joined
        await self.apis.serving
        self.assertIsNone(self.apis.url("here"))

    async def test_an_identity_is_made_for_who_wants_one(self) -> None:
        session, _ = self.process(evolve(HELLO, wants_identity=True))
        await session.joined
        self.assertEqual(self.identities, ["for ('here',)"])

    async def test_the_mark_in_the_store_is_gone_once_it_was_found(self) -> None:
        session, _ = self.process()
        await session.joined
        await self.apis.serving
        self.assertEqual(os.listdir(self.directory / "images" / "incoming"), [])

    async def test_a_workers_token_does_not_do(self) -> None:
        self.process(token=self.directory / "state" / "join-token")
        await self.said("The API token is not valid")

    async def test_another_version_or_other_filters_do_not_do(self) -> None:
        self.process(evolve(HELLO, version="0.9"))
        await self.said("It is DPIP 0.9 with 1 filters, the controller 1.0 with 1")
        self.process(evolve(HELLO, protocol=99))
        await self.said("It speaks another protocol")

    async def test_another_directory_is_not_the_store_and_nothing_is_made_there(self) -> None:
        other = self.directory / "other"
        self.process(store=str(other))
        await self.said("is not the image store of this controller")
        self.assertFalse(other.exists())


class LinkTests(RemoteCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.session, self.controller = self.process()
        await self.session.joined
        self.token = (await self.real.login("admin", "password", "")).secret

    async def test_a_token_is_asked_for_once(self) -> None:
        for _ in range(3):
            self.assertEqual(await self.controller.authenticate(self.token), ADMIN)
        self.assertEqual(len([entry for entry in self.real.log if entry[0] == "authenticate"]), 1)

    async def test_a_token_that_dies_is_dead_when_the_api_processes_have_been_told(self) -> None:
        await self.controller.authenticate(self.token)
        await self.real.logout(self.token)
        await self.apis.forget_tokens("admin")
        with self.assertRaises(Unauthenticated):
            await self.controller.authenticate(self.token)

    async def test_tokens_of_others_are_not_forgotten(self) -> None:
        await self.controller.authenticate(self.token)
        await self.apis.forget_tokens("ann")
        await self.controller.authenticate(self.token)
        self.assertEqual(len([entry for entry in self.real.log if entry[0] == "authenticate"]), 1)

    async def test_one_that_does_not_forget_is_dropped_and_trusts_nothing_then(self) -> None:
        await self.controller.authenticate(self.token)
        self.patch(apis_module, "FORGET_SECONDS", 0.05)
        self.controller._exchange._answer = lambda *_: Deferred()  # type: ignore[union-attr]
        await self.real.logout(self.token)
        await self.apis.forget_tokens("admin")
        with self.assertRaises((Unauthenticated, RetryLater)):
            await self.until(lambda: self.controller._exchange is None)
            await self.controller.authenticate(self.token)

    async def test_while_the_controller_is_away_everything_is_to_be_tried_again(self) -> None:
        await self.controller.authenticate(self.token)
        hold = self.real.hold("users")
        asked = self.controller.users(ADMIN)
        await hold.reached
        await self.stop_controller()
        with self.assertRaises(RetryLater):
            await asked
        with self.assertRaises(RetryLater):
            await self.controller.authenticate(self.token)
        self.assertRaises(RetryLater, self.controller.admit_upload, ADMIN, 1)
        hold.release()
        await self.start_controller()
        await self.apis.serving
        self.assertEqual(await self.controller.authenticate(self.token), ADMIN)
        self.controller.admit_upload(ADMIN, 1).release()

    async def test_a_worker_that_has_downloaded_here_need_not_be_looked_up_for_its_result(self) -> None:
        made = await self.controller.create_workload(ADMIN, SPEC, None)
        file = StoredFile("w/originals/p", 1, "0", StoredPicture("PNG", "image/png", 1, 1, 3))
        [original] = await self.controller.commit_originals(ADMIN, made.workload.id, [("i", file)], None)
        worker = await self.controller.authenticate(self.real.join_worker("w"))
        job = self.real.lease("w")
        assert job is not None
        self.assertEqual(await self.controller.image(worker, "i", None, None), original)
        self.assertEqual(await self.controller.check_leases(worker, [job.lease]), [job])
        self.assertEqual([entry for entry in self.real.log if entry[0] == "check_leases"], [])
        self.real.requeue(job.lease)
        [receipt] = await self.controller.commit_results(worker, [(job.lease, file)])
        self.assertEqual((receipt.image, receipt.code), (None, StaleLease.code))
        with self.assertRaises(NotFound):
            await self.controller.image(worker, "i", None, None)

    async def test_what_a_worker_lied_about_here_is_told_the_controller(self) -> None:
        worker = await self.controller.authenticate(self.real.join_worker("w"))
        lease = Lease(1, 1, "n")
        await self.controller.accuse(worker, lease, "a lie")
        self.assertIn(("accuse", worker, lease, "a lie"), self.real.log)

    async def test_uploads_under_way_elsewhere_are_known_everywhere(self) -> None:
        other, its_controller = self.process()
        await other.joined
        its_controller.admit_upload(ADMIN, 40 * MIB)
        admission = self.controller._admission
        await self.until(lambda: admission.elsewhere == 40 * MIB)
        self.assertEqual(self.apis.admission.elsewhere, 40 * MIB)
        self.apis.admission.admit(ADMIN, 30 * MIB)
        await self.until(lambda: admission.elsewhere == 70 * MIB)
        self.assertRaises(RetryLater, self.controller.admit_upload, ADMIN, 40 * MIB)
        ann = Principal("ann", Role.USER)
        self.controller.admit_upload(ann, 40 * MIB).release()  # she has her share in every process
        await other.stopService()
        await self.until(lambda: admission.elsewhere == 30 * MIB)

    async def test_when_it_stays_away_its_workers_are_sent_elsewhere(self) -> None:
        await self.apis.serving
        urls = {self.apis.url("here"), self.apis.url("there")}
        await self.session.stopService()
        await self.until(lambda: len(self.moved) == 2)
        self.assertEqual(set(self.moved), urls)

    async def test_when_it_is_back_soon_they_stay(self) -> None:
        self.patch(apis_module, "GRACE_SECONDS", 1.0)
        await self.apis.serving
        url = self.apis.url("here")
        [api] = self.apis._joined.values()
        api.broker.drop("a bad day")
        await self.until(lambda: self.apis.url("here") is None)
        await self.until(lambda: self.apis.url("here") == url)
        self.apis._move(api.place)  # type: ignore[arg-type]
        self.assertEqual(self.moved, [])

    async def test_a_workload_is_looked_up_once_for_many_uploads_and_again_when_it_is_gone(self) -> None:
        made = await self.controller.create_workload(ADMIN, SPEC, None)
        workload_id = made.workload.id
        for _ in range(3):
            self.assertEqual(await self.controller.check_upload(ADMIN, workload_id, [1], None), made.workload)
        self.assertEqual(len([entry for entry in self.real.log if entry[0] == "check_upload"]), 1)
        await self.real.delete_workload(ADMIN, workload_id)
        with self.assertRaises(NotFound):
            await self.controller.commit_originals(ADMIN, workload_id, [], None)
        with self.assertRaises(NotFound):
            await self.controller.check_upload(ADMIN, workload_id, [1], None)
