"""What the server says of logins, workloads, images and users, as values with attributes.

``facts`` keeps everything the server said, so the members that a newer server adds are there too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Protocol, TypeVar

import attrs
from attrs import field, frozen

from dpip.client.errors import NotDpip

Facts = Mapping[str, Any]


@frozen
class Session:
    """A login; ``expires_at`` is RFC 3339."""

    user: str
    token: str = field(repr=False)
    expires_at: str | None = None
    facts: Facts = field(factory=dict, repr=False, eq=False)


@frozen
class Failed:
    """An image that could not be filtered, and why; ``code`` is for programs."""

    image_id: str
    seq: int
    code: str
    reason: str
    name: str | None = None
    facts: Facts = field(factory=dict, repr=False, eq=False)


def _failures(found: Iterable[object]) -> tuple[Failed, ...]:
    return tuple(read(Failed, each) for each in found)


@frozen
class Workload:
    """``status`` is scheduling, running or completed; ``filtered_images`` are ids in upload order."""

    workload_id: str
    workload_name: str
    status: str
    filter: str = ""
    accepted: int = 0
    filtered: int = 0
    failed: int = 0
    running_jobs: int = 0
    sealed: bool = False
    filtered_images: tuple[str, ...] = field(default=(), converter=tuple)
    failed_images: tuple[Failed, ...] = field(default=(), converter=_failures)
    facts: Facts = field(factory=dict, repr=False, eq=False)

    @property
    def completed(self) -> bool:
        """Every accepted image is filtered or has failed."""
        return self.status == "completed"


@frozen
class Image:
    """An original or a result; the two share ``seq``, the 0-based place in their workload."""

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
    facts: Facts = field(factory=dict, repr=False, eq=False)


@frozen
class User:
    """``role`` is user or admin; ``used`` and ``quota`` are bytes, and a quota of None is no limit."""

    user: str
    role: str
    quota: int | None = None
    used: int = 0
    facts: Facts = field(factory=dict, repr=False, eq=False)


@frozen
class Token:
    """Without a ``name`` it is what a login gave; the ``token`` itself is told only when it is made."""

    token_id: str
    user: str
    name: str | None = None
    expires_at: str | None = None
    token: str = field(default="", repr=False)
    facts: Facts = field(factory=dict, repr=False, eq=False)


class _Value(Protocol):
    __attrs_attrs__: ClassVar[Any]


V = TypeVar("V", bound=_Value)


def read(kind: type[V], facts: object) -> V:
    """Decoded JSON as a value of this kind. Raises NotDpip when it is something else."""
    if not isinstance(facts, Mapping):
        raise NotDpip(f"The server was to tell of a {kind.__name__.lower()} and sent something else.")
    names = {attribute.name for attribute in attrs.fields(kind)}
    try:
        return kind(**{**{name: facts[name] for name in facts if name in names}, "facts": facts})
    except TypeError as problem:
        raise NotDpip(f"The server's {kind.__name__.lower()} is not complete: {problem}.") from None
