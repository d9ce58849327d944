"""``dpip run``: files and folders through a filter."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from dpip.command.filteroptions import FilterCommand, FilterSteps
from dpip.command.server import Choice, system_options

SOME_FAILED = 3

_EXAMPLES = """\b
Examples:
  dpip run photos -o blurred --filter blur --sigma 5
  dpip run 'scans/**/*.tif' -o web --step grayscale --step resize:width=800 --format jpeg
  dpip run photos -o blurred --resume        goes on after Ctrl-C or a crash
  dpip run photos -o gray -f grayscale --server https://images.example:8080

\b
Ends with 0 when all images are done, 3 when some have failed, 4 when the server cannot be
reached, 130 after Ctrl-C, 2 for wrong usage, 1 for anything else.
"""


@click.command(cls=FilterCommand, epilog=_EXAMPLES)
@click.argument("inputs", metavar="IN...", nargs=-1)
@click.option(
    "--output",
    "-o",
    "folder",
    metavar="OUT",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder for the results; made when it is not there.",
)
@click.option("--resume", is_flag=True, help="Go on with the run that OUT holds: what is finished stays.")
@click.option("--name", metavar="NAME", default="", help="What the server calls it.")
@click.option("--delete", is_flag=True, help="Delete the workload from the server in the end.")
@click.option("--json", "as_json", is_flag=True, help="A line of JSON for each image, and one for all.")
@system_options
def run(
    inputs: tuple[str, ...],
    folder: Path,
    resume: bool,
    steps: FilterSteps,
    output: dict[str, Any],
    choice: Choice,
    local: bool,
    as_json: bool,
    **more: Any,
) -> None:
    """Filter files, and all images in folders.

    IN is a file, a folder (with the folders in it, but nothing whose name begins with a dot), or a pattern
    such as 'scans/**/*.tif'. The results have the names of the originals; nothing is ever written over
    another file. What is not an image is passed over in folders and patterns, and told. Without a server,
    this machine does the work: compute processes are started for it, and no port is opened.
    """
    login = None if local else choice.named()
    task = _task(inputs, steps, output, login.server if login else None, resume)
    _check_folder(folder)

    from dpip.command.inputs import Inputs
    from dpip.command.journal import Journal

    if task is not None:
        Inputs(task.inputs, folder).check()
    journal = Journal.opened(folder.absolute(), task, resume)
    try:
        _check_same_inputs(inputs, journal.task.inputs)
        files = Inputs(journal.task.inputs, folder)
        files.check()
        failed = _run(journal, files, login, as_json, more)
    finally:
        journal.close()
    if failed:
        raise click.exceptions.Exit(SOME_FAILED)


def _run(journal: Any, files: Any, login: Any, as_json: bool, more: dict[str, Any]) -> int:
    """How many images have failed."""
    import sys

    from dpip.command.pictures import json_line
    from dpip.command.progress import SilentDisplay, display_on_terminal
    from dpip.command.runner import LOG, Runner
    from dpip.command.running import run as run_reactor
    from dpip.command.system import System

    told = json_line if as_json else _nobody

    def begin(reactor: Any) -> Any:
        system.display = display_on_terminal(sys.stderr, reactor)
        return runner.run(reactor)

    delete, name = more.pop("delete"), more.pop("name")
    system = System(login, SilentDisplay(), journal.folder / LOG, **more)
    runner = Runner(journal, files, system, told, delete, name)
    try:
        run_reactor(begin)
    except KeyboardInterrupt:
        folder = shlex.quote(str(click.get_current_context().params["folder"]))
        done = runner.counts.done
        click.echo(f"{done} images were done. Go on with: dpip run -o {folder} --resume", err=True)
        raise
    if as_json:
        json_line(runner.as_json())
    else:
        for line in runner.summary():
            click.echo(line)
    return runner.failed


def _task(
    inputs: tuple[str, ...], steps: FilterSteps, output: dict[str, Any], server: str | None, resume: bool
) -> Any:
    """What is asked for; None to go on with whatever the folder holds."""
    from os.path import abspath

    from dpip.command.filteroptions import checked
    from dpip.command.journal import Task

    if resume and not steps and not output:
        return None
    if not inputs:
        raise click.UsageError("Name the files or folders to work on.")
    if not steps:
        raise click.UsageError("Name a filter, such as --filter grayscale; 'dpip filters' lists them.")
    return Task(tuple(map(abspath, inputs)), *checked(steps, output, known_here=server is None), server)


def _check_same_inputs(named: tuple[str, ...], of_the_run: tuple[str, ...]) -> None:
    """A resumed run is of the same files; naming them again is not needed."""
    from os.path import abspath

    if named and sorted(map(abspath, named)) != sorted(of_the_run):
        raise click.UsageError(
            f"The run in this folder is of {', '.join(of_the_run)}. Leave the files out to go on with it, or "
            "name another folder with -o."
        )


def _check_folder(folder: Path) -> None:
    from dpip.command.placing import is_image_name

    if is_image_name(folder) and not folder.is_dir():
        raise click.UsageError(f"-o names the folder for the results, and {folder} looks like a file.")


def _nobody(_facts: dict[str, Any]) -> None:
    """Without --json nobody is told of each image."""
