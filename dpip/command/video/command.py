"""``dpip video`` filters a film."""

from __future__ import annotations

import os
import sys
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import click

from dpip.command.filter_options import FilterCommand, FilterSteps, checked
from dpip.command.run.options import ExecutorOptions, executor_options
from dpip.command.tables import counted, json_option, show_json

_KINDS: Final = (".mp4", ".m4v", ".mkv", ".mov", ".webm")
_WINDOW: Final = 150
"""Frames under way: enough for the slots of a large cluster, and some seconds of film to keep."""
_BATCH: Final = 200
"""Frames of a workload, which a server deletes when it is done: its disk need not hold the whole film."""


class VideoCommand(FilterCommand):
    """A command without output options: frames are sent as PNG, which loses nothing."""

    output_options = False


@click.command(
    cls=VideoCommand,
    epilog="""\b
Examples:
  dpip video holiday.mp4 -o gray.mp4 --filter grayscale
  dpip video holiday.mp4 -o small.mp4 --filter resize --width 640 --crf 23
  dpip run holiday.mp4 -o frames --filter grayscale      the frames as files
""",
)
@click.argument("film", metavar="IN", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--output",
    "-o",
    "result",
    metavar="OUT",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The film to be made: .mp4, .mkv, .mov or .webm.",
)
@click.option("--overwrite", is_flag=True, help="Even if OUT is there already.")
@click.option(
    "--crf",
    metavar="N",
    type=click.IntRange(0, 63),
    help="Less is finer and larger. [default: 18; .webm: 24]",
)
@click.option("--no-sound", is_flag=True, help="Leave the sound out.")
@json_option
@executor_options
def video(
    film: Path,
    result: Path,
    overwrite: bool,
    crf: int | None,
    no_sound: bool,
    steps: FilterSteps,
    output: dict[str, Any],
    options: ExecutorOptions,
    as_json: bool,
) -> None:
    """Filter a film, and keep its sound.

    The frames are filtered one by one, and joined again with the original's frame rate, size, colours,
    rotation and sound; an odd last row or column is left out. Needs PyAV: pip install 'dpip[video]'.
    """
    if not steps:
        raise click.UsageError("Name a filter, such as --filter grayscale; 'dpip filters' lists them.")
    steps, _ = checked(steps, {}, known_here=options.login is None)
    _check_place(result, film, overwrite)

    from dpip.command.event_loop import run
    from dpip.command.run.display import duration, figure

    part = result.with_name(f".{result.stem}.{os.getpid()}{result.suffix}")
    try:
        frames, seconds = run(lambda reactor: _filter(reactor, film, part, crf, not no_sound, steps, options))
        part.replace(result)
    finally:
        part.unlink(missing_ok=True)
    if as_json:
        show_json({"frames": frames, "seconds": round(seconds, 3), "output": str(result)})
        return
    rate = figure(frames / max(seconds, 0.001))
    click.echo(f"{counted(frames, 'frame')} in {duration(seconds)} ({rate} frames/s): {result}")


async def _filter(
    reactor: Any,
    path: Path,
    to: Path,
    crf: int | None,
    sound: bool,
    steps: FilterSteps,
    options: ExecutorOptions,
) -> tuple[int, float]:
    """Filter the film; returns the number of frames and the seconds. Raises ClickException, ClientError."""
    from twisted.internet.threads import deferToThread

    from dpip.command.progress import display_on_terminal, lines_on
    from dpip.command.run.display import RunDisplay
    from dpip.command.run.executor import open_executor
    from dpip.command.run.films import Film
    from dpip.command.video.copy import FilmCopy
    from dpip.command.video.frames import FilmFrames

    filters = "+".join(step["name"] for step in steps)
    with (
        display_on_terminal(sys.stderr, reactor) as terminal,
        Film(path) as film,
        closing(FilmCopy(to, film, crf, sound)) as copy,
    ):
        display = RunDisplay(terminal, filters, options, film.length, lines=lambda: lines_on(sys.stderr))
        async with open_executor(
            reactor,
            display,
            to.with_suffix(".log"),
            FilmFrames(film, copy),
            steps,
            {"format": "PNG"},
            f"dpip video {path.name}",
            window=_WINDOW,
            batch=_BATCH,
            delete=True,
            in_order=True,
        ) as executor:
            await executor.run()
            await deferToThread(copy.finish)
            return executor.counts.done, display.seconds


def _check_place(result: Path, film: Path, overwrite: bool) -> None:
    """Raise UsageError when the film cannot be written there."""
    if result.suffix.lower() not in _KINDS:
        raise click.UsageError(f"-o {result}: the name of the film ends in one of {', '.join(_KINDS)}.")
    if result.exists() and result.samefile(film):
        raise click.UsageError("The result cannot take the place of the film that it is made from.")
    if result.exists() and not overwrite:
        raise click.UsageError(f"{result} is there already. Name another file, or say --overwrite.")
    if not result.parent.is_dir():
        raise click.UsageError(f"There is no folder {result.parent} to write the film to.")
