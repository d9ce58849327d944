"""``dpip backup`` and ``dpip restore``: a service's whole state as one file."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dpip.command.server import database_option, parse_database, state_dir_option, store_option
from dpip.command.tables import size

if TYPE_CHECKING:
    from dpip.backup import Service
    from dpip.datastore.postgres import PostgresDatabase

_file = click.argument("file", type=click.Path(dir_okay=False, path_type=Path))


def _service(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add options that say where a service keeps what it has; the command gets them as ``service``."""

    @database_option
    @store_option
    @state_dir_option
    @wraps(command)
    def chosen(
        *arguments: Any,
        state_dir: Path | None,
        store: Path | None,
        database: PostgresDatabase | None,
        **options: Any,
    ) -> Any:
        from dpip.backup import Service

        state = _state_dir(state_dir)
        service = Service(state, (store or state / "images").absolute(), database)
        return command(*arguments, service=service, **options)

    return chosen


@click.command()
@_file
@click.option(
    "--verify", "checks", is_flag=True, help="Check that FILE, made earlier, is whole and unchanged."
)
@_service
def backup(file: Path, checks: bool, service: Service) -> None:
    """Write users, workloads, images and keys of the service on this machine to FILE.

    While it runs, too: the backup is of one moment. It holds the keys: keep it as safe as them.
    """
    from dpip.backup import back_up, verify

    if checks:
        found = verify(file)
        click.echo(f"{file} is whole: {found.images} images ({size(found.size)}) with everything else.")
        return
    saved = back_up(service, file)
    click.echo(f"{saved.images} images ({size(saved.size)}) with everything else are in {file}.")


@click.command()
@_file
@click.option("--replace", is_flag=True, help="Move what is in the state directory into a folder of it.")
@_service
def restore(file: Path, replace: bool, service: Service) -> None:
    """Make a state directory of the backup FILE, for a service that does not run.

    The directory must be empty, but with --replace. Workers join the restored service as they did before.
    With --database the rows go to that database, which must be empty.
    """
    from dpip.backup import restore as restored

    saved = restored(file, service, replace)
    click.echo(f"{saved.images} images ({size(saved.size)}) with everything else are in {service.state}.")


@click.command()
@click.option("--to", "database", metavar="URL", callback=parse_database, help="[env: DPIP_DATABASE]")
@state_dir_option
def migrate(database: PostgresDatabase | None, state_dir: Path | None) -> None:
    """Copy users, workloads and keys of a service that does not run to an empty PostgreSQL database.

    Every row is read again and compared. Images stay where they are, and the state directory as it is: start
    the service with --database from now on.
    """
    from dpip.backup import move

    if database is None:
        raise click.UsageError("--to postgresql://… is needed: which database?")
    count = move(_state_dir(state_dir), database)
    click.echo(f"{count} rows are copied, and compared one by one. Start the service with --database now.")


def _state_dir(state_dir: Path | None) -> Path:
    from dpip.runtime.options import default_state_dir

    return (state_dir or default_state_dir()).absolute()
