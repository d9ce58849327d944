"""Idempotency-Key: a client's own name for a request, so that it may send it again without fear."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

from dpip.api.http.routes import ApiCall
from dpip.errors import Malformed
from dpip.model import IdempotencyKey

_MAX_KEY = 255


def key_of(call: ApiCall, operation: str, asked: Any) -> IdempotencyKey | None:
    """Return the key of this request, or None. ``asked`` is what it asks for, as JSON. Raises Malformed.

    The fingerprint is of fields and file hashes, never of the body's bytes: a multipart boundary changes with
    each retry. Two requests with one key at once need no care here: the datastore commits one after the
    other, and the second finds what the first made.
    """
    key = call.header("Idempotency-Key")
    if key is None:
        return None
    if not 0 < len(key) <= _MAX_KEY or not key.isascii() or not key.isprintable():
        raise Malformed(f"An Idempotency-Key has 1 to {_MAX_KEY} printable ASCII characters.")
    canonical = json.dumps([operation, asked], sort_keys=True)
    return IdempotencyKey(call.by.name, key, sha256(canonical.encode()).hexdigest())
