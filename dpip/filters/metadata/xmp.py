"""XMP: properties of a packet found by a parser, and corrected or left out in its bytes.

All else of the packet stays as it is, byte for byte. Sources: the XMP specification, parts 1 to 3; the
specifications of Google's photo containers and depth maps, of Ultra HDR, and of MWG's regions.
"""

from __future__ import annotations

import re
from bisect import bisect
from collections.abc import Iterable, Iterator

import attrs

from dpip.filters.metadata.parts import Change

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_TIFF, _EXIF = "http://ns.adobe.com/tiff/1.0/", "http://ns.adobe.com/exif/1.0/"
_XMP, _PHOTOSHOP = "http://ns.adobe.com/xap/1.0/", "http://ns.adobe.com/photoshop/1.0/"
_NOTE = "http://ns.adobe.com/xmp/note/"
_RIGHTS, _DC = "http://ns.adobe.com/xap/1.0/rights/", "http://purl.org/dc/elements/1.1/"
_CORE, _EXT = "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/", "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_PLUS, _CC = "http://ns.useplus.org/ldf/xmp/1.0/", "http://creativecommons.org/ns#"
_PANORAMA = "http://ns.google.com/photos/1.0/panorama/"
_CAMERA = "http://ns.google.com/photos/1.0/camera/"
_IMAGE = "http://ns.google.com/photos/1.0/image/"
_DEPTH = frozenset(f"http://ns.google.com/photos/1.0/{name}/" for name in ("depthmap", "focus"))
#: Maps that follow the picture in the file.
_DYNAMIC_DEPTH = frozenset(
    f"http://ns.google.com/photos/dd/1.0/{name}/"
    for name in ("device", "profile", "depthmap", "camera", "image", "item", "vendorinfo", "pose", "plane")
)
_CONTAINER = "http://ns.google.com/photos/1.0/container/"
_ITEM = "http://ns.google.com/photos/1.0/container/item/"
GAIN = "http://ns.adobe.com/hdr-gain-map/1.0/"
_APPLE_GAIN = "http://ns.apple.com/HDRGainMap/1.0/"
#: Prefixes by themselves, for packets that forget to declare them.
_USUAL = {"rdf": _RDF, "tiff": _TIFF, "exif": _EXIF, "xmp": _XMP, "dc": _DC, "photoshop": _PHOTOSHOP}
_USUAL |= {"hdrgm": GAIN, "Container": _CONTAINER, "Item": _ITEM, "xmpNote": _NOTE, "GCamera": _CAMERA}

FILM_LEFT_OUT = "The film of the motion photograph was left out."
DEPTH_LEFT_OUT = "The depth map of the original was left out."

Name = tuple[str, str]
_WIDTHS = frozenset({(_TIFF, "ImageWidth"), (_EXIF, "PixelXDimension")})
_HEIGHTS = frozenset({(_TIFF, "ImageLength"), (_EXIF, "PixelYDimension")})
_ORIENTATION = (_TIFF, "Orientation")
_SUBJECT = frozenset({(_EXIF, "SubjectArea"), (_EXIF, "SubjectLocation")})
_REGIONS = frozenset(
    {
        ("http://www.metadataworkinggroup.com/schemas/regions/", "Regions"),
        ("http://ns.microsoft.com/photo/1.2/", "RegionInfo"),
        (_EXT, "ImageRegion"),
    }
)
_PLACES = frozenset(
    {(_PHOTOSHOP, name) for name in ("City", "State", "Country")}
    | {(_CORE, name) for name in ("Location", "CountryCode")}
    | {(_EXT, name) for name in ("LocationCreated", "LocationShown")}
)
_OF_RIGHTS = frozenset(
    {(_DC, name) for name in ("creator", "rights", "publisher", "contributor")}
    | {(_PHOTOSHOP, name) for name in ("AuthorsPosition", "Credit", "Source")}
    | {(_CORE, "CreatorContactInfo"), (_TIFF, "Copyright"), (_TIFF, "Artist")}
)
_SPACES_OF_RIGHTS = frozenset({_RIGHTS, _PLUS, _CC})
_FILM = frozenset(
    {
        *("MotionPhoto", "MotionPhotoVersion", "MotionPhotoPresentationTimestampUs", "MicroVideo"),
        *("MicroVideoVersion", "MicroVideoOffset", "MicroVideoPresentationTimestampUs"),
    }
)
_PANORAMA_ACROSS = frozenset(
    {
        "CroppedAreaImageWidthPixels",
        "FullPanoWidthPixels",
        "CroppedAreaLeftPixels",
        "LargestValidInteriorRectLeft",
    }
    | {"LargestValidInteriorRectWidth"}
)
_PANORAMA_DOWN = frozenset(
    {
        "CroppedAreaImageHeightPixels",
        "FullPanoHeightPixels",
        "CroppedAreaTopPixels",
        "LargestValidInteriorRectTop",
    }
    | {"LargestValidInteriorRectHeight"}
)
_PREVIEWS = frozenset({(_XMP, "Thumbnails"), (_XMP, "PageInfo")})
# Both are for tags that the parser has accepted, in which they never have to go back.
_START = re.compile(rb"""<(?:[^"'>]|"[^"]*"|'[^']*')*>""")
_ATTRIBUTE = re.compile(rb"""(?<=\s)([^\s=/>"']+)\s*=\s*("[^"]*"|'[^']*')""")
_ORIENTATION_TEXT = re.compile(rb"""tiff:Orientation(?:\s*=\s*["']|>\s*)([1-8])\s*["'<]""")
_DEEPEST, _MOST = 100, 50_000  # elements


class DamagedXmp(Exception):
    """The packet is no XML that makes sense."""


@attrs.frozen
class Attribute:
    """An attribute; its place begins with the space before it, ``value`` is the place within the quotes."""

    name: Name
    start: int
    end: int
    value: tuple[int, int]


@attrs.define
class Element:
    """An element; ``value`` is the place of its text, if it holds nothing else."""

    name: Name
    start: int
    inner: int
    spaces: dict[str, str]
    end: int = 0
    value: tuple[int, int] | None = None
    attributes: list[Attribute] = attrs.field(factory=list)
    #: Declarations of namespaces; the name is ("", namespace).
    declared: list[Attribute] = attrs.field(factory=list)
    children: list[Element] = attrs.field(factory=list)

    def every(self) -> Iterator[Element]:
        """Yield all elements within, at any depth."""
        waiting = list(self.children)
        while waiting:
            element = waiting.pop()
            yield element
            waiting += element.children


Part = Attribute | Element
Edit = tuple[int, int, bytes]


def orientation(packet: bytes) -> int:
    """Return the orientation that the packet states, 1 to 8 as in EXIF; 1 if it states none."""
    found = _ORIENTATION_TEXT.search(packet)
    return int(found[1]) if found else 1


def in_utf8(packet: bytes) -> bytes:
    """Return the packet in the encoding of all others, without zeros at its end."""
    for start, encoding in ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"<\0", "utf-16-le")):
        if packet.startswith(start):
            return packet.decode(encoding, errors="replace").encode(errors="replace")
    return packet.rstrip(b"\0")


class Packet:
    """A packet with the places of its properties. Raises DamagedXmp, also for what XMP must not have."""

    def __init__(self, data: bytes) -> None:
        from xml.parsers import expat  # nosec: no entities are defined, and the depth is bounded

        self.data = data
        self._open: list[Element] = [Element(("", ""), 0, 0, _USUAL)]
        self._left = _MOST
        self._parser = expat.ParserCreate()
        self._parser.ordered_attributes = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.StartDoctypeDeclHandler = self._refuse
        try:
            self._parser.Parse(data, True)
        except (expat.ExpatError, ValueError) as problem:
            raise DamagedXmp from problem
        (self.root,) = self._open

    def _refuse(self, *_: object) -> None:
        raise DamagedXmp

    def _start(self, tag: str, attributes: list[str]) -> None:
        place = self._parser.CurrentByteIndex
        shape = _START.match(self.data, place)
        self._left -= 1
        if shape is None or len(self._open) > _DEEPEST or self._left < 0:
            raise DamagedXmp
        pairs = zip(attributes[::2], attributes[1::2], strict=True)
        spaces = self._open[-1].spaces
        if declared := {name[6:]: space for name, space in pairs if name.startswith("xmlns:")}:
            spaces = spaces | declared
        element = Element(_named(tag, spaces), place, shape.end(), spaces)
        for attribute in _attributes(self.data, shape, spaces):
            (element.attributes if attribute.name[0] else element.declared).append(attribute)
        self._open[-1].children.append(element)
        self._open.append(element)

    def _end(self, _tag: str) -> None:
        element = self._open.pop()
        place = self._parser.CurrentByteIndex
        element.end = element.inner
        if self.data[element.inner - 2 : element.inner] != b"/>":
            element.end = self.data.index(b">", place) + 1
            element.value = None if element.children else (element.inner, place)

    def properties(self) -> Iterator[Part]:
        """Yield the picture's properties, be they attributes or elements."""
        for element in self.root.every():
            if element.name == (_RDF, "RDF"):
                for description in element.children:
                    yield from (each for each in description.attributes if each.name[0] not in ("", _RDF))
                    yield from description.children

    def text(self, part: Part) -> str:
        return self.data[slice(*part.value)].decode(errors="replace").strip() if part.value else ""

    def edited(self, edits: Iterable[Edit]) -> bytes:
        """Replace the bytes between two places by others; what lies within another edit is left out."""
        pieces, position = [], 0
        for start, end, new in sorted(edits, key=lambda edit: (edit[0], -edit[1])):
            if start >= position:
                pieces += [self.data[position:start], new]
                position = end
        return b"".join((*pieces, self.data[position:]))


def _attributes(data: bytes, shape: re.Match[bytes], spaces: dict[str, str]) -> Iterator[Attribute]:
    for found in _ATTRIBUTE.finditer(data, shape.start(), shape.end()):
        prefix, colon, local = found[1].decode(errors="replace").partition(":")
        value = found.start(2) + 1, found.end(2) - 1
        start = found.start()
        while data[start - 1 : start].isspace():
            start -= 1
        if prefix == "xmlns" and colon:
            yield Attribute(("", spaces.get(local, "")), start, found.end(), value)
        elif colon and prefix != "xml":
            yield Attribute((spaces.get(prefix, prefix), local), start, found.end(), value)


def _named(word: str, spaces: dict[str, str]) -> Name:
    prefix, _, local = word.rpartition(":")
    return spaces.get(prefix, prefix), local


def _gone(part: Part) -> Edit:
    return part.start, part.end, b""


def _undeclared(found: Packet, edits: list[Edit]) -> Iterator[Edit]:
    """Leave out the declarations of namespaces of which nothing is left, for some look for these alone."""
    spans = sorted((start, end) for start, end, new in edits if not new)
    starts = [start for start, _ in spans]
    every = list(found.root.every())
    gone: set[str] = set()
    left: set[str] = set()
    for element in every:
        parts: list[Part] = [element, *element.attributes]
        for part in parts:
            at = bisect(starts, part.start) - 1
            (gone if at >= 0 and part.start < spans[at][1] else left).add(part.name[0])
    yield from (_gone(each) for element in every for each in element.declared if each.name[1] in gone - left)


def fitted(packet: bytes, change: Change, notices: list[str], *, gain: bool) -> bytes:
    """Return the packet as it is true of the result; ``gain`` says that this still has its gain map.

    Raises DamagedXmp.
    """
    found = Packet(packet)
    edits: list[Edit] = []
    for part in found.properties():
        told = _no_longer_true(part.name, change, gain)
        if told is not None:
            edits.append(_gone(part))
            notices += [told] if told else []
        elif part.name == (_CONTAINER, "Directory") and isinstance(part, Element):
            edits += _without_items(found, part, notices, gain)
        elif (value := _true_value(found, part, change)) is not None and part.value:
            edits.append((*part.value, value.encode()))
    return found.edited([*edits, *_undeclared(found, edits)] if edits else [])


def _no_longer_true(name: Name, change: Change, gain: bool) -> str | None:
    """Return what is told of a property that has to go, maybe nothing; None if it stays."""
    space, local = name
    moved = change.elsewhere or change.turn != 1
    if name in _PREVIEWS or (space in (GAIN, _APPLE_GAIN) and not gain):
        return ""
    if space == _IMAGE:
        return "The picture within the original's XMP was left out: it is not filtered."
    if space == _CAMERA and local in _FILM:
        return FILM_LEFT_OUT
    if space in _DYNAMIC_DEPTH or (space in _DEPTH and (moved or not change.maps)):
        return DEPTH_LEFT_OUT
    if moved and (space == _PANORAMA or name in _REGIONS):
        what = "What was said of the panorama" if space == _PANORAMA else "Where faces are in the picture"
        return f"{what} was left out: the pixels have moved."
    if moved and name in _SUBJECT:
        return "Where the subject is in the picture was left out: the pixels have moved."
    return None


def _true_value(found: Packet, part: Part, change: Change) -> str | None:
    """Return the value that a property must have now; None if it stays."""
    if part.name == _ORIENTATION:
        return "1"
    if part.name in _WIDTHS | _HEIGHTS:
        return str(change.after[part.name in _HEIGHTS])
    across, down = part.name[1] in _PANORAMA_ACROSS, part.name[1] in _PANORAMA_DOWN
    number = found.text(part) if part.name[0] == _PANORAMA and (across or down) else ""
    return str(round(int(number) * change.ratios[down])) if number.isdecimal() and len(number) < 10 else None


def _without_items(found: Packet, directory: Element, notices: list[str], gain: bool) -> Iterator[Edit]:
    """Leave out of a container what does not follow the picture any more; all of it if nothing does."""
    items = [
        (element, _semantic(found, element)) for element in directory.every() if element.name == (_RDF, "li")
    ]
    going = [(li, kind) for li, kind in items if kind != "Primary" and not (gain and kind == "GainMap")]
    for _, kind in going:
        unknown = f"What the original holds as {kind[:40]} was left out."
        told = {"MotionPhoto": FILM_LEFT_OUT, "GainMap": ""}.get(kind, unknown)
        notices += [told] if told else []
    if len(items) - len(going) < 2:
        yield _gone(directory)
    else:
        yield from (_gone(li) for li, _ in going)


def _item(li: Element, local: str) -> Part | None:
    for element in (li, *li.every()):
        parts: list[Part] = [*element.attributes, element]
        for part in parts:
            if part.name == (_ITEM, local):
                return part
    return None


def _semantic(found: Packet, li: Element) -> str:
    part = _item(li, "Semantic")
    return found.text(part) if part is not None else "an unknown part"


def with_gain_map_length(packet: bytes, length: int) -> bytes:
    """Correct the length of the gain map in the container's directory, if it is there. Raises DamagedXmp."""
    found = Packet(packet)
    items = (li for li in found.root.every() if li.name == (_RDF, "li") and _semantic(found, li) == "GainMap")
    parts = [part for li in items if (part := _item(li, "Length")) is not None]
    return found.edited((*part.value, b"%d" % length) for part in parts if part.value)


def with_extension(packet: bytes, guid: str | None) -> bytes:
    """Name the second packet that belongs to this one, or say that there is none. Raises DamagedXmp."""
    found = Packet(packet)
    parts = [part for part in found.properties() if part.name == (_NOTE, "HasExtendedXMP")]
    if guid is None:
        return found.edited(map(_gone, parts))
    return found.edited((*part.value, guid.encode()) for part in parts if part.value)


def extension(packet: bytes) -> str | None:
    """Return the GUID of the second packet, if the first names one. Raises DamagedXmp."""
    found = Packet(packet)
    named = (found.text(part) for part in found.properties() if part.name == (_NOTE, "HasExtendedXMP"))
    return next(named, None)


def without_place(packet: bytes) -> bytes:
    """Leave out where the picture was taken. Raises DamagedXmp."""
    found = Packet(packet)
    edits = [_gone(part) for part in found.properties() if _is_place(part.name)]
    return found.edited([*edits, *_undeclared(found, edits)] if edits else [])


def _is_place(name: Name) -> bool:
    return name in _PLACES or (name[0] == _EXIF and name[1].startswith("GPS"))


def of_rights(packet: bytes) -> bytes | None:
    """Return the packet with whose the picture is, alone; None if that is not said. Raises DamagedXmp."""
    found = Packet(packet)
    every = list(found.properties())
    going = [part for part in every if part.name not in _OF_RIGHTS and part.name[0] not in _SPACES_OF_RIGHTS]
    if len(going) == len(every):
        return None
    edits = [_gone(part) for part in going]
    return found.edited([*edits, *_undeclared(found, edits)])


def in_srgb(packet: bytes) -> bytes:
    """Say of the colours that they are sRGB, where something is said of them. Raises DamagedXmp."""
    found = Packet(packet)
    edits: list[Edit] = []
    for part in found.properties():
        if part.name == (_PHOTOSHOP, "ICCProfile"):
            edits.append(_gone(part))
        elif part.name == (_EXIF, "ColorSpace") and part.value:
            edits.append((*part.value, b"1"))
    return found.edited(edits)


def says_gain_map(packet: bytes) -> bool:
    """Tell whether the packet belongs to a gain map, as those of Adobe, Google and Apple are."""
    return GAIN.encode() in packet or _APPLE_GAIN.encode() in packet or b"aux:hdrgainmap" in packet


def says_depth(packet: bytes) -> bool:
    """Tell whether the packet belongs to a map of depth, of a device or a portrait's matte."""
    return b"aux:depth" in packet or b"aux:disparity" in packet or b"aux:portraiteffectsmatte" in packet
