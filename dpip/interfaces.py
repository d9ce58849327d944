"""What the parts ask of each other. Every method that touches disk, database or network returns a Deferred.

Failures arrive as :class:`dpip.errors.DpipError`; anything else is a bug.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import FunctionType

from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface, taggedValue

from dpip.model import (
    ALL,
    AcceptedOriginal,
    Activity,
    CertificateRecord,
    Delivery,
    DueWebhook,
    Eta,
    IdempotencyKey,
    Image,
    ImageType,
    Lease,
    LeasedJob,
    Load,
    Metric,
    NewcomersToken,
    Outcome,
    Principal,
    Progress,
    Reason,
    Results,
    Role,
    Sample,
    Selection,
    StoredFile,
    Thumbnail,
    Token,
    TokenRecord,
    Updates,
    User,
    WaitingJob,
    Webhook,
    WebhookState,
    WorkerInfo,
    WorkerRecord,
    Workload,
    WorkloadSpec,
)


class IController(Interface):
    """What the API asks of the controller, in the same process or over the link (``dpip.api_process``).

    A ``Principal`` has been authenticated; whether it may do what it asks is decided here. The messages
    between the processes are derived from the annotations (``dpip.link.api_messages``): every method that
    returns a Deferred can be asked over the link.
    """

    max_pixels = Attribute("Pictures with more pixels than this are refused (int).")

    # Accounts
    def login(name: str, password: str, address: str) -> Deferred[Token]:
        """Raises BadCredentials, TooManyRequests."""

    def authenticate(secret: str) -> Deferred[Principal]:
        """The user or worker that holds this token; raises Unauthenticated."""

    def logout(secret: str) -> Deferred[None]:
        """The token is dead when this fires."""

    def users(by: Principal) -> Deferred[Sequence[User]]:
        """All users, by name. For admins."""

    def add_user(by: Principal, name: str, password: str, role: Role, quota: int | None) -> Deferred[User]:
        """Raises BadParameter, Conflict. For admins."""

    def remove_user(by: Principal, name: str) -> Deferred[None]:
        """The user, its tokens and all its workloads go. Raises NotFound, Conflict for the last admin."""

    def set_password(by: Principal, name: str, password: str, old_password: str | None) -> Deferred[None]:
        """Set anyone's as an admin, or one's own, which needs the old one. All tokens of the user die.

        Raises BadParameter, Forbidden for a wrong old password, TooManyRequests, NotFound.
        """

    def tokens(by: Principal, user: str | None, limit: int) -> Deferred[Sequence[TokenRecord]]:
        """One's own; an admin's are everybody's, or those of one user. Those with names come first."""

    def add_token(
        by: Principal, user: str | None, name: str, seconds: float
    ) -> Deferred[tuple[TokenRecord, Token]]:
        """For oneself; an admin makes them for others, too. Raises BadParameter, NotFound."""

    def revoke_token(by: Principal, token_id: str) -> Deferred[TokenRecord]:
        """Dead when this fires. Raises NotFound for what is not there or not the caller's."""

    # Workloads
    def create_workload(by: Principal, spec: WorkloadSpec, key: IdempotencyKey | None) -> Deferred[Progress]:
        """Durable when this fires. The same key again answers with the same workload."""

    def workload(by: Principal, workload_id: str) -> Deferred[Progress]:
        """Made for polling: it costs no query. Raises NotFound for what is not there or not the caller's."""

    def workloads(
        by: Principal, which: Selection = ALL, after: str | None = None, limit: int = 100
    ) -> Deferred[Sequence[Progress]]:
        """The caller's own (an admin's: all), newest first; ``after`` is the last id of the page before."""

    def why(by: Principal, workload_id: str) -> Deferred[Sequence[Reason]]:
        """Why its jobs are where they are: those that workers hold, by place, then the waiting ones."""

    def endings(by: Principal, workload_id: str) -> Deferred[Sequence[int]]:
        """How often images of each page of ``RESULTS_PAGE`` places have ended, or were retried then: a page
        whose count has not changed has the same results."""

    def results(by: Principal, workload_id: str, page: int) -> Deferred[Results]:
        """What became of the images of one page."""

    def cancel_workload(by: Principal, workload_id: str) -> Deferred[tuple[Progress, int]]:
        """Every image that has not ended is a recorded failure then, with the code ``CANCELLED``; the second
        value counts them. A result that comes later is stale."""

    def retry_images(
        by: Principal, workload_id: str, image_ids: Sequence[str] | None
    ) -> Deferred[tuple[Progress, int]]:
        """New jobs for failed images, under the same ``seq`` and the same id of the result: for all, or for
        those named, by the ids of their originals. The second value counts them; named images that have not
        failed stay as they are. Raises NotFound for others."""

    def seal_workload(by: Principal, workload_id: str, webhook: Webhook | None) -> Deferred[Progress]:
        """From then on uploads to it raise Sealed; the webhook is called when it completes.

        Again, it changes nothing. Raises BadParameter for a webhook that may not be called, Conflict for
        another one than that of the sealing.
        """

    def webhook(by: Principal, workload_id: str) -> Deferred[WebhookState]:
        """Raises NotFound."""

    def delete_workload(by: Principal, workload_id: str) -> Deferred[None]:
        """Gone at once for every reader, while jobs run too; files follow."""

    def updates(by: Principal, workload_id: str | None, after: str | None, wait: bool) -> Deferred[Updates]:
        """What has changed after the update of that id: of the caller's workloads (an admin's: of all, and
        of workers), or of one. The newest of each thing is told, at most 4 times a second.

        A snapshot of what is unfinished, when that id is not known (any more). With ``wait`` the answer comes
        when there is something, after 15 s, or when a token has died. Only the snapshot costs queries.
        Raises NotFound for a workload that is not there or not the caller's.
        """

    # Images
    def admit_upload(by: Principal, length: int | None) -> IAdmission:
        """Called at the headers, before any byte of the body. ``length`` is None for a chunked body.

        Raises TooLarge, DiskFull, RetryLater at once (synchronously).
        """

    def check_quota(by: Principal, size: int, key: str | None) -> Deferred[None]:
        """Raises QuotaExceeded when so many bytes do not fit into what is left of the caller's own quota.

        An upload sent again under a ``key`` whose answer is known needs no room.
        """

    def check_upload(
        by: Principal, workload_id: str, sizes: Sequence[int], key: str | None
    ) -> Deferred[Workload]:
        """May this user add originals of these sizes to this workload? The quota of the workload's owner
        counts, with ``key`` as above. Raises NotFound, QuotaExceeded.

        Whether it is sealed only their commit tells: an upload sent again under its key is answered again.
        """

    def commit_originals(
        by: Principal,
        workload_id: str,
        files: Sequence[tuple[str, StoredFile]],
        key: IdempotencyKey | None,
    ) -> Deferred[Sequence[Image]]:
        """Rows and jobs for ``(image id, file)``, durable already: all of them or none, in this order.

        When it answers with images committed earlier under the same key, ``files`` are surplus and are
        removed from the store; so they are when it refuses.
        """

    def held(by: Principal, image_id: str) -> Deferred[LeasedJob]:
        """The job by which a worker holds this original; raises NotFound for any other image."""

    def check_lease(by: Principal, lease: Lease) -> Deferred[LeasedJob]:
        """The job a worker holds this lease for; raises StaleLease.

        It is an offence to ask for a lease that was never the worker's, not even an earlier one.
        """

    def accuse(by: Principal, lease: Lease, what: str) -> Deferred[None]:
        """The worker's result under this lease is not what it says: that is an offence, and others may try
        the job."""

    def commit_result(by: Principal, lease: Lease, file: StoredFile) -> Deferred[Image]:
        """The durable result *is* the completion. The same content again answers the same; a stale lease
        raises StaleLease, and the file is removed."""

    def image(
        by: Principal, reference: str, workload_id: str | None, type: ImageType | None
    ) -> Deferred[Image]:
        """By id, or by ``seq`` within ``workload_id``. Raises NotFound, Malformed for a bare number."""

    def thumbnail(
        by: Principal, reference: str, workload_id: str | None, type: ImageType | None
    ) -> Deferred[Thumbnail]:
        """Of an image, as :meth:`image` finds it; a worker makes it if need be. Raises NotFound, also when
        none can be made of that image, and RetryLater when it is not there yet."""

    def images(
        by: Principal, workload_id: str, type: ImageType, after: int | None, limit: int
    ) -> Deferred[Sequence[Image]]:
        """A page in ``seq`` order, beginning after ``seq`` ``after``."""

    # The system
    def workers(by: Principal) -> Deferred[Sequence[tuple[WorkerRecord, Load | None]]]:
        """Every worker known, with its newest load. For admins."""

    def worker_history(by: Principal, name: str, since: float) -> Deferred[Sequence[Sample]]:
        """For admins."""

    def drain_worker(by: Principal, name: str) -> Deferred[None]:
        """It gets no more jobs, finishes or returns those it has, and ends. For admins; raises NotFound."""

    def revoke_worker(by: Principal, name: str) -> Deferred[int]:
        """Its link ends at once, its leases go back, its certificates are refused from now on; how many of
        them were good. Only a join token made later lets it in. For admins; raises NotFound."""

    def join_token(by: Principal) -> Deferred[NewcomersToken]:
        """For admins."""

    def rotate_join_token(by: Principal, seconds: float | None, grace: float) -> Deferred[NewcomersToken]:
        """A new one, good for so many seconds or for ever; the last one is for ``grace`` seconds more, if the
        controller lives. Workers that have certificates go on. For admins."""

    def activity(by: Principal, before: int | None, limit: int) -> Deferred[Sequence[tuple[int, Activity]]]:
        """Newest first; ``before`` is the last number of the page before. For admins."""

    def metrics(by: Principal) -> Deferred[Sequence[Metric]]:
        """Everything that is measured, as of now. For admins."""

    def warnings() -> Deferred[Sequence[str]]:
        """Conditions the operator should know, for example a disk that runs low."""

    # zope.interface keeps no annotations of its methods: these functions have them.
    taggedValue("functions", [value for value in vars().values() if isinstance(value, FunctionType)])


class IAdmission(Interface):
    """Room reserved for one upload on its way in."""

    limit = Attribute("The body may not grow past this many bytes (int).")

    def arrived() -> None:
        """The whole body is here; said once at most, and before the release."""

    def release() -> None:
        """The upload has ended, well or badly; idempotent."""


class IDatastore(Interface):
    """Everything that must survive, but the pixels. Each method is one transaction, durable when it fires;
    only ``cancel_workload`` and ``expire`` may take several.

    Writes run in one thread, grouped into shared commits in the order they were asked for.
    """

    # Users and tokens
    def add_user(name: str, password_hash: str, role: Role, quota: int | None, now: float) -> Deferred[User]:
        """Raises Conflict when the name is taken."""

    def user(name: str) -> Deferred[tuple[User, str] | None]:
        """The user and its password hash."""

    def users() -> Deferred[Sequence[User]]:
        """By name."""

    def remove_user(name: str, now: float) -> Deferred[Sequence[Workload]]:
        """Its tokens go; its workloads are deleted and returned. NotFound; Conflict for the last admin."""

    def set_password(name: str, password_hash: str, verified: str | None = None) -> Deferred[None]:
        """All the user's tokens go with it. ``verified`` is as in :meth:`add_token`. Raises NotFound."""

    def add_token(
        digest: bytes,
        user: str,
        now: float,
        expires_at: float,
        name: str | None = None,
        verified: str | None = None,
    ) -> Deferred[TokenRecord]:
        """``digest`` is the SHA-256 of the secret, ``verified`` the hash that a login was checked against.

        Raises BadCredentials when the user has another hash by now: to verify one takes a tenth of a second.
        """

    def tokens(user: str | None, limit: int) -> Deferred[Sequence[TokenRecord]]:
        """Of one user or of all: those with names first, then the newest."""

    def revoke_token(token_id: str, user: str | None) -> Deferred[tuple[TokenRecord, bytes]]:
        """What it was, and its digest. Raises NotFound, also when it is not of the user given."""

    def token(digest: bytes) -> Deferred[tuple[Principal, float] | None]:
        """Whose it is and when it expires."""

    def remove_token(digest: bytes) -> Deferred[None]:
        """No error when it is gone already."""

    # Workloads
    def add_workload(workload: Workload, key: IdempotencyKey | None) -> Deferred[Workload]:
        """The one given, or the one made earlier under this key. Raises KeyReused."""

    def workload(workload_id: str) -> Deferred[Workload | None]:
        """None also when deleted. From memory, once it has been asked for: it may be polled."""

    def workloads(
        owner: str | None, which: Selection, after: str | None, limit: int
    ) -> Deferred[Sequence[Workload]]:
        """Newest first."""

    def endings(workload_id: str) -> Deferred[Sequence[int]]:
        """How often images of each page of ``RESULTS_PAGE`` places have ended, or were retried then.

        From memory, as above.
        """

    def results(workload_id: str, page: int) -> Deferred[Results]:
        """Of the images at the ``RESULTS_PAGE`` places of one page, in ``seq`` order."""

    def seal_workload(workload_id: str, webhook: Webhook | None, now: float) -> Deferred[Workload]:
        """Unless it is sealed already. Raises NotFound; Conflict for another webhook then."""

    def webhook(workload_id: str) -> Deferred[WebhookState]:
        """Raises NotFound."""

    def webhooks_due(now: float, limit: int) -> Deferred[tuple[Sequence[DueWebhook], bool]]:
        """Those to be called now; and whether there are any that will have to be, now or later."""

    def webhook_delivered(
        workload_id: str, delivery: Delivery, next_at: float | None, finished_at: float
    ) -> Deferred[None]:
        """For the log; the next attempt is due then, or never, if the workload is finished as it was."""

    def cancel_workload(workload_id: str, now: float) -> Deferred[tuple[Workload, int]]:
        """Waiting, leased → failed; the second value counts them. It fires with the commit after which
        nothing was left. Raises NotFound."""

    def retry_images(
        workload_id: str, image_ids: Sequence[str] | None, after: int, now: float
    ) -> Deferred[tuple[Workload, Sequence[WaitingJob], int | None]]:
        """New jobs for failed images behind the place ``after``, some of them: the last value is the place
        behind which to go on, None at the end. Raises NotFound, for a named image too."""

    def totals() -> Deferred[tuple[int, int, int]]:
        """Accepted, filtered and failed images of all workloads that are not deleted."""

    def delete_workload(workload_id: str, now: float) -> Deferred[Workload | None]:
        """A tombstone remains; its images, jobs and attempts go. The owner's ``used`` shrinks."""

    def workloads_finished_before(when: float, limit: int) -> Deferred[Sequence[Workload]]:
        """Oldest first, for retention."""

    # Images and jobs
    def add_originals(
        workload_id: str,
        files: Sequence[tuple[str, str, StoredFile]],
        key: IdempotencyKey | None,
        now: float,
    ) -> Deferred[tuple[Sequence[AcceptedOriginal], bool]]:
        """``files`` are ``(image id, result id to reserve, file)``; all or none, with consecutive ``seq``.

        The second value is False when the key was known: then these are the earlier originals and the
        files given are surplus. Raises NotFound (no workload), Sealed, QuotaExceeded, KeyReused.
        """

    def knows_key(owner: str, key: str) -> Deferred[bool]:
        """Has this user's request under this idempotency key been answered?"""

    def image(image_id: str) -> Deferred[Image | None]:
        """Original or result."""

    def image_at(workload_id: str, type: ImageType, seq: int) -> Deferred[Image | None]:
        """By place."""

    def images(workload_id: str, type: ImageType, after: int | None, limit: int) -> Deferred[Sequence[Image]]:
        """In ``seq`` order."""

    def lease(leases: Sequence[tuple[int, str, str]], now: float) -> Deferred[Sequence[LeasedJob | None]]:
        """``(job, worker, nonce)`` each: waiting → leased, with the next attempt number.

        None for a job that is not waiting any more (deleted or ended meanwhile).
        """

    def finish(lease: Lease, worker: str, file: StoredFile, now: float) -> Deferred[tuple[Image, bool]]:
        """Leased → done, and the result's row under its reserved id.

        A job that is done already with equal content answers with its image; the second value is False then,
        and ``file`` is surplus. Raises StaleLease.
        """

    def fail(lease: Lease, code: str, detail: str, now: float) -> Deferred[tuple[str, int] | None]:
        """Leased → failed. The workload and the place; None when the lease is stale: nothing changed."""

    def release(leases: Sequence[tuple[Lease, Outcome]], now: float) -> Deferred[None]:
        """Leased → waiting; ``CRASHED`` and ``LOST`` add to the job's counters. Stale ones are skipped."""

    def recover(now: float) -> Deferred[None]:
        """At start: every lease goes back to waiting, uncharged; every worker counts as gone."""

    def unfinished(after: int, limit: int) -> Deferred[Sequence[tuple[str, WaitingJob]]]:
        """``(workload id, job)`` of jobs with number > ``after``, by number: to fill the scheduler."""

    def paths(directory: str) -> Deferred[frozenset[str]]:
        """Paths of all images in one directory that have a row: the sweep removes the others."""

    def directories() -> Deferred[frozenset[str]]:
        """Directories of all workloads that are not deleted."""

    # Workers
    def worker_joined(info: WorkerInfo, address: str, now: float, serial: str) -> Deferred[None]:
        """Insert or update by name. ``serial`` is its certificate's: raises BadCertificate unless that was
        given to a worker of this name and is not revoked; WorkerSuspended."""

    def issue_certificate(new: CertificateRecord, token_made: float) -> Deferred[None]:
        """For a join token that was made then. Raises WorkerRevoked when the worker was revoked since."""

    def renew_certificate(new: CertificateRecord, last: str) -> Deferred[None]:
        """For the one of that serial number. Raises BadCertificate when that has been revoked."""

    def revoke_worker(name: str, now: float) -> Deferred[int]:
        """All its certificates, from now on; how many were good. Raises NotFound."""

    def was_leased(lease: Lease, worker: str) -> Deferred[bool]:
        """Is the lease the worker's, or was it ever? True, too, when its job has been deleted."""

    def worker_offended(name: str, suspended_until: float | None) -> Deferred[None]:
        """For the record; with a time, the worker may not join before."""

    def worker_left(name: str, now: float) -> Deferred[None]:
        """Remembered as gone."""

    def workers() -> Deferred[Sequence[WorkerRecord]]:
        """By name."""

    # Record
    def record(activity: Activity) -> Deferred[None]:
        """Append to the activity record."""

    def activity(before: int | None, limit: int) -> Deferred[Sequence[tuple[int, Activity]]]:
        """Newest first."""

    def expire(now: float) -> Deferred[None]:
        """Forget dead tokens, old idempotency keys, old activity beyond their bounds."""


class ITelemetry(Interface):
    """Workers' utilisation over time: a database file of its own, bounded, never fsynced per sample."""

    def sample(worker: str, at: float, load: Load) -> None:
        """Remembered soon; lost at a crash at worst."""

    def latest(worker: str) -> Load | None:
        """The newest sample of this run."""

    def history(worker: str, since: float) -> Deferred[Sequence[Sample]]:
        """Oldest first."""


class IScheduler(Interface):
    """The controller's door to the scheduler: facts go in; it decides, leases and dispatches by itself."""

    def workload_opened(workload: Workload) -> None:
        """Known before its first job; idempotent."""

    def workload_dropped(workload_id: str) -> None:
        """Deleted, or cancelled: its waiting jobs go; workers are told to drop the running ones.

        It may be opened again, with new jobs.
        """

    def jobs_waiting(workload_id: str, jobs: Sequence[WaitingJob]) -> None:
        """Committed jobs that nobody holds."""

    def worker_joined(session: str, info: WorkerInfo, link: IWorkerLink) -> None:
        """``session`` is unique for each joining."""

    def worker_reported(session: str, load: Load) -> None:
        """The newest word on its load."""

    def worker_leaving(session: str) -> None:
        """No more jobs for it; what it still holds it finishes or returns."""

    def worker_lost(session: str) -> None:
        """Its leases are void at once."""

    def job_ended(
        session: str, lease: Lease, outcome: Outcome, code: str, detail: str, seconds: float
    ) -> None:
        """A worker's word on one attempt. ``DONE`` is a hint only: :meth:`result_committed` is the fact."""

    def result_committed(lease: Lease) -> None:
        """The job is done: its slot is free."""

    def leased(session: str, lease: Lease) -> LeasedJob | None:
        """The job, if this very session holds it by this very lease."""

    def holds(session: str, image_id: str) -> LeasedJob | None:
        """The job held by this session whose original is this image: workers read nothing else."""

    def running_jobs(workload_id: str) -> int:
        """Jobs of the workload that workers hold."""

    def eta(workload_id: str) -> Eta | None:
        """When the workload's jobs will have ended, as far as their pace tells."""

    def why(workload_id: str) -> Sequence[Reason]:
        """Why its jobs are where they are: those that workers hold, by place, then the waiting ones."""


class IWorkerLink(Interface):
    """The way to one joined worker."""

    def run(jobs: Sequence[LeasedJob]) -> Deferred[None]:
        """Fires when the worker has taken them; fails (with anything) when it has not."""

    def cancel(leases: Sequence[Lease]) -> None:
        """Best effort: the worker stops or drops these."""

    def drop(reason: str) -> None:
        """Close the connection."""


class IImageStore(Interface):
    """Files of pictures: atomic, durable, one directory per workload. For controller and API processes."""

    def incoming() -> IIncomingFile:
        """A new temporary file on the same filesystem, to be written as bytes arrive. Raises DiskFull."""

    def keep(
        incoming: IIncomingFile, directory: str, type: ImageType, image_id: str, max_pixels: int
    ) -> Deferred[StoredFile]:
        """Read the header, fsync, rename into the workload's directory, fsync that.

        The name is new each time, so nothing that exists is ever replaced. Raises NotAnImage, TooLarge
        (too many pixels), DiskFull; the temporary file is gone then.
        """

    def discard(path: str) -> Deferred[None]:
        """Remove one file; no error when it is gone."""

    def discard_directory(directory: str) -> Deferred[None]:
        """Remove a workload's directory with everything in it; no error when it is gone."""

    def absolute(path: str) -> str:
        """Where the file is on this machine."""

    def read(path: str, start: int, length: int) -> Deferred[bytes]:
        """So many bytes of a file, read in a thread. Raises NotFound, OSError when there are fewer."""


class IIncomingFile(Interface):
    """One upload's temporary file. Writes are synchronous and small; hashing happens on the way."""

    size = Attribute("Bytes written so far (int).")
    sha256 = Attribute("Hex digest of the bytes written so far (str).")
    name = Attribute("The client's own file name, or None.")
    claimed = Attribute(
        "What its sender says that its hex digest is, or None. It is kept only if that is so."
    )

    def write(data: bytes) -> None:
        """Raises DiskFull."""

    def abandon() -> None:
        """Close and remove; idempotent, and harmless after :meth:`IImageStore.keep`."""
