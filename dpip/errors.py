"""Errors in words for people: one class per kind, each with a code that never changes.

The API turns ``code`` into the problem's type and status (``dpip.api.http.problems``); a worker records
``code`` and ``detail`` as the reason why one image failed. Nothing here knows HTTP or Perspective Broker.
"""

from __future__ import annotations

from typing import Any, ClassVar


class DpipError(Exception):
    """A failure that its reader can understand and act on.

    ``detail`` says what happened, to which image or option, and what to do. ``members`` are further facts for
    programs, for example the list of known filters.
    """

    code: ClassVar[str] = "error"
    title: ClassVar[str] = "Something went wrong"
    retry_after: int | None = None  # seconds, where the same request may succeed later

    def __init__(self, detail: str, **members: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.members = members


# What a request can do wrong.


class Malformed(DpipError):
    code = "malformed-request"
    title = "The request could not be understood"


class Unauthenticated(DpipError):
    code = "not-logged-in"
    title = "A valid token is needed"


class BadCredentials(DpipError):
    code = "bad-credentials"
    title = "User name or password is wrong"


class Forbidden(DpipError):
    code = "forbidden"
    title = "Not allowed for this role"


class NotFound(DpipError):
    """There is no such thing, or it is not the caller's: the two look the same on purpose."""

    code = "not-found"
    title = "No such thing"


class Conflict(DpipError):
    code = "conflict"
    title = "Not possible in the present state"


class StaleLease(Conflict):
    """A worker's result for a job that is no longer leased to it: the result changes nothing."""

    code = "stale-lease"
    title = "The job is not leased to this worker any more"

    @classmethod
    def of_a_result(cls) -> StaleLease:
        return cls("This job is not leased to this worker, or not any more.")


class TooMany(Conflict):
    """The user has as many of these as one may have: some must go before another comes."""

    code = "too-many"
    title = "One user may not have more of these"


class Sealed(Conflict):
    """No more originals go into this workload: its owner has said so."""

    code = "workload-sealed"
    title = "The workload takes no more images"

    @classmethod
    def workload(cls, workload_id: str) -> Sealed:
        return cls(
            f"Workload {workload_id} is sealed: it takes no more images. Make a new workload for them."
        )


class KeyReused(DpipError):
    code = "idempotency-key-reused"
    title = "The idempotency key belongs to another request"


class BadParameter(DpipError):
    code = "bad-parameter"
    title = "A parameter is missing or not acceptable"


class UnknownFilter(DpipError):
    code = "unknown-filter"
    title = "No such filter"


class TooLarge(DpipError):
    code = "too-large"
    title = "Larger than this server takes"


class QuotaExceeded(TooLarge):
    code = "quota-exceeded"
    title = "The user's storage quota is used up"

    @classmethod
    def check(cls, size: int, used: int, reserved: int, quota: int | None) -> int | None:
        """Return what is left of the quota, None without one.

        Raise QuotaExceeded when ``size`` bytes do not fit beside those used and those reserved for results.
        """
        if quota is None:
            return None
        left = quota - used - reserved
        if size > left:
            kept = f", {reserved} are reserved for results of images under way" if reserved else ""
            raise cls(
                f"The upload does not fit with its results: {max(left, 0)} of the quota of {quota} bytes are "
                f"left{kept}. Delete workloads that are not needed any more.",
                quota=quota,
                used=used,
                **({"reserved": reserved} if reserved else {}),
            )
        return left


class WrongHash(DpipError):
    """A worker's result whose bytes are not those that it has announced."""

    code = "wrong-hash"
    title = "The file is not the one that was announced"

    @classmethod
    def of(cls, found: str) -> WrongHash:
        return cls(
            f"The file arrived with SHA-256 {found}, which is not the one sent along.", parameter="sha256"
        )


class NotAnImage(DpipError):
    code = "not-an-image"
    title = "Not an image that DPIP takes"


class RetryLater(DpipError):
    """The same request may succeed after ``retry_after`` seconds."""

    code = "busy"
    title = "Too busy at the moment"
    retry_after: int

    def __init__(self, detail: str, retry_after: int = 1, **members: Any) -> None:
        super().__init__(detail, **members)
        self.retry_after = retry_after


class TooManyRequests(RetryLater):
    code = "too-many-requests"
    title = "Too many requests"


class DiskFull(DpipError):
    """The disk is full: it takes a while until somebody has made room."""

    code = "disk-full"
    title = "The disk is full"
    retry_after = 60


# Why a worker may not join.


class WorkerRefused(DpipError):
    """``code`` is one of ``wire.REFUSALS``; ``retry`` says whether trying again can help."""

    code = "worker-refused"
    title = "This worker may not join"
    retry = False


class VersionMismatch(WorkerRefused):
    code = "version"
    title = "Worker and controller are of different versions"


class NameTaken(WorkerRefused):
    code = "name-taken"
    title = "Another worker has this name"
    retry = True


class BadCertificate(WorkerRefused):
    code = "bad-certificate"
    title = "The worker's certificate is not valid (any more)"
    retry = True


class WorkerRevoked(WorkerRefused):
    code = "worker-revoked"
    title = "An admin has revoked this worker"


class WorkerSuspended(WorkerRefused):
    code = "worker-suspended"
    title = "This worker has sent what it must not, too often"


# Why one image could not be filtered: recorded with the image, never raised to its uploader.


class PictureError(DpipError):
    """The picture, or this filter on it, is the reason: another attempt would fail as well."""

    code = "bad-picture"
    title = "This picture cannot be filtered"


class CorruptPicture(PictureError):
    code = "corrupt-picture"
    title = "The picture is damaged or cut short"


class UnsupportedPicture(PictureError):
    code = "unsupported-picture"
    title = "A kind of picture that DPIP does not filter"


class FilterFailed(PictureError):
    code = "filter-error"
    title = "The filter failed on this picture"


class PictureTooLarge(PictureError):
    code = "picture-too-large"
    title = "The picture has too many pixels"
