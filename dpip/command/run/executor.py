"""The executor, which filters the images of a run: a server, or this machine or a Dask cluster."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from dpip import __version__
from dpip.client import Counts, Sender, UploadPipeline
from dpip.command.log_file import log_to
from dpip.command.run.display import RunDisplay
from dpip.command.run.local import local_executor
from dpip.command.server import connected


class Executor(Protocol):
    """Has a sender's items filtered: an UploadPipeline or a LocalExecutor."""

    changed: Callable[[], object]
    counts: Counts
    engine: str

    @property
    def workload_ids(self) -> Sequence[str]: ...

    async def run(self) -> None:
        """Return when every item has ended."""


def local_engine(steps: Sequence[Mapping[str, Any]]) -> str:
    """Name what filters on this machine: DPIP's version, and those of other packages' filters."""
    from dpip.filters import registry

    others = (step["name"] for step in steps if not registry.is_built_in(step["name"]))
    return " ".join((__version__, *(f"{name} {registry.find(name).version}" for name in others)))


@asynccontextmanager
async def open_executor(
    reactor: Any,
    display: RunDisplay,
    log_path: Path,
    sender: Sender,
    steps: Sequence[Mapping[str, Any]],
    output: Mapping[str, Any],
    name: str,
    **pipeline: Any,
) -> AsyncIterator[Executor]:
    """Open an executor on the server that the display's options name, else on their cluster or this machine.

    ``name`` is for workloads on the server, ``pipeline`` has options for UploadPipeline; this machine ignores
    both. It logs to ``log_path``, which stays only if the filters do not start, and has its temporary files
    beside it.

    Raises ClickException, ClientError, OSError.
    """
    options = display.options
    if options.login is None:
        log_to(log_path, display.heard)
        display.starting()
        ready = False
        try:
            async with local_executor(reactor, options, log_path.parent, sender, steps, output) as local:
                ready = True
                local.engine = local_engine(steps)
                display.begin(local, f"ready, {local.pool.slots} at once")
                yield local
        finally:
            if ready:
                log_path.unlink(missing_ok=True)
        return
    connecting = connected(
        reactor,
        options.login,
        patience=options.patience,
        connections=options.connections,
        trouble=display.trouble,
    )
    async with connecting as client:
        make = partial(client.create_workload, name=name, steps=steps, output=output, numbering="frames")
        remote = UploadPipeline(client, reactor, sender, make, concurrency=options.connections, **pipeline)
        remote.engine = str((await client.status())["version"])
        remote.stalled = display.stalled
        display.begin(remote)
        yield remote
