"""The checks of ``dpip doctor``: each looks at one thing, and says what it found and what to do."""

from __future__ import annotations

import json
import os
import platform
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from attrs import frozen

from dpip import __version__
from dpip.command.saved_logins import Login
from dpip.command.tables import size

if TYPE_CHECKING:
    from dpip.datastore.postgres import PostgresDatabase

_PORTS: Final = {8080: "the API (--http)", 8787: "workers (--pb)"}
_ENOUGH_DISK: Final = 2 * 1024**3
_ENOUGH_FILES: Final = 1024
_CLOCK_SECONDS: Final = 5.0
_CONFINEMENT_SECONDS: Final = 60.0


@frozen
class Finding:
    """What a check found, as a sentence, with what to do unless all is ``ok``."""

    about: str
    state: Literal["ok", "note", "bad"]
    found: str


def checkup(login: Login | None, database: PostgresDatabase | None = None) -> Iterator[Finding]:
    """Yield each finding as soon as it is there; ``login`` is for the server to look at, if any, as is
    ``database``."""
    checks: list[Callable[[], Iterator[Finding]]] = [_versions, _filters, _formats, _third_parties, _engines]
    checks += [_gpu, _confinement, _ports, _disks, _limits]
    if database is not None:
        checks.append(partial(_database, database))
    if login is not None:
        checks.append(partial(_server, login))
    for check in checks:
        try:
            yield from check()
        except Exception as error:  # noqa: BLE001 - a broken installation may raise anything
            about = getattr(check, "__name__", "server").strip("_")
            yield Finding(
                about, "bad", f"{type(error).__name__}: {error}. Install DPIP again: pip install dpip"
            )


_MEND = "Mend or remove the package it is from."


def _versions() -> Iterator[Finding]:
    import twisted
    from dpip.worker.resources import cores

    versions = f"{__version__}, Python {platform.python_version()}, Twisted {twisted.__version__}"
    yield Finding("dpip", "ok", f"{versions}; {cores()} cores")


def _filters() -> Iterator[Finding]:
    """Load every kernel, and filter a small picture with each filter."""
    import numpy as np

    from dpip.filters import registry
    from dpip.filters.engine import apply
    from dpip.filters.warmup import warm_up

    said: list[str] = []
    began = time.monotonic()
    warm_up(said.append)
    took = time.monotonic() - began
    small = np.arange(32 * 32 * 3, dtype=np.uint8).reshape(32, 32, 3)
    names = registry.names()
    working = 0
    for name in names:
        try:
            apply(name, small, **registry.find(name).example)
        except Exception as error:  # noqa: BLE001 - a filter may raise anything, and the others be fine
            advice = "Install DPIP again: pip install dpip" if registry.is_built_in(name) else _MEND
            yield Finding("filters", "bad", f"{name} does not work: {error} {advice}")
        else:
            working += 1
    yield Finding("filters", "ok", f"{working} filters work; their kernels were ready in {took:.1f} s")
    for sentence in said:
        yield Finding("kernels", "note", sentence)


def _formats() -> Iterator[Finding]:
    """Encode and decode a picture in every format."""
    import numpy as np

    from dpip.filters import codec
    from dpip.filters.codec.picture import Frame, Picture
    from dpip.filters.output import FORMATS, validate_output

    frame = Frame(np.full((16, 16, 3), 128, np.uint8))
    for format in FORMATS:
        data, _ = codec.encode(Picture(format, (frame,)), (frame,), validate_output({"format": format}))
        codec.decode(data, max_pixels=1000)
    yield Finding("formats", "ok", f"{', '.join(FORMATS)} are read and written")
    for module, use in (("simplejpeg", "fast JPEG"), ("isal", "fast PNG")):
        if find_spec(module) is None:
            yield Finding("formats", "note", f"{module} is not installed: no {use}. pip install {module}")
    for module, extra, use in (("pillow_heif", "heif", "HEIC pictures"), ("rawpy", "raw", "raw photographs")):
        if find_spec(module) is None:
            advice = f"pip install 'dpip[{extra}]'"
            yield Finding("formats", "note", f"{module} is not installed: no {use}. {advice}")


def _third_parties() -> Iterator[Finding]:
    from dpip.filters import registry

    for name, why in registry.broken().items():
        yield Finding("filters", "bad", f"The filter {name} is left out: {why}. {_MEND}")


def _engines() -> Iterator[Finding]:
    from dpip.worker.dask.opening import EXTRA, MODULE

    if find_spec(MODULE) is None:
        yield Finding("engines", "note", f"{MODULE} is not installed: no Dask clusters. {EXTRA}")
    else:
        yield Finding("engines", "ok", "this machine, and Dask clusters (--engine dask://host:8786)")


def _gpu() -> Iterator[Finding]:
    from dpip.filters.cuda import choice, driver

    if not driver.present():
        yield Finding("gpu", "ok", "no NVIDIA GPU here; the CPU does everything")
        return
    said: list[str] = []
    used = choice.start(said.append, time.perf_counter)
    for sentence in said:
        yield Finding("gpu", "ok" if used else "note", sentence)


def _confinement() -> Iterator[Finding]:
    """Confine a process as compute children are: that holds for good, so not this one."""
    command = [sys.executable, "-m", "dpip.worker.sandbox"]
    run = subprocess.run(  # noqa: S603 - this Python, with words of our own
        command, stdout=subprocess.PIPE, check=True, timeout=_CONFINEMENT_SECONDS
    )
    confinement = json.loads(run.stdout)
    if confinement["means"]:
        yield Finding("sandbox", "ok", f"{' and '.join(confinement['means'])} confine filters here")
    for sentence in confinement["missing"]:
        yield Finding("sandbox", "note", sentence)


def _ports() -> Iterator[Finding]:
    for port, use in _PORTS.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                yield Finding(
                    "ports",
                    "note",
                    f"{port}, the usual one of {use}, is taken ({error.strerror}): DPIP runs already, or "
                    "another program has it and you choose another port",
                )
            else:
                yield Finding("ports", "ok", f"{port} is free for {use}")


def _disks() -> Iterator[Finding]:
    from dpip.runtime.options import default_state_dir

    for path, use in ((default_state_dir(), "state"), (Path(tempfile.gettempdir()), "temporary files")):
        there = next(each for each in (path, *path.parents) if each.exists())
        free = shutil.disk_usage(there).free
        if not os.access(there, os.W_OK):
            yield Finding(
                "disk", "bad", f"{there} ({use}) is not writable: name another place, or change its mode"
            )
        elif free < _ENOUGH_DISK:
            yield Finding("disk", "note", f"{there} ({use}) has only {size(free)} free: make room")
        else:
            yield Finding("disk", "ok", f"{size(free)} free for {use} in {path}")


def _limits() -> Iterator[Finding]:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < _ENOUGH_FILES:
        yield Finding("limits", "note", f"only {soft} open files are allowed: ulimit -n {_ENOUGH_FILES * 4}")
    else:
        yield Finding("limits", "ok", f"{soft} open files are allowed")


def _database(database: PostgresDatabase) -> Iterator[Finding]:
    """Look at a PostgreSQL server as a controller does before it starts."""
    from dpip.errors import DpipError

    try:
        version, warnings = database.look()
    except DpipError as error:
        yield Finding("database", "bad", error.detail)
        return
    yield Finding("database", "ok", f"PostgreSQL {version} can be used")
    for warning in warnings:
        yield Finding("database", "note", warning)


def _server(login: Login) -> Iterator[Finding]:
    from dpip.client import ClientError
    from dpip.client.blocking import Dpip

    authority = None if login.authority is None else Path(login.authority)
    try:
        with Dpip(login.server, login.token, patience=3, authority=authority) as dpip:
            facts = dpip.status()
            alone = facts["role"] == "admin" and not dpip.workers(1, "joined")
    except ClientError as error:
        yield Finding(
            "server", "bad", f"{error} Is it running? Are you logged in (dpip login {login.server})?"
        )
        return
    yield Finding("server", "ok", f"{login.server} answers to {facts['user']}, version {facts['version']}")
    if facts["version"] != __version__:
        yield Finding(
            "server", "note", f"it has version {facts['version']}, this is {__version__}: use the same"
        )
    if alone:
        yield Finding(
            "server",
            "note",
            "No worker has joined: start one with twistd -n dpip-worker --controller host",
        )
    for warning in facts.get("warnings", ()):
        yield Finding("server", "note", warning)
    apart = abs(datetime.fromisoformat(facts["server_time"]).timestamp() - time.time())
    if apart > _CLOCK_SECONDS:
        yield Finding(
            "clock", "note", f"the server's clock is {apart:.0f} s apart from this one: let NTP set both"
        )
    else:
        yield Finding("clock", "ok", "the server's clock and this one agree")
