"""DPIP whole in this process, for as long as a command needs it."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import click
from twisted.internet.defer import Deferred, TimeoutError

from dpip.client import Client
from dpip.command.temporary import temporary
from dpip.start import CannotStart
from dpip.tap import Options, make_service

_PREFIX = "dpip-system-"
_VARIABLE = "DPIP_ADMIN_PASSWORD"
_START_SECONDS, _STOP_SECONDS = 300, 20
_DISK_FLOOR = "64M"  # what is left of the temporary directory's disk; the service's own default is larger


@asynccontextmanager
async def embedded(reactor: Any, slots: int | None) -> AsyncIterator[Client]:
    """A client, logged in to a system on free ports of this machine, with its state in a temporary directory.

    At the end the system stops, and the directory goes. Raises ClickException when it cannot start.
    """
    async with temporary(Path(tempfile.gettempdir()), _PREFIX) as state:
        try:
            async with _running(reactor, _options(state, slots)) as url, Client(reactor, url) as client:
                await client.login("admin", os.environ.pop(_VARIABLE))
                yield client
        except CannotStart as reason:
            raise click.ClickException(f"DPIP cannot start: {reason}") from None


@asynccontextmanager
async def _running(reactor: Any, options: Options) -> AsyncIterator[str]:
    """The API's address."""
    os.environ[_VARIABLE] = secrets.token_urlsafe()  # for the admin that the first start makes
    service = make_service(options, reactor)
    try:
        service.startService()
        await _within(_START_SECONDS, reactor, service.ready, "start")
        yield service.api_url
    finally:
        await _within(_STOP_SECONDS, reactor, service.stopService(), "stop")


async def _within(seconds: float, reactor: Any, done: Deferred[None], what: str) -> None:
    try:
        await done.addTimeout(seconds, reactor)
    except TimeoutError:
        raise click.ClickException(f"DPIP did not {what} within {seconds:g} seconds.") from None


def _options(state: Path, slots: int | None) -> Options:
    options = Options()
    arguments = ["--state-dir", str(state), "--http", "127.0.0.1:0", "--pb", "127.0.0.1:0"]
    arguments += ["--disk-floor", _DISK_FLOOR]
    arguments += ["--slots", str(slots)] if slots else []
    options.parseOptions(arguments)
    return options
