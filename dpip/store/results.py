"""Keeping workers' results, whether they came over HTTP or as files of this machine, one or several."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice

from attrs import define, evolve, field, frozen
from twisted.logger import Logger
from twisted.python.failure import Failure

from dpip.errors import DpipError, RetryLater, StaleLease, WrongHash
from dpip.interfaces import IController, IImageStore, IIncomingFile
from dpip.link.api_messages import error_of
from dpip.link.worker_messages import Receipt, Receipts
from dpip.model import (
    MAX_NOTICE,
    MAX_NOTICES,
    CommitReceipt,
    Image,
    ImageType,
    Lease,
    LeasedJob,
    Principal,
    StoredFile,
)
from dpip.store.image_store import directory_of

_log = Logger()
_SENTENCE = 500


@frozen
class SentResult:
    """A result as its worker sends it.

    ``take()`` gives its file, once the lease is known to be good; it raises DpipError. ``notices`` are what
    the worker says of it: a bounded number is kept, printable and cut.
    """

    lease: Lease
    take: Callable[[], IIncomingFile]
    notices: Iterable[str] = ()

    def kept_notices(self) -> tuple[str, ...]:
        return tuple(map(_printable, islice(self.notices, MAX_NOTICES)))


@define
class _ResultToKeep:
    """One result on its way; what it ends with is ``outcome``."""

    sent: SentResult
    job: LeasedJob | None
    file: IIncomingFile | None = None
    stored: StoredFile | None = None
    outcome: Image | DpipError = field(factory=StaleLease.of_a_result)


async def keep_results(
    controller: IController, store: IImageStore, by: Principal, results: Sequence[SentResult]
) -> Sequence[Image | DpipError]:
    """Make results durable in the store, then in the datastore: when this returns their jobs are done.

    Each has its own outcome, in their order: its image, or StaleLease, WrongHash, NotAnImage, TooLarge,
    QuotaExceeded, DiskFull or RetryLater. Raises RetryLater when none could be kept.
    """
    jobs = await controller.check_leases(by, [sent.lease for sent in results])
    kept = [_ResultToKeep(sent, job) for sent, job in zip(results, jobs, strict=True)]
    await _store(controller, store, by, [one for one in kept if _take(one)])
    await _commit(controller, by, [one for one in kept if one.stored is not None])
    return [one.outcome for one in kept]


def receipts_of(outcomes: Sequence[Image | DpipError]) -> Receipts:
    """Return what a worker is told of each."""
    return Receipts(tuple(map(_receipt_of, outcomes)))


def _receipt_of(outcome: Image | DpipError) -> Receipt:
    return Receipt(outcome.code, outcome.detail[:_SENTENCE]) if isinstance(outcome, DpipError) else Receipt()


def _take(one: _ResultToKeep) -> bool:
    """Take the file, if the lease is good; say whether there is one."""
    if one.job is None:
        return False
    try:
        one.file = one.sent.take()
    except DpipError as error:
        one.outcome = error
        return False
    one.file.name = one.job.original.file.name
    return True


async def _store(
    controller: IController, store: IImageStore, by: Principal, taken: Sequence[_ResultToKeep]
) -> None:
    files = [
        (one.file, directory_of(one.job.original.file.path), ImageType.FILTERED, one.job.result_id)
        for one in taken
        if one.file is not None and one.job is not None
    ]
    outcomes = await store.keep_many(files, controller.max_pixels) if files else ()
    for one, outcome in zip(taken, outcomes, strict=True):
        if isinstance(outcome, StoredFile):
            one.stored = evolve(outcome, notices=one.sent.kept_notices())
            continue
        one.outcome = _explained(outcome)
        if isinstance(one.outcome, WrongHash):
            lease = one.sent.lease
            await controller.accuse(by, lease, f"a result of another hash than it says (job {lease.job})")


async def _commit(controller: IController, by: Principal, stored: Sequence[_ResultToKeep]) -> None:
    files = [(one.sent.lease, one.stored) for one in stored if one.stored is not None]
    receipts = await controller.commit_results(by, files) if files else ()
    for one, receipt in zip(stored, receipts, strict=True):
        one.outcome = _outcome_of(receipt)


def _outcome_of(receipt: CommitReceipt) -> Image | DpipError:
    if receipt.image is not None:
        return receipt.image
    return error_of(receipt.code, receipt.detail, receipt.members, receipt.retry_after)


def _explained(failure: Failure) -> DpipError:
    """Return what to tell the worker. A bug is logged, and is no other result's trouble."""
    if isinstance(failure.value, DpipError):
        return failure.value
    _log.failure("A result could not be kept", failure)
    return RetryLater("The server could not keep the result. Its log says why.")


def _printable(notice: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in notice[:MAX_NOTICE])
