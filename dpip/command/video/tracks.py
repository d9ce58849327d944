"""What a film has besides pictures: sound and subtitles, copied where the kind of file takes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from io import BytesIO
from typing import Any, Final, Protocol

from attrs import define, field

from dpip.command.run.films import FROM_FILES, Film, is_cover, pyav
from dpip.command.tables import plain

_FORMATS: Final = {".mkv": "matroska", ".webm": "webm", ".mov": "mov"}  # others are mp4
_SOUND: Final = {".webm": "libopus"}
_OPUS_RATE: Final = 48000
_OF_THE_FILE: Final = frozenset(
    {"major_brand", "minor_version", "compatible_brands", "encoder", "alpha_mode", "duration", "vendor_id"}
)
"""Metadata that is of how a film is stored, and not of the film."""


class Track(Protocol):
    """A stream of the result that is not the pictures."""

    def packets(self, packet: Any) -> Iterator[Any]:
        """Yield what is to be written for a packet of the original; its empty last one flushes."""


@define(eq=False)
class CopiedTrack:
    """A track whose packets are copied as they are; only times that do not rise are corrected."""

    stream: Any
    _last: int | None = field(default=None, init=False)

    def packets(self, packet: Any) -> Iterator[Any]:
        time = packet.pts if packet.dts is None else packet.dts
        if not packet.size or time is None:  # the empty one at the end, or one that belongs nowhere
            return
        packet.dts = time if self._last is None else max(time, self._last + 1)
        packet.pts = packet.dts if packet.pts is None else max(packet.pts, packet.dts)
        self._last = packet.dts
        packet.stream = self.stream
        yield packet


@define(eq=False)
class EncodedTrack:
    """A track of sound that is encoded again, as the kind of file does not take the original's codec."""

    stream: Any
    _resampler: Any = field(default=None, init=False)

    def packets(self, packet: Any) -> Iterator[Any]:
        for frame in packet.decode():
            for piece in self._resampled(frame):
                yield from self.stream.encode(piece)
        if not packet.size:
            for piece in self._resampled(None) if self._resampler is not None else ():
                yield from self.stream.encode(piece)
            yield from self.stream.encode(None)

    def _resampled(self, frame: Any) -> list[Any]:
        context = self.stream.codec_context
        if self._resampler is None:
            context.open(strict=False)
            self._resampler = pyav().AudioResampler(
                context.format, context.layout, context.rate, context.frame_size or None
            )
        return list(self._resampler.resample(frame))


@define(eq=False)
class Tracks:
    """Writes the sound, subtitles and chapters of ``film`` into an output, as far as its ``kind`` takes them.

    ``notices`` say what is lost or changed. A second reader is used: tracks are read only as far as the
    pictures are written, so that nothing piles up. It is to be closed.
    """

    film: Film
    kind: str
    sound: bool = True
    notices: list[str] = field(factory=list, init=False)
    _source: Any = field(default=None, init=False)
    _tracks: dict[int, Track] = field(factory=dict, init=False)
    _packets: Iterator[Any] = field(init=False)
    _next: Any = field(default=None, init=False)

    def add_to(self, out: Any) -> None:
        """Add the tracks to an output whose header has not been written."""
        self._source = pyav().open(str(self.film.path), options=dict(FROM_FILES))
        for stream in self._source.streams:
            track = self._added(out, stream)
            if track is not None:
                self._tracks[stream.index] = track
        chosen = [stream for stream in self._source.streams if stream.index in self._tracks]
        self._packets = iter(self._source.demux(*chosen)) if chosen else iter(())
        out.metadata.update(of_the_film(self._source.metadata))
        if self._source.chapters():
            out.set_chapters(self._source.chapters())

    def close(self) -> None:
        """Close the reader; idempotent."""
        if self._source is not None:
            self._source.close()

    def packets_until(self, end: Fraction | None) -> Iterator[Any]:
        """Yield the packets to be written before the time ``end``; all that are left if it is None."""
        while True:
            packet = self._next if self._next is not None else next(self._packets, None)
            self._next = packet
            if packet is None or (
                end is not None and packet.dts is not None and packet.dts * packet.time_base > end
            ):
                return
            self._next = None
            yield from self._tracks[packet.stream.index].packets(packet)

    def _added(self, out: Any, stream: Any) -> Track | None:
        """Add a stream of the original to the output; None for one that is left out, which is told."""
        kind = stream.type
        if kind == "video":
            if stream.index != self.film.video.index:
                self._lose(stream, "cover" if is_cover(stream) else "second track of pictures")
            return None
        if kind == "audio" and not self.sound:
            return None
        if kind in ("audio", "subtitle") and self._fits(stream):
            made = out.add_stream_from_template(stream)
            return CopiedTrack(_labelled(made, stream))
        if kind == "audio":
            return self._encoded(out, stream)
        if kind == "attachment" and self.kind == ".mkv":
            self._attach(out, stream)
            return None
        if kind == "data" and self._source.chapters():  # it holds their titles
            return None
        self._lose(stream, {"subtitle": "subtitles", "attachment": "attached file"}.get(kind, "data"))
        return None

    def _encoded(self, out: Any, stream: Any) -> Track | None:
        name = _SOUND.get(self.kind, "aac")
        if stream.codec_context is None or not stream.rate:
            self._lose(stream, "sound")
            return None
        rate = _OPUS_RATE if name == "libopus" else min(stream.rate, 96000)
        made = out.add_stream(name, rate=rate)
        made.layout = _layout(stream)
        words = f"The sound{_which(stream)} is {_codec(stream)}, which does not go into {self.kind}"
        self.notices.append(f"{words}: it was encoded again as {'Opus' if name == 'libopus' else 'AAC'}.")
        return EncodedTrack(_labelled(made, stream))

    def _fits(self, stream: Any) -> bool:
        """Try whether the kind of file takes the stream."""
        av = pyav()
        try:
            with av.open(BytesIO(), "w", format=_FORMATS.get(self.kind, "mp4")) as trial:
                trial.add_stream_from_template(stream)
                trial.start_encoding()
        except (av.FFmpegError, OSError, ValueError):
            return False
        return True

    def _attach(self, out: Any, stream: Any) -> None:
        name, data = stream.metadata.get("filename", "attachment"), getattr(stream, "data", None)
        if data:
            out.add_attachment(name, stream.metadata.get("mimetype", "application/octet-stream"), bytes(data))
        else:
            self._lose(stream, "attached file")

    def _lose(self, stream: Any, what: str) -> None:
        helps = self.kind != ".mkv" and what in ("sound", "subtitles", "attached file")
        advice = ": a result named .mkv can have it" if helps else ""
        self.notices.append(f"The {what}{_which(stream)} ({_codec(stream)}) is left out{advice}.")


def of_the_film(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return the metadata that a copy has, too."""
    return {name: value for name, value in metadata.items() if name.lower() not in _OF_THE_FILE}


def _labelled(made: Any, original: Any) -> Any:
    """Give a stream the language, title and use of the original's."""
    made.metadata.update(of_the_film(original.metadata))
    made.disposition = original.disposition
    return made


def _layout(stream: Any) -> str:
    """Return the layout of the channels that all encoders know: surround by its number of channels."""
    return {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}.get(stream.channels, "stereo")


def _which(stream: Any) -> str:
    """Name a track by its language or title, if it has one."""
    told: Mapping[str, str] = stream.metadata
    name = told.get("title") or told.get("language") or told.get("filename")
    return f" {plain(name)}" if name and name != "und" else ""


def _codec(stream: Any) -> str:
    return stream.codec_context.name if stream.codec_context is not None else "of an unknown kind"
