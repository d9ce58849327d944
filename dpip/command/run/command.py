"""``dpip run`` filters files and folders."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from contextlib import closing
from os.path import abspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dpip.command.filter_options import FilterCommand, FilterSteps, checked
from dpip.command.run.options import ExecutorOptions, executor_options

if TYPE_CHECKING:
    from dpip.command.run.images import RunImages
    from dpip.command.run.journal import RunTask

SOME_FAILED = 3
_LOG = ".dpip-run.log"

_EXAMPLES = """\b
Examples:
  dpip run photos -o blurred --filter blur --sigma 5
  dpip run 'scans/**/*.tif' -o web --step grayscale --step resize:width=800 --format jpeg
  dpip run photos -o web --format webp --max-bytes 300K
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
@click.option("--overwrite", is_flag=True, help="Filter all again, and write over files of the same name.")
@click.option("--rename", is_flag=True, help="Filter all again; where a name is taken, add a number.")
@click.option("--no-times", is_flag=True, help="Results get the present time, not that of their originals.")
@click.option("--name", metavar="NAME", default="", help="What the server calls it.")
@click.option("--delete", is_flag=True, help="Delete the workload from the server in the end.")
@click.option("--json", "as_json", is_flag=True, help="A line of JSON for each image, and one for all.")
@executor_options
def run(
    inputs: tuple[str, ...],
    folder: Path,
    resume: bool,
    overwrite: bool,
    rename: bool,
    no_times: bool,
    steps: FilterSteps,
    output: dict[str, Any],
    options: ExecutorOptions,
    name: str,
    delete: bool,
    as_json: bool,
) -> None:
    """Filter files, and all images in folders.

    IN is a file, a folder (with the folders in it, but nothing whose name begins with a dot), or a pattern
    such as 'scans/**/*.tif'. The results have the names and times of the originals; no original is ever
    written over, nor any other file but earlier results. The same command again does only what is new or has
    changed. What is not an image is passed over in folders and patterns, and told. Without a server, this
    machine does the work: compute processes are started for it, and no port is opened.
    """
    if overwrite and rename:
        raise click.UsageError("Give either --overwrite or --rename.")
    task = _task(inputs, steps, output, options, resume)
    _check_folder(folder)

    from dpip.command.event_loop import run as run_reactor
    from dpip.command.run.images import RunImages
    from dpip.command.run.inputs import Inputs
    from dpip.command.run.journal import Journal, Manner
    from dpip.command.run.report import RunReport

    if task is not None:
        Inputs(task.inputs, folder).check()
    manner = Manner("overwrite" if overwrite else "rename" if rename else "update", not no_times)
    named, folder = folder, folder.resolve()
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    with closing(Journal.opened(folder, task, resume, manner)) as journal:
        _check_same_inputs(inputs, journal.task.inputs)
        files = Inputs(journal.task.inputs, folder, journal.has_result)
        files.check()
        report = RunReport(journal.folder, as_json)
        images = RunImages(files, journal, report)
        try:
            seconds, workload_ids = run_reactor(
                lambda reactor: _filter(reactor, images, options, name, delete)
            )
        except KeyboardInterrupt:
            resumed = f"dpip run -o {shlex.quote(str(named))} --resume"
            click.echo(f"{report.done} images were done. Go on with: {resumed}", err=True)
            raise
        except Exception:
            journal.forget_if_unused(missing)
            raise
        report.finish(seconds, options.server, workload_ids)
    if report.failed:
        raise click.exceptions.Exit(SOME_FAILED)


async def _filter(
    reactor: Any, images: RunImages, options: ExecutorOptions, name: str, delete: bool
) -> tuple[float, Sequence[str]]:
    """Filter the images; returns the seconds, and the workloads made. Raises ClickException, ClientError."""
    from dpip.command.progress import display_on_terminal, lines_on
    from dpip.command.run.display import RunDisplay
    from dpip.command.run.executor import local_engine, open_executor

    journal, task, report = images.journal, images.journal.task, images.report
    filters = "+".join(step["name"] for step in task.steps)
    if options.login is None:
        images.engine = local_engine(task.steps)
        if not await images.is_anything_left():  # so nothing needs to be started
            journal.end()
            return 0.0, ()
    with display_on_terminal(sys.stderr, reactor) as terminal:
        display = RunDisplay(
            terminal, filters, options, lines=lambda: lines_on(sys.stderr), beside=report.beside
        )
        async with (
            open_executor(
                reactor,
                display,
                journal.folder / _LOG,
                images,
                task.steps,
                task.output,
                name or f"dpip run {filters}",
                delete=delete,
            ) as executor,
            images.counting(display.expect),
        ):
            images.engine = images.engine or executor.engine
            await executor.run()
            seconds = display.seconds
    journal.end()
    return seconds, executor.workload_ids


def _task(
    inputs: tuple[str, ...],
    steps: FilterSteps,
    output: dict[str, Any],
    options: ExecutorOptions,
    resume: bool,
) -> RunTask | None:
    """Return the task that was asked for; None to resume whatever the folder holds. Raises UsageError."""
    from dpip.command.run.journal import RunTask

    if resume and not steps and not output:
        return None
    if not inputs:
        raise click.UsageError("Name the files or folders to work on.")
    if not steps:
        raise click.UsageError(
            "Name a filter, such as --filter grayscale; 'dpip filters' lists them. --format converts."
        )
    steps, output = checked(steps, output, known_here=options.login is None)
    return RunTask(tuple(map(abspath, inputs)), steps, output, options.server)


def _check_same_inputs(named: tuple[str, ...], of_the_run: tuple[str, ...]) -> None:
    """Raise UsageError if a resumed run is of other files than those named, if any are."""
    if named and sorted(map(abspath, named)) != sorted(of_the_run):
        raise click.UsageError(
            f"The run in this folder is of {', '.join(of_the_run)}. Leave the files out to go on with it, or "
            "name another folder with -o."
        )


def _check_folder(folder: Path) -> None:
    from dpip.command.run.destinations import is_image_name

    if is_image_name(folder) and not folder.is_dir():
        raise click.UsageError(f"-o names the folder for the results, and {folder} looks like a file.")
