"""What of a file's metadata is true of the result, wanted in it, and can be held by its format."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Final

import attrs

from dpip.filters.metadata import exif, jpeg
from dpip.filters.metadata.directories import Directory, Layout, Tag
from dpip.filters.metadata.parts import Change, Metadata
from dpip.filters.output import BY_NAME

STRIP, WITHOUT_PLACE, RIGHTS = "strip", "strip-location", "copyright-only"
#: Bytes of EXIF that formats hold; others have no limit that matters.
_MOST_EXIF: Final = {"JPEG": jpeg.LONGEST - 6}
#: Resolutions that programs write where none was chosen.
_MEANINGLESS = (72, 96)
_RIGHTS_WORDS = (b"Author", b"Copyright", b"Creator", b"Artist")
COLOUR_CHUNKS = frozenset({b"gAMA", b"cHRM", b"sRGB", b"cICP", b"mDCV", b"cLLI"})
#: The kind of part that is a comment, by format.
_COMMENTS: Final[dict[str, object]] = {"JPEG": jpeg.COM, "GIF": b"comment", "PNG": b"tEXt"}
_COMMENT = b"Comment\0"  # the keyword of PNG
_TEXT_CHUNKS = frozenset({b"tEXt", b"zTXt", b"iTXt"})


@attrs.frozen
class Wanted:
    """What the result shall have: its format, and the output option ``metadata``.

    ``gain`` says that it still has its gain map, ``same_format`` that the original has this format, too,
    ``converted`` that the colours have become sRGB.
    """

    format: str
    way: str = "keep"
    same_format: bool = True
    gain: bool = False
    converted: bool = False


def fitted(metadata: Metadata, change: Change, wanted: Wanted, notices: list[str]) -> Metadata:
    """Return the metadata of the result; profile and colours stay, which belong to the pixels."""
    if wanted.way == STRIP:
        return Metadata(
            icc=metadata.icc,
            aspect=_aspect(metadata.aspect, change, notices),
            space=metadata.space,
            extra=_extra(metadata, wanted),
        )
    found = _edited(metadata, change, wanted, notices)
    if wanted.way != RIGHTS:
        found = attrs.evolve(found, dpi=_swapped(metadata.dpi, change))
    return _with_room(found, metadata, wanted, notices)


def _edited(metadata: Metadata, change: Change, wanted: Wanted, notices: list[str]) -> Metadata:
    extended = packet_of(metadata.extended_xmp, change, wanted, notices)
    packet = packet_of(metadata.xmp, change, wanted, notices)
    if extended is None or packet is None or wanted.format != "JPEG":
        extended = None
    return attrs.evolve(
        metadata,
        exif=_exif(metadata.exif, change, wanted, notices),
        xmp=_naming(packet, extended) if metadata.extended_xmp or metadata.xmp else packet,
        extended_xmp=extended,
        photoshop=resources_of(metadata.photoshop, change, wanted, notices),
        dpi=None,
        aspect=_aspect(metadata.aspect, change, notices),
        extra=_extra(metadata, wanted),
    )


def _exif(data: bytes | None, change: Change, wanted: Wanted, notices: list[str]) -> bytes | None:
    if not data or "exif" not in BY_NAME[wanted.format].metadata:
        return data if wanted.way != RIGHTS else None  # that it has no room is told later
    directory, layout = exif.parsed(data)
    if not directory:
        notices.append("EXIF was left out: it is damaged.")
        return None
    directory = page_tags(exif.in_file(directory), layout, change, wanted, notices)
    return exif.written(directory, layout, notices, _MOST_EXIF.get(wanted.format))


def tags(
    directory: Directory, layout: Layout, change: Change, wanted: Wanted, notices: list[str]
) -> Directory:
    """Return the tags of EXIF, or of a TIFF's page, as they are true and wanted."""
    if wanted.way == RIGHTS:
        directory = exif.of_rights(directory)
    elif wanted.way == WITHOUT_PLACE:
        directory = exif.without_place(directory, notices)
    if wanted.converted:
        directory = exif.in_srgb(directory, layout)
    return exif.fitted(directory, layout, change, notices)


def packet_of(packet: bytes | None, change: Change, wanted: Wanted, notices: list[str]) -> bytes | None:
    """Return the packet as it is true and wanted; None if nothing is left of it, or it is damaged."""
    if not packet:
        return None
    result, told = _packet_of(packet, change, wanted)
    notices += told
    return result


@functools.lru_cache(maxsize=2)  # pages often have the same
def _packet_of(packet: bytes, change: Change, wanted: Wanted) -> tuple[bytes | None, tuple[str, ...]]:
    from dpip.filters.metadata import xmp  # most pictures have none, and its classes take time to be made

    notices: list[str] = []
    try:
        packet = xmp.fitted(xmp.in_utf8(packet), change, notices, gain=wanted.gain)
        if wanted.converted:
            packet = xmp.in_srgb(packet)
        edits = {RIGHTS: xmp.of_rights, WITHOUT_PLACE: xmp.without_place}
        return edits[wanted.way](packet) if wanted.way in edits else packet, tuple(notices)
    except xmp.DamagedXmp:
        return None, ("XMP was left out: it is damaged.",)


def _naming(packet: bytes | None, extended: bytes | None) -> bytes | None:
    """Let the first packet name the second by what it holds now."""
    if packet is None or b"HasExtendedXMP" not in packet:
        return packet
    from dpip.filters.metadata import xmp

    return xmp.with_extension(packet, jpeg.guid(extended) if extended else None)


def resources_of(data: bytes | None, change: Change, wanted: Wanted, notices: list[str]) -> bytes | None:
    if not data:
        return None
    from dpip.filters.metadata import photoshop  # as with XMP

    kept = photoshop.fitted(data, change, notices)
    edits: dict[str, Callable[[bytes], bytes | None]] = {
        RIGHTS: photoshop.of_rights,
        WITHOUT_PLACE: photoshop.without_place,
    }
    return edits[wanted.way](kept) if kept and wanted.way in edits else kept


def _aspect(
    aspect: tuple[float, float] | None, change: Change, notices: list[str]
) -> tuple[float, float] | None:
    """Return the shape of the result's pixels."""
    aspect = _swapped(aspect, change)
    if aspect is None:
        return None
    if change.area == "moved":
        notices.append("The shape of the original's pixels was left out: nobody knows that of the result's.")
        return None
    if change.area != "scaled":
        return aspect
    across, down = (number * ratio for number, ratio in zip(aspect, change.ratios, strict=True))
    # Whole pixels cannot keep proportions quite: that changes nothing.
    off = (across / down) / (aspect[0] / aspect[1])
    least = 1 / min(change.after)
    return aspect if abs(off - 1) <= least else (across, down) if abs(across / down - 1) > least else None


def _swapped(numbers: tuple[float, float] | None, change: Change) -> tuple[float, float] | None:
    """Exchange across and down where the picture was turned by a quarter."""
    if numbers is None or (change.turn >= 5) == (change.area == "turned"):
        return numbers
    return numbers[1], numbers[0]


def _extra(metadata: Metadata, wanted: Wanted) -> tuple[tuple[object, bytes], ...]:
    """Return the parts that only the original's format knows, if it is the result's, too."""
    if not wanted.same_format:
        return _as_comments(metadata, wanted)
    return tuple(part for part in metadata.extra if _stays(*part, wanted))


def _as_comments(metadata: Metadata, wanted: Wanted) -> tuple[tuple[object, bytes], ...]:
    """Return the comments of another format as this one has them."""
    kind = _COMMENTS.get(wanted.format)
    if kind is None or wanted.way in (STRIP, RIGHTS):
        return ()
    start = _COMMENT if kind == b"tEXt" else b""
    return tuple((kind, start + text) for text in _comments(metadata) if b"\0" not in text)


def _comments(metadata: Metadata) -> Iterator[bytes]:
    for kind, body in metadata.extra:
        if kind in _COMMENTS.values() and (kind != b"tEXt" or body.startswith(_COMMENT)):
            yield body.removeprefix(_COMMENT) if kind == b"tEXt" else body


def _stays(kind: object, body: bytes, wanted: Wanted) -> bool:
    if kind in COLOUR_CHUNKS:
        return True
    if kind == jpeg.APP2:
        return wanted.gain
    if wanted.way == RIGHTS:
        return kind in _TEXT_CHUNKS and body.startswith(_RIGHTS_WORDS)
    return wanted.way != STRIP


def _with_room(found: Metadata, metadata: Metadata, wanted: Wanted, notices: list[str]) -> Metadata:
    """Leave out what the format has no room for, and tell."""
    room = BY_NAME[wanted.format].metadata
    lost = [name for part, name in _lost(found, metadata, wanted) if part not in room]
    if lost:
        listed = f"{', '.join(lost[:-1])} and {lost[-1]}" if len(lost) > 1 else lost[0]
        notices.append(f"{wanted.format} has no room for {listed}: left out.")
    gone = {part: None for part in ("exif", "xmp", "dpi", "photoshop", "aspect") if part not in room}
    return attrs.evolve(found, **gone)  # type: ignore[arg-type]


def _lost(found: Metadata, metadata: Metadata, wanted: Wanted) -> list[tuple[str, str]]:
    parts = [("exif", "EXIF")] if found.exif else []
    parts += [("xmp", "XMP")] if found.xmp else []
    if metadata.extended_xmp and wanted.way != RIGHTS:
        parts.append(("extended", "the second part of XMP"))
    if found.photoshop:
        from dpip.filters.metadata import photoshop

        parts.append(("photoshop", "IPTC" if photoshop.iptc(found.photoshop) else "Photoshop's notes"))
    if found.dpi and round(found.dpi[0]) not in _MEANINGLESS:
        parts.append(("dpi", "the resolution"))
    if found.aspect:
        parts.append(("aspect", "the shape of its pixels"))
    if not wanted.same_format and wanted.way != RIGHTS and _has_more_text(metadata, len(found.extra)):
        parts.append(("text", "comments"))
    return parts


def _has_more_text(metadata: Metadata, kept: int) -> bool:
    """Tell whether there is more text than the comments that are kept."""
    texts = [kind for kind, _ in metadata.extra if kind in _TEXT_CHUNKS or kind in _COMMENTS.values()]
    return len(texts) > kept


_XMP, _IPTC, _PHOTOSHOP = 700, 33723, 34377


def page_tags(
    directory: Directory, layout: Layout, change: Change, wanted: Wanted, notices: list[str]
) -> Directory:
    """Return the tags of a TIFF's page, with XMP, IPTC and Photoshop's resources among them."""
    result = tags(directory, layout, change, wanted, notices)
    values = {
        _XMP: lambda value: packet_of(value, change, wanted, notices),
        _PHOTOSHOP: lambda value: resources_of(value, change, wanted, notices),
        _IPTC: lambda value: _iptc(value, wanted),
    }
    for tag, edit in values.items():
        if tag in result:
            old = result.pop(tag)
            new = edit(old.value)
            if new == old.value:
                result[tag] = old
            elif new:
                result[tag] = Tag(7 if tag == _IPTC else 1, len(new), new)
    return result


def _iptc(value: bytes, wanted: Wanted) -> bytes:
    from dpip.filters.metadata import photoshop

    return photoshop.without_place_in_iptc(value) if wanted.way == WITHOUT_PLACE else value
