"""A stand-in for the API: originals to fetch, results to take, and whatever a test wants to go wrong."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from email import message_from_bytes
from email.policy import HTTP
from typing import Any
from urllib.parse import parse_qsl

from twisted.internet import reactor
from twisted.internet.endpoints import serverFromString
from twisted.internet.ssl import CertificateOptions
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import TestCase
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from dpip.http.batch import CONTENT_TYPE, BatchReader, list_head
from dpip.link.worker_messages import Receipt, Receipts, ResultFile, ResultFiles, decode, encode
from dpip.model import Image, ImageType, Lease, LeasedJob, Step, StoredFile, StoredPicture

TOKEN = "the worker's token"
Handler = Callable[[Request], Any]


def job(number: int, data: bytes, *steps: Step) -> LeasedJob:
    """A job whose original is ``data``."""
    picture = StoredPicture("PNG", "image/png", 4, 3, 36)
    file = StoredFile(f"w/{number}.png", len(data), hashlib.sha256(data).hexdigest(), picture)
    original = Image(f"image{number}", "workload", ImageType.ORIGINAL, number, file, 1.0)
    lease = Lease(number, 1, f"nonce{number}")
    return LeasedJob(lease, "workload", original, f"result{number}", steps or (("copy", {}),), {})


class Api(Resource):
    """``next`` holds handlers for the requests to come; when it is empty the API behaves."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.originals: dict[str, bytes] = {}
        self.results: list[tuple[dict[str, str], bytes]] = []
        self.requests: list[tuple[str, str]] = []
        self.next: list[Handler] = []
        self.url = ""
        self.token = TOKEN

    async def listen(self, case: TestCase, tls: CertificateOptions | None = None) -> None:
        self.site = Site(self)
        factory = TLSMemoryBIOFactory(tls, False, self.site) if tls else self.site
        port = await serverFromString(reactor, "tcp:0:interface=127.0.0.1").listen(factory)
        case.addCleanup(port.stopListening)
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{port.getHost().port}"

    def render(self, request: Request) -> Any:
        self.requests.append((request.method.decode(), request.path.decode()))
        handler = self.next.pop(0) if self.next else self.behave
        return handler(request)

    def behave(self, request: Request) -> Any:
        if request.getHeader("authorization") != f"Bearer {self.token}":
            return problem(request, 401, "Who are you?")
        if request.path == b"/images/batch":
            return self.take_results(request) if request.method == b"POST" else self.give_originals(request)
        if request.method == b"POST":
            self.results.append(form(request))
            request.setResponseCode(201)
            return b'{"image_id": "r"}'
        name = request.path.rpartition(b"/")[2].decode()
        if name not in self.originals:
            return problem(request, 404, f"No image {name}.")
        return self.originals[name]

    def give_originals(self, request: Request) -> bytes:
        ids = request.args[b"ids"][0].decode().split(",")  # type: ignore[index]
        found = [self.originals.get(image_id) for image_id in ids]
        listed = [{"status": 404} if data is None else {"status": 200, "size": len(data)} for data in found]
        return list_head(json.dumps(listed).encode()) + b"".join(filter(None, found))

    def take_results(self, request: Request) -> bytes:
        results, pictures = batch(request)
        for result, data in zip(results, pictures, strict=True):
            fields = {"job": str(result.lease.job), "attempt": str(result.lease.attempt)}
            fields |= {"nonce": result.lease.nonce, "sha256": result.sha256}
            fields |= {"notices": json.dumps(result.notices)} if result.notices else {}
            self.results.append((fields, data))
        return encode(Receipts((Receipt(),) * len(results)))


def batch(request: Request) -> tuple[Sequence[ResultFile], Sequence[bytes]]:
    """The results in a batch, and the bytes of each."""
    assert request.getHeader("content-type") == CONTENT_TYPE
    body: bytes = request.content.read()
    results: list[ResultFile] = []
    pictures: list[bytearray] = []

    def listed(data: bytes) -> list[int]:
        results.extend(decode(data, ResultFiles).results)
        pictures.extend(bytearray() for _ in results)
        return [result.size for result in results]

    reader = BatchReader(listed, lambda place, data: pictures[place].extend(data))
    reader.write(body)
    reader.end()
    return results, [bytes(picture) for picture in pictures]


def problem(request: Request, status: int, detail: str, retry_after: int | None = None) -> bytes:
    request.setResponseCode(status)
    if retry_after is not None:
        request.setHeader("Retry-After", str(retry_after))
    return json.dumps({"type": "urn:x", "detail": detail}).encode()


def answering(status: int, detail: str = "Not now.", retry_after: int | None = None) -> Handler:
    return lambda request: problem(request, status, detail, retry_after)


def cut(request: Request) -> Any:
    """The connection breaks in the middle of the answer."""
    request.setHeader("Content-Length", "1000")
    request.write(b"only this")
    request.transport.abortConnection()  # type: ignore[union-attr]
    return NOT_DONE_YET


def hang(request: Request) -> Any:
    """No answer at all."""
    request.notifyFinish().addErrback(lambda _: None)
    return NOT_DONE_YET


def form(request: Request) -> tuple[dict[str, str], bytes]:
    """Fields, of the query too, and the bytes of the file in ``data``."""
    kind = (request.getHeader("content-type") or "").encode()
    message = message_from_bytes(b"Content-Type: " + kind + b"\r\n\r\n" + request.content.read(), policy=HTTP)
    query = request.uri.decode().partition("?")[2]
    fields, data = dict(parse_qsl(query, strict_parsing=True)), b""
    assert message.is_multipart()
    assert not message.defects, message.defects
    for part in message.iter_parts():
        content = part.get_payload(decode=True)
        name = part.get_param("name", header="content-disposition")
        if name == "data":
            data = content
            fields["content_type"] = part.get_content_type()
        else:
            fields[name] = content.decode()
    return fields, data
