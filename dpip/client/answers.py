"""The server's answers about logins, workloads, images and users, as values with attributes.

``facts`` keeps all that the server said, so members that a newer server adds are there too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import attrs
from attrs import field, frozen

from dpip.client.errors import NotDpip


@frozen
class Facts:
    """What the server said; ``facts`` is all of it, as decoded JSON."""

    facts: Mapping[str, Any] = field(factory=dict, repr=False, eq=False, kw_only=True)


@frozen
class Session(Facts):
    """A login; ``expires_at`` is RFC 3339."""

    user: str
    token: str = field(repr=False)
    expires_at: str | None = None


@frozen
class Failed(Facts):
    """An image that could not be filtered, and why; ``code`` is for programs."""

    image_id: str
    seq: int
    code: str
    reason: str
    name: str | None = None


def _failures(found: Iterable[object]) -> tuple[Failed, ...]:
    return tuple(read(Failed, each) for each in found)


@frozen
class Workload(Facts):
    """A workload: ``status`` is scheduling, running or completed; ``filtered_images`` are ids by ``seq``.

    ``noticed`` counts the results with notices.
    """

    workload_id: str
    workload_name: str
    status: str
    filter: str = ""
    accepted: int = 0
    filtered: int = 0
    failed: int = 0
    noticed: int = 0
    running_jobs: int = 0
    sealed: bool = False
    filtered_images: tuple[str, ...] = field(default=(), converter=tuple)
    failed_images: tuple[Failed, ...] = field(default=(), converter=_failures)

    @property
    def completed(self) -> bool:
        """Whether every accepted image is filtered or has failed."""
        return self.status == "completed"


@frozen
class Image(Facts):
    """An original or a result; the two share ``seq``, the 0-based place in their workload.

    ``notices`` say what a result lacks of its original, a sentence each.
    """

    image_id: str
    workload_id: str
    type: str
    seq: int
    name: str | None = None
    size: int = 0
    sha256: str = ""
    content_type: str = ""
    width: int = 0
    height: int = 0
    notices: tuple[str, ...] = field(default=(), converter=tuple)


@frozen
class User(Facts):
    """A user: ``role`` is user or admin; ``used`` and ``quota`` are bytes, a quota of None is no limit."""

    user: str
    role: str
    quota: int | None = None
    used: int = 0


@frozen
class Token(Facts):
    """A token: one of a login has no ``name``; ``token`` itself is there only when it has just been made."""

    token_id: str
    user: str
    name: str | None = None
    expires_at: str | None = None
    token: str = field(default="", repr=False)


A = TypeVar("A", bound=Facts)


def read(kind: type[A], facts: object) -> A:
    """Turn decoded JSON into a value of this kind. Raises NotDpip when it is something else."""
    if not isinstance(facts, Mapping):
        raise NotDpip(f"The server was to tell of a {kind.__name__.lower()} and sent something else.")
    names = {attribute.name for attribute in attrs.fields(kind)}
    try:
        return kind(**{**{name: facts[name] for name in facts if name in names}, "facts": facts})
    except TypeError as problem:
        raise NotDpip(f"The server's {kind.__name__.lower()} is not complete: {problem}.") from None
