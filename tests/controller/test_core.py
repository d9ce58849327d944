"""Who may do what, in which order things become true, and that nothing surplus stays behind.

The real datastore and image store, with their threads inline; a stand-in scheduler that writes down what it
hears.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import Any

from attrs import define, evolve, field
from PIL import Image as Pillow
from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from dpip.controller.accounts import Accounts
from dpip.controller.core import Controller
from dpip.controller.feed import Feed
from dpip.controller.join_tokens import JoinTokens
from dpip.controller.thumbnails import Thumbnails
from dpip.controller.webhooks import AllowedHosts, Webhooks
from dpip.datastore.datastore import Datastore
from dpip.datastore.telemetry import Telemetry
from dpip.errors import (
    BadCertificate,
    Conflict,
    DiskFull,
    DpipError,
    Forbidden,
    KeyReused,
    Malformed,
    NotFound,
    QuotaExceeded,
    RetryLater,
    Sealed,
    StaleLease,
    WorkerRevoked,
    WorkerSuspended,
)
from dpip.link.join_token import TOKEN_FILE, BadToken, JoinToken, TokenFile
from dpip.model import (
    CertificateRecord,
    Eta,
    IdempotencyKey,
    Image,
    ImageType,
    Lease,
    LeasedJob,
    Load,
    Outcome,
    Principal,
    Reason,
    Role,
    StoredFile,
    WorkerInfo,
    WorkerJob,
    Workload,
    WorkloadSpec,
)
from dpip.runtime.ids import IdSource
from dpip.runtime.threads import InlineThreads
from dpip.store.admission import AdmissionControl, RetryAfterQueue
from dpip.store.image_store import ImageStore, directory_for

ANN, BOB = Principal("ann", Role.USER), Principal("bob", Role.USER)
ADMIN = Principal("admin", Role.ADMIN)
WORKER = Principal("w1", Role.WORKER, "session-1")
SPEC = WorkloadSpec("film", (("grayscale", {}),))


@define
class HeardByScheduler:
    """What the scheduler is told, in order; ``held`` are the leases it says exist."""

    log: list[tuple[Any, ...]] = field(factory=list)
    held: dict[tuple[str, Lease], LeasedJob] = field(factory=dict)

    def workload_opened(self, workload: Workload) -> None:
        self.log.append(("opened", workload.id))

    def workload_dropped(self, workload_id: str) -> None:
        self.log.append(("dropped", workload_id))

    def jobs_waiting(self, workload_id: str, jobs: Any) -> None:
        self.log.append(("waiting", workload_id, [job.job for job in jobs]))

    def job_ended(self, session: str, lease: Lease, outcome: Outcome, *_: object) -> None:
        self.log.append(("ended", session, lease, outcome))

    def result_committed(self, lease: Lease) -> None:
        self.log.append(("committed", lease))
        self.held = {key: job for key, job in self.held.items() if key[1] != lease}

    def leased(self, session: str, lease: Lease) -> LeasedJob | None:
        return self.held.get((session, lease))

    def held_by(self, session: str) -> list[LeasedJob]:
        return [job for (owner, _), job in self.held.items() if owner == session]

    def holds(self, session: str, image_id: str) -> LeasedJob | None:
        jobs = [job for (owner, _), job in self.held.items() if owner == session]
        return next((job for job in jobs if job.original.id == image_id), None)

    def running_jobs(self, workload_id: str) -> int:
        return len(self.held)

    def eta(self, workload_id: str) -> Eta:
        return Eta(3.0, 2.0, 4.0)

    def why(self, workload_id: str) -> list[Reason]:
        return [Reason("all workers that can do it are busy", 2)]


class PlainPasswords:
    """No hashing: these tests are not about it."""

    async def hash(self, password: str) -> str:
        return password

    async def verify(self, password: str, known: str | None) -> bool:
        return password == known


def no_webhooks(datastore: Datastore, clock: Clock) -> Webhooks:
    """None may be called, and the service does not run."""

    def post(url: str, headers: dict[str, str], body: bytes) -> Deferred[int]:
        raise AssertionError(url)

    return Webhooks(datastore, clock, clock.seconds, post, AllowedHosts())


def png(level: int = 0) -> bytes:
    file = BytesIO()
    Pillow.new("L", (4, 3), level).save(file, "PNG")
    return file.getvalue()


class CoreTestCase(TestCase):
    def setUp(self) -> None:
        directory = Path(self.mktemp())
        inline = InlineThreads()
        self.clock = Clock()
        self.clock.advance(1e9)
        self.feed = Feed(self.clock, lambda workload_id: self.controller.progress_of(workload_id), "epoch")
        self.datastore = Datastore(
            directory / "db.sqlite", inline, InlineThreads, changed=self.feed.workload_changed
        )
        self.images = ImageStore(directory / "images", inline, InlineThreads, floor=0)
        self.scheduler = HeardByScheduler()
        self.dismissed: list[str] = []
        self.expelled: list[str] = []
        self.accused: list[tuple[Principal, str]] = []
        directory.mkdir()
        file = TokenFile.load_or_create(directory / TOKEN_FILE, "0" * 64, 1e9)
        self.join_tokens = JoinTokens(file, inline, inline, self.clock.seconds)
        self.makers: list[Any] = []
        self.accounts = Accounts(
            self.datastore, PlainPasswords(), self.clock.seconds, self.clock.seconds, bytes
        )
        self.controller = Controller(
            datastore=self.datastore,
            image_store=self.images,
            scheduler=self.scheduler,
            telemetry=Telemetry(directory / "telemetry.sqlite", self.clock, InlineThreads),
            accounts=self.accounts,
            admission=AdmissionControl(self.images.space, 10**6, 10**7, RetryAfterQueue(lambda: 0.0)),
            authenticate_worker={"worker-token": WORKER}.get,
            dismiss_worker=self.dismissed.append,
            restart_worker=lambda name: name == "own",
            expel_worker=self.expelled.append,
            accuse_worker=lambda by, what: self.accused.append((by, what)),
            join_tokens=self.join_tokens,
            webhooks=no_webhooks(self.datastore, self.clock),
            operator_warnings=list,
            directory_for=directory_for,
            new_id=IdSource(clock=self.clock.seconds),
            clock=self.clock.seconds,
            feed=self.feed,
            thumbnails=Thumbnails(lambda: self.makers, str, self.clock, lambda *_: bool),
            max_pixels=10**6,
        )
        self.datastore.startService()
        self.images.startService()
        self.addCleanup(self.images.stopService)
        self.addCleanup(self.datastore.stopService)
        for principal in (ANN, BOB, ADMIN):
            self.successResultOf(
                Deferred.fromCoroutine(
                    self.accounts.add_user(principal.name, "secret password", principal.role, None)
                )
            )

    def ok(self, work: Deferred[Any]) -> Any:
        return self.successResultOf(work)

    def refused(self, work: Deferred[Any], kind: type[DpipError]) -> DpipError:
        error = self.failureResultOf(work, kind).value
        assert isinstance(error, DpipError)
        return error

    def workload(self, by: Principal = ANN) -> Workload:
        made: Workload = self.ok(self.controller.create_workload(by, SPEC, None)).workload
        return made

    def stored(self, workload: Workload, data: bytes, type: ImageType = ImageType.ORIGINAL) -> StoredFile:
        incoming = self.images.incoming()
        incoming.write(data)
        kept: StoredFile = self.ok(
            self.images.keep(incoming, workload.directory, type, self.controller.new_id(), 10**6)
        )
        return kept

    def upload(self, workload: Workload, data: bytes, key: IdempotencyKey | None = None) -> Image:
        files = [(self.controller.new_id(), self.stored(workload, data))]
        (image,) = self.ok(self.controller.commit_originals(ANN, workload.id, files, key))
        return image

    def leased_job(self, workload: Workload) -> LeasedJob:
        """The workload's first job, leased to the worker in the datastore and in the scheduler's eyes."""
        job = self.scheduler.log[-1][2][0]
        (leased,) = self.ok(self.datastore.lease([(job, WORKER.name, "nonce")], self.clock.seconds()))
        self.scheduler.held[WORKER.session, leased.lease] = leased
        return leased

    def is_leased(self, by: Principal, lease: Lease) -> bool:
        [job] = self.ok(self.controller.check_leases(by, [lease]))
        return job is not None

    def committed(self, result: tuple[Principal, Lease, StoredFile]) -> Image:
        by, lease, file = result
        [receipt] = self.ok(self.controller.commit_results(by, [(lease, file)]))
        assert receipt.image is not None, receipt
        image: Image = receipt.image
        return image

    def not_committed(self, result: tuple[Principal, Lease, StoredFile], kind: type[DpipError]) -> None:
        by, lease, file = result
        [receipt] = self.ok(self.controller.commit_results(by, [(lease, file)]))
        self.assertEqual((receipt.image, receipt.code), (None, kind.code))

    def files(self) -> list[Path]:
        return [path for path in Path(self.images.absolute("incoming")).parent.rglob("*") if path.is_file()]


class WorkloadTests(CoreTestCase):
    def test_a_workload_is_durable_before_the_scheduler_hears_of_it(self) -> None:
        made = self.workload()
        self.assertEqual(self.scheduler.log, [("opened", made.id)])
        self.assertEqual(self.ok(self.controller.workload(ANN, made.id)).workload.spec, SPEC)

    def test_the_same_key_gives_the_same_workload_and_another_request_with_it_is_refused(self) -> None:
        key = IdempotencyKey("ann", "k1", "a")
        first = self.ok(self.controller.create_workload(ANN, SPEC, key)).workload
        self.assertEqual(self.ok(self.controller.create_workload(ANN, SPEC, key)).workload.id, first.id)
        self.assertEqual(self.scheduler.log, [("opened", first.id)])
        self.refused(self.controller.create_workload(ANN, SPEC, evolve(key, fingerprint="b")), KeyReused)

    def test_another_users_workload_looks_like_none_and_an_admin_sees_all(self) -> None:
        made = self.workload()
        missing = self.refused(self.controller.workload(BOB, "nothing"), NotFound)
        hidden = self.refused(self.controller.workload(BOB, made.id), NotFound)
        self.assertEqual(
            missing.detail.replace("nothing", ""),
            hidden.detail.replace(made.id, ""),
            "the two must look alike",
        )
        self.assertEqual(self.ok(self.controller.workload(ADMIN, made.id)).workload.id, made.id)
        self.assertEqual([one.workload.id for one in self.ok(self.controller.workloads(ADMIN))], [made.id])
        self.assertEqual(self.ok(self.controller.workloads(BOB)), [])

    def test_a_worker_makes_and_sees_no_workload(self) -> None:
        made = self.workload()
        self.refused(self.controller.create_workload(WORKER, SPEC, None), Forbidden)
        self.refused(self.controller.workload(WORKER, made.id), Forbidden)

    def test_a_deleted_workload_is_gone_with_its_files_and_stays_gone(self) -> None:
        made = self.workload()
        self.upload(made, png())
        self.refused(self.controller.delete_workload(BOB, made.id), NotFound)
        self.ok(self.controller.delete_workload(ANN, made.id))
        self.assertEqual(self.scheduler.log[-1], ("dropped", made.id))
        self.assertEqual(self.files(), [])
        self.refused(self.controller.workload(ANN, made.id), NotFound)
        self.refused(self.controller.delete_workload(ANN, made.id), NotFound)
        self.refused(self.controller.check_upload(ANN, made.id, [1], None), NotFound)


class UploadTests(CoreTestCase):
    def test_files_that_cannot_be_removed_now_are_told_in_a_line(self) -> None:
        made = self.workload()
        removing = fail(DiskFull("The server's disk is full."))
        self.patch(ImageStore, "discard_directory", lambda store, directory: removing)
        with capturedLogs() as events:
            self.ok(self.controller.delete_workload(ANN, made.id))
        (event,) = [event for event in events if event["log_level"] >= LogLevel.warn]
        self.assertEqual(
            (event["log_level"], str(event["error"])), (LogLevel.warn, "The server's disk is full.")
        )

    def test_an_original_is_a_waiting_job_once_it_is_committed(self) -> None:
        made = self.workload()
        first, second = self.upload(made, png(1)), self.upload(made, png(2))
        self.assertEqual((first.seq, second.seq), (0, 1))
        self.assertEqual([entry[0] for entry in self.scheduler.log].count("waiting"), 2)
        self.assertEqual(self.ok(self.controller.workload(ANN, made.id)).workload.accepted, 2)

    def test_a_retry_under_its_key_answers_the_same_and_leaves_no_second_file_or_job(self) -> None:
        made, key = self.workload(), IdempotencyKey("ann", "k1", "a")
        first = self.upload(made, png(), key)
        heard = list(self.scheduler.log)
        self.assertEqual(self.upload(made, png(), key), first)
        self.assertEqual(self.scheduler.log, heard)
        self.assertEqual(len(self.files()), 1)

    def test_an_upload_to_a_workload_deleted_meanwhile_leaves_no_file(self) -> None:
        made = self.workload()
        file = self.stored(made, png())
        self.ok(self.datastore.delete_workload(made.id, self.clock.seconds()))
        self.refused(self.controller.commit_originals(ANN, made.id, [("id", file)], None), NotFound)
        self.assertEqual(self.files(), [])
        self.assertNotIn("waiting", [entry[0] for entry in self.scheduler.log])

    def test_an_upload_that_is_refused_leaves_no_file_either(self) -> None:
        made = self.workload()
        for by, kind in ((BOB, NotFound), (WORKER, Forbidden)):
            files = [("id", self.stored(made, png()))]
            self.refused(self.controller.commit_originals(by, made.id, files, None), kind)
        self.assertEqual(self.files(), [])


class ReservedQuotaTests(CoreTestCase):
    """dan may keep 10,000 bytes, and each of his results is reckoned to have 3,000."""

    def setUp(self) -> None:
        super().setUp()
        self.dan = Principal("dan", Role.USER, quota=10_000)
        adding = self.accounts.add_user("dan", "secret password", Role.USER, 10_000)
        self.ok(Deferred.fromCoroutine(adding))
        self.made = self.workload(self.dan)

    def commit(self, *pictures: bytes) -> Deferred[Any]:
        files = [self.stored(self.made, data) for data in pictures]
        rows = [
            (self.controller.new_id(), evolve(file, picture=evolve(file.picture, result_bytes=3_000)))
            for file in files
        ]
        return self.controller.commit_originals(self.dan, self.made.id, rows, None)

    def test_an_upload_whose_results_do_not_fit_leaves_no_file(self) -> None:
        refused = self.refused(self.commit(*[png(level) for level in range(4)]), QuotaExceeded)
        self.assertIn("results", refused.detail)
        self.assertEqual(self.files(), [])
        self.ok(self.commit(*[png(level) for level in range(3)]))
        left = self.ok(self.controller.check_quota(self.dan, 1, None))
        self.assertEqual(left, 1_000 - sum(len(png(level)) for level in range(3)))
        self.refused(self.controller.check_quota(self.dan, left + 1, None), QuotaExceeded)

    def test_a_result_beyond_the_quota_leaves_no_file_and_its_job_can_fail(self) -> None:
        self.ok(self.commit(png()))
        job = self.leased_job(self.made)
        connected = sqlite3.connect(self.datastore._database.path)
        with closing(connected), connected:
            connected.execute("UPDATE users SET used = 10001 WHERE name = 'dan'")
        result = self.stored(self.made, png(9), ImageType.FILTERED)
        self.not_committed((WORKER, job.lease, result), QuotaExceeded)
        self.assertEqual(len(self.files()), 1)
        self.assertEqual(
            self.ok(self.datastore.fail(job.lease, "result-refused", "", 1.0)), (self.made.id, 0)
        )

    def test_a_known_key_lets_nothing_larger_in_than_the_whole_quota(self) -> None:
        self.ok(self.controller.create_workload(self.dan, SPEC, IdempotencyKey("dan", "k", "f")))
        self.ok(self.commit(*[png(level) for level in range(3)]))
        self.assertEqual(self.ok(self.controller.check_quota(self.dan, 10_000, "k")), 10_000)
        self.refused(self.controller.check_quota(self.dan, 10_001, "k"), QuotaExceeded)


class EmptyWorkloadTests(CoreTestCase):
    def test_one_that_stays_empty_retires_and_one_with_an_image_does_not(self) -> None:
        empty, used = self.workload(), self.workload()
        self.upload(used, png())
        for made in (empty, used):
            self.ok(self.controller.retire_workload(made, True))
        self.assertEqual(self.scheduler.log[-1], ("dropped", empty.id))
        self.assertEqual([one.workload.id for one in self.ok(self.controller.workloads(ANN))], [used.id])


class DrainTests(CoreTestCase):
    def test_an_admin_sends_a_worker_away_and_nobody_else_does(self) -> None:
        self.refused(self.controller.drain_worker(ANN, "w1"), Forbidden)
        self.assertEqual(self.dismissed, [])
        self.ok(self.controller.drain_worker(ADMIN, "w1"))
        self.assertEqual(self.dismissed, ["w1"])

    def test_only_the_worker_of_this_process_is_resumed(self) -> None:
        self.refused(self.controller.resume_worker(ANN, "own"), Forbidden)
        self.ok(self.controller.resume_worker(ADMIN, "own"))
        self.refused(self.controller.resume_worker(ADMIN, "w1"), Conflict)


class WorkerViewTests(CoreTestCase):
    def test_the_jobs_that_a_worker_holds_and_which_of_them_it_computes(self) -> None:
        made = self.workload()
        self.upload(made, png())
        lease = self.leased_job(made).lease
        self.controller.session_of_worker = {"w1": WORKER.session}.get
        self.assertEqual(self.ok(self.controller.worker_jobs(ADMIN, "other")), [])
        for running, computing in (((), False), ((lease.job,), True)):
            self.controller.telemetry.sample("w1", self.clock.seconds(), Load(1.0, 2, 1, running=running))
            job = WorkerJob(made.id, 0, None, SPEC.steps, computing)
            self.assertEqual(self.ok(self.controller.worker_jobs(ADMIN, "w1")), [job])
        self.refused(self.controller.worker_jobs(ANN, "w1"), Forbidden)

    def test_one_that_is_gone_is_forgotten_unless_its_record_keeps_it_out(self) -> None:
        info = WorkerInfo("w1", "1", "m", 1, 2, frozenset(), {}, False, "f")
        certificate = CertificateRecord("a1", "w1", "m:1", 0.0, 2e9)
        self.ok(self.datastore.issue_certificate(certificate, 0.0))
        self.ok(self.datastore.worker_joined(info, "m:1", self.clock.seconds(), "a1"))
        self.refused(self.controller.forget_worker(ADMIN, "w1"), Conflict)
        self.ok(self.datastore.worker_left("w1", self.clock.seconds()))
        self.refused(self.controller.forget_worker(ANN, "w1"), Forbidden)
        self.ok(self.datastore.worker_offended("w1", self.clock.seconds() + 600))
        self.refused(self.controller.forget_worker(ADMIN, "w1"), Conflict)

    def test_a_forgotten_worker_is_not_listed(self) -> None:
        info = WorkerInfo("w1", "1", "m", 1, 2, frozenset(), {}, False, "f")
        self.ok(self.datastore.issue_certificate(CertificateRecord("a1", "w1", "m:1", 0.0, 2e9), 0.0))
        self.ok(self.datastore.worker_joined(info, "m:1", self.clock.seconds(), "a1"))
        self.ok(self.datastore.worker_left("w1", self.clock.seconds()))
        self.ok(self.controller.forget_worker(ADMIN, "w1"))
        self.assertEqual(self.ok(self.controller.workers(ADMIN, None, None, None)), [])
        self.refused(self.controller.forget_worker(ADMIN, "w1"), NotFound)
        [(_, entry)] = self.ok(self.controller.activity(ADMIN, None, 1, subject="w1"))
        self.assertEqual((entry.actor, entry.action), ("admin", "forget-worker"))
        self.assertEqual(self.ok(self.controller.activity(ADMIN, None, 1, actor="nobody")), [])


class FirstPasswordTests(CoreTestCase):
    def test_its_file_is_named_until_somebody_has_logged_in(self) -> None:
        self.assertIsNone(self.ok(self.controller.first_password()))
        self.controller.first_password_at = lambda: "state/admin-password"
        self.assertEqual(self.ok(self.controller.first_password()), "state/admin-password")
        self.ok(self.controller.login("admin", "secret password", "127.0.0.1"))
        self.assertIsNone(self.ok(self.controller.first_password()))


class PresetOwnerTests(CoreTestCase):
    def test_a_preset_is_the_callers_and_what_happens_to_it_is_on_record(self) -> None:
        self.ok(self.controller.save_preset(ANN, SPEC, False))
        self.assertEqual([one.spec for one in self.ok(self.controller.presets(ANN))], [SPEC])
        self.assertEqual(self.ok(self.controller.presets(ADMIN)), [])
        self.refused(self.controller.preset(BOB, SPEC.name), NotFound)
        self.refused(self.controller.presets(WORKER), Forbidden)
        self.ok(self.controller.delete_preset(ANN, SPEC.name))
        newest = [entry.action for _, entry in self.ok(self.controller.activity(ADMIN, None, 2))]
        self.assertEqual(newest, ["delete-preset", "save-preset"])


class JoinTokenTests(CoreTestCase):
    def admitted(self, text: str) -> bool:
        secret = JoinToken.parse(text).secret.encode()
        try:
            self.join_tokens.file.admit(secret, self.clock.seconds())
        except BadToken:
            return False
        return True

    def test_a_new_one_takes_the_place_of_the_last_in_the_file_too(self) -> None:
        old = self.ok(self.controller.join_token(ADMIN))
        new = self.ok(self.controller.rotate_join_token(ADMIN, None, 0.0))
        self.assertEqual((self.admitted(old.text), self.admitted(new.text)), (False, True))
        self.assertEqual(self.join_tokens.file.path.read_text().strip(), new.text)

    def test_it_may_expire_and_the_last_one_may_stay_for_a_while(self) -> None:
        old = self.ok(self.controller.join_token(ADMIN))
        new = self.ok(self.controller.rotate_join_token(ADMIN, 60.0, 10.0))
        self.assertEqual((new.made_at, new.expires_at), (1e9, 1e9 + 60))
        self.assertTrue(self.admitted(old.text))
        self.clock.advance(10)
        self.assertEqual((self.admitted(old.text), self.admitted(new.text)), (False, True))
        self.clock.advance(50)
        self.assertFalse(self.admitted(new.text))

    def test_its_dates_cannot_be_changed(self) -> None:
        new = self.ok(self.controller.rotate_join_token(ADMIN, 60.0, 0.0))
        self.assertFalse(self.admitted(new.text.rpartition(".")[0] + ".0"))

    def test_only_admins_see_and_change_it(self) -> None:
        for by in (ANN, WORKER):
            self.refused(self.controller.join_token(by), Forbidden)
            self.refused(self.controller.rotate_join_token(by, None, 0.0), Forbidden)

    def test_a_file_that_cannot_be_written_leaves_the_last_one(self) -> None:
        old = self.ok(self.controller.join_token(ADMIN))
        self.join_tokens.file.path = Path("/nowhere/join-token")
        self.refused(self.controller.rotate_join_token(ADMIN, None, 0.0), RetryLater)
        self.assertTrue(self.admitted(old.text))


class RevokingTests(CoreTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.ok(self.certified("1", self.clock.seconds()))
        self.ok(self.join("1"))

    def certified(self, serial: str, made: float) -> Deferred[None]:
        now = self.clock.seconds()
        return self.datastore.issue_certificate(CertificateRecord(serial, "w1", "", now, now + 9), made)

    def join(self, serial: str, name: str = "w1") -> Deferred[None]:
        info = WorkerInfo(name, "1", "m", 1, 2, frozenset(), {}, False, "f")
        return self.datastore.worker_joined(info, "", self.clock.seconds(), serial)

    def test_its_certificates_are_refused_and_its_link_ends(self) -> None:
        self.assertEqual(self.ok(self.controller.revoke_worker(ADMIN, "w1")), 1)
        self.assertEqual(self.expelled, ["w1"])
        self.refused(self.join("1"), BadCertificate)
        new = CertificateRecord("2", "w1", "", self.clock.seconds(), self.clock.seconds() + 9)
        self.refused(self.datastore.renew_certificate(new, "1"), BadCertificate)

    def test_only_a_later_join_token_lets_it_in_again(self) -> None:
        before = self.clock.seconds() - 1
        self.ok(self.controller.revoke_worker(ADMIN, "w1"))
        self.refused(self.certified("2", before), WorkerRevoked)
        self.ok(self.certified("3", self.clock.seconds() + 1))
        self.ok(self.join("3"))
        self.refused(self.join("1"), BadCertificate)

    def test_another_workers_certificate_is_none(self) -> None:
        self.refused(self.join("1", "w2"), BadCertificate)

    def test_one_that_never_was_and_those_who_may_not(self) -> None:
        self.refused(self.controller.revoke_worker(ADMIN, "w2"), NotFound)
        self.refused(self.controller.revoke_worker(ANN, "w1"), Forbidden)
        self.assertEqual(self.expelled, [])

    def test_suspended_it_stays_out_until_then(self) -> None:
        self.ok(self.datastore.worker_offended("w1", self.clock.seconds() + 10))
        self.refused(self.join("1"), WorkerSuspended)
        self.clock.advance(10)
        self.ok(self.join("1"))


class CourseTests(CoreTestCase):
    """Cancelling, retrying, sealing: what is durable, and what the scheduler hears."""

    def test_a_cancelled_workload_is_dropped_and_its_retry_opens_it_again(self) -> None:
        made = self.workload()
        self.upload(made, png(1))
        leased = self.leased_job(made)
        progress, ended = self.ok(self.controller.cancel_workload(ANN, made.id))
        self.assertEqual((ended, progress.workload.failed), (1, 1))
        self.assertEqual(self.scheduler.log[-1], ("dropped", made.id))
        file = self.stored(made, png(2), ImageType.FILTERED)
        self.not_committed((WORKER, leased.lease, file), StaleLease)
        progress, retried = self.ok(self.controller.retry_images(ANN, made.id, None))
        self.assertEqual((retried, progress.workload.failed), (1, 0))
        self.assertEqual(
            self.scheduler.log[-2:], [("opened", made.id), ("waiting", made.id, [leased.lease.job + 1])]
        )

    def test_a_retry_of_nothing_is_not_told(self) -> None:
        made = self.workload()
        heard = list(self.scheduler.log)
        self.assertEqual(self.ok(self.controller.retry_images(ANN, made.id, None))[1], 0)
        self.assertEqual(self.scheduler.log, heard)

    def test_an_upload_to_a_sealed_workload_leaves_no_file(self) -> None:
        made = self.workload()
        self.assertTrue(self.ok(self.controller.seal_workload(ANN, made.id, None)).workload.sealed)
        file = self.stored(made, png())
        self.refused(self.controller.commit_originals(ANN, made.id, [("id", file)], None), Sealed)
        self.assertEqual(self.files(), [])

    def test_all_of_it_is_on_record(self) -> None:
        made = self.workload()
        self.ok(self.controller.cancel_workload(ANN, made.id))
        self.ok(self.controller.seal_workload(ANN, made.id, None))
        self.ok(self.controller.retry_images(ANN, made.id, None))
        found = self.ok(self.controller.activity(ADMIN, None, 3))
        self.assertEqual(
            [entry.action for _, entry in found], ["retry-images", "seal-workload", "cancel-workload"]
        )


class ResultTests(CoreTestCase):
    def test_a_result_under_its_lease_completes_the_job(self) -> None:
        made = self.workload()
        original = self.upload(made, png(1))
        leased = self.leased_job(made)
        file = self.stored(made, png(2), ImageType.FILTERED)
        image = self.committed((WORKER, leased.lease, file))
        self.assertEqual((image.id, image.seq), (leased.result_id, original.seq))
        self.assertEqual(self.scheduler.log[-1], ("committed", leased.lease))
        found = self.ok(self.controller.image(ANN, "0", made.id, None))
        self.assertEqual(found.file.sha256, file.sha256)

    def test_the_same_result_again_answers_the_same_and_another_one_is_stale(self) -> None:
        made = self.workload()
        self.upload(made, png(1))
        leased = self.leased_job(made)
        kept = self.stored(made, png(2), ImageType.FILTERED)
        first = self.committed((WORKER, leased.lease, kept))
        again = self.stored(made, png(2), ImageType.FILTERED)
        self.assertEqual(self.committed((WORKER, leased.lease, again)), first)
        other = self.stored(made, png(3), ImageType.FILTERED)
        self.not_committed((WORKER, leased.lease, other), StaleLease)
        self.assertEqual(len(self.files()), 2, "one original, one result")

    def test_each_of_several_has_its_own_receipt(self) -> None:
        made = self.workload()
        self.upload(made, png(1))
        leased = self.leased_job(made)
        kept = self.stored(made, png(2), ImageType.FILTERED)
        stray = self.stored(made, png(3), ImageType.FILTERED)
        again = self.stored(made, png(2), ImageType.FILTERED)
        other = self.stored(made, png(4), ImageType.FILTERED)
        stale = evolve(leased.lease, attempt=9)
        results = [(leased.lease, kept), (stale, stray), (leased.lease, again), (leased.lease, other)]
        first, second, third, fourth = self.ok(self.controller.commit_results(WORKER, results))
        self.assertEqual(first.image.id, leased.result_id)
        self.assertEqual((second.image, second.code), (None, StaleLease.code))
        self.assertEqual(third, first)
        self.assertEqual((fourth.image, fourth.code), (None, StaleLease.code))
        self.assertEqual(len(self.files()), 2, "one original, one result")
        self.assertEqual(self.ok(self.controller.commit_results(WORKER, results))[:1], [first])

    def test_each_guess_within_a_batch_is_an_offence(self) -> None:
        made = self.workload()
        self.upload(made, png(1))
        leased = self.leased_job(made)
        guesses = [evolve(leased.lease, nonce=f"guess {number}") for number in range(3)]
        found = self.ok(self.controller.check_leases(WORKER, [guesses[0], leased.lease, *guesses[1:]]))
        self.assertEqual(found, [None, leased, None, None])
        self.assertEqual([who for who, _ in self.accused], [WORKER] * 3)

    def test_a_bug_in_recording_one_result_is_no_other_results_trouble(self) -> None:
        made = self.workload()
        self.upload(made, png(1))
        leased = self.leased_job(made)
        kept = self.stored(made, png(2), ImageType.FILTERED)
        finish = self.datastore.finish_many

        def broken(results: Any, *args: Any) -> Any:
            done = finish(results[1:], *args)
            return done.addCallback(lambda found: [Failure(ZeroDivisionError()), *found])

        self.patch(self.datastore, "finish_many", broken)
        self.scheduler.held[WORKER.session, Lease(99, 1, "n")] = leased
        results = [(Lease(99, 1, "n"), self.stored(made, png(3), ImageType.FILTERED)), (leased.lease, kept)]
        receipts = self.ok(self.controller.commit_results(WORKER, results))
        self.assertEqual([one.code for one in receipts], [RetryLater.code, ""])
        self.assertEqual(len(self.files()), 3, "what may have been recorded stays")

    def test_a_lease_of_another_session_or_none_is_stale(self) -> None:
        made = self.workload()
        self.upload(made, png(1))
        leased = self.leased_job(made)
        self.assertFalse(self.is_leased(evolve(WORKER, session="other"), leased.lease))
        self.assertFalse(self.is_leased(WORKER, evolve(leased.lease, attempt=9)))
        self.assertFalse(self.is_leased(ANN, leased.lease))
        file = self.stored(made, png(2), ImageType.FILTERED)
        self.not_committed((WORKER, evolve(leased.lease, nonce="x"), file), StaleLease)
        self.assertEqual(len(self.files()), 1, "the original alone")

    def test_a_result_for_a_lease_that_never_was_the_workers_is_an_offence(self) -> None:
        made = self.workload()
        self.upload(made, png(1))
        leased = self.leased_job(made)
        other = evolve(WORKER, name="w2", session="session-2")
        for by, lie in (
            (other, leased.lease),
            (WORKER, evolve(leased.lease, attempt=9)),
            (WORKER, evolve(leased.lease, nonce="guessed")),
            (WORKER, evolve(leased.lease, job=leased.lease.job + 1)),
        ):
            self.accused.clear()
            self.assertFalse(self.is_leased(by, lie))
            self.assertEqual([who for who, _ in self.accused], [by])

    def test_a_result_that_comes_late_is_stale_and_no_offence(self) -> None:
        made = self.workload()
        self.upload(made, png(1))
        late = self.leased_job(made).lease
        self.scheduler.held.clear()
        self.assertFalse(self.is_leased(WORKER, late))
        self.assertFalse(self.is_leased(evolve(WORKER, session="after it came back"), late))
        self.ok(self.datastore.release([(late, Outcome.LOST)], self.clock.seconds()))
        self.ok(self.datastore.lease([(late.job, "w2", "another")], self.clock.seconds()))
        self.assertFalse(self.is_leased(WORKER, late))
        self.ok(self.controller.cancel_workload(ANN, made.id))
        self.assertFalse(self.is_leased(WORKER, late))
        self.ok(self.controller.delete_workload(ANN, made.id))
        self.assertFalse(self.is_leased(WORKER, late))
        self.assertEqual(self.accused, [])

    def test_a_user_who_asks_for_a_lease_is_nobody_to_accuse(self) -> None:
        self.assertFalse(self.is_leased(ANN, Lease(1, 1, "n")))
        self.assertEqual(self.accused, [])

    def test_the_job_of_a_worker_that_lies_about_its_result_goes_back(self) -> None:
        made = self.workload()
        self.upload(made, png(1))
        lease = self.leased_job(made).lease
        self.ok(self.controller.accuse(WORKER, lease, "a lie"))
        self.assertEqual(self.accused, [(WORKER, "a lie")])
        self.assertEqual(self.scheduler.log[-1], ("ended", WORKER.session, lease, Outcome.RETURNED))

    def test_a_worker_reads_the_originals_it_holds_and_nothing_else(self) -> None:
        made = self.workload()
        first, second = self.upload(made, png(1)), self.upload(made, png(2))
        self.leased_job(made)
        self.assertEqual(self.ok(self.controller.image(WORKER, second.id, None, None)).id, second.id)
        self.refused(self.controller.image(WORKER, first.id, None, None), NotFound)
        self.refused(self.controller.image(WORKER, "0", made.id, ImageType.ORIGINAL), NotFound)


class ImageTests(CoreTestCase):
    def test_a_number_needs_its_workload(self) -> None:
        made = self.workload()
        image = self.upload(made, png())
        self.refused(self.controller.image(ANN, "0", None, None), Malformed)
        self.assertEqual(self.ok(self.controller.image(ANN, "0", made.id, ImageType.ORIGINAL)), image)
        self.refused(self.controller.image(ANN, "0", made.id, None), NotFound)  # no result yet
        self.refused(self.controller.image(BOB, "0", made.id, ImageType.ORIGINAL), NotFound)

    def test_an_id_must_fit_what_is_sent_along(self) -> None:
        made, other = self.workload(), self.workload()
        image = self.upload(made, png())
        self.assertEqual(self.ok(self.controller.image(ANN, image.id, made.id, None)), image)
        self.refused(self.controller.image(ANN, image.id, other.id, None), NotFound)
        self.refused(self.controller.image(ANN, image.id, None, ImageType.FILTERED), NotFound)
        self.refused(self.controller.image(BOB, image.id, None, None), NotFound)


class AccountTests(CoreTestCase):
    def test_a_token_lives_until_logout_and_a_workers_is_known_too(self) -> None:
        token = self.ok(self.controller.login("ann", "secret password", "127.0.0.1"))
        self.assertEqual(self.ok(self.controller.authenticate(token.secret)), ANN)
        self.ok(self.controller.logout(token.secret))
        self.refused(self.controller.authenticate(token.secret), DpipError)
        self.assertEqual(self.ok(self.controller.authenticate("worker-token")), WORKER)

    def test_a_new_password_kills_the_tokens_and_only_an_admin_or_the_user_sets_it(self) -> None:
        token = self.ok(self.controller.login("ann", "secret password", "127.0.0.1"))
        self.refused(self.controller.set_password(BOB, "ann", "another password", None), Forbidden)
        self.ok(self.controller.authenticate(token.secret))
        for wrong in ("wrong", "another password"):
            self.refused(self.controller.set_password(ANN, "ann", "another password", wrong), Forbidden)
        self.ok(self.controller.set_password(ANN, "ann", "another password", "secret password"))
        self.refused(self.controller.authenticate(token.secret), DpipError)
        self.ok(self.controller.login("ann", "another password", "127.0.0.1"))

    def test_a_password_changed_by_another_process_is_noticed_within_half_a_minute(self) -> None:
        token = self.ok(self.controller.login("ann", "secret password", "127.0.0.1"))
        self.ok(self.controller.authenticate(token.secret))
        self.ok(self.datastore.set_password("ann", "changed elsewhere"))
        self.clock.advance(31)
        self.refused(self.controller.authenticate(token.secret), DpipError)

    def test_guessing_is_slowed_down_and_an_unknown_user_looks_like_a_wrong_password(self) -> None:
        wrong = self.refused(self.controller.login("ann", "wrong", "127.0.0.2"), DpipError)
        unknown = self.refused(self.controller.login("nobody", "wrong", "127.0.0.2"), DpipError)
        self.assertEqual((wrong.code, wrong.detail), (unknown.code, unknown.detail))
        for _ in range(9):
            self.refused(self.controller.login("ann", "wrong", "127.0.0.2"), DpipError)
        slowed = self.refused(self.controller.login("ann", "secret password", "127.0.0.3"), DpipError)
        self.assertEqual(slowed.code, "too-many-requests")
        self.clock.advance(61)
        self.ok(self.controller.login("ann", "secret password", "127.0.0.3"))

    def test_removing_a_user_takes_its_workloads_and_tokens_along(self) -> None:
        token = self.ok(self.controller.login("ann", "secret password", "127.0.0.1"))
        made = self.workload()
        self.upload(made, png())
        self.refused(self.controller.remove_user(BOB, "ann"), Forbidden)
        self.refused(self.controller.remove_user(ADMIN, "admin"), Conflict)
        self.ok(self.controller.remove_user(ADMIN, "ann"))
        self.refused(self.controller.authenticate(token.secret), DpipError)
        self.refused(self.controller.workload(ADMIN, made.id), NotFound)
        self.assertEqual(self.files(), [])

    def test_what_was_done_is_in_the_activity_record_for_admins(self) -> None:
        made = self.workload()
        self.ok(self.controller.delete_workload(ANN, made.id))
        newest = [entry for _, entry in self.ok(self.controller.activity(ADMIN, None, 2))]
        self.assertEqual(
            [(entry.actor, entry.action, entry.subject) for entry in newest],
            [("ann", "delete-workload", made.id), ("ann", "create-workload", made.id)],
        )
        self.refused(self.controller.activity(ANN, None, 2), Forbidden)
