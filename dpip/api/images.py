"""Images to get: one by its id or place, its thumbnail, or a page of a workload's images."""

from __future__ import annotations

import re

from attrs import define

from dpip.api.http.answers import Answer, json_answer
from dpip.api.http.auth import Access
from dpip.api.http.downloads import Download, not_modified, sandboxed
from dpip.api.http.forms import Fields
from dpip.api.http.routes import ApiCall, Route, page_answer
from dpip.api.views import image_json
from dpip.errors import BadParameter
from dpip.interfaces import IController, IImageStore
from dpip.model import ImageType

_MAX_SEQ = 10**9
_SMALL_CACHE = "private, max-age=3600"  # it never changes, but its image may be deleted


def image_type(fields: Fields) -> ImageType | None:
    """Read the field ``type``; scripts of the first clients write ``orginal``."""
    text = (fields.text("type") or "").strip().lower()
    if text in ("original", "orginal"):
        return ImageType.ORIGINAL
    if text == "filtered":
        return ImageType.FILTERED
    if text:
        raise BadParameter("type must be 'original' or 'filtered'.", parameter="type")
    return None


MAX_PLACES = 1_000
_RANGE = re.compile(r"(\d{1,10})(?:-(\d{1,10}))?", re.ASCII)


def places_of(fields: Fields, most: int = MAX_PLACES) -> list[int] | None:
    """Read the field ``seqs``: places in order, as ``0-3,7``; None without it. Raises BadParameter."""
    if fields.text("seqs") is None:
        return None
    found: set[int] = set()
    for part in fields.words("seqs"):
        match = _RANGE.fullmatch(part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, -1)
        if last < first:
            raise BadParameter("seqs are places and ranges of them, with commas: 0-3,7.", parameter="seqs")
        if len(found) + last - first >= most:
            raise BadParameter(f"seqs may name at most {most} places.", parameter="seqs")
        found.update(range(first, last + 1))
    return sorted(found)


@define
class ImageRoutes:
    controller: IController
    image_store: IImageStore

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/images", Access.USERS, self.list_images),
            Route("GET", "/images/<reference>", Access.ANY, self.download, by_link=True),
            Route("GET", "/images/<reference>/thumbnail", Access.USERS, self.thumbnail, by_link=True),
        ]

    async def download(self, call: ApiCall, reference: str) -> Download:
        """Get the bytes. ``reference`` is a global id, or a place within the ``workload_id`` sent along."""
        workload_id = call.fields.text("workload_id") or None
        image = await self.controller.image(call.by, reference, workload_id, image_type(call.fields))
        return Download(self.image_store.absolute(image.file.path), image)

    async def thumbnail(self, call: ApiCall, reference: str) -> Answer:
        """Get a JPEG whose longer side has at most 256 pixels.

        A worker makes it when it is asked for the first time; while none has time for it, 503 says when to
        ask again.
        """
        workload_id = call.fields.text("workload_id") or None
        made = await self.controller.thumbnail(call.by, reference, workload_id, image_type(call.fields))
        etag = f'"thumbnail-{made.image.id}"'
        headers = {"ETag": etag, "Cache-Control": _SMALL_CACHE, **sandboxed(made.image, "image/jpeg")}
        if not_modified(call.header("If-None-Match"), etag):
            return Answer(b"", 304, headers)
        return Answer(made.data, 200, {**headers, "Content-Type": "image/jpeg"})

    async def list_images(self, call: ApiCall) -> Answer:
        """List a workload's images of ``type`` (default ``filtered``) by ``seq``, from behind ``after``.

        Or those at the places ``seqs``, at most 1000: ``0-3,7``.
        """
        fields, limit = call.fields, call.limit
        workload_id = fields.required("workload_id")
        kind = image_type(fields) or ImageType.FILTERED
        seqs = places_of(fields)
        if seqs is not None:
            images = await self.controller.images_at(call.by, workload_id, kind, seqs)
            return json_answer([image_json(image) for image in images])
        after = fields.integer("after", -1, _MAX_SEQ)
        found = await self.controller.images(call.by, workload_id, kind, after, limit + 1)
        asked = {"workload_id": workload_id, "type": kind.value}
        return page_answer("/images", limit, found, image_json, lambda last: {**asked, "after": last.seq})
