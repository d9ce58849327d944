"""``dpip video``: a film through a filter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from dpip.command.filteroptions import FilterCommand, FilterSteps
from dpip.command.server import Choice, system_options
from dpip.command.tables import json_option


class VideoCommand(FilterCommand):
    """What the frames are sent as is no choice: it must lose nothing."""

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
@system_options
def video(
    film: Path,
    result: Path,
    overwrite: bool,
    crf: int | None,
    no_sound: bool,
    steps: FilterSteps,
    output: dict[str, Any],
    choice: Choice,
    local: bool,
    as_json: bool,
    **system: Any,
) -> None:
    """Filter a film, and keep its sound.

    The frames are filtered one by one, and joined again with the original's frame rate, size, colours,
    rotation and sound; an odd last row or column is left out. Needs PyAV: pip install 'dpip[video]'.
    """
    import os

    from dpip.command.filming import check_place
    from dpip.command.filteroptions import checked

    if not steps:
        raise click.UsageError("Name a filter, such as --filter grayscale; 'dpip filters' lists them.")
    login = None if local else choice.named()
    steps, _ = checked(steps, {}, known_here=login is None)
    check_place(result, film, overwrite)

    part = result.with_name(f".{result.stem}.{os.getpid()}{result.suffix}")
    try:
        _make(film, part, crf, not no_sound, steps, login, system, result, as_json)
        part.replace(result)
    finally:
        part.unlink(missing_ok=True)


def _make(
    film: Path,
    part: Path,
    crf: int | None,
    sound: bool,
    steps: FilterSteps,
    login: Any,
    options: dict[str, Any],
    result: Path,
    as_json: bool,
) -> None:
    import sys

    from dpip.command.filming import Showing
    from dpip.command.progress import SilentDisplay, display_on_terminal
    from dpip.command.running import run
    from dpip.command.system import System
    from dpip.command.tables import show_json

    def begin(reactor: Any) -> Any:
        system.display = display_on_terminal(sys.stderr, reactor)
        return showing.run(reactor, film, part, crf, sound)

    system = System(login, SilentDisplay(), part.with_suffix(".log"), **options)
    showing = Showing(system, steps)
    run(begin)
    if as_json:
        show_json(showing.as_json(result))
    else:
        click.echo(showing.summary(result))
