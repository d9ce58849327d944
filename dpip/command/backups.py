"""``dpip backup`` and ``dpip restore``: a service's whole state as one file."""

from __future__ import annotations

from pathlib import Path

import click

from dpip.command.server import state_dir_option
from dpip.command.tables import size

_file = click.argument("file", type=click.Path(dir_okay=False, path_type=Path))


@click.command()
@_file
@click.option(
    "--verify", "checks", is_flag=True, help="Check that FILE, made earlier, is whole and unchanged."
)
@state_dir_option
def backup(file: Path, checks: bool, state_dir: Path | None) -> None:
    """Write users, workloads, images and keys of the service on this machine to FILE.

    While it runs, too: the backup is of one moment. It holds the keys: keep it as safe as them.
    """
    from dpip.backup import back_up, verify

    if checks:
        found = verify(file)
        click.echo(f"{file} is whole: {found.images} images ({size(found.size)}) with everything else.")
        return
    saved = back_up(_state_dir(state_dir), file)
    click.echo(f"{saved.images} images ({size(saved.size)}) with everything else are in {file}.")


@click.command()
@_file
@click.option("--replace", is_flag=True, help="Move what is in the state directory into a folder of it.")
@state_dir_option
def restore(file: Path, replace: bool, state_dir: Path | None) -> None:
    """Make a state directory of the backup FILE, for a service that does not run.

    The directory must be empty, but with --replace. Workers join the restored service as they did before.
    """
    from dpip.backup import restore as restored

    state = _state_dir(state_dir)
    saved = restored(file, state, replace)
    click.echo(f"{saved.images} images ({size(saved.size)}) with everything else are in {state}.")


def _state_dir(state_dir: Path | None) -> Path:
    from dpip.runtime.options import default_state_dir

    return (state_dir or default_state_dir()).absolute()
