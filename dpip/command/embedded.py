"""DPIP whole in this process, for as long as a command needs it."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import click
from twisted.internet.threads import deferToThread

from dpip.client import Client
from dpip.controller.service import CannotStart
from dpip.tap import Options, make_service

_VARIABLE = "DPIP_ADMIN_PASSWORD"
_STOP_SECONDS = 20
_DISK_FLOOR = "64M"  # what is left of the temporary directory's disk; the service's own default is larger


@asynccontextmanager
async def embedded(reactor: Any, slots: int | None) -> AsyncIterator[Client]:
    """A client, logged in to a system on free ports of this machine, with its state in a temporary directory.

    At the end the system stops, and the directory goes. Raises ClickException when it cannot start.
    """
    state = Path(tempfile.mkdtemp(prefix="dpip-"))
    options = Options()
    options.parseOptions(_arguments(state, slots))
    service = make_service(options, reactor)
    password = secrets.token_urlsafe()
    os.environ[_VARIABLE] = password  # read once, by the first start
    try:
        service.startService()
        await service.ready
        async with Client(reactor, service.api_url) as client:
            await client.login("admin", password)
            yield client
    except CannotStart as reason:
        raise click.ClickException(f"DPIP cannot start: {reason}") from None
    finally:
        del os.environ[_VARIABLE]
        await service.stopService().addTimeout(_STOP_SECONDS, reactor)
        await deferToThread(shutil.rmtree, state, ignore_errors=True)


def _arguments(state: Path, slots: int | None) -> list[str]:
    arguments = ["--state-dir", str(state), "--http", "127.0.0.1:0", "--pb", "127.0.0.1:0"]
    arguments += ["--disk-floor", _DISK_FLOOR]
    return [*arguments, "--slots", str(slots)] if slots else arguments
