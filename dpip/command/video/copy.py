"""Writing a film of another's filtered frames, with everything else like in the original."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import numpy as np
from attrs import define, field

from dpip.command.run.films import FULL, LIMITED, UNKNOWN, Film, pyav
from dpip.filters.codec import decode

if TYPE_CHECKING:
    import numpy.typing as npt

_CODECS: Final = {".webm": "libvpx-vp9"}
_FINE: Final = {"libx264": {"crf": "18"}, "libvpx-vp9": {"crf": "24", "b": "0"}}
"""Options by codec: the film looks nearly the same, and is larger."""
_MAX_PIXELS: Final = 10**9


@define(eq=False)
class FilmCopy:
    """Writes a film with other pictures and the same sound to ``path``.

    Frame rate, times, shape of pixels, colours, rotation and title are the original's; the size is that of
    the pictures. It is not thread-safe, but threads may use it one after the other.
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
        """Write the next frame. Raises ClickException, OSError."""
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
        """Write the rest of the sound and the end of the file. Raises ClickException without any frame."""
        if self._out is None:
            raise click.ClickException(f"{self.film.path} has no frames.")
        self._mux(self._video.encode(None))
        self._mux_sound_until(None)
        self._out.close()
        self.close()

    def close(self) -> None:
        """Close the reader of the sound; idempotent."""
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
        video.codec_context.color_range = FULL if self.film.full else LIMITED
        for trait in ("colorspace", "color_primaries", "color_trc"):
            setattr(video.codec_context, trait, getattr(context, trait))
        if int(context.colorspace) in (0, UNKNOWN):
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
        """Open a second reader: the sound is read only as far as the pictures, so that nothing piles up."""
        self._source = av.open(str(self.film.path))
        tracks = self._source.streams.audio if self.sound else ()
        for track in tracks:
            self._sounds[track.index] = self._out.add_stream_from_template(track)
        self._packets = iter(self._source.demux(*tracks)) if tracks else iter(())

    def _mux_sound_until(self, end: Fraction | None) -> None:
        """Copy packets of sound, without decoding, until ``end``; all that are left if it is None."""
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
            src_color_range=FULL,
            dst_color_range=FULL if self.film.full else LIMITED,
        )

    def _mux(self, packets: list[Any]) -> None:
        for packet in packets:
            self._out.mux(packet)


def _rgb(pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Make three channels and even sides, as films need them: an odd last row or column is left out."""
    if pixels.ndim == 3 and pixels.shape[2] in (2, 4):
        pixels = pixels[..., :-1]
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    height, width = (side - side % 2 for side in pixels.shape[:2])
    return np.ascontiguousarray(np.broadcast_to(pixels[:height, :width], (height, width, 3)))
