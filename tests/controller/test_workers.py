"""Joining, reporting, losing: the controller's side of the workers' port, over PB in memory."""

from __future__ import annotations

import json
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dpip.controller.certificates import Certificates
from dpip.controller.joining import JoinTerms
from dpip.controller.worker_link import MAX_SILENCE, PING_SECONDS, RUN_SECONDS
from dpip.controller.workers import MAX_OFFENCES, SUSPENDED_SECONDS, Workers
from dpip.errors import BadCertificate, DpipError, NotFound, RetryLater, WorkerSuspended
from dpip.link import worker_messages as wire
from dpip.link.broker import Callee, CallRefused, CallTimeout, LinkLost, call, notify
from dpip.link.certificates import Authority, Key, Presented
from dpip.model import (
    Activity,
    CertificateRecord,
    Image,
    ImageType,
    Lease,
    LeasedJob,
    Load,
    Outcome,
    Role,
    StoredFile,
    StoredPicture,
)
from tests.wires import Wire

LOAD = Load(cpu_percent=12.5, memory_total=2**34, memory_available=2**33)
HELLO = wire.WorkerHello(
    name="anna",
    version="1.0",
    machine="m",
    slots=2,
    capacity=8,
    tags=("gpu",),
    filters={"grayscale": "1", "blur": "1"},
    has_gpu=False,
    fingerprint="f",
)


DAY = 86400.0


@cache
def in_memory() -> Authority:
    """One that all tests here share: no token is ever changed."""
    with tempfile.TemporaryDirectory() as directory:
        return Authority.load_or_create(Path(directory), 0.0)


def job(number: int, params: str = "") -> LeasedJob:
    picture = StoredPicture("PNG", "image/png", 4, 3, 36)
    file = StoredFile(f"a/{number}.png", 100, "0" * 64, picture)
    original = Image(f"image{number}", "w", ImageType.ORIGINAL, number, file, 1.0)
    return LeasedJob(
        Lease(number, 1, f"n{number}"), "w", original, f"r{number}", (("blur", {"p": params}),), {}
    )


class Record:
    """Stands in for scheduler, datastore and telemetry: a log of what each was told."""

    def __init__(self) -> None:
        self.log: list[tuple[Any, ...]] = []
        self.history: list[tuple[str, str]] = []  # action and subject of the activity record
        self.busy = 0  # times that the datastore cannot write
        self.storing: Deferred[None] = succeed(None)
        self.renewing: Deferred[None] = succeed(None)
        self.certificates: list[CertificateRecord] = []
        self.link: Any = None

    def leased(self, session: str, lease: Lease) -> None:
        """No job is known here; metrics by filter are tested with the scheduler."""

    def issue_certificate(self, new: CertificateRecord, token_made: float) -> Deferred[None]:
        self.certificates.append(new)
        return succeed(None)

    def renew_certificate(self, new: CertificateRecord, last: str) -> Deferred[None]:
        self.certificates.append(new)
        return self.renewing

    def worker_joined(self, *arguments: Any) -> Any:
        if len(arguments) == 4:
            self.log.append(("stored", arguments[0].name))
            return self.storing
        session, info, self.link = arguments
        self.log.append(("joined", session, info.name))
        return None

    def worker_offended(self, name: str, until: float | None) -> Deferred[None]:
        self.log.append(("offended", name, until))
        return succeed(None)

    def worker_left(self, name: str, now: float) -> Deferred[None]:
        if self.busy:
            self.busy -= 1
            return fail(RetryLater("The database is busy."))
        self.log.append(("left", name))
        return succeed(None)

    def record(self, entry: Activity) -> Deferred[None]:
        self.history.append((entry.action, entry.subject))
        return succeed(None)

    def sample(self, name: str, at: float, load: Load) -> None:
        self.log.append(("sample", name, at))

    def worker_reported(self, session: str, load: Load) -> None:
        self.log.append(("reported", session, load))

    def worker_leaving(self, session: str) -> None:
        self.log.append(("leaving", session))

    def worker_lost(self, session: str) -> None:
        self.log.append(("lost", session))

    def job_ended(self, *what: Any) -> None:
        self.log.append(("ended", *what))


class Agent(Callee):
    """A worker's end: remembers what it is asked, answers unless told to be silent."""

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.silent = False
        self.refusing = False

    def remote_run(self, data: bytes) -> Any:
        if self.refusing:
            raise RetryLater("No.")
        self.heard.append(wire.decode(data, wire.Jobs).jobs)
        return Deferred() if self.silent else None

    def remote_cancel(self, data: bytes) -> None:
        self.heard.append(wire.decode(data, wire.Leases).leases)

    def remote_leave(self) -> None:
        self.heard.append("leave")

    def remote_ping(self) -> Any:
        self.heard.append("ping")
        return Deferred() if self.silent else None


class ForgettingApis:
    """Stands in for the API processes."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def forget_tokens(self, user: str) -> Deferred[None]:
        self.told.append(user)
        return succeed(None)


class WorkersCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.record = Record()
        numbers = iter(range(1, 1000))
        self.authority = in_memory()
        self.shown: Presented | None = Presented("a1", -1.0, DAY)
        self.workers = Workers(
            certificates=Certificates(
                authority=self.authority,
                datastore=self.record,  # type: ignore[arg-type]
                clock=self.clock,
                presented=lambda transport: self.shown,
                seconds=DAY,
            ),
            scheduler=self.record,  # type: ignore[arg-type]
            datastore=self.record,  # type: ignore[arg-type]
            telemetry=self.record,  # type: ignore[arg-type]
            clock=self.clock,
            new_id=lambda: f"session{next(numbers)}",
            new_token=lambda: f"token{next(numbers)}",
            terms=JoinTerms(
                version="1.0",
                filters={"grayscale": "1", "blur": "1"},
                max_pixels=1000,
                api_url=lambda host: f"http://{host}:8080",
            ),
        )
        self.workers.start()

    def wire(self, host: str = "10.0.0.7") -> Wire:
        link = Wire(self.workers.server_factory, self.clock, host)
        link.client.trust()
        return link

    @property
    def secret(self) -> bytes:
        return self.authority.token.secret.encode()

    def ask(self, link: Wire, agent: Any, hello: Any = HELLO, secret: bytes = b"") -> tuple[Any, Any]:
        data = hello if isinstance(hello, bytes) else wire.encode(hello)
        answer: tuple[Any, Any] = link.result(
            call(link.root, "join", secret, data, agent, clock=self.clock, timeout=20)
        )
        return answer

    def refusal(self, **how: Any) -> wire.WorkerRefusal:
        link = self.wire()
        data, session = self.ask(link, Agent(), **how)
        self.assertIsNone(session)
        self.clock.advance(0)
        link.pump.flush()
        self.assertTrue(link.server.disconnected, "a refused worker stays connected")
        self.assertEqual(self.record.log, [])
        return wire.decode(data, wire.WorkerRefusal)

    def joined(self, agent: Any = None, hello: wire.WorkerHello = HELLO, host: str = "10.0.0.7") -> Joined:
        link = self.wire(host)
        data, session = self.ask(link, agent or Agent(), hello)
        return Joined(self, link, session, wire.decode(data, wire.WorkerWelcome))

    def told(self, kind: str) -> list[tuple[Any, ...]]:
        return [entry for entry in self.record.log if entry[0] == kind]


class Joined:
    """A worker that has joined, as it sees the controller."""

    def __init__(self, case: WorkersCase, link: Wire, session: Any, welcome: wire.WorkerWelcome) -> None:
        self.case, self.link, self.session, self.welcome = case, link, session, welcome

    def report(self, load: Load = LOAD) -> Any:
        return self.say("report", wire.encode(wire.Report(load)))

    def say(self, name: str, *arguments: bytes) -> Any:
        return self.link.result(call(self.session, name, *arguments, clock=self.case.clock, timeout=20))

    @property
    def dropped(self) -> bool:
        self.link.pump.flush()
        return bool(self.link.server.disconnected)


class JoiningTests(WorkersCase):
    def test_the_welcome_says_where_images_are_and_opens_them(self) -> None:
        welcome = self.joined().welcome
        self.assertEqual(welcome.image_store_endpoint, "http://10.0.0.1:8080")
        self.assertEqual((welcome.max_pixels, welcome.job_seconds), (1000, 120.0))
        principal = self.workers.authenticate_worker(welcome.image_store_token)
        assert principal is not None
        self.assertEqual((principal.name, principal.role), ("anna", Role.WORKER))
        self.assertIsNone(self.workers.authenticate_worker("another"))

    def test_its_token_dies_with_its_link_in_api_processes_too(self) -> None:
        worker = self.joined()
        self.workers.apis = apis = ForgettingApis()  # type: ignore[assignment]
        worker.link.server.transport.loseConnection()
        worker.link.pump.flush()
        self.assertIsNone(self.workers.authenticate_worker(worker.welcome.image_store_token))
        self.assertEqual(apis.told, ["anna"])

    def test_the_scheduler_hears_of_it_with_the_first_report(self) -> None:
        worker = self.joined()
        self.assertEqual(self.record.log, [("stored", "anna")])
        worker.report()
        session = self.workers.authenticate_worker(worker.welcome.image_store_token).session  # type: ignore[union-attr]
        self.assertEqual(
            self.record.log[1:],
            [("joined", session, "anna"), ("reported", session, LOAD), ("sample", "anna", 0.0)],
        )
        worker.report()
        self.assertEqual(len(self.told("joined")), 1)

    def test_a_wrong_secret(self) -> None:
        self.shown = None
        refusal = self.refusal(secret=b"guess")
        self.assertEqual((refusal.code, refusal.retry), ("bad-token", False))
        self.assertIn("join token", refusal.reason)

    def test_another_protocol_says_which_side_to_upgrade(self) -> None:
        older = self.refusal(hello=wire.encode(evolve(HELLO, protocol=wire.PROTOCOL - 1)))
        self.assertIn("upgrade the worker to the controller's version", older.reason)
        newer = self.refusal(hello=b'{"protocol": %d, "all": "different"}' % (wire.PROTOCOL + 1))
        self.assertIn("upgrade the controller to the worker's version", newer.reason)
        self.assertEqual({older.code, newer.code}, {"version"})

    def test_another_version_of_a_filter_is_named(self) -> None:
        refusal = self.refusal(hello=evolve(HELLO, filters={"blur": "2"}, version="2.0"))
        self.assertEqual(refusal.code, "version")
        self.assertIn("filter blur in version 2", refusal.reason)

    def test_filters_that_only_the_worker_has_are_welcome(self) -> None:
        self.joined(hello=evolve(HELLO, filters={"grayscale": "1", "own": "9"}))

    def test_introductions_that_make_no_sense(self) -> None:
        for nonsense in (b"", b"[]", b"{}", b"\xff", b'{"protocol": 1}', b'{"protocol": true}', b"x" * 9000):
            self.assertEqual(self.refusal(hello=nonsense).code, "version")

    def test_what_is_no_joining_is_an_error(self) -> None:
        for arguments in (
            (b"s", b"h", b"no agent"),
            (None, b"h", Agent()),
            ((b"s",), b"h", Agent()),
        ):
            link = self.wire()
            answer = call(link.root, "join", *arguments, clock=self.clock, timeout=5)
            self.assertRaises(CallRefused, link.result, answer)

    def test_a_connection_may_ask_only_once(self) -> None:
        link = self.wire()
        self.shown = None
        self.ask(link, Agent(), secret=b"guess")
        self.assertRaises((CallRefused, LinkLost), self.ask, link, Agent())

    def test_a_datastore_that_cannot_store_refuses_for_now(self) -> None:
        self.record.storing = fail(DpipError("The disk is full."))
        link = self.wire()
        refusal = wire.decode(self.ask(link, Agent())[0], wire.WorkerRefusal)
        self.assertEqual((refusal.code, refusal.retry), ("overloaded", True))
        self.record.storing = succeed(None)
        self.joined()

    def test_one_that_leaves_while_it_joins_has_not_joined(self) -> None:
        self.record.storing = Deferred()
        link = self.wire()
        answer = call(link.root, "join", b"", wire.encode(HELLO), Agent(), clock=self.clock, timeout=5)
        link.pump.flush()
        link.cut()
        self.failureResultOf(answer, LinkLost)
        self.record.storing.callback(None)
        self.assertEqual(self.record.log, [("stored", "anna"), ("left", "anna")])
        self.record.storing = succeed(None)
        self.joined()


class CertificateTests(WorkersCase):
    """Who has shown none may get one, and nothing else."""

    def given(self, key: str) -> wire.Certificate | wire.WorkerRefusal:
        self.shown = None
        data, session = self.ask(self.wire(), Agent(), evolve(HELLO, key=key), self.secret)
        self.assertIsNone(session)
        return wire.decode_either(data, wire.Certificate, wire.WorkerRefusal)

    def test_for_the_join_token_there_is_a_certificate_and_no_link(self) -> None:
        given = self.given(Key().public())
        assert isinstance(given, wire.Certificate)
        self.assertEqual(given.seconds, DAY)
        [record] = self.record.certificates
        self.assertEqual((record.worker, record.expires_at), ("anna", DAY))
        self.assertEqual((self.record.log, self.workers.links()), ([], []))

    def test_a_key_that_is_none(self) -> None:
        self.assertIsInstance(self.given("no key"), wire.WorkerRefusal)
        self.assertEqual(self.record.certificates, [])

    def test_a_certificate_that_is_over_or_not_yet_good(self) -> None:
        for shown in (Presented("a1", -2.0, 0.0), Presented("a1", 1.0, 2.0)):
            self.shown = shown
            refusal = self.refusal()
            self.assertEqual((refusal.code, refusal.retry), ("bad-certificate", True))

    def test_what_the_datastore_knows_of_it_is_said(self) -> None:
        for error, retry in ((BadCertificate("Gone."), True), (WorkerSuspended("Later."), False)):
            self.record.storing = fail(error)
            refusal = wire.decode(self.ask(self.wire(), Agent())[0], wire.WorkerRefusal)
            self.assertEqual((refusal.code, refusal.retry), (error.code, retry))

    def test_a_link_ends_with_its_certificate_unless_that_is_renewed(self) -> None:
        worker = self.joined()
        self.clock.advance(DAY - 8)
        worker.report()
        wire.decode(
            worker.say("renew", wire.encode(wire.CertificateRequest(Key().public()))), wire.Certificate
        )
        for _ in range(4):
            self.clock.advance(4)
            worker.report()
        self.assertFalse(worker.dropped)
        self.clock.advance(DAY)
        self.assertTrue(worker.dropped)

    def test_one_that_was_revoked_meanwhile_is_not_renewed(self) -> None:
        worker = self.joined()
        self.record.renewing = fail(BadCertificate("Revoked."))
        self.assertRaises(
            CallRefused, worker.say, "renew", wire.encode(wire.CertificateRequest(Key().public()))
        )

    def test_who_is_expelled_is_gone_at_once_with_its_leases_and_its_token(self) -> None:
        worker = self.joined()
        worker.report()
        self.workers.expel("anna")
        self.assertEqual(len(self.told("lost")), 1)
        self.assertIsNone(self.workers.authenticate_worker(worker.welcome.image_store_token))
        self.assertTrue(worker.dropped)
        self.workers.expel("nobody")


class NameTests(WorkersCase):
    def test_two_of_one_name_the_living_one_stays(self) -> None:
        old = self.joined()
        link = self.wire("10.0.0.8")
        answer = call(link.root, "join", b"", wire.encode(HELLO), Agent(), clock=self.clock, timeout=20)
        link.pump.flush()
        self.assertNoResult(answer)
        old.link.pump.flush()
        refusal = wire.decode(link.result(answer)[0], wire.WorkerRefusal)
        self.assertEqual((refusal.code, refusal.retry), ("name-taken", True))
        self.assertFalse(old.dropped)

    def test_two_of_one_name_the_dead_one_is_replaced(self) -> None:
        agent = Agent()
        agent.silent = True
        old = self.joined(agent)
        old.report()
        link = self.wire("10.0.0.8")
        answer = call(link.root, "join", b"", wire.encode(HELLO), Agent(), clock=self.clock, timeout=20)
        link.pump.flush()
        old.link.pump.flush()
        self.assertEqual(agent.heard, ["ping"])
        self.clock.advance(PING_SECONDS)
        data, session = link.result(answer)
        new = Joined(self, link, session, wire.decode(data, wire.WorkerWelcome))
        new.report()
        self.assertTrue(old.dropped)
        kinds = [entry[0] for entry in self.record.log if entry[0] in ("joined", "lost", "left", "stored")]
        self.assertEqual(kinds, ["stored", "joined", "lost", "stored", "joined"])
        self.assertIsNone(self.workers.authenticate_worker(old.welcome.image_store_token))
        self.assertIsNotNone(self.workers.authenticate_worker(new.welcome.image_store_token))

    def test_a_third_of_that_name_waits_for_the_decision(self) -> None:
        agent = Agent()
        agent.silent = True
        old = self.joined(agent)
        second, third = self.wire("10.0.0.8"), self.wire("10.0.0.9")
        answer = call(second.root, "join", b"", wire.encode(HELLO), Agent(), clock=self.clock, timeout=20)
        second.pump.flush()
        old.link.pump.flush()
        refusal = wire.decode(self.ask(third, Agent())[0], wire.WorkerRefusal)
        self.assertEqual((refusal.code, refusal.retry), ("name-taken", True))
        self.clock.advance(PING_SECONDS)
        self.assertIsNotNone(second.result(answer)[1])

    def test_another_name_is_free(self) -> None:
        self.joined()
        self.joined(hello=evolve(HELLO, name="berta"), host="10.0.0.8")
        self.assertEqual(self.told("stored"), [("stored", "anna"), ("stored", "berta")])


class TalkTests(WorkersCase):
    def setUp(self) -> None:
        super().setUp()
        self.agent = Agent()
        self.worker = self.joined(self.agent)
        self.worker.report()
        self.session = self.told("joined")[0][1]
        self.link = self.record.link

    def test_endings_reach_the_scheduler_in_order(self) -> None:
        endings = (
            wire.AttemptEnding(Lease(1, 1, "a"), Outcome.DONE, 0.5),
            wire.AttemptEnding(Lease(2, 1, "b"), Outcome.FAILED, 0.1, "corrupt-picture", "Cut short."),
        )
        notify(self.worker.session, "ended", wire.encode(wire.AttemptEndings(endings)))
        self.worker.link.pump.flush()
        self.assertEqual(
            self.told("ended"),
            [
                ("ended", self.session, Lease(1, 1, "a"), Outcome.DONE, "", "", 0.5),
                (
                    "ended",
                    self.session,
                    Lease(2, 1, "b"),
                    Outcome.FAILED,
                    "corrupt-picture",
                    "Cut short.",
                    0.1,
                ),
            ],
        )

    def test_leaving_is_passed_on(self) -> None:
        self.worker.say("leaving")
        self.assertEqual(self.told("leaving"), [("leaving", self.session)])
        self.worker.link.cut()
        self.assertEqual(self.record.history, [("worker-joined", "anna"), ("worker-left", "anna")])

    def test_a_dismissed_worker_gets_no_more_jobs_and_is_asked_to_leave(self) -> None:
        self.workers.dismiss(self.link.info.name)
        self.assertEqual(self.told("leaving"), [("leaving", self.session)])
        self.worker.link.pump.flush()
        self.assertEqual(self.agent.heard[-1], "leave")
        self.assertRaises(NotFound, self.workers.dismiss, "nobody")

    def test_the_log_tells_the_drained_from_the_lost(self) -> None:
        for say, words in (
            (lambda: None, "is lost"),
            (lambda: self.worker.say("leaving"), "has left"),
            (lambda: self.workers.dismiss(self.link.info.name), "is drained"),
        ):
            say()
            self.assertEqual(self.link.how_it_ended, words)

    def test_jobs_are_taken_in_one_message(self) -> None:
        jobs = (job(1), job(2), job(3))
        self.worker.link.result(self.link.run(jobs))
        self.assertEqual(self.agent.heard, [jobs])

    def test_many_and_large_jobs_go_in_several_messages(self) -> None:
        jobs = tuple(job(number, "x" * 3000) for number in range(600))
        self.worker.link.result(self.link.run(jobs))
        self.assertGreater(len(self.agent.heard), 3)
        self.assertEqual(sum(self.agent.heard, ()), jobs)

    def test_a_job_larger_than_any_message_fails_and_the_link_stays(self) -> None:
        self.failureResultOf(self.link.run([job(1, "x" * wire.MAX_MESSAGE)]), DpipError)
        self.assertFalse(self.worker.dropped)

    def test_a_worker_that_refuses_keeps_its_link(self) -> None:
        self.agent.refusing = True
        self.assertRaises(CallRefused, self.worker.link.result, self.link.run([job(1)]))
        self.assertFalse(self.worker.dropped)

    def test_a_worker_that_does_not_take_its_jobs_is_dropped(self) -> None:
        """Whether it has them nobody knows: only the end of its session makes the leases void for sure."""
        self.agent.silent = True
        taking = self.link.run([job(1)])
        self.worker.link.pump.flush()
        self.clock.advance(RUN_SECONDS)
        self.failureResultOf(taking, CallTimeout)
        self.assertTrue(self.worker.dropped)
        self.assertEqual(self.told("lost"), [("lost", self.session)])

    def test_jobs_for_a_link_that_is_gone(self) -> None:
        self.worker.link.cut()
        self.failureResultOf(self.link.run([job(1)]), LinkLost)
        self.link.cancel([Lease(1, 1, "a")])
        self.link.drop("twice is no harm")

    def test_cancelling_is_told_without_an_answer(self) -> None:
        leases = (Lease(1, 1, "a"), Lease(2, 1, "b"))
        self.link.cancel(leases)
        self.worker.link.pump.flush()
        self.assertEqual(self.agent.heard, [leases])

    def test_a_lost_worker_is_gone_everywhere(self) -> None:
        self.worker.link.cut()
        self.assertEqual(self.record.log[-2:], [("lost", self.session), ("left", "anna")])
        self.assertEqual(self.record.history, [("worker-joined", "anna"), ("worker-lost", "anna")])
        self.assertIsNone(self.workers.authenticate_worker(self.worker.welcome.image_store_token))

    def test_that_it_is_gone_is_stored_however_busy_the_datastore_is(self) -> None:
        self.record.busy = 3
        self.worker.link.cut()
        self.assertEqual(self.told("left"), [])
        self.clock.pump([0.1] * 20)
        self.assertEqual(self.told("left"), [("left", "anna")])

    def test_that_it_is_gone_is_not_stored_when_it_is_back(self) -> None:
        self.record.busy = 3
        self.worker.link.cut()
        self.joined()
        self.clock.pump([0.1] * 20)
        self.assertEqual(self.told("left"), [])

    def test_closing_down_is_nobodys_fault(self) -> None:
        self.workers.stop()
        self.assertTrue(self.worker.dropped)
        self.assertEqual(self.told("lost"), [])
        self.assertEqual(self.clock.getDelayedCalls(), [])


class LiveTests(WorkersCase):
    def test_silence_ends_the_link_in_less_than_15_seconds(self) -> None:
        worker = self.joined()
        worker.report()
        began = self.clock.seconds()
        while not worker.dropped and self.clock.seconds() < 100:
            self.clock.advance(0.5)
        self.assertLess(self.clock.seconds() - began, 15)
        self.assertEqual(len(self.told("lost")), 1)

    def test_reports_keep_it_alive(self) -> None:
        worker = self.joined()
        for _ in range(10 * MAX_SILENCE):
            worker.report()
            self.clock.advance(4.0)
        self.assertFalse(worker.dropped)

    def test_one_that_joins_and_never_reports_is_dropped_unheard_of(self) -> None:
        worker = self.joined()
        self.clock.pump([4.0] * MAX_SILENCE)
        self.assertTrue(worker.dropped)
        self.assertEqual(self.record.log, [("stored", "anna"), ("left", "anna")])


class LyingTests(WorkersCase):
    """Nonsense is refused, said once each, and ends the link when it goes on."""

    def _offends(self, name: str, data: bytes) -> None:
        worker = self.joined(hello=evolve(HELLO, name=f"w{len(self.record.log)}"))
        worker.report()
        before = list(self.record.log)
        for _ in range(MAX_OFFENCES):
            self.assertRaises(CallRefused, worker.say, name, data)
        self.assertFalse(worker.dropped)
        self.assertRaises((CallRefused, LinkLost), worker.say, name, data)
        self.assertTrue(worker.dropped)
        after = [entry for entry in self.record.log if entry not in before]
        self.assertEqual(sorted(entry[0] for entry in after), ["left", "lost", *["offended"] * 4])
        untils = [entry[2] for entry in after if entry[0] == "offended"]
        self.assertEqual(untils, [None, None, None, self.clock.seconds() + SUSPENDED_SECONDS])

    def test_offences_count_whatever_the_link_they_came_by(self) -> None:
        for number in range(MAX_OFFENCES + 1):
            worker = self.joined()
            self.assertRaises((CallRefused, LinkLost), worker.say, "report", b"")
            self.assertEqual(worker.dropped, number == MAX_OFFENCES)
            worker.link.server.transport.loseConnection()
            worker.link.pump.flush()

    def test_lies_told_by_another_way_count_the_same(self) -> None:
        worker = self.joined()
        worker.report()
        by = self.workers.authenticate_worker(worker.welcome.image_store_token)
        assert by is not None
        self.workers.accuse(evolve(by, session="an earlier one"), "a lie")
        self.assertEqual(self.told("offended"), [])
        for _ in range(MAX_OFFENCES):
            self.workers.accuse(by, "a lie")
        self.assertFalse(worker.dropped)
        for _ in range(3):  # two of them were under way when the first came
            self.workers.accuse(by, "a lie")
        self.assertTrue(worker.dropped)
        self.assertEqual(len(self.told("offended")), MAX_OFFENCES + 1)
        self.assertEqual(self.told("offended")[-1][2], self.clock.seconds() + SUSPENDED_SECONDS)

    def test_loads_of_no_machine(self) -> None:
        for lie in (
            {"cpu_percent": -1.0},
            {"cpu_percent": 1e9},
            {"memory_total": -5},
            {"memory_available": 2**70},
            {"memory_total": 2**30, "memory_available": 2**31},
            {"own_memory": -1},
            {"running": (-1,)},
            {"running": tuple(range(9000))},
        ):
            honest = json.loads(wire.encode(wire.Report(LOAD)))
            self._offends("report", json.dumps({"load": honest["load"] | lie}).encode())

    def test_what_is_not_a_report(self) -> None:
        for data in (
            b"",
            b"{}",
            b"[1]",
            b"null",
            b'{"load": 5}',
            b'{"load": {"cpu_percent": NaN}}',
            b"[" * 5000,
        ):
            self._offends("report", data)

    def test_endings_that_no_worker_can_know(self) -> None:
        lost = wire.AttemptEnding(Lease(1, 1, "a"), Outcome.LOST, 0.0)
        self._offends("ended", wire.encode(wire.AttemptEndings((lost,))))

    def test_what_are_not_endings(self) -> None:
        for data in (b'{"endings": [{}]}', b'{"endings": 7}', b'{"endings": [{"outcome": "won"}]}'):
            self._offends("ended", data)


class WorkerFloodTests(WorkersCase):
    """What no honest worker does so often is counted, and ends its link."""

    def flood(self, worker: Joined, name: str, data: bytes | None, most: int) -> int:
        """How often it says so until it is dropped."""
        for number in range(most):
            if worker.dropped:
                return number
            notify(worker.session, name, *([] if data is None else [data]))
            worker.link.pump.flush()
        return most

    def test_reports_beyond_some_are_not_looked_at_and_many_end_the_link(self) -> None:
        worker = self.joined()
        said = self.flood(worker, "report", wire.encode(wire.Report(LOAD)), 300)
        self.assertTrue(16 + 4 * 16 <= said < 16 + 4 * 18, said)
        self.assertEqual(len(self.told("reported")), 16)
        self.assertEqual(self.told("offended")[-1][2], self.clock.seconds() + SUSPENDED_SECONDS)

    def test_reports_that_were_held_up_are_no_offence(self) -> None:
        worker = self.joined()
        for _ in range(20):
            for _ in range(3):
                worker.report()
            self.clock.advance(4)
        self.assertEqual((self.told("offended"), worker.dropped), ([], False))

    def test_endings_of_attempts_that_it_was_never_given_end_the_link(self) -> None:
        worker = self.joined()
        worker.report()
        ending = wire.AttemptEnding(Lease(1, 1, "n"), Outcome.RETURNED, 0.0)
        endings = wire.encode(wire.AttemptEndings((ending,) * 128))
        self.assertTrue(30 < self.flood(worker, "ended", endings, 100) < 40)

    def test_it_may_say_that_each_attempt_has_ended(self) -> None:
        worker = self.joined()
        worker.report()
        [link] = self.workers.links()
        for number in range(0, 5000, 100):
            leased = [job(one) for one in range(number, number + 100)]
            link.run(leased)
            worker.link.pump.flush()
            ends = [wire.AttemptEnding(one.lease, Outcome.DONE, 0.1) for one in leased]
            worker.say("ended", wire.encode(wire.AttemptEndings(tuple(ends))))
        self.assertEqual((self.told("offended"), worker.dropped), ([], False))

    def test_certificates_are_renewed_when_they_have_aged(self) -> None:
        worker = self.joined()
        request = wire.encode(wire.CertificateRequest(Key().public()))
        self.assertLess(self.flood(worker, "renew", request, 50), 22)
        self.assertLess(len(self.record.certificates), 20)

    def test_that_it_leaves_is_heard_once(self) -> None:
        worker = self.joined()
        worker.report()
        self.assertLess(self.flood(worker, "leaving", None, 200), 80)
        self.assertEqual(len(self.told("leaving")), 1)

    def test_who_joins_again_and_again_is_told_to_wait(self) -> None:
        for _ in range(20):
            worker = self.joined()
            worker.link.server.transport.loseConnection()
            worker.link.pump.flush()
        before = len(self.record.log)
        data, session = self.ask(self.wire(), Agent())
        self.assertIsNone(session)
        refused = wire.decode(data, wire.WorkerRefusal)
        self.assertEqual((refused.code, refused.retry), ("overloaded", True))
        self.assertEqual(self.record.log[before:], [])
        self.joined(hello=evolve(HELLO, name="another"))
        self.clock.advance(10)
        self.joined()
