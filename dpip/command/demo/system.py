"""The whole system in this process, for as long as ``dpip demo`` needs it."""

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
from dpip.command.temporary_directory import temporary
from dpip.runtime.startup import CannotStart
from dpip.tap import EmbeddedService, ServiceOptions

_VARIABLE = "DPIP_ADMIN_PASSWORD"
_START_SECONDS, _STOP_SECONDS = 300, 20
_DISK_FLOOR = "64M"  # what is left of the temporary directory's disk; the service's own default is larger


@asynccontextmanager
async def whole_system(reactor: Any, slots: int | None) -> AsyncIterator[Client]:
    """A client, logged in to a system on free ports of this machine, with its state in a temporary directory.

    At the end the system stops, and the directory goes. Raises ClickException when it cannot start.
    """
    async with temporary(Path(tempfile.gettempdir()), "dpip-system-") as state:
        arguments = ["--state-dir", str(state), "--http", "127.0.0.1:0", "--pb", "127.0.0.1:0"]
        arguments += ["--disk-floor", _DISK_FLOOR]
        arguments += ["--slots", str(slots)] if slots else []
        options = ServiceOptions()
        options.parseOptions(arguments)
        os.environ[_VARIABLE] = password = secrets.token_urlsafe()  # of the admin that the first start makes
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
