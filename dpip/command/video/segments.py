"""Pictures of a film that is being made, in files of some seconds each, so that it can be resumed."""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click
from attrs import define, field

from dpip.command.run.films import pyav

FRAMES: Final = 500
"""Frames of a file: at most so many are filtered again when a film is resumed."""
_TASK: Final = "task.json"
_LOCK: Final = "lock"


@define(eq=False)
class Segments:
    """A folder with the finished pieces of a film: an encoder's packets in Matroska, their times beside them.

    Matroska rounds times to milliseconds, and here they are just numbers. A piece counts when the file of its
    times is there, which is written last. The pieces are of one ``task``: others are removed at the start.
    """

    folder: Path
    task: Mapping[str, Any]
    frames: int = field(default=0, init=False)  # in finished pieces
    notices: list[str] = field(factory=list, init=False)  # of earlier runs, too
    _pieces: int = field(default=0, init=False)
    _lock: Any = field(default=None, init=False)

    def open(self, resume: bool) -> None:
        """Read what is there, or begin anew. Raises UsageError, ClickException."""
        self._lock_folder(make=not resume)
        known = self._read(self.folder / _TASK)
        if resume and known != self.task:
            what = "another film was begun there" if known else "there is none"
            raise click.UsageError(f"There is no unfinished film to resume: {what}. Leave out --resume.")
        try:
            for old in self.folder.iterdir() if known != self.task else ():
                if old.name != _LOCK:
                    shutil.rmtree(old) if old.is_dir() else old.unlink()
            (self.folder / _TASK).write_text(json.dumps(self.task), encoding="utf-8")
        except OSError as error:
            raise click.ClickException(f"{self.folder} cannot be written to: {error.strerror}.") from None
        while (times := self._read(self._times(self._pieces))) is not None:
            self.frames += times["frames"]
            self.notices = times["notices"]
            self._pieces += 1

    def _lock_folder(self, make: bool) -> None:
        try:
            if make:
                self.folder.mkdir(exist_ok=True)
            self._lock = (self.folder / _LOCK).open("w")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            raise click.UsageError("There is no unfinished film to resume. Leave out --resume.") from None
        except BlockingIOError:
            self._lock = None
            raise click.ClickException("Another dpip video makes this film at the moment.") from None
        except OSError as error:
            raise click.ClickException(f"{self.folder} cannot be written to: {error.strerror}.") from None

    def close(self) -> None:
        """Let go of the folder, and remove it if nothing in it is of use."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None
            if not self.frames:
                self.remove()

    def remove(self) -> None:
        """Remove the folder with all that is in it."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def piece(self) -> Path:
        """Return the file for the next piece."""
        return self.folder / f"{self._pieces:06}.mkv"

    def finished(self, frames: int, times: Sequence[Sequence[int]], notices: list[str]) -> None:
        """Note that the piece is complete; ``times`` are its packets' pts, dts and duration."""
        part = self.folder / "times.part"
        part.write_text(json.dumps({"frames": frames, "times": times, "notices": notices}), encoding="utf-8")
        part.replace(self._times(self._pieces))
        self._pieces += 1
        self.frames += frames

    def packets(self) -> Iterator[Any]:
        """Yield each packet as the encoder made it, with its times."""
        for number in range(self._pieces):
            times = self._read(self._times(number))
            assert times is not None
            with pyav().open(str(self.folder / f"{number:06}.mkv")) as piece:
                for packet, moments in zip(_as_encoded(piece), times["times"], strict=True):
                    packet.pts, packet.dts, packet.duration = moments
                    yield packet

    def _times(self, number: int) -> Path:
        return self.folder / f"{number:06}.json"

    def _read(self, path: Path) -> Any:
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None


def _as_encoded(piece: Any) -> Iterator[Any]:
    """Yield the packets of a piece, without what Matroska does to H.264 and HEVC."""
    from av.bitstream import BitStreamFilterContext

    (stream,) = piece.streams
    packets = (packet for packet in piece.demux(stream) if packet.size)
    name = {"h264": "h264_mp4toannexb", "hevc": "hevc_mp4toannexb"}.get(stream.codec_context.name)
    if name is None:
        return packets
    undone = BitStreamFilterContext(name, stream)
    return (each for packet in packets for each in undone.filter(packet))
