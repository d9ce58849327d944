"""Headers of a response, and the reason of a refusal."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from twisted.web.iweb import IResponse


def header(response: IResponse, name: str) -> str:
    """Return a header's last value; empty when there is none."""
    values = response.headers.getRawHeaders(name)
    return str(values[-1]) if values else ""


def retry_after(response: IResponse) -> float | None:
    """Return the seconds of ``Retry-After``; None when there are none, or a date."""
    value = header(response, "Retry-After")
    return float(value) if value.isascii() and value.isdigit() else None


def problem_members(body: bytes) -> dict[str, Any]:
    """Return the members of a problem+json document (RFC 9457); none when the body is something else."""
    try:
        members = json.loads(body)
    except ValueError:
        return {}
    return dict(members) if isinstance(members, Mapping) else {}
