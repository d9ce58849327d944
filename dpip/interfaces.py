"""The interfaces between the parts. Methods that touch disk, database or network return Deferreds.

Failures are :class:`dpip.errors.DpipError`; anything else is a bug.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import FunctionType

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface import Attribute, Interface, taggedValue

from dpip.model import (
    ALL,
    AcceptedOriginal,
    Activity,
    CertificateRecord,
    CommitReceipt,
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
    PlaceSelection,
    Preset,
    Principal,
    Progress,
    Reason,
    RequestTimes,
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
    WorkerJob,
    WorkerRecord,
    Workload,
    WorkloadSpec,
)


class IController(Interface):
    """What the API asks of the controller, in the same process or over the link (``dpip.api_process``).

    A ``Principal`` has been authenticated; whether it may do what it asks is decided here. The messages
    between the processes are derived from the annotations (``dpip.link.api_messages``): every method that
    returns a Deferred can be called over the link.
    """

    max_pixels = Attribute("Pictures with more pixels than this are refused (int).")

    # Accounts
    def login(name: str, password: str, address: str) -> Deferred[Token]:
        """Raises BadCredentials, TooManyRequests."""

    def authenticate(secret: str) -> Deferred[Principal]:
        """The user or worker that holds this token; raises Unauthenticated."""

    def logout(secret: str) -> Deferred[None]:
        """The token is no longer accepted when this fires."""

    def users(by: Principal) -> Deferred[Sequence[User]]:
        """All users, by name. For admins."""

    def add_user(by: Principal, name: str, password: str, role: Role, quota: int | None) -> Deferred[User]:
        """Raises BadParameter, Conflict. For admins."""

    def remove_user(by: Principal, name: str) -> Deferred[None]:
        """Remove the user, its tokens and all its workloads. Raises NotFound, Conflict for the last admin."""

    def set_password(by: Principal, name: str, password: str, old_password: str | None) -> Deferred[None]:
        """Set anyone's as an admin, or one's own, which needs the old one. All tokens of the user die.

        Raises BadParameter, Forbidden for a wrong old password, TooManyRequests, NotFound.
        """

    def tokens(by: Principal, user: str | None, limit: int) -> Deferred[Sequence[TokenRecord]]:
        """The caller's own tokens; an admin may ask for another user's, or (None) for all. Those with names
        come first."""

    def add_token(
        by: Principal, user: str | None, name: str, seconds: float
    ) -> Deferred[tuple[TokenRecord, Token]]:
        """Make a token for the caller, or for ``user`` by an admin.

        Raises BadParameter, NotFound, TooMany.
        """

    def revoke_token(by: Principal, token_id: str) -> Deferred[TokenRecord]:
        """The token is no longer accepted when this fires. Raises NotFound for what is not the caller's."""

    # Workloads
    def create_workload(by: Principal, spec: WorkloadSpec, key: IdempotencyKey | None) -> Deferred[Progress]:
        """The workload is durable when this fires. The same key again answers with the same workload.

        Raises TooMany.
        """

    def workload(by: Principal, workload_id: str) -> Deferred[Progress]:
        """A poll, which costs no query. Raises NotFound for what is not there or not the caller's."""

    def workloads(
        by: Principal, which: Selection = ALL, after: str | None = None, limit: int = 100
    ) -> Deferred[Sequence[Progress]]:
        """The caller's workloads (for an admin all), newest first; ``after`` is the last id of the page
        before."""

    def why(by: Principal, workload_id: str) -> Deferred[Sequence[Reason]]:
        """Why its jobs are where they are: those that workers hold, by place, then the waiting ones."""

    def endings(by: Principal, workload_id: str) -> Deferred[Sequence[int]]:
        """For each page of ``RESULTS_PAGE`` places, how many ends and retries its images have had: a page
        whose count has not changed has the same results."""

    def results(by: Principal, workload_id: str, page: int) -> Deferred[Results]:
        """The results and failures of the images of one page."""

    def cancel_workload(by: Principal, workload_id: str) -> Deferred[tuple[Progress, int]]:
        """Make every image that has not ended a recorded failure with the code ``CANCELLED``; the second
        value counts them. A result that comes later is stale."""

    def retry_images(
        by: Principal, workload_id: str, image_ids: Sequence[str] | None
    ) -> Deferred[tuple[Progress, int]]:
        """Make new jobs for failed images, under the same ``seq`` and the same id of the result: for all, or
        for the originals with these ids. The second value counts them; images that have not failed stay as
        they are. Raises NotFound for ids that are none of its originals, QuotaExceeded when there is no room
        for the results, TooMany for what has been retried too often."""

    def seal_workload(by: Principal, workload_id: str, webhook: Webhook | None) -> Deferred[Progress]:
        """Seal the workload: uploads to it raise Sealed, and the webhook is called when it completes.

        Sealing it again changes nothing. Raises BadParameter for a webhook that may not be called, Conflict
        for another webhook than that of the first sealing.
        """

    def webhook(by: Principal, workload_id: str) -> Deferred[WebhookState]:
        """Raises NotFound."""

    def delete_workload(by: Principal, workload_id: str) -> Deferred[None]:
        """Remove the workload for every reader at once, even while jobs run; its files are removed later."""

    def updates(by: Principal, workload_id: str | None, after: str | None, wait: bool) -> Deferred[Updates]:
        """The updates after the one of that id: of the caller's workloads (for an admin of all, and of
        workers), or of one workload. Each thing's newest state is told, at most 4 times a second.

        When that id is not known (any more), a snapshot of what is unfinished. With ``wait`` the answer comes
        when there is an update, after 15 s, or when a token has been revoked. Only snapshots cost queries.
        Raises NotFound for a workload that is not there or not the caller's.
        """

    # Presets
    def presets(by: Principal) -> Deferred[Sequence[Preset]]:
        """The caller's own presets, by name."""

    def preset(by: Principal, name: str) -> Deferred[Preset]:
        """One of the caller's own. Raises NotFound."""

    def save_preset(by: Principal, spec: WorkloadSpec, force: bool) -> Deferred[Preset]:
        """Keep ``spec`` as the caller's preset under its name. Raises TooMany, and Conflict for a name that
        is taken, unless ``force``: then it is replaced."""

    def delete_preset(by: Principal, name: str) -> Deferred[None]:
        """Raises NotFound."""

    # Images
    def admit_upload(by: Principal, length: int | None, room: int | None = None) -> IAdmission:
        """Admit or refuse an upload when its headers have arrived. ``length`` is None for a chunked body; all
        uploads of this user under way may take ``room`` bytes, None is without limit.

        Raises TooLarge, DiskFull, RetryLater at once (synchronously).
        """

    def check_quota(by: Principal, size: int, key: str | None) -> Deferred[int | None]:
        """The bytes that are left of the caller's own quota, None without one. Raises QuotaExceeded when
        ``size`` bytes do not fit.

        An upload that is sent again under a ``key`` whose answer is known needs no room: it may be as large
        as the whole quota.
        """

    def check_upload(
        by: Principal, workload_id: str, sizes: Sequence[int], key: str | None
    ) -> Deferred[Workload]:
        """The workload, if this user may add originals of these sizes to it. The quota of its owner counts,
        with ``key`` as above. Raises NotFound, QuotaExceeded.

        Only the commit checks whether it is sealed: an upload that is sent again under its key is answered
        again.
        """

    def commit_originals(
        by: Principal,
        workload_id: str,
        files: Sequence[tuple[str, StoredFile]],
        key: IdempotencyKey | None,
    ) -> Deferred[Sequence[Image]]:
        """Make rows and jobs for ``(image id, file)``, whose files are durable: for all or none, in this
        order.

        When images were committed earlier under the same key, these are the answer, and ``files`` are removed
        from the store; so they are when the commit is refused.
        """

    def held(by: Principal, image_ids: Sequence[str]) -> Deferred[Sequence[LeasedJob | None]]:
        """The jobs for which the worker holds these originals; None for any other image."""

    def check_leases(by: Principal, leases: Sequence[Lease]) -> Deferred[Sequence[LeasedJob | None]]:
        """The jobs of leases that the worker holds; None for one that is stale.

        Each lease that was never the worker's is an offence.
        """

    def accuse(by: Principal, lease: Lease, what: str) -> Deferred[None]:
        """Charge the worker with an offence: its result under this lease is not what it says. Another worker
        may try the job."""

    def commit_results(
        by: Principal, results: Sequence[tuple[Lease, StoredFile]]
    ) -> Deferred[Sequence[CommitReceipt]]:
        """Complete jobs with their durable results; a receipt for each, in their order. The same content
        again gets the same receipt. One whose lease is stale is refused, and its file removed."""

    def image(
        by: Principal, reference: str, workload_id: str | None, type: ImageType | None
    ) -> Deferred[Image]:
        """An image by its id, or by its ``seq`` within ``workload_id``. Raises NotFound, and Malformed for a
        number without ``workload_id``."""

    def find_images(by: Principal, image_ids: Sequence[str]) -> Deferred[Sequence[Image | None]]:
        """The images with these ids; None for each that :meth:`image` would not find."""

    def thumbnail(
        by: Principal, reference: str, workload_id: str | None, type: ImageType | None
    ) -> Deferred[Thumbnail]:
        """The thumbnail of an image, which :meth:`image` finds; a worker makes it if need be. Raises
        NotFound, also when none can be made of that image, and RetryLater when it is not there yet."""

    def images(
        by: Principal, workload_id: str, type: ImageType, after: int | None, limit: int
    ) -> Deferred[Sequence[Image]]:
        """A page of images in ``seq`` order, those after the ``seq`` ``after``."""

    def images_at(
        by: Principal, workload_id: str, type: ImageType, seqs: Sequence[int]
    ) -> Deferred[Sequence[Image]]:
        """The images at these places, in ``seq`` order; places without an image are left out."""

    def places(by: Principal, workload_id: str, which: PlaceSelection) -> Deferred[Sequence[int]]:
        """The places of a workload's images, chosen and in order as ``which`` says."""

    # The system
    def first_password() -> Deferred[str | None]:
        """The path of the file with the first password, as long as nobody has logged in."""

    def workers(
        by: Principal, joined: bool | None, after: str | None, limit: int | None
    ) -> Deferred[Sequence[tuple[WorkerRecord, Load | None]]]:
        """A page of the known workers by name, each with its newest load, those after the name ``after``:
        joined ones, others, or both (None). For admins."""

    def worker_history(by: Principal, name: str, since: float) -> Deferred[Sequence[Sample]]:
        """The worker's loads since then, oldest first. For admins."""

    def worker_tags(by: Principal) -> Deferred[Sequence[str]]:
        """The tags that workers have which are joined, in order."""

    def worker_jobs(by: Principal, name: str) -> Deferred[Sequence[WorkerJob]]:
        """The jobs that a worker holds, the oldest first; none for one that has not joined. For admins."""

    def forget_worker(by: Principal, name: str) -> Deferred[None]:
        """Remove the record of a worker that is gone. Raises NotFound, Conflict for one that has joined. For
        admins."""

    def drain_worker(by: Principal, name: str) -> Deferred[None]:
        """Give the worker no more jobs: it finishes or returns those it has, and ends. For admins. Raises
        NotFound."""

    def resume_worker(by: Principal, name: str) -> Deferred[None]:
        """Start the drained worker in the controller's own process again. For admins. Raises Conflict for any
        other."""

    def revoke_worker(by: Principal, name: str) -> Deferred[int]:
        """End the worker's link, take its leases back, and refuse its certificates from now on; how many of
        them were good. Only a join token made later lets it in. For admins. Raises NotFound."""

    def join_token(by: Principal) -> Deferred[NewcomersToken]:
        """The current join token. For admins."""

    def rotate_join_token(by: Principal, seconds: float | None, grace: float) -> Deferred[NewcomersToken]:
        """Make a new join token, good for ``seconds`` or for ever. The last one is good for ``grace`` seconds
        more, unless the controller stops. Workers that have certificates go on. For admins."""

    def activity(
        by: Principal, before: int | None, limit: int, subject: str | None = None, actor: str | None = None
    ) -> Deferred[Sequence[tuple[int, Activity]]]:
        """The activity record, newest first; ``before`` is the last number of the page before. ``subject``
        and ``actor`` select. For admins."""

    def metrics(by: Principal) -> Deferred[Sequence[Metric]]:
        """Everything that is measured, as of now. For admins."""

    def requests_served(times: Sequence[RequestTimes]) -> Deferred[None]:
        """Count requests that were answered, for the metrics."""

    def warnings() -> Deferred[Sequence[str]]:
        """Conditions that the operator should know of, for example a disk that runs low."""

    # zope.interface keeps no annotations of its methods: these functions have them.
    taggedValue("functions", [value for value in vars().values() if isinstance(value, FunctionType)])


class IAdmission(Interface):
    """Room reserved for one upload on its way in."""

    limit = Attribute("The body may not grow past this many bytes (int).")

    def grow(size: int) -> None:
        """Called when so many bytes have arrived, which may be more than were counted for a chunked body.

        Raises QuotaExceeded, DiskFull, RetryLater.
        """

    def arrived() -> None:
        """Called when the whole body has arrived: once at most, and before the release."""

    def release() -> None:
        """Give the room back when the upload has ended, well or badly; idempotent."""


class IDatastore(Interface):
    """Everything that must survive a restart, except the pixels. Each method is one transaction, durable when
    it fires; only ``cancel_workload`` and ``expire`` may take several.

    Writes run in one thread, in the order in which they were asked for, in groups that share a commit.
    """

    # Users and tokens
    def add_user(name: str, password_hash: str, role: Role, quota: int | None, now: float) -> Deferred[User]:
        """Raises Conflict when the name is taken."""

    def user(name: str) -> Deferred[tuple[User, str] | None]:
        """The user and its password hash."""

    def users() -> Deferred[Sequence[User]]:
        """All users, by name."""

    def remove_user(name: str, now: float) -> Deferred[Sequence[Workload]]:
        """Remove the user and its tokens, and delete its workloads, which are returned. Raises NotFound,
        Conflict for the last admin."""

    def set_password(name: str, password_hash: str, verified: str | None = None) -> Deferred[None]:
        """Also removes all tokens of the user. ``verified`` is as in :meth:`add_token`. Raises NotFound."""

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
        Raises TooMany for one token with a name too many; of those that logins give the oldest goes.
        """

    def tokens(user: str | None, limit: int) -> Deferred[Sequence[TokenRecord]]:
        """The tokens of one user or (None) of all: those with names first, then the newest."""

    def revoke_token(token_id: str, user: str | None) -> Deferred[tuple[TokenRecord, bytes]]:
        """The token that was removed, and its digest. Raises NotFound, also for another user's token."""

    def token(digest: bytes) -> Deferred[tuple[Principal, float] | None]:
        """The token's holder, and when it expires."""

    def remove_token(digest: bytes) -> Deferred[None]:
        """Remove a token, if it is there."""

    # Presets
    def presets(owner: str) -> Deferred[Sequence[Preset]]:
        """The presets of a user, by name."""

    def preset(owner: str, name: str) -> Deferred[Preset]:
        """Raises NotFound."""

    def save_preset(owner: str, spec: WorkloadSpec, force: bool, now: float) -> Deferred[Preset]:
        """Keep a preset under the name of ``spec``. Raises TooMany; Conflict for a name that is taken, unless
        ``force``."""

    def delete_preset(owner: str, name: str) -> Deferred[None]:
        """Raises NotFound."""

    # Workloads
    def add_workload(workload: Workload, key: IdempotencyKey | None) -> Deferred[Workload]:
        """The workload given, or the one made earlier under this key. Raises KeyReused, TooMany."""

    def workload(workload_id: str) -> Deferred[Workload | None]:
        """A workload, also None when it is deleted. It may be polled: it comes from memory after the first
        time."""

    def workloads(
        owner: str | None, which: Selection, after: str | None, limit: int
    ) -> Deferred[Sequence[Workload]]:
        """A page of workloads, newest first; ``after`` is the last id of the page before."""

    def endings(workload_id: str) -> Deferred[Sequence[int]]:
        """For each page of ``RESULTS_PAGE`` places, how many ends and retries its images have had.

        It may be polled, as above.
        """

    def results(workload_id: str, page: int) -> Deferred[Results]:
        """The results and failures of the images of one page, in ``seq`` order."""

    def seal_workload(workload_id: str, webhook: Webhook | None, now: float) -> Deferred[Workload]:
        """Seal the workload, unless it is sealed. Raises NotFound, Conflict for another webhook than
        before."""

    def webhook(workload_id: str) -> Deferred[WebhookState]:
        """Raises NotFound."""

    def webhooks_due(now: float, limit: int) -> Deferred[tuple[Sequence[DueWebhook], bool]]:
        """Webhooks that are to be called now, the longest due first; and whether any is to be called at
        all."""

    def webhook_delivered(
        workload_id: str, delivery: Delivery, next_at: float | None, finished_at: float
    ) -> Deferred[None]:
        """Record an attempt to call a webhook. The next one is due at ``next_at``, or never; if the workload
        was reopened meanwhile, it stays due."""

    def cancel_workload(workload_id: str, now: float) -> Deferred[tuple[Workload, int]]:
        """Make failures of all waiting and leased jobs; the second value counts them. It fires with the
        commit after which none was left. Raises NotFound."""

    def retry_images(
        workload_id: str, image_ids: Sequence[str] | None, after: int, now: float
    ) -> Deferred[tuple[Workload, Sequence[WaitingJob], int | None]]:
        """Make new jobs for some of the failed images behind the place ``after``; the last value is the place
        behind which to go on, None at the end. Raises NotFound, also for an id that is none of its
        originals, QuotaExceeded, TooMany."""

    def totals() -> Deferred[tuple[int, int, int]]:
        """Accepted, filtered and failed images of all workloads that are not deleted."""

    def delete_workload(workload_id: str, now: float, if_empty: bool = False) -> Deferred[Workload | None]:
        """Make the workload a tombstone, and remove its images, jobs and attempts later. The bytes count for
        its owner no longer. None when there was no such workload, or (``if_empty``) it has images."""

    def workloads_finished_before(when: float, limit: int) -> Deferred[Sequence[Workload]]:
        """Workloads that finished before then, oldest first."""

    def workloads_empty_before(when: float, limit: int) -> Deferred[Sequence[Workload]]:
        """Workloads made before then that have no images."""

    # Images and jobs
    def add_originals(
        workload_id: str,
        files: Sequence[tuple[str, str, StoredFile]],
        key: IdempotencyKey | None,
        now: float,
    ) -> Deferred[tuple[Sequence[AcceptedOriginal], bool]]:
        """Add originals as ``(image id, result id to reserve, file)``: all or none, with consecutive ``seq``.
        The owner's quota is charged with the files, and until its job ends with each one's ``result_bytes``.

        The second value is False when the key was known: then these are the earlier originals, and the files
        given are not needed. Raises NotFound (no workload), Sealed, QuotaExceeded, KeyReused.
        """

    def knows_key(owner: str, key: str) -> Deferred[bool]:
        """Whether a request of this user under this idempotency key has been answered."""

    def image(image_id: str) -> Deferred[Image | None]:
        """An original or a result by its id."""

    def images_by_id(image_ids: Sequence[str]) -> Deferred[Sequence[Image | None]]:
        """Originals and results by their ids, in this order."""

    def image_at(workload_id: str, type: ImageType, seq: int) -> Deferred[Image | None]:
        """An original or a result by its place."""

    def images_at(workload_id: str, type: ImageType, seqs: Sequence[int]) -> Deferred[Sequence[Image]]:
        """The images at these places, in ``seq`` order."""

    def places(workload_id: str, which: PlaceSelection) -> Deferred[Sequence[int]]:
        """The places of originals, chosen and in order as ``which`` says."""

    def images(workload_id: str, type: ImageType, after: int | None, limit: int) -> Deferred[Sequence[Image]]:
        """A page of images in ``seq`` order, those after the ``seq`` ``after``."""

    def lease(leases: Sequence[tuple[int, str, str]], now: float) -> Deferred[Sequence[LeasedJob | None]]:
        """Lease waiting jobs, each as ``(job, worker, nonce)``, with its next attempt number.

        None stands for a job that is not waiting any more (deleted or ended meanwhile).
        """

    def finish(lease: Lease, worker: str, file: StoredFile, now: float) -> Deferred[tuple[Image, bool]]:
        """Make a leased job done, and a row for its result under the reserved id.

        When the job is done already with equal content, its image is the answer, the second value is False,
        and ``file`` is not needed. Raises StaleLease, and QuotaExceeded when the owner uses more than its
        quota already: the job stays leased then.
        """

    def finish_many(
        results: Sequence[tuple[Lease, StoredFile]], worker: str, now: float
    ) -> Deferred[Sequence[tuple[Image, bool] | Failure]]:
        """Do what :meth:`finish` does for several results, each with its own outcome."""

    def fail(lease: Lease, code: str, detail: str, now: float) -> Deferred[tuple[str, int] | None]:
        """Make a leased job failed. The workload and the place, or None for a stale lease, which changes
        nothing."""

    def release(leases: Sequence[tuple[Lease, Outcome]], now: float) -> Deferred[None]:
        """Let leased jobs wait again; ``CRASHED`` and ``LOST`` are charged. Stale leases are skipped."""

    def recover(now: float) -> Deferred[None]:
        """At the start, let every leased job wait again, uncharged, and record every worker as gone."""

    def unfinished(after: int, limit: int) -> Deferred[Sequence[tuple[str, WaitingJob]]]:
        """``(workload id, job)`` of waiting jobs with numbers above ``after``, by number, for the
        backfill."""

    def paths(directory: str) -> Deferred[frozenset[str]]:
        """Paths of all images of one directory that have a row: the other files are orphans."""

    def directories() -> Deferred[frozenset[str]]:
        """Directories of all workloads that are not deleted."""

    # Workers
    def worker_joined(info: WorkerInfo, address: str, now: float, serial: str) -> Deferred[None]:
        """Record a worker, by its name. Raises BadCertificate unless the certificate ``serial`` was issued to
        a worker of this name and is not revoked; WorkerSuspended, also for a new one on a suspended one's
        host."""

    def issue_certificate(new: CertificateRecord, token_made: float) -> Deferred[None]:
        """Record a certificate issued for a join token that was made then. Raises WorkerRevoked when the
        worker was revoked since; WorkerSuspended for a new one on a suspended one's host."""

    def renew_certificate(new: CertificateRecord, last: str) -> Deferred[None]:
        """Record the successor of the certificate ``last``. Raises BadCertificate when that is revoked."""

    def revoke_worker(name: str, now: float) -> Deferred[int]:
        """Revoke all certificates of the worker; how many of them were good. Raises NotFound."""

    def was_leased(lease: Lease, worker: str) -> Deferred[bool]:
        """Whether the lease is or was the worker's. True, too, when its job has been deleted."""

    def worker_offended(name: str, suspended_until: float | None) -> Deferred[None]:
        """Count an offence; with a time, the worker may not join before."""

    def worker_left(name: str, now: float) -> Deferred[None]:
        """Record the worker as gone."""

    def all_workers_left(now: float) -> Deferred[None]:
        """Record all workers as gone."""

    def workers(
        joined: bool | None, after: str | None, limit: int | None
    ) -> Deferred[Sequence[WorkerRecord]]:
        """A page of workers by name, those after the name ``after``: joined ones, others, or both (None)."""

    def forget_worker(name: str) -> Deferred[None]:
        """Raises NotFound, Conflict for a worker that has joined."""

    def gone_workers() -> Deferred[int]:
        """How many workers are remembered that have not joined at present."""

    # Record
    def record(activity: Activity) -> Deferred[None]:
        """Append to the activity record."""

    def activity(
        before: int | None, limit: int, subject: str | None = None, actor: str | None = None
    ) -> Deferred[Sequence[tuple[int, Activity]]]:
        """The activity record, newest first; ``before`` is the last number of the page before."""

    def expire(now: float) -> Deferred[None]:
        """Remove tokens, certificates, idempotency keys, activity, tombstones and workers that are gone, past
        their age or number; and record that joined workers were seen."""


class ITelemetry(Interface):
    """Workers' utilisation over time: a database file of its own, bounded, never fsynced per sample."""

    def sample(worker: str, at: float, load: Load) -> None:
        """Keep a sample; it is written a few seconds later, and may be lost at a crash."""

    def latest(worker: str) -> Sample | None:
        """The newest sample since the start, if any."""

    def history(worker: str, since: float) -> Deferred[Sequence[Sample]]:
        """The samples since then, oldest first."""


class IScheduler(Interface):
    """The scheduler, which is told facts; it decides, leases and dispatches by itself."""

    def workload_opened(workload: Workload) -> None:
        """The workload is known from now on, before its first job; idempotent."""

    def workload_dropped(workload_id: str) -> None:
        """The workload was deleted or cancelled: its waiting jobs go, workers are told to drop the others.

        It may be opened again, with new jobs.
        """

    def jobs_waiting(workload_id: str, jobs: Sequence[WaitingJob]) -> None:
        """These jobs are committed, and no worker holds them."""

    def worker_joined(session: str, info: WorkerInfo, link: IWorkerLink) -> None:
        """``session`` is unique for each joining."""

    def worker_reported(session: str, load: Load) -> None:
        """This is the worker's newest load."""

    def worker_leaving(session: str) -> None:
        """The worker gets no more jobs; it finishes or returns those that it holds."""

    def worker_lost(session: str) -> None:
        """The worker's leases end at once."""

    def job_ended(
        session: str, lease: Lease, outcome: Outcome, code: str, detail: str, seconds: float
    ) -> None:
        """The worker says how an attempt ended. ``DONE`` is a hint only: :meth:`result_committed` counts."""

    def result_committed(lease: Lease) -> None:
        """The job is done, and its slot is free."""

    def lend_memory(session: str, need: int) -> Callable[[], object] | None:
        """Lend a worker bytes of memory for work that is no job. Returns what ends the loan; None if the
        worker's machine has not that much to spare now."""

    def leased(session: str, lease: Lease) -> LeasedJob | None:
        """The job, if this session holds it by this lease."""

    def held_by(session: str) -> Sequence[LeasedJob]:
        """The jobs that this session holds, the oldest first."""

    def holds(session: str, image_id: str) -> LeasedJob | None:
        """The job held by this session whose original is this image; workers may read no other originals."""

    def running_jobs(workload_id: str) -> int:
        """The number of the workload's jobs that workers hold."""

    def eta(workload_id: str) -> Eta | None:
        """When the workload's jobs will probably have ended; None when that cannot be told."""

    def why(workload_id: str) -> Sequence[Reason]:
        """Why its jobs are where they are: those that workers hold, by place, then the waiting ones."""


class IWorkerLink(Interface):
    """The link to one joined worker."""

    def run(jobs: Sequence[LeasedJob]) -> Deferred[None]:
        """Give the worker jobs. It fires when the worker has them, and fails (with anything) otherwise."""

    def cancel(leases: Sequence[Lease]) -> None:
        """Ask the worker to stop or drop these jobs, without an answer."""

    def drop(reason: str) -> None:
        """Close the connection."""


class IImageStore(Interface):
    """Files of pictures, atomic and durable, with a directory for each workload."""

    def incoming() -> IIncomingFile:
        """A new upload, to be written as bytes arrive: in memory while it is small."""

    def keep(
        incoming: IIncomingFile,
        directory: str,
        type: ImageType,
        image_id: str,
        max_pixels: int,
        spec: WorkloadSpec | None = None,
    ) -> Deferred[StoredFile]:
        """Keep one upload; fails as one of :meth:`keep_many` would."""

    def keep_many(
        files: Sequence[tuple[IIncomingFile, str, ImageType, str]],
        max_pixels: int,
        spec: WorkloadSpec | None = None,
    ) -> Deferred[Sequence[StoredFile | Failure]]:
        """Keep uploads, each as ``(incoming, directory, type, image id)``: read its header, give it a name in
        the workload's directory, fsync it, and fsync each directory once. Each has its own outcome.

        With a ``spec`` the memory is reckoned that the job of each will need. The names are new each time, so
        nothing that exists is ever replaced. An upload fails with WrongHash, NotAnImage, TooLarge (too many
        pixels), DiskFull, RetryLater; nothing is left of it then.
        """

    def discard(path: str) -> Deferred[None]:
        """Remove one file, if it is there."""

    def discard_directory(directory: str) -> Deferred[None]:
        """Remove a workload's directory with everything in it, if it is there."""

    def absolute(path: str) -> str:
        """The absolute path of the file on this machine. Raises NotFound."""

    def read(path: str, start: int, length: int) -> Deferred[bytes]:
        """Read ``length`` bytes of a file in a thread. Raises NotFound, and OSError when there are fewer."""


class IIncomingFile(Interface):
    """One upload on its way in. Writes are synchronous and small."""

    size = Attribute("Bytes written so far (int).")
    sha256 = Attribute("Hex digest of the bytes written so far (str).")
    name = Attribute("The client's own file name, or None.")
    claimed = Attribute("The hex digest that its sender has announced, or None; another is refused.")

    def write(data: bytes) -> None:
        """Raises DiskFull."""

    def abandon() -> None:
        """Close and remove the file; idempotent, and without effect after :meth:`IImageStore.keep`."""
