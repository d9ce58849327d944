"""``dpip demo`` shows DPIP at work with one command and nothing to prepare."""

from __future__ import annotations

from pathlib import Path

import click

from dpip import __version__

_EXAMPLES = """\b
Examples:
  dpip demo                           48 frames, on every core, into dpip-demo/
  dpip demo --frames 240 --slots 1    a longer film on one core
  dpip demo --keep /tmp/film          leave the pictures there
"""


@click.command(epilog=_EXAMPLES)
@click.option(
    "--frames",
    metavar="N",
    type=click.IntRange(1, 5000),
    default=48,
    show_default=True,
    help="Length of the film.",
)
@click.option(
    "--slots",
    metavar="N",
    type=click.IntRange(1, 256),
    help="Images filtered at once. [default: one per core]",
)
@click.option(
    "--keep",
    "folder",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("dpip-demo"),
    show_default=True,
    help="Where to leave the pictures: a new or empty folder, or that of an earlier demo.",
)
def demo(frames: int, slots: int | None, folder: Path) -> None:
    """Filter a short film on this machine, and look at the result.

    Starts the whole system in this process on free ports, with its state in a temporary directory; draws a
    film; has it made gray and blurred over the REST API, like any client; says how fast that was; and leaves
    the pictures, with one that shows before and after. Everything else it takes down again.
    """
    from dpip.command.demo.folder import DemoFolder

    claimed = DemoFolder.claim(folder)
    # The imports below take a second or more, so this line comes first.
    click.echo(
        f"DPIP {__version__}: {frames} frames of film will be drawn, made gray, and blurred.", err=True
    )

    from dpip.command.demo.show import Show
    from dpip.command.event_loop import run

    show = Show(frames, slots, claimed)
    try:
        run(show.play)
    except click.ClickException:
        raise
    except Exception as error:
        raise click.ClickException(show.explain(error)) from error
    for line in show.summary():
        click.echo(line)
