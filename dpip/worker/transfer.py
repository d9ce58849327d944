"""Downloads originals from the API to the spool, and uploads results to the API.

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
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
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
    NOT_FOUND,
    OK,
    REQUEST_ENTITY_TOO_LARGE,
    UNAUTHORIZED,
    UNSUPPORTED_MEDIA_TYPE,
)
from twisted.web.iweb import IResponse

from dpip.errors import Malformed
from dpip.http.agent import PersistentClient
from dpip.http.answers import problem_members, retry_after
from dpip.http.failures import NO_ANSWER, causes, in_words
from dpip.http.multipart import FilePart, MultipartBody
from dpip.http.receiving import BodyTooLarge, HashedFile, receive
from dpip.http.server_address import ServerAddress
from dpip.link.certificates import Pinned, fingerprint_of_pem
from dpip.model import LeasedJob, Outcome
from dpip.runtime.coroutines import deferred
from dpip.worker.compute_child import Verdict

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

    def close(self) -> Deferred[None]:
        """End every transfer; those under way raise Closed. Fires when no connection is left."""
        self._closed = True
        for waiting in list(self._in_flight):
            waiting.cancel()
        return self._client.close()

    async def download(self, job: LeasedJob, path: Path) -> None:
        """Download the job's original to ``path``, and check it."""
        await self._downloads.run(self._retried, lambda: self._get(job, path))

    async def upload(self, job: LeasedJob, path: Path, verdict: Verdict) -> None:
        """Upload the job's result. When this returns it is durable, and the job is done."""
        await self._uploads.run(self._retried, lambda: self._post(job, path, verdict))

    @deferred
    async def _retried(self, exchange: Callable[[], Awaitable[None]]) -> None:
        """Try up to ``TRIES`` times."""
        for number in range(TRIES):
            try:
                self._check_open()
                await exchange()
                return
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
            raise NotTransferred(
                Outcome.RETURNED, "disk-full", f"No room for the original: {error}"
            ) from None
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
        self, method: str, url: str, size: int, body: MultipartBody | None = None
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


def _damaged(how: str) -> _Retry:
    return _Retry("original-damaged", f"The original as the API gives it {how}.", outcome=Outcome.CRASHED)


def _detail(body: bytes) -> str:
    return str(problem_members(body).get("detail", ""))


def _in_words(error: BaseException) -> str:
    if isinstance(causes(error)[0], CancelledError | TimeoutError):
        return "The API did not answer in time."
    return f"No answer from the API: {in_words(error)}."[:500]
