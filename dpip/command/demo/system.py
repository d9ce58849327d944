"""The whole system in this process, for the time that ``dpip demo`` needs it."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import click
from twisted.internet.defer import Deferred, TimeoutError

from dpip.client import Client
from dpip.runtime.startup import CannotStart
from dpip.runtime.tempdirs import LockedTempDir
from dpip.tap import EmbeddedService, ServiceOptions

_VARIABLE = "DPIP_ADMIN_PASSWORD"
_START_SECONDS, _STOP_SECONDS = 300, 20
_DISK_FLOOR = "64M"  # keep this free on the temporary directory's disk; the service's default is larger


@asynccontextmanager
async def whole_system(reactor: Any, slots: int | None) -> AsyncIterator[Client]:
    """Start a system on free ports, with its state in a temporary directory; the client is logged in to it.

    At the end the system stops, and the directory is removed. Raises ClickException when it cannot start.
    """
    with closing(LockedTempDir(Path(tempfile.gettempdir()), "dpip-system-")) as state:
        arguments = ["--state-dir", str(state.open()), "--http", "127.0.0.1:0", "--pb", "127.0.0.1:0"]
        arguments += ["--disk-floor", _DISK_FLOOR]
        arguments += ["--slots", str(slots)] if slots else []
        options = ServiceOptions()
        options.parseOptions(arguments)
        os.environ[_VARIABLE] = password = secrets.token_urlsafe()  # for the admin that the first start adds
        service = EmbeddedService(options, reactor)
        try:
            service.startService()
            await _within(_START_SECONDS, reactor, service.ready, "start")
            del os.environ[_VARIABLE]
            async with Client(reactor, service.api_url) as client:
                await client.login("admin", password)
                yield client
        except CannotStart as reason:
            raise click.ClickException(f"DPIP cannot start: {reason}") from None
        finally:
            await _within(_STOP_SECONDS, reactor, service.stopService(), "stop")


async def _within(seconds: float, reactor: Any, done: Deferred[None], what: str) -> None:
    try:
        await done.addTimeout(seconds, reactor)
    except TimeoutError:
        raise click.ClickException(f"DPIP did not {what} within {seconds:g} seconds.") from None
