"""The options of commands that filter images: where that happens, and how many at a time."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import click
from attrs import frozen

from dpip.command.saved_logins import Login
from dpip.command.server import Choice, server_options
from dpip.worker.dask.address import ClusterAddress, check_secure, cluster_address


@frozen
class ExecutorOptions:
    """Where to filter: ``login`` is for the server, None for this machine; ``patience`` is in seconds."""

    login: Login | None
    slots: int | None = None
    connections: int = 4
    patience: float = 300.0
    cluster: ClusterAddress | None = None  # that computes in place of this machine

    @property
    def server(self) -> str | None:
        """The address of the server."""
        return None if self.login is None else self.login.server


def executor_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add options that the command gets as one :class:`ExecutorOptions` named ``options``."""

    @click.option(
        "--local", is_flag=True, help="On this machine, even when a server is named or logged in to."
    )
    @click.option(
        "--engine",
        metavar="URL",
        help="A Dask cluster that computes, without a server: dask://host:8786, or dask+tls://….",
    )
    @click.option("--insecure", is_flag=True, help="Take a Dask cluster elsewhere that has no TLS.")
    @click.option(
        "--slots", metavar="N", type=click.IntRange(1, 256), help="Images filtered at once on this machine."
    )
    @click.option(
        "--connections",
        metavar="N",
        type=click.IntRange(1, 64),
        default=4,
        show_default=True,
        help="Uploads, and downloads, at once.",
    )
    @click.option(
        "--patience",
        metavar="SECONDS",
        type=click.FloatRange(0),
        default=300,
        show_default=True,
        help="How long to wait for a server, or a cluster, that has gone away.",
    )
    @server_options
    @wraps(command)
    def chosen(
        choice: Choice,
        local: bool,
        engine: str | None,
        insecure: bool,
        slots: int | None,
        connections: int,
        patience: float,
        **others: Any,
    ) -> Any:
        cluster = _cluster(engine, insecure)
        if cluster is not None and (local or slots is not None):
            raise click.UsageError("--engine names who computes: leave --local and --slots out.")
        login = None if local or cluster is not None else choice.named()
        return command(options=ExecutorOptions(login, slots, connections, patience, cluster), **others)

    return chosen


def _cluster(engine: str | None, insecure: bool) -> ClusterAddress | None:
    """Return the cluster to use, if any. Raises UsageError."""
    if engine is None:
        return None
    try:
        cluster = cluster_address(engine)
        check_secure(cluster, insecure)
    except ValueError as error:
        raise click.UsageError(f"--engine: {error}") from None
    return cluster
