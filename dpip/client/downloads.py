"""Downloads: an image's bytes, which are verified before they are handed out."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from attrs import frozen
from twisted.web.iweb import UNKNOWN_LENGTH, IResponse

from dpip.client.errors import Damaged
from dpip.http.answers import header
from dpip.http.receiving import HashedFile

NOTICES: Final = "DPIP-Notices"


@frozen
class Fetched:
    """What has been downloaded and verified; ``size`` is in bytes.

    ``notices`` say what a result lacks of its original, a sentence each.
    """

    size: int
    sha256: str
    content_type: str
    notices: tuple[str, ...] = ()


@contextmanager
def whole_file(to: Path) -> Iterator[HashedFile]:
    """Open a file to write to, which appears at ``to`` if the block succeeds and is removed if it fails."""
    part = to.with_name(f".{to.name}.{os.getpid()}.part")
    file = part.open("wb", buffering=0)
    try:
        with HashedFile(file) as hashed:
            yield hashed
        os.replace(part, to)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def verify(what: str, response: IResponse, file: HashedFile) -> Fetched:
    """Verify a file that has arrived. Raises Damaged if length or hash differ from the server's."""
    if response.length not in (UNKNOWN_LENGTH, file.size):
        raise Damaged(f"{what} came with {file.size} bytes instead of {response.length}.")
    named = re.search(r"[0-9a-f]{64}", header(response, "ETag"))
    if named and named[0] != file.sha256:
        raise Damaged(f"{what} does not match its hash: it was damaged on the way or in the store.")
    kind = header(response, "Content-Type").partition(";")[0].strip()
    return Fetched(file.size, file.sha256, kind, _notices(response))


def _notices(response: IResponse) -> tuple[str, ...]:
    """Read the header that has them as JSON. Raises Damaged for one that is none."""
    try:
        return tuple(map(str, json.loads(header(response, NOTICES) or "[]")))
    except (ValueError, TypeError) as error:
        raise Damaged(f"The header {NOTICES} makes no sense: {error}.") from None
