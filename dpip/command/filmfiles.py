"""Films as files: frames out of one as PNG, and frames joined to one that is like another.

By PyAV, which the extra ``video`` installs.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import numpy as np
from attrs import define, field, frozen

from dpip.filters.codec import decode
from dpip.filters.codec.picture import Metadata
from dpip.filters.codec.png import encode

if TYPE_CHECKING:
    import numpy.typing as npt

_UNKNOWN: Final = 2
"""The number for colours that a film does not tell of."""
_BT601, _BT709 = 5, 1
_LIMITED, _FULL = 1, 2
_CODECS: Final = {".webm": "libvpx-vp9"}
_FINE: Final = {"libx264": {"crf": "18"}, "libvpx-vp9": {"crf": "24", "b": "0"}}
"""Nearly the same to the eye; at a cost in size."""
_MAX_PIXELS: Final = 10**9


@frozen
class Frame:
    """``png()`` is its picture, RGB of 8 bits, or of 16 where the film has more than 8."""

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
            src_color_range=_FULL if self.full else _LIMITED,
            dst_color_range=_FULL,
        )
        return encode(np.ascontiguousarray(rgb.to_ndarray()), Metadata())


@define(eq=False)
class Film:
    """A film that is read; a context manager. Everything may raise ClickException."""

    path: Path
    container: Any = field(init=False)
    video: Any = field(init=False)

    def __enter__(self) -> Film:
        av = pyav()
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
        """How many frames it says it has, or is likely to have."""
        if self.video.frames:
            return int(self.video.frames)
        seconds = (self.container.duration or 0) / 1_000_000
        return round(seconds * self.video.average_rate) if seconds and self.video.average_rate else None

    @property
    def matrix(self) -> int:
        """How its colours are to be understood; a film that does not tell is taken as players take it."""
        told = int(self.video.codec_context.colorspace)
        return told if told not in (0, _UNKNOWN) else _BT709 if self.video.height >= 720 else _BT601

    @property
    def full(self) -> bool:
        """Whether black is 0, and not 16."""
        context = self.video.codec_context
        return int(context.color_range) == _FULL or context.pix_fmt.startswith("yuvj")

    def frames(self) -> Iterator[Frame]:
        """In the order of showing."""
        try:
            for number, picture in enumerate(self.container.decode(self.video)):
                yield Frame(number, picture.pts, picture, self.matrix, self.full)
        except (OSError, ValueError) as error:
            raise click.ClickException(f"{self.path} is damaged: {error}.") from None


@define(eq=False)
class Copy:
    """A film like another, with other pictures and the same sound, written to ``path``.

    Frame rate, times, size, shape of pixels, colours, rotation and title are the original's; the size is the
    pictures' own where a filter has changed it. Not thread-safe, but may be used by one thread after another.
    """

    path: Path
    film: Film
    crf: int | None = None
    sound: bool = True
    _out: Any = field(default=None, init=False)
    _video: Any = field(default=None, init=False)
    _sounds: dict[int, Any] = field(factory=dict, init=False)
    _source: Any = field(default=None, init=False)
    _packets: Iterator[Any] = field(init=False)
    _next_packet: Any = field(default=None, init=False)
    _last: int = field(default=-1, init=False)

    def write(self, png: bytes, pts: int | None, rotation: int) -> None:
        """The next frame. Raises ClickException, OSError."""
        pixels = _rgb(next(iter(decode(png, max_pixels=_MAX_PIXELS).frames)).pixels)
        if self._out is None:
            self._begin(pixels, rotation)
        frame = self._frame(pixels)
        rate = self.film.video.average_rate or Fraction(25)
        step = max(1, round(1 / (rate * self.film.video.time_base)))
        frame.pts = self._last = max(pts if pts is not None else self._last + step, self._last + 1)
        frame.time_base = self.film.video.time_base
        self._mux(self._video.encode(frame))
        self._mux_sound_until(frame.pts * frame.time_base)

    def finish(self) -> None:
        """The rest of the sound, and what makes it a film."""
        if self._out is None:
            raise click.ClickException(f"{self.film.path} has no frames.")
        self._mux(self._video.encode(None))
        self._mux_sound_until(None)
        self._out.close()
        self.close()

    def close(self) -> None:
        """Let go of what is open; idempotent."""
        if self._source is not None:
            self._source.close()

    def _begin(self, pixels: npt.NDArray[Any], rotation: int) -> None:
        av = pyav()
        height, width = pixels.shape[:2]
        self._out = av.open(str(self.path), "w")
        name = _CODECS.get(self.path.suffix.removesuffix(".part").lower(), "libx264")
        original, context = self.film.video, self.film.video.codec_context
        options = dict(_FINE[name])
        if self.crf is not None:
            options["crf"] = str(self.crf)
        video = self._out.add_stream(name, rate=original.average_rate or 25, options=options)
        video.width, video.height = width, height
        formats = {each.name for each in video.codec_context.codec.video_formats or ()}
        wanted = context.pix_fmt.replace("yuvj", "yuv")
        video.pix_fmt = wanted if wanted in formats and wanted.startswith("yuv") else "yuv420p"
        video.codec_context.time_base = original.time_base
        video.codec_context.color_range = _FULL if self.film.full else _LIMITED
        for trait in ("colorspace", "color_primaries", "color_trc"):
            setattr(video.codec_context, trait, getattr(context, trait))
        if int(context.colorspace) in (0, _UNKNOWN):
            video.codec_context.colorspace = self.film.matrix
        if context.sample_aspect_ratio:
            video.codec_context.sample_aspect_ratio = context.sample_aspect_ratio
        if rotation:
            video.set_display_rotation(rotation)
        self._out.metadata.update(self.film.container.metadata)
        self._video = video
        self._open_sound(av)
        try:
            self._out.start_encoding()
        except (OSError, ValueError) as error:
            raise click.ClickException(
                f"The film cannot be written: {error}. If it is the sound that does not go into this kind of "
                "file, name the result .mkv, or leave the sound out (--no-sound)."
            ) from None

    def _open_sound(self, av: Any) -> None:
        """A second reader: the sound comes only as far as the pictures are, so that nothing piles up."""
        self._source = av.open(str(self.film.path))
        tracks = self._source.streams.audio if self.sound else ()
        for track in tracks:
            self._sounds[track.index] = self._out.add_stream_from_template(track)
        self._packets = iter(self._source.demux(*tracks)) if tracks else iter(())

    def _mux_sound_until(self, end: Fraction | None) -> None:
        """Packets as they are, not decoded; all that are left when ``end`` is None."""
        while True:
            packet = self._next_packet if self._next_packet is not None else next(self._packets, None)
            self._next_packet = packet
            if packet is None or (
                end is not None and packet.dts is not None and packet.dts * packet.time_base > end
            ):
                return
            self._next_packet = None
            if packet.dts is not None:  # the empty one at the end
                packet.stream = self._sounds[packet.stream.index]
                self._out.mux(packet)

    def _frame(self, pixels: npt.NDArray[Any]) -> Any:
        av = pyav()
        layout = "rgb48le" if pixels.dtype == np.uint16 else "rgb24"
        rgb = av.VideoFrame.from_ndarray(pixels, format=layout)
        return rgb.reformat(
            format=self._video.pix_fmt,
            dst_colorspace=self.film.matrix,
            src_color_range=_FULL,
            dst_color_range=_FULL if self.film.full else _LIMITED,
        )

    def _mux(self, packets: list[Any]) -> None:
        for packet in packets:
            self._out.mux(packet)


def pyav() -> Any:
    """The module. Raises ClickException when it is not installed."""
    try:
        import av
    except ImportError:
        raise click.ClickException("Films need PyAV: pip install 'dpip[video]'") from None
    av.logging.set_level(av.logging.ERROR)
    return av


def length_of(path: Path) -> int:
    """Frames, as far as the film tells; 0 where it does not."""
    with Film(path) as film:
        return film.length or 0


def _rgb(pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Three channels, and even sides, as films need them: an odd last row or column is left out."""
    if pixels.ndim == 3 and pixels.shape[2] in (2, 4):
        pixels = pixels[..., :-1]
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    height, width = (side - side % 2 for side in pixels.shape[:2])
    return np.ascontiguousarray(np.broadcast_to(pixels[:height, :width], (height, width, 3)))
