"""``POST /images``: originals from users, results from workers; the image store has the bytes already."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from attrs import define
from twisted.internet.defer import Deferred, DeferredList
from twisted.python.failure import Failure

from dpip.api.http.answers import Answer, json_answer
from dpip.api.http.auth import Access
from dpip.api.http.forms import Fields
from dpip.api.http.gate import not_multipart
from dpip.api.http.idempotency import key_of
from dpip.api.http.routes import ApiCall, Route
from dpip.api.images import image_type
from dpip.api.views import image_json
from dpip.errors import BadParameter, DpipError, Forbidden, NotAnImage
from dpip.interfaces import IController, IImageStore, IIncomingFile
from dpip.model import Image, ImageType, Lease, Principal, Role, StoredFile, Workload
from dpip.store.results import SentResult, keep_results

T = TypeVar("T")


@define
class UploadRoutes:
    controller: IController
    image_store: IImageStore
    ids: Callable[[], str]

    def routes(self) -> list[Route]:
        return [Route("POST", "/images", Access.ANY, self.upload)]

    async def upload(self, call: ApiCall) -> Answer:
        """Upload files. One gives one object; several give a list in body order, and all are taken or none.

        Fields that are not known are passed over: forms send what their buttons are called.
        """
        if call.upload is None:
            raise not_multipart()
        kind = image_type(call.fields) or ImageType.ORIGINAL
        if kind is ImageType.FILTERED and call.by.role is not Role.WORKER:
            raise Forbidden("Only a worker uploads filtered images; send type=original, or leave type out.")
        files = _checked(call.upload.files)
        if kind is ImageType.FILTERED:
            return _created([await self._result(call.by, call.fields, files)])
        return _created(await self._originals(call, files))

    async def _originals(self, call: ApiCall, files: Sequence[IIncomingFile]) -> Sequence[Image]:
        workload_id = call.fields.required("workload_id")
        hashes = [] if call.header("Idempotency-Key") is None else [file.sha256 for file in files]
        key = key_of(call, "images", {"workload_id": workload_id, "files": hashes})
        sizes = [file.size for file in files]
        name = None if key is None else key.key
        workload = await self.controller.check_upload(call.by, workload_id, sizes, name)
        stored = await self._keep_originals(files, workload)
        return await self.controller.commit_originals(call.by, workload_id, stored, key)

    async def _keep_originals(
        self, files: Sequence[IIncomingFile], workload: Workload
    ) -> list[tuple[str, StoredFile]]:
        """Make all of them durable under new ids, or none of them."""
        ids = [self.ids() for _ in files]
        pixels = self.controller.max_pixels
        keeping = [
            (file, workload.directory, ImageType.ORIGINAL, image_id)
            for image_id, file in zip(ids, files, strict=True)
        ]
        outcomes = await self.image_store.keep_many(keeping, pixels, workload.spec)
        kept = [outcome for outcome in outcomes if isinstance(outcome, StoredFile)]
        if len(kept) == len(files):
            return list(zip(ids, kept, strict=True))
        await gathered([self.image_store.discard(file.path) for file in kept])
        raise _first_error(outcomes)

    async def _result(self, by: Principal, fields: Fields, files: Sequence[IIncomingFile]) -> Image:
        if len(files) != 1:
            raise BadParameter("A result is one file.", parameter="data")
        [file] = files
        file.claimed = fields.required("sha256").lower()
        lease = Lease(_number(fields, "job"), _number(fields, "attempt"), fields.required("nonce"))
        sent = SentResult(lease, lambda: file, fields.words("notices"))
        [outcome] = await keep_results(self.controller, self.image_store, by, [sent])
        if isinstance(outcome, DpipError):
            raise outcome
        return outcome


def _checked(files: Sequence[IIncomingFile]) -> Sequence[IIncomingFile]:
    """Return the files. Raises BadParameter when there is none, NotAnImage when one is empty."""
    if not files:
        raise BadParameter(
            "There is no file in the request: send the picture in the field 'data'.", parameter="data"
        )
    for place, file in enumerate(files):
        if file.size == 0:
            raise NotAnImage(f"The file {file.name or place!r} is empty: it has 0 bytes.", file=place)
    return files


async def gathered(works: Sequence[Deferred[T]]) -> list[T | Failure]:
    """Wait for all of them; return each one's result or failure."""
    return [result for _, result in await DeferredList(works, consumeErrors=True)]


def _first_error(outcomes: Sequence[StoredFile | Failure]) -> BaseException:
    """Return the first file's error; if there are several files, it says which one this is."""
    place, failure = next((n, outcome) for n, outcome in enumerate(outcomes) if isinstance(outcome, Failure))
    error: BaseException = failure.value  # type: ignore[assignment]  # a failure that happened has one
    if isinstance(error, DpipError) and len(outcomes) > 1:
        error.members.setdefault("file", place)
    return error


def _number(fields: Fields, name: str) -> int:
    number = fields.integer(name, 0)
    if number is None:
        raise BadParameter(f"{name} is missing.", parameter=name)
    return number


def _created(images: Sequence[Image]) -> Answer:
    shown = [image_json(image) for image in images]
    location = f"/images/{images[0].id}"
    return json_answer(shown[0] if len(shown) == 1 else shown, 201, {"Location": location})
