"""Files as one ZIP or TAR archive, written from its beginning to its end without ever going back.

Nothing is compressed: pictures are that already. In a ZIP file each entry says its size and checksum before
its bytes, so that every program can read it as a stream. Where they cannot seek, the standard library and
zipstream-ng put them behind the bytes (a data descriptor), which many programs refuse for entries that are
stored. stream-zip can put them in front, but it pulls each file from an iterable, or by asyncio, where ours
come by Deferreds; it keeps the archive's directory in memory, and brings a library for encryption. Source of
the format: PKWARE's APPNOTE.TXT 6.3.10, sections 4.3 and 4.5.3; of TAR: the standard library.
"""

from __future__ import annotations

import struct
import tarfile
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from io import SEEK_END
from tempfile import SpooledTemporaryFile
from typing import Final, Protocol

from attrs import define, field, frozen

_PIECE: Final = 64 * 1024
_IN_MEMORY: Final = 1024 * 1024  # of a ZIP's directory, which comes last: a larger one waits in a file
_FULL: Final = 0xFFFFFFFF  # what does not fit into 32 bits is in the extra field instead
_MANY: Final = 0xFFFF
_UTF8: Final = 0x0800
_PLAIN, _ZIP64 = 20, 45  # versions of the format
_ON_UNIX: Final = 3 << 8
_READABLE: Final = 0o100644 << 16
_BLOCK: Final = 512


@frozen
class Entry:
    """One file in an archive; ``at`` is when it was made, in seconds since the epoch."""

    name: str
    size: int
    at: float
    crc: int = 0


class ArchiveWriter(Protocol):
    """A format of archives; with ``needs_crc`` entries must have their checksum."""

    needs_crc: bool
    content_type: str
    extension: str

    def before(self, entry: Entry) -> bytes:
        """Return what comes before the file's bytes."""

    def after(self, entry: Entry) -> bytes:
        """Return what comes behind them."""

    def end(self) -> Iterator[bytes]:
        """Yield what comes last."""


@define
class ZipWriter:
    """A ZIP file. The writer keeps about 80 bytes for each entry, in a file where that is much."""

    needs_crc = True
    content_type = "application/zip"
    extension = ".zip"
    _position: int = field(default=0, init=False)
    _count: int = field(default=0, init=False)
    _directory: SpooledTemporaryFile[bytes] = field(
        factory=lambda: SpooledTemporaryFile(_IN_MEMORY),  # noqa: SIM115 - until the end
        init=False,
    )

    def before(self, entry: Entry) -> bytes:
        extra = struct.pack("<HHQQ", 1, 16, entry.size, entry.size) if entry.size >= _FULL else b""
        self._list(entry)
        head = b"PK\3\4" + _facts(entry, extra) + entry.name.encode() + extra
        self._position += len(head) + entry.size
        return head

    def after(self, entry: Entry) -> bytes:
        return b""

    def _list(self, entry: Entry) -> None:
        """Add the entry to the directory."""
        values = [entry.size, entry.size] if entry.size >= _FULL else []
        values += [self._position] if self._position >= _FULL else []
        extra = struct.pack(f"<HH{len(values)}Q", 1, 8 * len(values), *values) if values else b""
        made_by = _ON_UNIX | (_ZIP64 if extra else _PLAIN)
        offset = min(self._position, _FULL)
        self._directory.write(
            struct.pack("<4sH", b"PK\1\2", made_by)
            + _facts(entry, extra)
            + struct.pack("<HHHII", 0, 0, 0, _READABLE, offset)  # comment, disk, internal attributes
            + entry.name.encode()
            + extra
        )
        self._count += 1

    def end(self) -> Iterator[bytes]:
        with self._directory as directory:
            size = directory.seek(0, SEEK_END)
            directory.seek(0)
            while piece := directory.read(_PIECE):
                yield piece
        start, count = self._position, self._count
        if count >= _MANY or start >= _FULL or size >= _FULL:
            yield struct.pack(
                "<4sQHHIIQQQQ", b"PK\6\6", 44, _ZIP64, _ZIP64, 0, 0, count, count, size, start
            ) + struct.pack("<4sIQI", b"PK\6\7", 0, start + size, 1)
        counted = min(count, _MANY)
        yield struct.pack(
            "<4sHHHHIIH", b"PK\5\6", 0, 0, counted, counted, min(size, _FULL), min(start, _FULL), 0
        )


def _facts(entry: Entry, extra: bytes) -> bytes:
    """Return what both headers of an entry say, in front of its name."""
    version, size = _ZIP64 if extra else _PLAIN, min(entry.size, _FULL)
    lengths = len(entry.name.encode()), len(extra)
    stored = 0
    return struct.pack(
        "<HHHHHIIIHH", version, _UTF8, stored, *_dos_time(entry.at), entry.crc, size, size, *lengths
    )


def _dos_time(at: float) -> tuple[int, int]:
    """Return time and date in UTC as DOS had them; the format begins in 1980 and ends in 2107."""
    when = datetime.fromtimestamp(min(max(at, 315532800), 4354819198), UTC)
    time = when.hour << 11 | when.minute << 5 | when.second // 2
    return time, (when.year - 1980) << 9 | when.month << 5 | when.day


@define
class TarWriter:
    """A TAR file as POSIX.1-2001 has it (pax)."""

    needs_crc = False
    content_type = "application/x-tar"
    extension = ".tar"

    def before(self, entry: Entry) -> bytes:
        info = tarfile.TarInfo(entry.name)
        info.size, info.mtime, info.mode = entry.size, int(entry.at), 0o644
        return info.tobuf(tarfile.PAX_FORMAT)

    def after(self, entry: Entry) -> bytes:
        return bytes(-entry.size % _BLOCK)

    def end(self) -> Iterator[bytes]:
        yield bytes(2 * _BLOCK)


@define
class Names:
    """The names in an archive, all different even where case does not count: ``cat.jpg``, ``cat-2.jpg``."""

    _taken: set[str] = field(factory=set, init=False)
    _times: Counter[str] = field(factory=Counter, init=False)

    def unique(self, name: str) -> str:
        found = name
        stem, dot, extension = name.rpartition(".")
        while found.casefold() in self._taken:
            times = self._times[name.casefold()] = max(2, self._times[name.casefold()] + 1)
            found = f"{stem}-{times}.{extension}" if dot else f"{name}-{times}"
        self._taken.add(found.casefold())
        return found
