"""EXIF, a small TIFF: written anew from its tags, so nothing stays that no tag names, such as a thumbnail.

The notes of a camera's maker hold places in the file, which nobody else knows: so they lie where they lay.
Sources: EXIF 2.32 and 3.0, DCF 2.0.
"""

from __future__ import annotations

import re
import struct

import attrs

from dpip.filters.metadata import directories
from dpip.filters.metadata.directories import Directory, Layout, Tag
from dpip.filters.metadata.parts import Change

_PREFIX = b"Exif\x00\x00"
_PHOTO, _GPS, _INTEROPERABILITY = directories.EXIF, directories.GPS, directories.INTEROPERABILITY
_NOTES = directories.MAKER_NOTE
ORIENTATION, _WIDTH, _HEIGHT = 274, 256, 257
_PHOTO_WIDTH, _PHOTO_HEIGHT, _COLOUR_SPACE, _DCF_KIND = 40962, 40963, 40961, 1
_SUBJECT = (37396, 41492)  # area, location
_COPYRIGHT = (315, 33432, 40093)  # artist, copyright, Windows' author
#: How and where the pixels of a page are stored, and Photoshop's layers: no part of EXIF.
_STORED = frozenset(
    {254, 255, 273, 279, 288, 289, 320, *range(322, 326), 330, 347, *range(512, 522), 34675, 37724}
)
#: Tags of the map that a GeoTIFF has.
MAP = frozenset({33550, 33918, 33919, 33920, 33922, 34264, 34735, 34736, 34737})
#: How notes begin in which places count from their own start.
_MOVABLE = (b"Nikon\0\x02", b"OLYMPUS\0", b"OM SYSTEM", b"FUJIFILM", b"Apple iOS", b"PENTAX \0")
_PREVIEW = re.compile(rb"\xff\xd8\xff[\xc0-\xc4\xdb\xdd\xe0-\xef\xfe]")
_HEAD = 8
_LARGEST_GAP = 1 << 20


def bare(data: bytes | None) -> bytes | None:
    """Return the TIFF structure without the prefix that JPEG and some WebP writers put before it."""
    return data.removeprefix(_PREFIX) if data else None


def orientation(data: bytes | None, packet: bytes | None = None) -> int:
    """Return 1 to 8 as in the EXIF standard; 1 (upright) if it is missing or makes no sense.

    Where EXIF says none, the XMP ``packet`` may.
    """
    directory, layout = parsed(data, frozenset({ORIENTATION}))
    if ORIENTATION not in directory:
        if not packet:
            return 1
        from dpip.filters.metadata import xmp  # its classes take time to be made

        return xmp.orientation(packet)
    numbers = layout.parsed(directory[ORIENTATION])
    return int(numbers[0]) if numbers and 1 <= numbers[0] <= 8 else 1


def parsed(data: bytes | None, wanted: frozenset[int] | None = None) -> tuple[Directory, Layout]:
    """Return the tags, without those of the thumbnail, and how their numbers are written."""
    if not data or data[:4] not in (b"II*\0", b"MM\0*") or len(data) < _HEAD:
        return {}, Layout()
    layout = Layout.of(data)
    (place,) = struct.unpack_from(layout.place, data, 4)
    return directories.read(data, layout, place, wanted), layout


def written(
    directory: Directory, layout: Layout, notices: list[str], most: int | None = None
) -> bytes | None:
    """Write EXIF of at most that many bytes; None if there is nothing, or no room for it, which is told."""
    directory = kept_in_place(directory, notices, 1, _LARGEST_GAP if most is None else most)
    if not directory:
        return None
    data = _around_notes(directory, layout)
    if most is not None and len(data) > most and maker_notes(directory):
        notices.append("The notes of the camera's maker were left out: there is no room for them.")
        data = _around_notes(_without_notes(directory), layout)
    if most is not None and len(data) > most:
        notices.append("EXIF was left out: it is longer than the format allows.")
        return None
    return data


def maker_notes(directory: Directory) -> Tag | None:
    photo = directory.get(_PHOTO)
    return photo.within.get(_NOTES) if photo is not None and photo.within else None


def kept_in_place(directory: Directory, notices: list[str], first: int, last: int) -> Directory:
    """Let the notes of the camera's maker go elsewhere if they do not lie between the two places."""
    notes = maker_notes(directory)
    if notes is None or notes.at is None or max(first, _HEAD) <= notes.at <= last:
        return directory
    if not notes.value.startswith(_MOVABLE):
        notices.append("The notes of the camera's maker were moved: places in them may be wrong.")
    return _with_notes(directory, attrs.evolve(notes, at=None))


def _with_notes(directory: Directory, notes: Tag) -> Directory:
    photo = directory[_PHOTO]
    return directory | {_PHOTO: attrs.evolve(photo, within=(photo.within or {}) | {_NOTES: notes})}


def _without_notes(directory: Directory) -> Directory:
    return _without(directory, _PHOTO, {_NOTES})


def _around_notes(directory: Directory, layout: Layout) -> bytes:
    """Write the tags before the notes if they fit there, else behind them."""
    notes = maker_notes(directory)
    start = _HEAD
    body, place = directories.table(directory, layout, start)
    if notes is not None and notes.at is not None:
        if start + len(body) <= notes.at:
            body = body.ljust(notes.at - start, b"\0") + notes.value
        else:
            start = notes.at + len(notes.value) + len(notes.value) % 2
            body, place = directories.table(directory, layout, start)
            body = (bytes(notes.at - _HEAD) + notes.value).ljust(start - _HEAD, b"\0") + body
    return layout.header + struct.pack(layout.place, place) + body


def in_file(directory: Directory) -> Directory:
    """Return the tags without those on how a page is stored, which have no place in EXIF."""
    return {tag: entry for tag, entry in directory.items() if tag not in _STORED}


def fitted(directory: Directory, layout: Layout, change: Change, notices: list[str]) -> Directory:
    """Return the tags as they are true of the result: its size, upright, and no preview of the original."""
    result = {tag: _without_previews(entry) for tag, entry in directory.items()}
    if ORIENTATION in result:
        result[ORIENTATION] = layout.numbers(3, 1)
    sizes = zip((_WIDTH, _HEIGHT, _PHOTO_WIDTH, _PHOTO_HEIGHT), change.after * 2, strict=True)
    right = {tag: layout.numbers(4, size) for tag, size in sizes}
    result |= {tag: right[tag] for tag in (_WIDTH, _HEIGHT) if tag in result}
    photo = result.get(_PHOTO)
    if photo is None or photo.within is None:
        return result
    inner = photo.within | {tag: right[tag] for tag in (_PHOTO_WIDTH, _PHOTO_HEIGHT) if tag in photo.within}
    inner = _with_subject(inner, layout, change, notices)
    return result | {_PHOTO: attrs.evolve(photo, within=inner)}


def _with_subject(photo: Directory, layout: Layout, change: Change, notices: list[str]) -> Directory:
    """Correct where in the picture the subject is, or leave it out where the pixels are elsewhere."""
    said = [tag for tag in _SUBJECT if tag in photo]
    if said and change.elsewhere:
        notices.append("Where the subject is in the picture was left out: the pixels have moved.")
        return {tag: entry for tag, entry in photo.items() if tag not in said}
    return photo | {tag: _moved(photo[tag], layout, change) for tag in said}


def _moved(entry: Tag, layout: Layout, change: Change) -> Tag:
    numbers = layout.parsed(entry)
    if entry.kind != 3 or not 2 <= len(numbers) <= 4:
        return entry
    (width, height), (across, down) = change.before, change.ratios
    x, y, *size = numbers
    if change.turn >= 5:
        x, y, size = y, x, size[::-1]
    if change.turn in (2, 3, 6, 7):
        x = width - 1 - x
    if change.turn in (3, 4, 7, 8):
        y = height - 1 - y
    scaled = [
        x * across,
        y * down,
        *(number * ratio for number, ratio in zip(size, (across, down), strict=False)),
    ]
    return layout.numbers(3, *(min(65535, max(0, round(number))) for number in scaled))


def _without_previews(entry: Tag) -> Tag:
    """Blank whole JPEGs within a value, such as previews among the notes of a camera's maker."""
    if entry.within is not None:
        return attrs.evolve(
            entry, within={tag: _without_previews(each) for tag, each in entry.within.items()}
        )
    if len(entry.value) < 100 or not _PREVIEW.search(entry.value):
        return entry
    return attrs.evolve(entry, value=blanked(entry.value))


def blanked(value: bytes) -> bytes:
    """Overwrite by zeros what looks like a JPEG, from its start to its end."""
    result = bytearray(value)
    starts = [found.start() for found in _PREVIEW.finditer(value)]
    last = value.find(b"\xff\xd9", starts[-1]) if starts else -1
    # A preview may hold a smaller one: what lies between two starts goes, whatever it is.
    end = last + 2 if last >= 0 else len(value)
    if starts:
        result[starts[0] : end] = bytes(end - starts[0])
    return bytes(result)


def without_place(directory: Directory, notices: list[str]) -> Directory:
    """Leave out where the picture was taken, and the notes of the maker, which may say it, too."""
    if maker_notes(directory) is not None:
        notices.append("The notes of the camera's maker were left out: they may say where it was.")
        directory = _without_notes(directory)
    return {tag: entry for tag, entry in directory.items() if tag not in MAP | {_GPS}}


def of_rights(directory: Directory) -> Directory:
    """Return the tags that say whose the picture is."""
    return directories.only(directory, _COPYRIGHT)


def is_adobe_rgb(data: bytes | None) -> bool:
    """Tell whether the camera says, in DCF's way, that the colours are Adobe RGB."""
    photo = parsed(data, frozenset({_PHOTO, _INTEROPERABILITY, _COLOUR_SPACE, _DCF_KIND}))[0].get(_PHOTO)
    kinds = photo.within.get(_INTEROPERABILITY) if photo is not None and photo.within else None
    entry = kinds.within.get(_DCF_KIND) if kinds is not None and kinds.within else None
    return entry is not None and entry.value.startswith(b"R03")


def in_srgb(directory: Directory, layout: Layout) -> Directory:
    """Say of the colours that they are sRGB, where something is said of them."""
    photo = directory.get(_PHOTO)
    if photo is None or photo.within is None:
        return directory
    inner = dict(photo.within)
    if _COLOUR_SPACE in inner:
        inner[_COLOUR_SPACE] = layout.numbers(3, 1)
    kinds = inner.get(_INTEROPERABILITY)
    if kinds is not None and kinds.within and _DCF_KIND in kinds.within:
        plain = kinds.within | {_DCF_KIND: Tag(2, 4, b"R98\0")}
        inner[_INTEROPERABILITY] = attrs.evolve(kinds, within=plain)
    return directory | {_PHOTO: attrs.evolve(photo, within=inner)}


def _without(directory: Directory, owner: int, going: set[int]) -> Directory:
    entry = directory.get(owner)
    if entry is None or entry.within is None:
        return directory
    inner = {tag: value for tag, value in entry.within.items() if tag not in going}
    return directory | {owner: attrs.evolve(entry, within=inner)}
