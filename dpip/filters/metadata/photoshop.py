"""Photoshop's image resources, and IPTC, which is one of them.

Sources: the Adobe Photoshop file format specification, the IPTC-NAA Information Interchange Model 4.2.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator

import attrs

from dpip.filters.metadata.parts import Change

_MARK = b"8BIM"
_IPTC, _COPYRIGHTED, _ADDRESS = 1028, 1034, 1035
#: The original once more: thumbnails; copies of EXIF, XMP and profile; the checksum of IPTC.
_COPIES = frozenset({1033, 1036, 1058, 1059, 1060, 1039, 1061})
_PATHS = range(2000, 2999)
_IN_PIXELS = frozenset({1032, 1050, *_PATHS})  # guides, slices, and outlines
_RIGHTS = frozenset({_COPYRIGHTED, _ADDRESS})
_DATA_SET = 0x1C
#: Of record 2: author, title of the author, credit, source, copyright, contact.
_RIGHTS_SETS = frozenset({80, 85, 110, 115, 116, 118})
#: Of record 2: content location, city, place, state, country.
_PLACE_SETS = frozenset({26, 27, 90, 92, 95, 100, 101})
_ENVELOPE = (1, 90)  # which says how text is coded
_VERSION = (2, 0)


@attrs.frozen
class _Resource:
    number: int
    name: bytes
    data: bytes


def _resources(data: bytes) -> Iterator[_Resource]:
    """Yield the resources, as far as they are whole."""
    position = 0
    while data[position : position + 4] == _MARK and position + 12 <= len(data):
        (number,) = struct.unpack_from(">H", data, position + 4)
        length = data[position + 6] + 1
        start = position + 6 + length + length % 2
        if start + 4 > len(data):
            return
        (size,) = struct.unpack_from(">I", data, start)
        end = start + 4 + size
        if end > len(data):
            return
        yield _Resource(number, data[position + 6 : start], data[start + 4 : end])
        position = end + size % 2


def _joined(resources: Iterable[_Resource]) -> bytes | None:
    parts = (
        _MARK
        + struct.pack(">H", each.number)
        + each.name
        + struct.pack(">I", len(each.data))
        + each.data
        + bytes(len(each.data) % 2)
        for each in resources
    )
    return b"".join(parts) or None


def fitted(data: bytes, change: Change, notices: list[str]) -> bytes | None:
    """Return what is true of the result: no copy of the original, no places of pixels that have moved."""
    kept = [each for each in _resources(data) if each.number not in _COPIES]
    moved = change.elsewhere or change.turn != 1
    stays = [each for each in kept if not (moved and each.number in _IN_PIXELS)]
    if any(each.number in _PATHS for each in kept if each not in stays):
        notices.append("Photoshop's paths were left out: the pixels have moved.")
    return _joined(stays)


def without_place(data: bytes) -> bytes | None:
    return _with_iptc(_resources(data), without_place_in_iptc)


def of_rights(data: bytes) -> bytes | None:
    kept = [each for each in _resources(data) if each.number in _RIGHTS | {_IPTC}]
    return _with_iptc(kept, rights_in_iptc)


def _with_iptc(resources: Iterable[_Resource], edit: Callable[[bytes], bytes]) -> bytes | None:
    edited = (
        attrs.evolve(each, data=edit(each.data)) if each.number == _IPTC else each for each in resources
    )
    return _joined(each for each in edited if each.number != _IPTC or each.data)


def iptc(data: bytes | None) -> bytes | None:
    """Return IPTC alone, as TIFF holds it too."""
    return next((each.data for each in _resources(data or b"") if each.number == _IPTC), None)


def of_iptc(data: bytes) -> bytes:
    """Make resources of IPTC alone."""
    return _joined([_Resource(_IPTC, bytes(2), data)]) or b""


def without_place_in_iptc(data: bytes) -> bytes:
    return b"".join(raw for key, raw in _data_sets(data) if key[0] != 2 or key[1] not in _PLACE_SETS)


def rights_in_iptc(data: bytes) -> bytes:
    kept = [(key, raw) for key, raw in _data_sets(data) if key[0] != 2 or key[1] in _RIGHTS_SETS | {0}]
    if not any(key[0] == 2 and key != _VERSION for key, _ in kept):
        return b""
    return b"".join(raw for key, raw in kept if key[0] == 2 or key == _ENVELOPE)


def _data_sets(data: bytes) -> Iterator[tuple[tuple[int, int], bytes]]:
    """Yield (record, number) and all bytes of each data set, as far as they are whole."""
    position = 0
    while position + 5 <= len(data) and data[position] == _DATA_SET:
        record, number, size = struct.unpack_from(">BBH", data, position + 1)
        start = position + 5
        if size & 0x8000:  # the length follows, in so many bytes
            length = size & 0x7FFF
            size = int.from_bytes(data[start : start + length]) if length <= 8 else len(data)
            start += length
        if start + size > len(data):
            return
        yield (record, number), data[position : start + size]
        position = start + size
