"""``/images/batch``: several images in one answer, several results of a worker in one request."""

from __future__ import annotations

from attrs import define

from dpip.api.http.answers import Answer
from dpip.api.http.auth import Access
from dpip.api.http.batches import BatchDownload
from dpip.api.http.gate import not_a_batch
from dpip.api.http.routes import ApiCall, Route
from dpip.errors import BadParameter
from dpip.http.batch import MAX_ITEMS
from dpip.interfaces import IController, IImageStore
from dpip.link import worker_messages as wire
from dpip.model import Image
from dpip.store.image_store import read_exactly
from dpip.store.results import SentResult, keep_results, receipts_of


@define
class BatchRoutes:
    controller: IController
    image_store: IImageStore

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/images/batch", Access.ANY, self.download_images),
            Route("POST", "/images/batch", Access.WORKERS, self.upload_results),
        ]

    async def download_images(self, call: ApiCall) -> BatchDownload:
        """Get several images by their ids, each with its own status.

        The answer is four bytes with the length of a list, the list as JSON, and the bytes of each image
        whose ``status`` is 200, one after the other: ``size`` says how many. 404 is as for one image. An
        image with 413 has no room in the answer, which has at most 2 MiB of images: get it alone.
        """
        ids = call.fields.required("ids").split(",")
        if len(ids) > MAX_ITEMS:
            raise BadParameter(f"ids are at most {MAX_ITEMS}, with commas between them.", parameter="ids")
        images = await self.controller.find_images(call.by, ids)
        return BatchDownload(images, self._read)

    def _read(self, image: Image) -> bytes:
        return read_exactly(self.image_store.absolute(image.file.path), 0, image.file.size)

    async def upload_results(self, call: ApiCall) -> Answer:
        """Upload several results: for workers. All are durable when it is answered, with a receipt for each.

        The body is four bytes with the length of a list, the list as JSON, and the bytes of each result. A
        receipt's ``code`` is empty if the result is kept, or else that of an error, as for one result.
        """
        body = call.results
        if body is None:
            raise not_a_batch()
        sent = [
            SentResult(result.lease, lambda file=file: file, result.notices)  # type: ignore[misc]
            for result, file in zip(body.results, body.incoming, strict=True)
        ]
        outcomes = await keep_results(self.controller, self.image_store, call.by, sent)
        headers = {"Content-Type": "application/json", "Cache-Control": "no-store"}
        made = ",".join(outcome.id for outcome in outcomes if isinstance(outcome, Image))
        return Answer(wire.encode(receipts_of(outcomes)), 200, headers, made)
