"""Films as inputs: PyAV, which the extra ``video`` installs, reads them, and frames become PNG."""

from __future__ import annotations

import logging
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import chain
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
_ONE: Final = 0x10000  # of the display matrix, whose numbers have 16 binary places
FROM_FILES: Final = {"protocol_whitelist": "file"}
"""For FFmpeg: a playlist that calls itself a film must not make it open connections."""


@frozen
class FilmFrame:
    """A frame of a film; ``png()`` is its picture, with its alpha, of 16 bits if it has more than 8.

    ``matrix`` turns it for showing: FFmpeg's display matrix, empty where it is shown as it is.
    """

    number: int
    pts: int | None
    picture: Any = field(repr=False)
    colours: int
    full: bool
    matrix: tuple[int, ...] = ()

    def png(self, upright: bool = False) -> bytes:
        """Encode the frame; with ``upright`` it is turned as players do."""
        format = self.picture.format
        deep = max(component.bits for component in format.components) > 8
        kind = "rgba" if has_alpha(format) else "rgb"
        rgb = self.picture.reformat(
            format={"rgb": "rgb48le", "rgba": "rgba64le"}[kind] if deep else f"{kind}24".replace("a24", "a"),
            src_colorspace=self.colours,
            src_color_range=FULL if self.full else LIMITED,
            dst_color_range=FULL,
        )
        pixels = rgb.to_ndarray()
        return encode(np.ascontiguousarray(turned(pixels, self.matrix) if upright else pixels), Metadata())


def has_alpha(format: Any) -> bool:
    """Tell whether PyAV's pixel format has transparency."""
    return any(component.is_alpha for component in format.components)


def turned(pixels: Any, matrix: tuple[int, ...]) -> Any:
    """Turn and mirror pixels as a display matrix says, by quarters."""
    if not matrix:
        return pixels
    a, b, c, d = matrix[0], matrix[1], matrix[3], matrix[4]
    if abs(b) > abs(a):
        pixels, across, down = np.swapaxes(pixels, 0, 1), c, b
    else:
        across, down = a, d
    return pixels[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1]


@define(eq=False)
class Film:
    """A context manager that opens a film for reading. Every method may raise ClickException."""

    path: Path
    container: Any = field(init=False)
    video: Any = field(init=False)
    interlaced: bool = field(default=False, init=False)  # known when its first frame has been decoded
    _decoder: Any = field(default=None, init=False)  # None for the stream's own

    def __enter__(self) -> Film:
        av = pyav()
        _check_no_picture(self.path)
        with told(f"{self.path} cannot be read as a film"):
            self.container = av.open(str(self.path), options=dict(FROM_FILES))
        pictures = [each for each in self.container.streams.video if not is_cover(each)]
        if not pictures:
            self.container.close()
            raise click.ClickException(f"{self.path} has no pictures in it.")
        self.video = pictures[0]
        self.video.thread_type = "AUTO"
        told_alpha = (self.video.metadata.get(name) for name in ("alpha_mode", "ALPHA_MODE"))
        if "1" in told_alpha:  # FFmpeg's own decoders leave it out
            kind = self.video.codec_context.name
            self._decoder = av.CodecContext.create({"vp8": "libvpx"}.get(kind, "libvpx-vp9"), "r")
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
    def codec(self) -> str:
        """FFmpeg's name of the codec, such as ``hevc``."""
        return str(self.video.codec_context.codec.canonical_name)

    @property
    def colours(self) -> int:
        """FFmpeg's number for its colour matrix; players' guess if the film does not specify one."""
        told = int(self.video.codec_context.colorspace)
        return told if told not in (0, UNKNOWN) else _BT709 if self.video.height >= 720 else _BT601

    @property
    def full(self) -> bool:
        """Whether its range is full: black is 0, and not 16."""
        context = self.video.codec_context
        return int(context.color_range) == FULL or str(context.pix_fmt).startswith("yuvj")

    def frames(self, progressive: bool = False) -> Iterator[FilmFrame]:
        """Decode the frames, in the order of showing; with ``progressive`` interlaced ones are made so."""
        with told(f"{self.path} is damaged"):
            pictures = self._decoded()
            for number, picture in enumerate(self._deinterlaced(pictures) if progressive else pictures):
                yield FilmFrame(number, picture.pts, picture, self.colours, self.full, _matrix(picture))

    def _decoded(self) -> Iterator[Any]:
        if self._decoder is None:
            yield from self.container.decode(self.video)
        else:
            for packet in self.container.demux(self.video):
                yield from self._decoder.decode(packet)

    def _deinterlaced(self, pictures: Iterator[Any]) -> Iterator[Any]:
        """Make interlaced frames progressive; the others, times and number stay."""
        first = next(pictures, None)
        if first is None:
            return
        self.interlaced = bool(first.interlaced_frame)
        every = chain((first,), pictures)
        yield from _filtered(every, first) if self.interlaced else every


def _filtered(pictures: Iterator[Any], first: Any) -> Iterator[Any]:
    graph, base = pyav().filter.Graph(), first.time_base
    source = graph.add_buffer(
        width=first.width, height=first.height, format=first.format.name, time_base=base
    )
    weaver, sink = graph.add("bwdif", "mode=send_frame:deint=interlaced"), graph.add("buffersink")
    source.link_to(weaver)
    weaver.link_to(sink)
    graph.configure()
    for picture in chain(pictures, (None,)):
        graph.push(picture)
        yield from _pulled(graph, base)


def is_cover(stream: Any) -> bool:
    """Tell whether a stream of pictures is just a cover."""
    return bool(stream.disposition & pyav().stream.Disposition.attached_pic)


def _matrix(picture: Any) -> tuple[int, ...]:
    """Return the display matrix of a frame, empty where there is none, or one that changes nothing."""
    found = picture.side_data.get("DISPLAYMATRIX")
    matrix = struct.unpack("=9i", bytes(found)[:36]) if found is not None else ()
    return () if matrix[:5] == (_ONE, 0, 0, 0, _ONE) else matrix


def _pulled(graph: Any, base: Fraction) -> Iterator[Any]:
    av = pyav()
    while True:
        try:
            picture = graph.pull()
        except (BlockingIOError, av.EOFError):
            return
        if picture.pts is not None:
            picture.pts = round(picture.pts * picture.time_base / base)
        picture.time_base = base
        yield picture


@contextmanager
def told(what: str) -> Iterator[None]:
    """Turn the errors of PyAV into a ClickException that begins with ``what``."""
    av = pyav()
    try:
        yield
    except (av.FFmpegError, OSError, ValueError, ArithmeticError) as error:
        raise click.ClickException(f"{what}: {_reason(error).strip(' .')}.") from None


def _reason(error: Exception) -> str:
    """Return what FFmpeg has said last, or the error's own words."""
    log = getattr(error, "log", None)
    return str(log[2] if log else getattr(error, "strerror", None) or error)


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
    logging.getLogger("libav").propagate = False  # what it says is in its exceptions
    return av
