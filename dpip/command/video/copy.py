"""Writing a film of another's filtered frames, with everything else like in the original."""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import numpy as np
from attrs import Factory, define, field

from dpip.command.run.films import FULL, LIMITED, UNKNOWN, Film, FilmFrame, pyav, told
from dpip.command.video.choice import best_format, codec_for, keeps_light, losses, options_for
from dpip.command.video.codecs import Codec
from dpip.command.video.segments import FRAMES, Segments
from dpip.command.video.tracks import Tracks, of_the_film
from dpip.filters.codec import decode

if TYPE_CHECKING:
    import numpy.typing as npt

_MAX_PIXELS: Final = 10**9
_LIGHT: Final = frozenset({"MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL"})
_LOST: Final = {
    "DYNAMIC_HDR_PLUS": "HDR10+ data of each scene is left out.",
    "DOVI_METADATA": "Dolby Vision data is left out.",
    "A53_CC": "Closed captions within the pictures are left out.",
}


@define(eq=False)
class FilmCopy:
    """Writes a film with other pictures and the same sound to ``path``.

    Frame rate, times, shape of pixels, colours, rotation, languages, chapters and titles are the original's;
    the size is that of the pictures. ``codec`` and ``crf`` of None are chosen. What is lost or changed is in
    ``notices``. Errors name the file ``name``. It is not thread-safe, but threads may use it one after the
    other.
    """

    path: Path
    film: Film
    segments: Segments
    crf: int | None = None
    sound: bool = True
    codec: str | None = None
    name: Path = field(default=Factory(lambda self: self.path, takes_self=True))
    notices: list[str] = field(factory=list, init=False)
    _kind: str = field(init=False)
    _chosen: Codec | None = field(default=None, init=False)
    _format: str = field(default="", init=False)
    _options: dict[str, str] = field(factory=dict, init=False)
    _size: tuple[int, int] = field(default=(0, 0), init=False)
    _encoder: Any = field(default=None, init=False)
    _piece: Any = field(default=None, init=False)
    _stream: Any = field(default=None, init=False)
    _frames: int = field(default=0, init=False)  # of the present piece
    _times: list[tuple[int, int, int]] = field(factory=list, init=False)
    _matrix: tuple[int, ...] = field(default=(), init=False)
    _last: int | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._kind = self.path.suffix.lower()

    def look_at(self, frame: FilmFrame) -> None:
        """Choose codec and format by the original's first frame. Raises ClickException."""
        picture = frame.picture
        side_data = {each.type.name: bytes(each) for each in picture.side_data}
        self._matrix = frame.matrix
        self._chosen = codec_for(self._kind, self.film.codec, picture.format, self.codec)
        self._format = best_format(self._chosen, picture.format)
        self._options = options_for(self._chosen, self._format, self.crf, side_data)
        self._note(*losses(self._format, picture.format))
        if side_data.keys() & _LIGHT and not keeps_light(self._chosen):
            self._note(f"HDR's data about the display is left out: {self._chosen.name} has no place for it.")
        self._note(*(words for name, words in _LOST.items() if name in side_data))
        if self.film.interlaced:
            self._note("The film is interlaced: its frames were made progressive, for the filters.")

    def write(self, png: bytes, pts: int | None) -> None:
        """Write the next frame. Raises ClickException, OSError."""
        with told(f"{self.name} cannot be made"):
            frame = self._frame(self._pixels(png))
            if self._last is None:
                self._last = (pts or 0) - self._step
            frame.pts = self._last = max(pts if pts is not None else self._last + self._step, self._last + 1)
            frame.time_base = self.film.video.time_base
            if self._encoder is None:
                self._begin_piece()
            self._keep(self._encoder.encode(frame))
            self._frames += 1
            if self._frames == FRAMES:
                self._end_piece()

    def finish(self) -> None:
        """Put the pieces, the sound and all the rest together. Raises ClickException without any frame."""
        with told(f"{self.name} cannot be made"):
            if self._frames:
                self._end_piece()
            if not self.segments.frames:
                raise click.ClickException(f"{self.film.path} has no frames.")
            self._put_together()

    def close(self) -> None:
        """Close what is open, and leave an unfinished piece behind; idempotent."""
        if self._piece is not None:
            with suppress(Exception):  # it is not going to be used
                self._piece.close()
            self._piece = None

    @property
    def _rate(self) -> Fraction:
        return Fraction(self.film.video.average_rate or self.film.video.guessed_rate or 25)

    @property
    def _step(self) -> int:
        """The usual time between two frames, in the film's unit."""
        return max(1, round(1 / (self._rate * Fraction(self.film.video.time_base))))

    def _note(self, *notices: str) -> None:
        self.notices += [each for each in notices if each not in self.notices]

    # Pieces

    def _begin_piece(self) -> None:
        assert self._chosen is not None
        av = pyav()
        context = self._encoder = av.CodecContext.create(self._chosen.encoder, "w")
        context.flags |= av.codec.context.Flags.global_header
        self._configure(context)
        context.open()
        self._piece = av.open(str(self.segments.piece()), "w")
        self._stream = self._piece.add_stream(self._chosen.encoder, rate=self._rate)
        self._configure(self._stream.codec_context)
        self._piece.start_encoding()

    def _configure(self, context: Any) -> None:
        original = self.film.video.codec_context
        context.options = dict(self._options)
        context.width, context.height = self._size
        context.pix_fmt = self._format
        context.framerate = self._rate
        context.time_base = self.film.video.time_base
        context.color_range = FULL if self.film.full else LIMITED
        for trait in ("colorspace", "color_primaries", "color_trc"):
            setattr(context, trait, getattr(original, trait))
        if int(original.colorspace) in (0, UNKNOWN):
            context.colorspace = self.film.colours
        if original.sample_aspect_ratio:
            context.sample_aspect_ratio = original.sample_aspect_ratio

    def _keep(self, packets: list[Any]) -> None:
        """Write packets into the piece, with their numbers as times."""
        for packet in packets:
            self._times.append((packet.pts, packet.dts, packet.duration or self._step))
            packet.stream = self._stream
            packet.pts = packet.dts = len(self._times)
            packet.duration, packet.time_base = 1, Fraction(1, 1000)
            self._piece.mux(packet)

    def _end_piece(self) -> None:
        self._keep(self._encoder.encode(None))
        self._piece.close()
        self.segments.finished(self._frames, self._times, self.notices)
        self._encoder = self._piece = None
        self._frames, self._times = 0, []

    # The whole

    def _put_together(self) -> None:
        assert self._chosen is not None
        tracks = Tracks(self.film, self._kind, self.sound)
        try:
            with pyav().open(str(self.path), "w") as out:
                video = out.add_stream(self._chosen.encoder, rate=self._rate)
                self._configure(video.codec_context)
                if self._chosen.name == "hevc" and self._kind != ".mkv":
                    video.codec_context.codec_tag = "hvc1"  # as Apple's players want it
                video.metadata.update(of_the_film(self.film.video.metadata))
                if self._matrix:
                    video.set_display_matrix(self._matrix)
                tracks.add_to(out)
                out.start_encoding()
                self._mux(out, video, tracks)
        finally:
            tracks.close()
        self._note(*self.segments.notices, *tracks.notices)

    def _mux(self, out: Any, video: Any, tracks: Tracks) -> None:
        last, base = -(2**62), self.film.video.time_base
        for packet in self.segments.packets():
            packet.dts = last = max(packet.dts, last + 1)  # the first of a piece may be the last one's
            packet.stream, packet.time_base = video, base
            for other in tracks.packets_until(last * base):
                out.mux(other)
            out.mux(packet)
        for other in tracks.packets_until(None):
            out.mux(other)

    # Pixels

    def _pixels(self, png: bytes) -> npt.NDArray[Any]:
        pixels = _even(next(iter(decode(png, max_pixels=_MAX_PIXELS).frames)).pixels)
        height, width = pixels.shape[:2]
        if not height or not width:
            raise click.ClickException("A film needs frames of at least 2 x 2 pixels.")
        if self._size not in ((0, 0), (width, height)):
            before = " x ".join(map(str, self._size))
            raise click.ClickException(
                f"A frame is {width} x {height}, others are {before}: all must be alike."
            )
        self._size = width, height
        return pixels

    def _frame(self, pixels: npt.NDArray[Any]) -> Any:
        av = pyav()
        layout = (
            ("rgba64le" if pixels.shape[2] == 4 else "rgb48le")
            if pixels.dtype == np.uint16
            else ("rgba" if pixels.shape[2] == 4 else "rgb24")
        )
        return av.VideoFrame.from_ndarray(pixels, format=layout).reformat(
            format=self._format,
            dst_colorspace=self.film.colours,
            src_color_range=FULL,
            dst_color_range=FULL if self.film.full else LIMITED,
        )


def _even(pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Make three channels or four, and even sides, as films need them: an odd last row or column goes."""
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    height, width = (side - side % 2 for side in pixels.shape[:2])
    pixels = pixels[:height, :width]
    if pixels.shape[2] == 2:
        pixels = np.concatenate((np.repeat(pixels[..., :1], 3, 2), pixels[..., 1:]), 2)
    elif pixels.shape[2] == 1:
        pixels = np.repeat(pixels, 3, 2)
    return np.ascontiguousarray(pixels)
