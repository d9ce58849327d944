"""``dpip backup`` and ``dpip restore``: a service's whole state as one file."""

from __future__ import annotations

from pathlib import Path

import click

from dpip.command.tables import size

_file = click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
_state = click.option(
    "--state-dir",
    metavar="DIR",
    envvar="DPIP_STATE_DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the service keeps its state. [env: DPIP_STATE_DIR; default: the user's state directory]",
)


@click.command()
@_file
@click.option(
    "--verify", "checks", is_flag=True, help="Check that FILE, made earlier, is whole and unchanged."
)
@_state
def backup(file: Path, checks: bool, state_dir: Path | None) -> None:
    """Write users, workloads, images and keys of the service on this machine to FILE.

    While it runs, too: the backup is of one moment. It holds the keys: keep it as safe as them.
    """
    from dpip.backup import back_up, verify

    if checks:
        found = verify(file)
        click.echo(f"{file} is whole: {found.images} images ({size(found.size)}) with everything else.")
        return
    saved = back_up(_there(state_dir), file)
    click.echo(f"{saved.images} images ({size(saved.size)}) with everything else are in {file}.")


@click.command()
@_file
@click.option("--replace", is_flag=True, help="Move what is in the state directory into a folder of it.")
@_state
def restore(file: Path, replace: bool, state_dir: Path | None) -> None:
    """Make a state directory of the backup FILE, for a service that does not run.

    The directory must be empty, but with --replace. Workers join the restored service as they did before.
    """
    from dpip.backup import restore as restored

    state = _there(state_dir)
    saved = restored(file, state, replace)
    click.echo(f"{saved.images} images ({size(saved.size)}) with everything else are in {state}.")


def _there(state_dir: Path | None) -> Path:
    from dpip.runtime.options import default_state_dir

    return (state_dir or default_state_dir()).absolute()
