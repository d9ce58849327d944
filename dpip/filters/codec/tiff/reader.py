"""Reading a TIFF page by page: tifffile understands the pages, imagecodecs undoes the compressions.

Old kinds of JPEG and of YCbCr, which they do not read, go to Pillow's libtiff.
"""

from __future__ import annotations

import io
import logging
import re
import struct
from collections.abc import Iterable, Iterator
from math import prod
from typing import Any

import attrs
import numpy as np
import tifffile
from PIL import Image

from dpip.errors import CorruptPicture, NotAnImage, UnsupportedPicture
from dpip.filters.codec import headers, jpeg, pillow
from dpip.filters.codec.budget import DecodeBudget
from dpip.filters.codec.picture import Frame, Metadata, Picture, Pixels
from dpip.filters.codec.tiff import kinds, tags
from dpip.filters.codec.tiff.compression import NAMES
from dpip.filters.codec.tiff.kinds import Kind, Palette
from dpip.filters.codec.upright import upright
from dpip.filters.metadata.directories import Directory, Layout
from dpip.filters.metadata.jpeg import segments

# What it logs is also raised, or it is about tags that are not needed.
logging.getLogger("tifffile").setLevel(logging.CRITICAL)

RAW, OLD_JPEG, JPEG = 1, 6, 7
CCITT = frozenset({2, 3, 4})
_GENERAL = frozenset({RAW, *CCITT, 5, 8, 32773, 32946, 34925, 50000, 34926, 32771})
_JPEG_2000 = frozenset({33003, 33004, 33005, 34712})
_LERC, _LERC_MARK = 34887, b"Lerc2 "
_CODESTREAM = re.compile(rb"\xff\x4f\xff\x51")
_WEBP = frozenset({50001, 34927})
#: Where the tag Predictor means nothing, as libtiff has it: some programs write it all the same.
_WITHOUT_PREDICTOR = frozenset({RAW, 32773})
_BY_PILLOW = frozenset({OLD_JPEG})
_ORIENTATION = 274
_REDUCED, _MASK_PAGE = 1, 4  # bits of NewSubfileType
#: The pixels of a tile may be this many more than the page's: tiles of 2048 x 2048 are usual for any page.
_TILE = 1 << 22


@attrs.frozen
class Level:
    """A smaller picture of the page; ``within`` says that its directory is not in the chain of pages."""

    width: int
    height: int
    within: bool


@attrs.frozen
class Page:
    """How a page of the original was stored; width and height are as it is shown."""

    kind: Kind
    width: int
    height: int
    channels: int
    layout: Layout
    tags: Directory = attrs.field(repr=False)
    compression: int
    predictor: int
    tile: tuple[int, int] | None
    palette: Palette | None
    levels: tuple[Level, ...]
    quality: int
    nodata: float | None
    #: The orientation by which the pixels were turned upright.
    turn: int
    profile: bytes | None = None


def decode(data: bytes, budget: DecodeBudget) -> Picture:
    """Decode all pages, each when it is asked for.

    Raises UnsupportedPicture for kinds of samples and compressions that are not read, CorruptPicture.
    """
    with pillow.damage_as_corrupt(), tifffile.TiffFile(io.BytesIO(data)) as file:
        count = sum(1 for _ in _documents(file.pages))
        if count == 0:
            raise CorruptPicture("The TIFF is damaged: it has no page.")
        budget.check_count(count)
        _refuse_stacks(file.pages[0], len(file.pages))
        layout = Layout.of(data)
        first = tags.read(data, layout, file.pages[0].offset)
    notices: list[str] = []
    reader = _Reader(data, layout, budget, notices)
    return Picture("TIFF", reader.frames(), count, _metadata(first, layout, notices), notices=notices)


def _metadata(directory: Directory, layout: Layout, notices: list[str]) -> Metadata:
    """Return what other formats keep of the first page."""
    packet = directory.get(tags.XMP)
    return Metadata(
        exif=tags.exif(tags.described(directory), layout, notices),
        icc=_profile(directory, layout),
        xmp=packet.value if packet is not None else None,
        dpi=_resolution(directory, layout, {2: 1.0, 3: 2.54}),
        photoshop=tags.resources(directory),
        aspect=_aspect(directory, layout),
    )


def _profile(directory: Directory, layout: Layout) -> bytes | None:
    """Return the profile, unless it is for colours that are shown as RGB."""
    photometric = directory.get(tags.PHOTOMETRIC)
    rgb_or_gray = photometric is None or layout.parsed(photometric) not in ((5,), (8,), (9,))
    return directory[tags.PROFILE].value if tags.PROFILE in directory and rgb_or_gray else None


def _aspect(directory: Directory, layout: Layout) -> tuple[float, float] | None:
    """Return the shape of a pixel where the resolution has no unit, and pixels are no squares."""
    found = _resolution(directory, layout, {1: 1.0})
    return found if found is not None and found[0] != found[1] and min(found) > 0 else None


def _resolution(directory: Directory, layout: Layout, units: dict[int, float]) -> tuple[float, float] | None:
    """Return the resolution across and down, if it is in one of the units, by the factors of those."""
    unit = directory.get(tags.RESOLUTION_UNIT)
    numbers = layout.parsed(unit) if unit is not None else (2,)
    per_inch = units.get(int(numbers[0])) if numbers else None
    pairs = [
        layout.parsed(directory[tag]) for tag in (tags.X_RESOLUTION, tags.Y_RESOLUTION) if tag in directory
    ]
    if per_inch is None or len(pairs) != 2 or any(len(pair) != 2 or not pair[1] for pair in pairs):
        return None
    (across, one), (down, other) = pairs
    return across / one * per_inch, down / other * per_inch


def _documents(pages: Iterable[Any]) -> Iterator[tuple[Any, list[Any], bool]]:
    """Yield each page with the smaller pictures of it that follow it, and tell whether a mask follows."""
    base: Any = None
    levels: list[Any] = []
    masked = False
    for page in pages:
        kind = int(page.subfiletype)
        if base is not None and kind & _MASK_PAGE:
            masked = True
        elif base is not None and kind & _REDUCED and _is_level(page, base):
            levels.append(page)
        else:
            if base is not None:
                yield base, levels, masked
            base, levels, masked = page, [], False
    if base is not None:
        yield base, levels, masked


def _is_level(page: Any, base: Any) -> bool:
    """Tell whether the page has the proportions of the larger one, to a pixel or two."""
    width, height = base.imagewidth, base.imagelength
    off = abs(page.imagewidth * height - width * page.imagelength)
    return bool(page.imagewidth < width and page.imagelength <= height and off <= 2 * max(width, height))


def _refuse_stacks(page: Any, pages: int) -> None:
    """Refuse files that hold more pictures than they have directories for."""
    images = 1
    description = page.description
    if description.startswith("ImageJ="):
        found = [line.partition("=")[2] for line in description.splitlines() if line.startswith("images=")]
        images = int(found[0]) if found and found[0].isdigit() else 1
    elif 33629 in page.tags:  # MetaMorph
        images = page.tags[33629].count
    if images > pages:
        raise UnsupportedPicture(
            f"The TIFF says that it holds {images} pictures, and has directories for {pages}. Save it with "
            "one for each, for example as OME-TIFF."
        )


@attrs.define
class _Reader:
    data: bytes = attrs.field(repr=False)
    layout: Layout
    budget: DecodeBudget
    notices: list[str]
    _libtiff: Image.Image | None = None

    def frames(self) -> Iterator[Frame]:
        with pillow.damage_as_corrupt(), tifffile.TiffFile(io.BytesIO(self.data)) as file:
            for page, levels, masked in _documents(file.pages):
                if masked:
                    self.notices.append("The mask that says which pixels are seen was left out.")
                yield self._frame(page, levels)

    def _frame(self, page: Any, levels: list[Any]) -> Frame:
        stored = page.samplesperpixel * (page.dtype.itemsize if page.dtype is not None else 1)
        self.budget.take_frame(page.imagewidth, page.imagelength, stored)
        if page.compression in _WITHOUT_PREDICTOR:
            page.predictor = 1
        kind = kinds.of(page)
        directory = tags.read(self.data, self.layout, page.offset)
        if tags.has_layers(directory):
            self.notices.append(
                "Photoshop's layers were left out: the result has the picture that they make."
            )
        groups: tuple[int, ...]
        if page.compression in _BY_PILLOW or (kind.photometric == kinds.YCBCR and page.compression != JPEG):
            kind = attrs.evolve(kind, photometric=kinds.RGB)
            array, groups, colours = self._by_pillow(page), (3,), None
        else:
            array, groups, colours = self._decoded(page, kind)
        turn = self._turn(directory)
        array = upright(array, turn)
        if colours is not None:
            colours = attrs.evolve(colours, places=upright(colours.places, turn))
        height, width = array.shape[:2]
        stored = Page(
            kind=kind,
            width=width,
            height=height,
            channels=array.shape[2],
            layout=self.layout,
            tags=tags.described(directory) | tags.only(directory, (tags.SUBFILE,)),
            compression=int(page.compression),
            predictor=int(page.predictor),
            tile=(page.tilewidth, page.tilelength) if page.is_tiled and turn < 5 else None,
            palette=colours,
            levels=tuple(self._levels(page, levels, turn)),
            quality=self._quality(page),
            nodata=self._nodata(page, kind),
            turn=turn,
            profile=_profile(directory, self.layout),
        )
        if stored.nodata is not None:
            gaps = array == array.dtype.type(stored.nodata)
            array = np.where(gaps, array.dtype.type(np.nan), array)
        return Frame(array[..., 0] if array.shape[2] == 1 else array, groups=groups, origin=stored)

    def _turn(self, directory: Directory) -> int:
        """Return the orientation, 1 to 8 as in EXIF; 1 (upright) if it is missing or makes no sense."""
        numbers = self.layout.parsed(directory[_ORIENTATION]) if _ORIENTATION in directory else ()
        return int(numbers[0]) if numbers and 1 <= numbers[0] <= 8 else 1

    def _levels(self, page: Any, levels: list[Any], turn: int) -> Iterator[Level]:
        """Yield the smaller pictures; others in directories within the page are left out."""
        for level in levels:
            size = level.imagewidth, level.imagelength
            yield Level(*(size if turn < 5 else size[::-1]), within=False)
        wanted = frozenset({tags.SUBFILE, tags.WIDTH, tags.HEIGHT})
        entry = tags.read(self.data, self.layout, page.offset, frozenset({tags.SUB_DIRECTORIES}))
        places = self.layout.parsed(entry[tags.SUB_DIRECTORIES]) if entry else ()
        for place in places[:32]:
            small = tags.read(self.data, self.layout, int(place), wanted)
            sizes = [self.layout.parsed(small[tag]) for tag in (tags.WIDTH, tags.HEIGHT) if tag in small]
            if len(sizes) == 2 and all(len(size) == 1 for size in sizes):
                width, height = int(sizes[0][0]), int(sizes[1][0])
                if 0 < width < page.imagewidth and 0 < height <= page.imagelength:
                    yield Level(*((width, height) if turn < 5 else (height, width)), within=True)
                    continue
            self.notices.append("A further picture within a page of the TIFF was left out.")

    def _decoded(self, page: Any, kind: Kind) -> tuple[Pixels, tuple[int, ...], Palette | None]:
        self._check(page)
        raw = page.asarray(squeeze=False, maxworkers=1)
        planes = np.moveaxis(raw[:, 0, ..., 0], 0, -1) if page.planarconfig == 2 else raw[0, 0]
        given = page.extrasamples if 338 in page.tags else None
        order, groups, alpha = kinds.channels(kind, planes.shape[2], given)
        if given is None and alpha:
            self.notices.append("The TIFF does not say what its last channel is: it was taken for alpha.")
        if order != sorted(order):
            planes = planes[..., order]
        palette = _palette(page, planes[..., 0]) if kind.photometric == kinds.PALETTE else None
        array = np.ascontiguousarray(planes)
        if palette is None:
            array = kinds.pixels(kind, array, alpha)
        profile = page.tags.valueof(tags.PROFILE)
        array = kinds.shown(kind, array, palette, profile if isinstance(profile, bytes) else None)
        return *self._as_colours(kind, array, groups), palette

    def _as_colours(
        self, kind: Kind, array: Pixels, groups: tuple[int, ...]
    ) -> tuple[Pixels, tuple[int, ...]]:
        """Return the channels that belong together of what is shown as RGB now; spot colours go."""
        if kind.photometric == kinds.PALETTE:
            return array, (groups[0] + 2, *groups[1:])
        if kind.photometric not in (kinds.CMYK, kinds.CIELAB, kinds.ICCLAB):
            return array, groups
        name = "CMYK" if kind.photometric == kinds.CMYK else "LAB"
        eight = " of 8 bits" if kind.bits > 8 else ""
        self.notices.append(f"The colours were converted from {name} to RGB{eight}.")
        if len(groups) > 1:
            self.notices.append(f"The further channels were left out: {len(groups) - 1} besides {name}.")
        alpha = groups[0] - (4 if kind.photometric == kinds.CMYK else 3)
        return array[..., : 3 + alpha], (3 + alpha,)

    def _nodata(self, page: Any, kind: Kind) -> float | None:
        """Return the value of unknown pixels; among whole numbers they are filtered, and that is said."""
        nodata = _nodata(page)
        if nodata is None or kind.format == kinds.FLOAT:
            return nodata
        self.notices.append(
            f"Pixels without data have the value {nodata:g}, which was filtered like any other."
        )
        return None

    def _check(self, page: Any) -> None:
        """Check, before anything is decoded, that the page is whole and its pieces no larger than it says."""
        compression = int(page.compression)
        if page.imagedepth != 1:
            raise UnsupportedPicture("The TIFF holds a volume, not pictures.")
        if compression not in _GENERAL | _JPEG_2000 | _WEBP | {JPEG, _LERC}:
            raise UnsupportedPicture(
                f"The TIFF is compressed by {_name(compression)}, which DPIP does not read."
            )
        if page.is_tiled and page.tilewidth * page.tilelength > max(
            _TILE, 4 * page.imagewidth * page.imagelength
        ):
            raise UnsupportedPicture(
                f"The TIFF has tiles of {page.tilewidth} x {page.tilelength} pixels: too large."
            )
        pieces = list(zip(page.dataoffsets, page.databytecounts, strict=False))
        if len(pieces) < prod(page.chunked):
            raise CorruptPicture("The TIFF is damaged: it does not say where all parts of a page are.")
        if any(place + size > len(self.data) for place, size in pieces):
            raise CorruptPicture("The TIFF is cut short.")
        if compression not in _GENERAL:
            width = page.tilewidth if page.is_tiled else page.imagewidth
            height = page.tilelength if page.is_tiled else page.rowsperstrip
            room = width * height + 64 * max(width, height)  # JPEG fills up its blocks
            for place, size in (piece for piece in pieces if piece[1]):
                _check_size(self.data[place : place + size], compression, room, page.samplesperpixel)

    def _quality(self, page: Any) -> int:
        """Estimate the quality of JPEG from its tables, which all pieces share or each has."""
        if page.compression != JPEG:
            return 0
        place, size = page.dataoffsets[0], page.databytecounts[0]
        parts = [page.jpegtables or b"", self.data[place : place + size]]
        tables = b"".join(body for part in parts for marker, body in _segments(part) if marker == 0xDB)
        return jpeg.estimate_quality(tables) or 90

    def _by_pillow(self, page: Any) -> Pixels:
        if self._libtiff is None:
            self._libtiff = Image.open(io.BytesIO(self.data), formats=("TIFF",))
        self._libtiff.seek(page.index)
        if self._libtiff.size != (page.imagewidth, page.imagelength):
            raise CorruptPicture("The TIFF is damaged: a page says twice how large it is.")
        return np.asarray(self._libtiff.convert("RGB"))


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    return segments(data) if data[:2] == b"\xff\xd8" else iter(())


def _check_size(piece: bytes, compression: int, pixels: int, samples: int) -> None:
    """Compare the size that a compressed piece names itself with that of the tile or strip."""
    found = _size(piece, compression, samples)
    if found == 0:
        raise UnsupportedPicture(
            f"The TIFF is compressed by a kind of {_name(compression)} that DPIP does not read."
        )
    if found > pixels * samples:
        raise CorruptPicture("The TIFF is damaged: a part is larger than the page says.")


def _size(piece: bytes, compression: int, samples: int) -> int:
    """Return how many samples a compressed piece names; 0 for what is not of that kind."""
    if compression == _LERC:
        return _lerc_size(piece) if piece.startswith(_LERC_MARK) else 0
    if compression in _JPEG_2000:
        return max(
            (_jpeg_2000_size(piece, found.start()) for found in _CODESTREAM.finditer(piece)), default=0
        )
    try:
        info = headers.probe(piece)
    except NotAnImage:
        return 0
    return info.width * info.height * samples


def _lerc_size(piece: bytes) -> int:
    """Source: the LERC specification (Esri): one part after the other, each with the same header."""
    (version,) = struct.unpack_from("<i", piece, 6)
    height, width, depth = struct.unpack_from("<iii", piece, 14 if version >= 3 else 10)
    return int(abs(height * width * (depth if version >= 4 else 1)) * piece.count(_LERC_MARK))


def _jpeg_2000_size(piece: bytes, start: int) -> int:
    """Source: ITU-T T.800, A.5.1."""
    right, bottom, left, top, _, _, _, _, components = struct.unpack_from(">8IH", piece, start + 8)
    return int(abs((right - left) * (bottom - top)) * components)


def _name(compression: int) -> str:
    return NAMES.get(compression, f"the method {compression}")


def _palette(page: Any, places: Pixels) -> Palette:
    table = page.tags.valueof(320)
    if table is None:
        raise CorruptPicture("The TIFF is damaged: it has no table of colours.")
    colours = np.asarray(table, np.uint16).reshape(3, -1).T
    if colours.size and colours.max() < 256:  # bytes, as old programs write them
        colours = colours * np.uint16(257)
    if places.dtype == np.bool_:  # one bit each; NumPy would take it for a choice of pixels
        places = places.astype(np.uint8)
    if int(places.max(initial=0)) >= len(colours):
        raise CorruptPicture("The TIFF is damaged: its table of colours is too short.")
    return Palette(np.ascontiguousarray(places), np.ascontiguousarray(colours))


def _nodata(page: Any) -> float | None:
    """Return the value of pixels without data (GDAL), if there are such."""
    if 42113 not in page.tags:
        return None
    try:
        value = float(str(page.tags.valueof(42113)).strip("\0 ").replace(",", "."))
    except ValueError:
        return None
    return None if np.isnan(value) else value
