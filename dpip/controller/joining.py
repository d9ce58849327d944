"""Checks whether a worker may join, by its protocol and filters, and words the refusals."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from attrs import frozen

from dpip.errors import DpipError, Malformed, VersionMismatch, WorkerRefused
from dpip.link import worker_messages as wire
from dpip.link.join_token import BadToken
from dpip.model import WorkerInfo


@frozen
class JoinTerms:
    """What workers are told when they join, and what is demanded of them."""

    version: str  # ours
    filters: Mapping[str, str]  # name -> version of every filter we have
    max_pixels: int
    api_url: Callable[[str], str]  # the API's URL for workers that reached us at this host
    api_authority: str | None = None  # PEM of the authority that signed the API's certificate, if ours
    report_seconds: float = 4.0
    job_seconds: float = 120.0


@frozen
class Newcomer:
    """A worker that may join. ``wants_local_transfer``: it asks to share the image store's files; ``key``: it
    asks for a certificate for that public key (PEM)."""

    info: WorkerInfo
    wants_local_transfer: bool
    key: str


def refusal(error: DpipError | BadToken) -> wire.WorkerRefusal:
    """The refusal for a worker or an API process that may not join because of ``error``."""
    if isinstance(error, BadToken):
        return wire.WorkerRefusal("bad-token", str(error), retry=False)
    if isinstance(error, WorkerRefused):
        return wire.WorkerRefusal(error.code, error.detail, error.retry)
    return wire.WorkerRefusal("overloaded", error.detail, retry=True)


def examined(data: object, terms: JoinTerms) -> Newcomer:
    """The worker that the hello describes. Raises VersionMismatch, which says what to do about it."""
    _check_protocol(wire.protocol_of(data), terms.version)
    try:
        hello = wire.decode(data, wire.WorkerHello)
    except Malformed as error:
        raise VersionMismatch(f"The introduction makes no sense here: {error.detail}") from None
    _check_filters(hello, terms)
    info = WorkerInfo(
        name=hello.name,
        version=hello.version,
        machine=hello.machine,
        slots=hello.slots,
        capacity=max(hello.capacity, hello.slots),
        tags=frozenset(hello.tags),
        filters=dict(hello.filters),
        has_gpu=hello.has_gpu,
        fingerprint=hello.fingerprint,
    )
    return Newcomer(info, hello.local_store, hello.key)


def _check_protocol(spoken: int | None, version: str) -> None:
    if spoken == wire.PROTOCOL:
        return
    if spoken is None:
        raise VersionMismatch("This does not introduce itself as a worker of any version.")
    behind, ahead = ("worker", "controller") if spoken < wire.PROTOCOL else ("controller", "worker")
    raise VersionMismatch(
        f"Worker and controller do not understand each other (protocol {spoken} and {wire.PROTOCOL}; the "
        f"controller is DPIP {version}): upgrade the {behind} to the {ahead}'s version.",
    )


def _check_filters(hello: wire.WorkerHello, terms: JoinTerms) -> None:
    """Raises VersionMismatch: two versions of one filter would give two different results for one image."""
    for name, version in hello.filters.items():
        ours = terms.filters.get(name, version)
        if ours != version:
            raise VersionMismatch(
                f"The worker (DPIP {hello.version}) has filter {name} in version {version}, the controller "
                f"(DPIP {terms.version}) in version {ours}: install the same DPIP and filters on both.",
            )
