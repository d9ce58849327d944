"""Downloads originals from the API to the spool, and uploads results to the API.

Small ones go in batches (``dpip.http.batch``); what a batch does not bring through goes alone, as large
ones do.

Failures that may pass are retried here. All others become :class:`NotTransferred`, with the outcome that the
attempt then has:

=============================================== ===========================================================
409                                             returned: the lease is void, the result is not wanted
404 on an original                              crashed: the lease is void as well, or else it is charged
413, 415, 422 on a result                       failed: the API will never take this result
the original differs from what was promised     crashed: charged, or it would be tried for ever
anything else, tries used up                    returned: not the job's fault
401                                             :class:`TokenRefused`: join again
=============================================== ===========================================================

A receipt's code means what the same error means for a result alone.
"""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from errno import ENOSPC
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlencode

from attrs import field, frozen
from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore, TimeoutError
from twisted.internet.endpoints import wrapClientTLS
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.ssl import optionsForClientTLS
from twisted.internet.task import deferLater
from twisted.web.http import (
    CONFLICT,
    CREATED,
    NOT_ALLOWED,
    NOT_FOUND,
    OK,
    REQUEST_ENTITY_TOO_LARGE,
    UNAUTHORIZED,
    UNSUPPORTED_MEDIA_TYPE,
)
from twisted.web.iweb import IResponse

from dpip.errors import Malformed, NotAnImage, QuotaExceeded, StaleLease, TooLarge, WrongHash
from dpip.http.agent import PersistentClient
from dpip.http.answers import problem_members, retry_after
from dpip.http.batch import MAX_BODY, MAX_BYTES, MAX_ITEMS, ArrivingBatch, BadBatch, BatchBody
from dpip.http.failures import NO_ANSWER, causes, in_words
from dpip.http.multipart import FilePart, MultipartBody
from dpip.http.receiving import BodyTooLarge, HashedFile, receive
from dpip.http.server_address import ServerAddress
from dpip.link import worker_messages as wire
from dpip.link.certificates import Pinned, fingerprint_of_pem
from dpip.link.worker_messages import Receipt
from dpip.model import LeasedJob, Outcome
from dpip.runtime.coroutines import deferred
from dpip.worker.batches import Batches
from dpip.worker.compute_child import Verdict

T = TypeVar("T")
_CONNECT_SECONDS: Final = 10
TRIES: Final = 5
_FIRST_PAUSE: Final = 0.25
_MAX_PAUSE: Final = 15.0
_LEAST_SECONDS: Final = 30.0
_LEAST_RATE: Final = 64 * 1024
"""An exchange may take 30 s, and 1 s more for each 64 KiB."""
_MAX_ANSWER: Final = 64 * 1024
_UNPROCESSABLE: Final = 422
_IDLE_SECONDS: Final = 20
"""An idle connection is closed after so long, before the API closes it, which would cost a retry."""
_PIECE: Final = 256 * 1024
"""Results up to this size, as most are, are read and sent at once: it saves turns of the reactor."""

_SMALL: Final = 512 * 1024
"""Bytes of the largest picture that goes in a batch."""
_REFUSED: Final = frozenset({NotAnImage.code, QuotaExceeded.code, TooLarge.code, WrongHash.code})


@frozen
class ApiAddress:
    """Where the API is, and the token for one joining.

    ``authority`` is the PEM of the authority that signed the API's certificate, None for the public ones.
    """

    url: str
    token: str = field(repr=False)
    authority: str | None

    def endpoint(self, reactor: Any) -> IStreamClientEndpoint:
        """Return the endpoint to connect to. Raises Malformed if the address cannot be used."""
        try:
            address = ServerAddress.parse(self.url)
            plain = address.endpoint(reactor, _CONNECT_SECONDS)
            if not address.secure:
                return plain
            if self.authority is None:
                return wrapClientTLS(optionsForClientTLS(address.host), plain)
            return wrapClientTLS(Pinned(fingerprint_of_pem(self.authority)), plain)
        except ValueError as error:
            raise Malformed(f"The API's address {self.url!r} cannot be used: {error}") from None


class NotTransferred(Exception):
    """The transfer has failed, and the attempt ends. ``void``: its result is not wanted any more."""

    def __init__(self, outcome: Outcome, code: str, detail: str, void: bool = False) -> None:
        super().__init__(detail)
        self.outcome, self.code, self.detail, self.void = outcome, code, detail, void


class TokenRefused(Exception):
    """The API does not know our token (any more)."""


class Closed(Exception):
    """The joining is over, and this transfer with it."""


class _Retry(Exception):
    """A failure that may pass; ``outcome`` is the attempt's if it does not."""

    def __init__(
        self, code: str, detail: str, after: float = 0.0, outcome: Outcome = Outcome.RETURNED
    ) -> None:
        super().__init__(detail)
        self.code, self.detail, self.after, self.outcome = code, detail, after, outcome


def is_kept(receipt: Receipt | None) -> bool:
    """Say whether a result is kept; if not, another way may help. Raises NotTransferred if none can."""
    if receipt is None:
        return False
    if receipt.code == StaleLease.code:
        raise NotTransferred(Outcome.RETURNED, "stale-lease", receipt.detail, void=True)
    if receipt.code in _REFUSED:
        raise NotTransferred(Outcome.FAILED, "result-refused", receipt.detail)
    return not receipt.code


class Transfer:
    """Runs ``lanes`` downloads and as many uploads at once; ``jitter()`` is between 0 and 1."""

    def __init__(self, api: ApiAddress, reactor: Any, lanes: int, jitter: Callable[[], float]) -> None:
        self._client = PersistentClient(api.endpoint(reactor), reactor, 2 * lanes, _IDLE_SECONDS)
        self._images = f"{api.url.rstrip('/')}/images"
        self._headers = {"Authorization": f"Bearer {api.token}"}
        self._reactor = reactor
        self._jitter = jitter
        self._downloads, self._uploads = DeferredSemaphore(lanes), DeferredSemaphore(lanes)
        self._in_flight: set[Deferred[Any]] = set()
        self._closed = False
        self._wanted: Batches[_Wanted, bool | NotTransferred] = Batches(
            self._get_many, reactor, MAX_ITEMS, MAX_BYTES, lambda wanted: wanted.size
        )
        self._finished: Batches[_Finished, Receipt | None] = Batches(
            self._post_many, reactor, MAX_ITEMS, MAX_BYTES, lambda finished: finished.verdict.size
        )

    def close(self) -> Deferred[None]:
        """End every transfer; those under way raise Closed. Fires when no connection is left."""
        self._closed = True
        for waiting in list(self._in_flight):
            waiting.cancel()
        for batches in (self._wanted, self._finished):
            batches.hurry()
        return self._client.close()

    async def download(self, job: LeasedJob, path: Path) -> None:
        """Download the job's original to ``path``, and check it."""
        size = job.original.file.size
        in_batch = size <= _SMALL and await self._wanted.add(_Wanted(job, path, size))
        if isinstance(in_batch, NotTransferred):
            raise in_batch
        if not in_batch:
            await self._downloads.run(self._retried, lambda: self._get(job, path))

    async def upload(self, job: LeasedJob, path: Path, verdict: Verdict) -> None:
        """Upload the job's result. When this returns it is durable, and the job is done."""
        small = verdict.size <= _SMALL
        if not (small and is_kept(await self._finished.add(_Finished(job, path, verdict)))):
            await self._uploads.run(self._retried, lambda: self._post(job, path, verdict))

    @deferred
    async def _retried(self, exchange: Callable[[], Awaitable[T]]) -> T:
        """Try up to ``TRIES`` times."""
        for number in range(TRIES):
            try:
                self._check_open()
                return await exchange()
            except (CancelledError, TimeoutError, *NO_ANSWER) as error:
                trouble = _Retry("transfer-failed", _in_words(error))
            except _Retry as again:
                trouble = again
            if number < TRIES - 1:
                pause = min(_MAX_PAUSE, _FIRST_PAUSE * 4**number) * (0.5 + self._jitter())
                await self._with_deadline(deferLater(self._reactor, max(trouble.after, pause)))
        raise NotTransferred(trouble.outcome, trouble.code, trouble.detail)

    def _check_open(self) -> None:
        if self._closed:
            raise Closed

    # Batches

    def _get_many(self, items: Sequence[_Wanted]) -> Deferred[Sequence[bool | NotTransferred]]:
        got: Deferred[Sequence[bool | NotTransferred]] = self._downloads.run(
            self._retried, lambda: self._get_batch(items)
        )
        return got

    def _post_many(self, items: Sequence[_Finished]) -> Deferred[Sequence[Receipt | None]]:
        receipts: Deferred[Sequence[Receipt | None]] = self._uploads.run(
            self._retried, lambda: self._post_batch(items)
        )
        return receipts

    async def _get_batch(self, items: Sequence[_Wanted]) -> Sequence[bool | NotTransferred]:
        """Download originals; False for each that is to be tried alone."""
        size = sum(item.size for item in items)
        ids = ",".join(item.job.original.id for item in items)
        response = await self._request("GET", f"{self._images}/batch?ids={ids}", size)
        if not await self._is_good(response):
            return [False] * len(items)
        arriving = ArrivingBatch()
        try:
            await self._with_deadline(receive(response, arriving.write, MAX_BODY), size)
            pictures = arriving.pictures(len(items))
        except (BodyTooLarge, BadBatch):
            return [False] * len(items)
        return [item.save(data) for item, (_, data) in zip(items, pictures, strict=True)]

    async def _post_batch(self, items: Sequence[_Finished]) -> Sequence[Receipt | None]:
        """Upload results; None for each that is to be tried alone."""
        contents = [item.content() for item in items]
        sent = [item for item, data in zip(items, contents, strict=True) if data is not None]
        try:
            message = wire.encode(wire.ResultFiles(tuple([item.result for item in sent])))
        except Malformed:  # too many words
            sent = []
        if not sent:
            return [None] * len(items)
        body = BatchBody(message, [data for data in contents if data is not None])
        response = await self._request("POST", f"{self._images}/batch", body.length, body)
        if not await self._is_good(response):
            return [None] * len(items)
        receipts = iter(_receipts(await self._text(response), len(sent)))
        return [None if data is None else next(receipts) for data in contents]

    async def _is_good(self, response: IResponse) -> bool:
        """Say whether a batch is answered; if not, its items may fare better alone. Raises _Retry,
        TokenRefused."""
        if response.code == OK:
            return True
        error = await self._refusal(response)
        if isinstance(error, NotTransferred) or response.code in (NOT_FOUND, NOT_ALLOWED):
            return False
        raise error

    # One by one

    async def _get(self, job: LeasedJob, path: Path) -> None:
        original = job.original.file
        response = await self._request("GET", f"{self._images}/{job.original.id}", original.size)
        if response.code == NOT_FOUND:
            detail = _detail(await self._text(response))
            raise NotTransferred(
                Outcome.CRASHED, "original-missing", detail or "The API does not find the original."
            )
        if response.code != OK:
            raise await self._refusal(response)
        try:
            with HashedFile(path.open("wb", buffering=0)) as file:
                await self._with_deadline(receive(response, file.write, original.size), original.size)
        except BodyTooLarge:
            raise _damaged("is larger than it was") from None
        except OSError as error:
            raise _no_room(error) from None
        if (file.size, file.sha256) != (original.size, original.sha256):
            raise _damaged("is not what was uploaded")

    async def _post(self, job: LeasedJob, path: Path, verdict: Verdict) -> None:
        fields = {
            "workload_id": job.workload_id,
            "type": "filtered",
            "job": str(job.lease.job),
            "attempt": str(job.lease.attempt),
            "nonce": job.lease.nonce,
            "sha256": verdict.sha256,
            **({"notices": json.dumps(verdict.notices)} if verdict.notices else {}),
        }
        files = [FilePart(path, "result", verdict.content_type)]
        body = MultipartBody({}, files, self._reactor, _PIECE, at_once=True)
        # In the query: as parts of the body they would take the API as long as all the rest of the request.
        response = await self._request("POST", f"{self._images}?{urlencode(fields)}", body.length, body)
        if response.code not in (OK, CREATED):
            raise await self._refusal(response)
        await self._text(response)

    async def _request(
        self, method: str, url: str, size: int, body: MultipartBody | BatchBody | None = None
    ) -> IResponse:
        headers = self._headers if body is None else {**self._headers, "Content-Type": body.content_type}
        response: IResponse = await self._with_deadline(
            self._client.request(method, url, headers=headers, data=body), size
        )
        return response

    async def _refusal(self, response: IResponse) -> Exception:
        """Return the exception that an unwanted answer means."""
        detail = _detail(await self._text(response)) or f"The API answered with status {response.code}."
        code = response.code
        if code == UNAUTHORIZED:
            return TokenRefused(detail)
        if code == CONFLICT:
            return NotTransferred(Outcome.RETURNED, "stale-lease", detail, void=True)
        if code in (REQUEST_ENTITY_TOO_LARGE, UNSUPPORTED_MEDIA_TYPE, _UNPROCESSABLE):
            return NotTransferred(Outcome.FAILED, "result-refused", detail)
        return _Retry("transfer-refused", detail, min(retry_after(response) or 0.0, 2 * _MAX_PAUSE))

    async def _text(self, response: IResponse) -> bytes:
        """Return the answer's body. The connection is free for the next request once it has been read."""
        chunks: list[bytes] = []
        with suppress(BodyTooLarge):
            await self._with_deadline(receive(response, chunks.append, _MAX_ANSWER))
        return b"".join(chunks)

    async def _with_deadline(self, waiting: Deferred[Any], size: int = 0) -> Any:
        """Wait with a deadline. Raises Closed after :meth:`close`, which ends the wait."""
        waiting.addTimeout(_LEAST_SECONDS + size / _LEAST_RATE, self._reactor)
        self._in_flight.add(waiting)
        try:
            return await waiting
        finally:
            self._in_flight.discard(waiting)
            self._check_open()


@frozen(eq=False)
class _Wanted:
    """An original that is to be downloaded."""

    job: LeasedJob
    path: Path
    size: int

    def save(self, data: bytes | None) -> bool | NotTransferred:
        """Save the bytes that came; False unless they are what was uploaded."""
        if data is None or sha256(data).hexdigest() != self.job.original.file.sha256:
            return False
        try:
            with open(self.path, "wb", buffering=0) as file:
                written = file.write(data)
        except OSError as error:
            return _no_room(error)
        return written == len(data) or _no_room(OSError(ENOSPC, os.strerror(ENOSPC)))


@frozen(eq=False)
class _Finished:
    """A result that is to be uploaded."""

    job: LeasedJob
    path: Path
    verdict: Verdict

    @property
    def result(self) -> wire.ResultFile:
        return wire.ResultFile.of(
            self.job.lease, self.verdict.size, self.verdict.sha256, self.verdict.notices
        )

    def content(self) -> bytes | None:
        """Return the bytes; None if they cannot be read, or are not what was said."""
        try:
            data = self.path.read_bytes()
        except OSError:
            return None
        return data if len(data) == self.verdict.size else None


def _receipts(answer: bytes, count: int) -> Sequence[Receipt | None]:
    """Return the receipts in an answer; none where it makes no sense: to send again changes nothing."""
    try:
        receipts = wire.decode(answer, wire.Receipts).receipts
    except Malformed:
        return [None] * count
    return receipts if len(receipts) == count else [None] * count


def _no_room(error: OSError) -> NotTransferred:
    return NotTransferred(Outcome.RETURNED, "disk-full", f"No room for the original: {error}")


def _damaged(how: str) -> _Retry:
    return _Retry("original-damaged", f"The original as the API gives it {how}.", outcome=Outcome.CRASHED)


def _detail(body: bytes) -> str:
    return str(problem_members(body).get("detail", ""))


def _in_words(error: BaseException) -> str:
    if isinstance(causes(error)[0], CancelledError | TimeoutError):
        return "The API did not answer in time."
    return f"No answer from the API: {in_words(error)}."[:500]
