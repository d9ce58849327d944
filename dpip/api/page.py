"""The browser's page at ``/`` and its parts: public files that hold no data, kept in memory."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from importlib.resources import files
from typing import Final

from attrs import Factory, field, frozen

from dpip.api.http.answers import Answer
from dpip.api.http.auth import Access
from dpip.api.http.downloads import not_modified
from dpip.api.http.routes import ApiCall, Route
from dpip.errors import NotFound

_TYPES: Final = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_INDEX = "index.html"
_POLICY: Final = {
    # All from here, and pictures that are still in the browser's memory as blobs. No form is ever sent
    # by the browser itself: without its scripts the page must not put a password into a URL.
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' blob:; object-src 'none'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}


def _sources() -> dict[str, bytes]:
    folder = files("dpip") / "page"
    return {item.name: item.read_bytes() for item in folder.iterdir() if _type_of(item.name)}


def _type_of(name: str) -> str | None:
    return _TYPES.get(name.rpartition(".")[2])


@frozen
class PageRoutes:
    """The routes of the page.

    A browser asks for ``/`` anew each time. All the rest is below an address with the hash of it all, so that
    the browser may keep it for good and never mixes two versions.
    """

    sources: Mapping[str, bytes] = field(factory=_sources)
    version: str = field(init=False, default=Factory(lambda self: _hash(self.sources), takes_self=True))
    index: bytes = field(init=False, default=Factory(lambda self: self._index(), takes_self=True))

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/", Access.PUBLIC, self.show),
            Route("GET", "/page/<version>/<name>", Access.PUBLIC, self.part),
        ]

    async def show(self, call: ApiCall) -> Answer:
        return self._answer(call, _INDEX, self.index, "no-cache")

    async def part(self, call: ApiCall, version: str, name: str) -> Answer:
        if version != self.version or name not in self.sources or name == _INDEX:
            raise NotFound("The page has no such part, or not any more: load it again.")
        return self._answer(call, name, self.sources[name], "public, max-age=31536000, immutable")

    def _index(self) -> bytes:
        return self.sources[_INDEX].replace(b'"/page/', f'"/page/{self.version}/'.encode())

    def _answer(self, call: ApiCall, name: str, body: bytes, keep: str) -> Answer:
        etag = f'"{self.version}"'
        headers = {**_POLICY, "ETag": etag, "Cache-Control": keep}
        if not_modified(call.header("If-None-Match"), etag):
            return Answer(b"", 304, headers)
        return Answer(body, 200, {**headers, "Content-Type": _type_of(name) or ""})


def _hash(sources: Mapping[str, bytes]) -> str:
    hashed = blake2b(digest_size=8)
    for name in sorted(sources):
        for part in (name.encode(), sources[name]):
            hashed.update(len(part).to_bytes(8, "big") + part)
    return hashed.hexdigest()
