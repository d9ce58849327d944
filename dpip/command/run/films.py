"""Films as inputs: PyAV, which the extra ``video`` installs, reads them, and frames become PNG."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click
import numpy as np
from attrs import define, field, frozen

from dpip.errors import NotAnImage
from dpip.filters.codec.headers import probe
from dpip.filters.codec.picture import Metadata
from dpip.filters.codec.png import encode

UNKNOWN: Final = 2
"""FFmpeg's number for colours that a film does not specify."""
_BT601, _BT709 = 5, 1
LIMITED, FULL = 1, 2


@frozen
class FilmFrame:
    """A frame of a film; ``png()`` is its picture: RGB of 8 bits, or of 16 if the film has more than 8."""

    number: int
    pts: int | None
    picture: Any = field(repr=False)
    matrix: int
    full: bool

    def png(self) -> bytes:
        deep = self.picture.format.components[0].bits > 8
        rgb = self.picture.reformat(
            format="rgb48le" if deep else "rgb24",
            src_colorspace=self.matrix,
            src_color_range=FULL if self.full else LIMITED,
            dst_color_range=FULL,
        )
        return encode(np.ascontiguousarray(rgb.to_ndarray()), Metadata())


@define(eq=False)
class Film:
    """A context manager that opens a film for reading. Every method may raise ClickException."""

    path: Path
    container: Any = field(init=False)
    video: Any = field(init=False)

    def __enter__(self) -> Film:
        av = pyav()
        _check_no_picture(self.path)
        try:
            self.container = av.open(str(self.path))
        except (OSError, ValueError) as error:
            raise click.ClickException(f"{self.path} cannot be read as a film: {error}.") from None
        if not self.container.streams.video:
            self.container.close()
            raise click.ClickException(f"{self.path} has no pictures in it.")
        self.video = self.container.streams.video[0]
        self.video.thread_type = "AUTO"
        return self

    def __exit__(self, *_: object) -> None:
        self.container.close()

    @property
    def length(self) -> int | None:
        """The number of frames that the file states, or that its duration suggests; None without either."""
        if self.video.frames:
            return int(self.video.frames)
        seconds = (self.container.duration or 0) / 1_000_000
        return round(seconds * self.video.average_rate) if seconds and self.video.average_rate else None

    @property
    def matrix(self) -> int:
        """FFmpeg's number for its colour matrix; players' guess if the film does not specify one."""
        told = int(self.video.codec_context.colorspace)
        return told if told not in (0, UNKNOWN) else _BT709 if self.video.height >= 720 else _BT601

    @property
    def full(self) -> bool:
        """Whether its range is full: black is 0, and not 16."""
        context = self.video.codec_context
        return int(context.color_range) == FULL or context.pix_fmt.startswith("yuvj")

    def frames(self) -> Iterator[FilmFrame]:
        """Decode the frames, in the order of showing."""
        try:
            for number, picture in enumerate(self.container.decode(self.video)):
                yield FilmFrame(number, picture.pts, picture, self.matrix, self.full)
        except (OSError, ValueError) as error:
            raise click.ClickException(f"{self.path} is damaged: {error}.") from None


def _check_no_picture(path: Path) -> None:
    """Raise ClickException for a picture in the container of films, of which FFmpeg would say little."""
    try:
        format = probe(path).format
    except OSError:
        return
    except NotAnImage as problem:
        if problem.members.get("damaged") or problem.members.get("picture"):
            raise click.ClickException(f"{path} is no film. {problem.detail}") from None
        return
    if format in ("HEIF", "AVIF", "RAW"):
        raise click.ClickException(f"{path} is a picture ({format}), and no film: dpip run takes it.")


def pyav() -> Any:
    """Import PyAV. Raises ClickException when it is not installed."""
    try:
        import av
    except ImportError:
        raise click.ClickException("Films need PyAV: pip install 'dpip[video]'") from None
    av.logging.set_level(av.logging.ERROR)
    return av
