"""Writing a TIFF page by page, each as its original was stored, with its own tags."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Any

import attrs
import numpy as np

from dpip.errors import UnsupportedPicture
from dpip.filters import groups
from dpip.filters.codec.picture import Frame, Metadata, Pixels
from dpip.filters.codec.tiff import compression, kinds, scaling, tags
from dpip.filters.codec.tiff.kinds import Kind
from dpip.filters.codec.tiff.reader import Level, Page
from dpip.filters.metadata import exif, fitting, icc, photoshop
from dpip.filters.metadata.directories import Directory, Layout, Tag
from dpip.filters.metadata.fitting import Wanted
from dpip.filters.metadata.parts import Change
from dpip.filters.resampling import resample

_SHORT, _LONG, _RATIONAL, _UNDEFINED, _LONG8 = 3, 4, 5, 7, 16
_LARGEST = 2**32 - 2**20  # bytes of a TIFF whose places have 32 bits
_LARGEST_GAP = 1 << 20
_YCBCR_RANGE = (0, 1, 255, 1, 128, 1, 255, 1, 128, 1, 255, 1)


def encode(
    frames: Iterable[Frame],
    metadata: Metadata,
    style: dict[str, Any],
    notices: list[str],
    own: Wanted | None = None,
) -> bytes:
    """Encode the pages one by one.

    With ``own`` a page of a TIFF has the tags that it had there, as far as they are wanted; else, and if it
    comes from another format, the first page has those of ``metadata``. ``style`` may hold the ``quality`` of
    JPEG.
    """
    described, layout = tags.of_exif(metadata.exif)
    writer: _Writer | None = None
    for number, frame in enumerate(frames):
        page = frame.origin if isinstance(frame.origin, Page) else None
        if writer is None:
            layout = page.layout if page is not None and own is not None else layout
            writer = _Writer(attrs.evolve(layout, big=page is not None and page.layout.big), style, notices)
        if page is not None and own is not None:
            writer.add(frame, page, writer.own(frame, page, own))
        else:
            first = _of_metadata(described, metadata, layout) if number == 0 else {}
            writer.add(frame, page or _plain(frame, layout), first)
    return writer.finished() if writer is not None else b""


def _plain(frame: Frame, layout: Layout) -> Page:
    """Say how a page is stored that comes from another format."""
    height, width = frame.pixels.shape[:2]
    kind = Kind(bits=8 * frame.pixels.itemsize)
    return Page(kind, width, height, 0, layout, {}, compression.RAW, 1, None, None, (), 0, None, turn=1)


def _of_metadata(described: Directory, metadata: Metadata, layout: Layout) -> Directory:
    more: Directory = {}
    if metadata.xmp:
        more[tags.XMP] = Tag(1, len(metadata.xmp), metadata.xmp)
    if metadata.icc:
        more[tags.PROFILE] = Tag(_UNDEFINED, len(metadata.icc), metadata.icc)
    if metadata.dpi:
        more[tags.X_RESOLUTION], more[tags.Y_RESOLUTION] = (
            scaling.rational(layout, dpi) for dpi in metadata.dpi
        )
        more[tags.RESOLUTION_UNIT] = layout.numbers(_SHORT, 2)
    elif metadata.aspect:
        more[tags.X_RESOLUTION], more[tags.Y_RESOLUTION] = (
            scaling.rational(layout, number) for number in metadata.aspect
        )
        more[tags.RESOLUTION_UNIT] = layout.numbers(_SHORT, 1)
    return described | more | _resources(metadata.photoshop)


def _resources(resources: bytes | None) -> Directory:
    """Return Photoshop's image resources, and IPTC once more, as most programs look for it."""
    found = {tags.PHOTOSHOP: Tag(1, len(resources), resources)} if resources else {}
    iptc = photoshop.iptc(resources)
    return found | ({tags.IPTC: Tag(_UNDEFINED, len(iptc), iptc)} if iptc else {})


@attrs.frozen
class _Samples:
    """What is stored: H x W x C, bool for one bit, and the tags that say what it is."""

    array: Pixels
    bits: int
    photometric: int
    groups: tuple[int, ...] = ()
    table: Any = attrs.field(default=None, kw_only=True)


@attrs.define
class _Writer:
    layout: Layout
    style: dict[str, Any]
    notices: list[str]
    _out: bytearray = attrs.field(init=False)
    _link: int = attrs.field(init=False)
    _shared: dict[bytes, int] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        self._out = bytearray(self.layout.header)
        self._link = len(self._out)
        self._out += bytes(self.layout.inline)

    def own(self, frame: Frame, page: Page, wanted: Wanted) -> Directory:
        """Return the page's own tags, as far as they are true of the result."""
        height, width = frame.pixels.shape[:2]
        before, after = (page.width, page.height), (width, height)
        kept = scaling.fitted(page.tags, page.layout, frame.area, before, after, self.notices, turn=page.turn)
        change = Change(before, after, frame.area, page.turn, frame.along == ())
        wanted = attrs.evolve(wanted, converted=frame.converted)
        kept = fitting.page_tags(kept, page.layout, change, wanted, self.notices)
        channels = 1 if frame.pixels.ndim == 2 else frame.pixels.shape[2]
        kept = scaling.with_channels(kept, page.channels, channels, self.notices)
        if tags.PROFILE in kept:
            first = groups.of(frame.pixels, frame.groups)[0]
            shown_as_rgb = page.kind.photometric in (kinds.CMYK, kinds.CIELAB, kinds.ICCLAB)
            gone = shown_as_rgb or frame.converted
            profile = None if gone else icc.fitting(kept[tags.PROFILE].value, first)
            del kept[tags.PROFILE]
            if profile is not None:
                kept[tags.PROFILE] = Tag(_UNDEFINED, len(profile), profile)
        return kept

    def add(self, frame: Frame, page: Page, described: Directory) -> None:
        """Add a page, and its smaller pictures made anew from it."""
        samples = self._samples(frame, page)
        described = self._with_notes(described)
        smaller = [(level, self._level(frame, page, level)) for level in page.levels]
        reduced = {tags.SUBFILE: self.layout.numbers(_LONG, 1)}
        within = [self._directory(small, page, reduced) for level, small in smaller if level.within]
        entries = self._directory(samples, page, described)
        if within:
            places = [self._place(directory)[0] for directory in within]
            entries[tags.SUB_DIRECTORIES] = self._places(places)
        self._chain(entries)
        for level, small in smaller:
            if not level.within:
                self._chain(self._directory(small, page, reduced))

    def _with_notes(self, described: Directory) -> Directory:
        """Put the notes of the camera's maker where they lay, if nothing lies there yet."""
        free = len(self._out) == self._link + self.layout.inline
        described = exif.kept_in_place(described, self.notices, len(self._out), _LARGEST_GAP if free else 0)
        notes = exif.maker_notes(described)
        if notes is not None and notes.at is not None:
            self._out += bytes(notes.at - len(self._out)) + notes.value
            self._out += bytes(len(self._out) % 2)
        return described

    def finished(self) -> bytes:
        return bytes(self._out)

    def _level(self, frame: Frame, page: Page, level: Level) -> _Samples:
        height, width = frame.pixels.shape[:2]
        across = max(1, round(width * level.width / page.width))
        down = max(1, round(height * level.height / page.height))
        pixels, parts = groups.each(lambda part: resample(part, across, down), frame.pixels, frame.groups)
        return self._samples(attrs.evolve(frame, pixels=pixels, groups=parts), page, smaller=True)

    def _samples(self, frame: Frame, page: Page, *, smaller: bool = False) -> _Samples:
        """Turn pixels into what is stored, with as few bits as the original has where they suffice."""
        pixels = frame.pixels if frame.pixels.ndim == 3 else frame.pixels[..., None]
        if page.palette is not None and pixels.dtype == np.uint8 and not smaller:
            found = _with_palette(pixels, page.palette)
            if found is not None:
                return found
            if pixels.shape[2] >= 3:
                self.notices.append("The result has more colours than a palette holds: it is stored as RGB.")
        gray = groups.of(pixels, frame.groups)[0] <= 2
        if page.kind.bits == 1 and _is_black_white(pixels):
            white = pixels > 0
            return _Samples(~white if page.kind.negative else white, 1, int(not page.kind.negative))
        kind = page.kind if gray or not page.kind.negative else attrs.evolve(page.kind, photometric=kinds.RGB)
        array = kinds.samples(kind, _with_nodata(pixels, page.nodata))
        photometric = int(not kind.negative) if gray else kinds.RGB
        return _Samples(array, 8 * array.itemsize, photometric, frame.groups)

    def _directory(self, samples: _Samples, page: Page, described: Directory) -> Directory:
        """Write the strips or tiles; returns all of the page's tags."""
        array, number = samples.array, self.layout.numbers
        height, width, channels = array.shape
        method = compression.choose(page.compression, array, samples.bits)
        if method != page.compression and page.compression in compression.NAMES:
            name = compression.NAMES[page.compression]
            self.notices.append(f"The result is compressed by Deflate, and not by {name} as the original.")
        structure = {
            tags.WIDTH: number(_LONG, width),
            tags.HEIGHT: number(_LONG, height),
            258: number(_SHORT, *[samples.bits] * channels),
            259: number(_SHORT, method),
            tags.PHOTOMETRIC: number(_SHORT, samples.photometric),
            277: number(_SHORT, channels),
            284: number(_SHORT, 1),
        }
        if samples.table is not None:
            structure[320] = number(_SHORT, *samples.table.T.reshape(-1).tolist())
        structure |= self._sample_tags(samples)
        if method in (2, 3, 4):
            white = array[..., 0] if samples.photometric else ~array[..., 0]
            strips, more = compression.fax(white, method)
            structure |= {tag: number(entry.kind, *Layout().parsed(entry)) for tag, entry in more.items()}
            return described | structure | self._strips(strips)
        return described | structure | self._pieces(samples, page, method)

    def _sample_tags(self, samples: _Samples) -> Directory:
        """Return what the samples are: their format, and what those beyond the colours mean."""
        channels = samples.array.shape[2]
        found: Directory = {}
        format = {"f": kinds.FLOAT, "i": kinds.SIGNED}.get(samples.array.dtype.kind)
        if format is not None:
            found[339] = self.layout.numbers(_SHORT, *[format] * channels)
        colours = 3 if samples.photometric == kinds.RGB else 1
        if channels > colours:
            first = groups.of(samples.array, samples.groups)[0]
            alpha = [kinds.UNASSOCIATED] if first > colours else []
            found[338] = self.layout.numbers(_SHORT, *alpha, *[0] * (channels - colours - len(alpha)))
        return found

    def _pieces(self, samples: _Samples, page: Page, method: int) -> Directory:
        number, array = self.layout.numbers, samples.array
        tile = page.tile
        if method == compression.JPEG:
            return self._jpegs(array, page)
        predicted = compression.predictor(
            page.predictor, array, samples.bits, palette=samples.table is not None
        )
        parts, rows = compression.pieces(array, tile)
        packed = [compression.packed(part, method, self.layout.order, predicted) for part in parts]
        more = {} if predicted == 1 or method == compression.RAW else {317: number(_SHORT, predicted)}
        if tile is None:
            return more | {278: number(_LONG, rows)} | self._strips(packed)
        return more | self._tiles(packed, tile)

    def _jpegs(self, array: Pixels, page: Page) -> Directory:
        quality = self.style.get("quality") or page.quality
        number = self.layout.numbers
        parts = compression.pieces(array, page.tile)[0] if page.tile is not None else [array]
        packed = [compression.jpeg(np.ascontiguousarray(part), quality) for part in parts]
        more: Directory = {}
        if array.shape[2] == 3:
            more = {tags.PHOTOMETRIC: number(_SHORT, kinds.YCBCR), 530: number(_SHORT, 2, 2)}
            more[532] = number(_RATIONAL, *_YCBCR_RANGE)
        if page.tile is not None:
            return more | self._tiles(packed, page.tile)
        return more | {278: number(_LONG, array.shape[0])} | self._strips(packed)

    def _strips(self, packed: Sequence[bytes | bytearray]) -> Directory:
        return {273: self._written(packed), 279: self.layout.numbers(_LONG, *map(len, packed))}

    def _tiles(self, packed: Sequence[bytes | bytearray], tile: tuple[int, int]) -> Directory:
        number = self.layout.numbers
        sizes = {322: number(_LONG, tile[0]), 323: number(_LONG, tile[1])}
        return sizes | {324: self._written(packed), 325: number(_LONG, *map(len, packed))}

    def _written(self, packed: Sequence[bytes | bytearray]) -> Tag:
        places = []
        for piece in packed:
            places.append(len(self._out))
            self._out += piece
            self._out += bytes(len(piece) % 2)
        if not self.layout.big and len(self._out) > _LARGEST:
            raise UnsupportedPicture("The result is larger than 4 GB, which only a BigTIFF holds.")
        return self._places(places)

    def _places(self, places: list[int]) -> Tag:
        return self.layout.numbers(_LONG8 if self.layout.big else _LONG, *places)

    def _place(self, directory: Directory) -> tuple[int, int]:
        """Write a directory; returns its place, and that of the place of the next one."""
        body, place = tags.table(directory, self.layout, len(self._out), self._shared)
        self._out += body
        end = len(self._out) - self.layout.inline
        self._out += bytes(len(self._out) % 2)
        return place, end

    def _chain(self, directory: Directory) -> None:
        place, end = self._place(directory)
        struct.pack_into(self.layout.place, self._out, self._link, place)
        self._link = end


def _is_black_white(pixels: Pixels) -> bool:
    """Tell whether one bit per pixel is enough."""
    return pixels.shape[2] == 1 and pixels.dtype == np.uint8 and bool(((pixels == 0) | (pixels == 255)).all())


def _with_nodata(pixels: Pixels, nodata: float | None) -> Pixels:
    if nodata is None or pixels.dtype.kind != "f":
        return pixels
    return np.where(np.isnan(pixels), pixels.dtype.type(nodata), pixels)


def _with_palette(pixels: Pixels, palette: kinds.Palette) -> _Samples | None:
    """Store colours by their places in a table: the original's where each place has one colour still."""
    if pixels.shape[2] != 3:
        return None
    table = (palette.colours >> 8).astype(np.uint8)
    if pixels.shape[:2] == palette.places.shape:
        table[palette.places] = pixels
        if np.array_equal(table[palette.places], pixels):
            same = (palette.colours >> 8) == table
            wide = np.where(same, palette.colours, table * np.uint16(257)).astype(np.uint16)
            return _Samples(
                palette.places[..., None], 8 * palette.places.itemsize, kinds.PALETTE, table=_whole(wide)
            )
    return _counted(pixels)


def _whole(table: Any) -> Any:
    """Fill the table up to all places that 8 or 16 bits can name."""
    size = 256 if len(table) <= 256 else 65536
    return np.concatenate((table, np.zeros((size - len(table), 3), np.uint16)))


def _counted(pixels: Pixels) -> _Samples | None:
    """Make a table of the colours, if there are no more than 256."""
    code = pixels[..., 0].astype(np.uint32) << 16 | pixels[..., 1].astype(np.uint32) << 8 | pixels[..., 2]
    seen = np.zeros(1 << 24, np.bool_)
    for row in code:
        seen[row] = True
    colours = np.flatnonzero(seen)
    if len(colours) > 256:
        return None
    places = np.zeros(1 << 24, np.uint8)
    places[colours] = np.arange(len(colours))
    table = np.stack((colours >> 16, colours >> 8 & 255, colours & 255), axis=1).astype(
        np.uint16
    ) * np.uint16(257)
    return _Samples(places[code][..., None], 8, kinds.PALETTE, table=_whole(table))
