"""``dpip video`` filters a film."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from dpip.command.filter_options import FilterCommand, FilterSteps, checked
from dpip.command.run.options import ExecutorOptions, executor_options
from dpip.command.tables import counted, json_option, plain, show_json
from dpip.command.video.codecs import CODECS, KINDS, check

if TYPE_CHECKING:
    from dpip.command.video.segments import Segments

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
  dpip video overlay.mov -o overlay.webm --filter blur --codec vp9
  dpip video holiday.mp4 -o gray.mp4 --filter grayscale --resume      goes on after Ctrl-C or a crash
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
@click.option("--resume", is_flag=True, help="Go on with an unfinished film; the same command does so, too.")
@click.option(
    "--codec",
    type=click.Choice(list(CODECS)),
    help="How the pictures are stored. [default: as in the original if OUT takes it, else h264, hevc or vp9]",
)
@click.option(
    "--crf",
    metavar="N",
    type=click.IntRange(0, 63),
    help="Less is finer and larger. [default: h264 18, hevc 20, av1 and vp9 24]",
)
@click.option("--no-sound", is_flag=True, help="Leave the sound out.")
@json_option
@executor_options
def video(
    film: Path,
    result: Path,
    overwrite: bool,
    resume: bool,
    codec: str | None,
    crf: int | None,
    no_sound: bool,
    steps: FilterSteps,
    output: dict[str, Any],
    options: ExecutorOptions,
    as_json: bool,
) -> None:
    """Filter a film, and keep its sound.

    The frames are filtered one by one, and joined again with the original's frame rate, size, colours,
    transparency, rotation, sound, subtitles and chapters, as far as OUT's kind takes them; what it does not
    is told. An odd last row or column is left out. Needs PyAV: pip install 'dpip[video]'.
    """
    if not steps:
        raise click.UsageError("Name a filter, such as --filter grayscale; 'dpip filters' lists them.")
    steps, _ = checked(steps, {}, known_here=options.login is None)
    _check_place(result, film, overwrite)
    check(codec, crf, result.suffix.lower())

    from dpip.command.event_loop import run
    from dpip.command.run.display import duration, figure
    from dpip.command.run.journal import FileState
    from dpip.command.video.segments import Segments

    state = FileState.of(film)
    original = [str(film.absolute()), state.size, state.time]
    chosen = codec, crf, not no_sound
    task = {"film": original, "steps": steps, "codec": codec, "crf": crf}
    segments = Segments(result.with_name(f".{result.name}.dpip-video"), task)
    part = segments.folder / f"whole{result.suffix}"
    try:
        segments.open(resume)
        frames, seconds, notices = run(
            lambda reactor: _filter(reactor, film, part, result, segments, chosen, steps, options)
        )
        part.replace(result)
    except KeyboardInterrupt:
        click.echo(f"{segments.frames} frames are kept. Go on with the same command, or --resume.", err=True)
        raise
    finally:
        part.unlink(missing_ok=True)
        segments.close()
    segments.remove()
    if as_json:
        facts = {"frames": frames, "seconds": round(seconds, 3), "output": str(result), "notices": notices}
        show_json(facts)
        return
    rate = f" ({figure(frames / max(seconds, 0.001))} frames/s)" if frames else ""
    click.echo(f"{counted(frames, 'frame')} in {duration(seconds)}{rate}: {result}")
    for notice in notices:
        click.echo(f"Notice: {plain(notice)}")


async def _filter(
    reactor: Any,
    path: Path,
    to: Path,
    result: Path,
    segments: Segments,
    chosen: tuple[str | None, int | None, bool],
    steps: FilterSteps,
    options: ExecutorOptions,
) -> tuple[int, float, list[str]]:
    """Filter the film; returns the number of frames, the seconds and notices.

    ``chosen`` are codec, CRF and whether to keep the sound. Raises ClickException, ClientError.
    """
    from twisted.internet.threads import deferToThread

    from dpip.command.progress import display_on_terminal, lines_on
    from dpip.command.run.display import Beside, RunDisplay
    from dpip.command.run.executor import open_executor
    from dpip.command.run.films import Film
    from dpip.command.video.copy import FilmCopy
    from dpip.command.video.frames import FilmFrames

    filters, (codec, crf, sound) = "+".join(step["name"] for step in steps), chosen
    with (
        display_on_terminal(sys.stderr, reactor) as terminal,
        Film(path) as film,
        closing(FilmCopy(to, film, segments, crf, sound, codec, result)) as copy,
    ):
        done = segments.frames
        display = RunDisplay(
            terminal,
            filters,
            options,
            film.length,
            lines=lambda: lines_on(sys.stderr),
            beside=lambda: Beside(earlier=done),
        )
        async with open_executor(
            reactor,
            display,
            to.with_suffix(".log"),
            FilmFrames(film, copy, done),
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
            return executor.counts.done, display.seconds, copy.notices


def _check_place(result: Path, film: Path, overwrite: bool) -> None:
    """Raise UsageError when the film cannot be written there."""
    if result.suffix.lower() not in KINDS:
        raise click.UsageError(f"-o {result}: the name of the film ends in one of {', '.join(KINDS)}.")
    if result.exists() and result.samefile(film):
        raise click.UsageError("The result cannot take the place of the film that it is made from.")
    if result.exists() and not overwrite:
        raise click.UsageError(f"{result} is there already. Name another file, or say --overwrite.")
    if not result.parent.is_dir():
        raise click.UsageError(f"There is no folder {result.parent} to write the film to.")
