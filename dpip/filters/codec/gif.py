"""GIF: Pillow compresses each frame, and this module writes the file around them.

Pillow's own writer joins frames that look alike and so loses some. Here every frame has a palette of its own.
If the picture before stays, the frame holds what differs from it and is transparent elsewhere. Source: GIF89a
specification.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable, Iterator
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt
from PIL import Image

from dpip.filters.codec import changes, pillow
from dpip.filters.codec.budget import DecodeBudget
from dpip.filters.codec.indexed import numbers_of
from dpip.filters.codec.picture import Frame, Metadata, Picture, Pixels

_OPAQUE_FROM = 128
_SAMPLE = 1 << 15  # pixels
_FEW = 128  # grays: for more the palette of all is no larger
_SQUARE = 49  # in the byte that tells the shape of a pixel
_ICC = b"\x21\xff\x0bICCRGBG1012"
_XMP = b"\x21\xff\x0bXMP DataXMP"
_XMP_END = bytes((1, *range(255, -1, -1), 0))
_STAYS = (0, 1)  # disposal methods that leave the picture where it is


def decode(data: bytes, budget: DecodeBudget) -> Picture:
    """Decode a GIF, with its profile, XMP, and the shape of its pixels."""
    picture = pillow.decode(data, "GIF", budget)
    shape = data[12]
    metadata = attrs.evolve(
        picture.metadata,
        icc=_profile(data),
        xmp=_packet(data),
        aspect=(64.0, shape + 15.0) if shape not in (0, _SQUARE) else None,
    )
    return attrs.evolve(picture, metadata=metadata)


def _profile(data: bytes) -> bytes | None:
    start = data.find(_ICC)
    return b"".join(_blocks(data, start + len(_ICC))) or None if start >= 0 else None


def _blocks(data: bytes, position: int) -> Iterator[bytes]:
    while position < len(data) and data[position]:
        yield data[position + 1 : position + 1 + data[position]]
        position += 1 + data[position]


def _packet(data: bytes) -> bytes | None:
    """Return the XMP, which is not cut into blocks; behind it lies what looks like blocks."""
    start = data.find(_XMP)
    end = data.find(_XMP_END[:16], start) if start >= 0 else -1
    return data[start + len(_XMP) : end] or None if end >= 0 else None


def encode(frames: Iterable[Frame], loop: int | None, metadata: Metadata) -> bytes:
    """Encode 8-bit frames, gray, RGB or RGBA, all of one size."""
    parts: list[bytes] = []
    before: Frame | None = None
    for frame in frames:
        if before is None:
            height, width = frame.pixels.shape[:2]
            parts.append(b"GIF89a" + struct.pack("<HHBBB", width, height, 0x70, 0, _shape(metadata)))
            if loop is not None:
                parts.append(b"\x21\xff\x0bNETSCAPE2.0\x03\x01" + struct.pack("<HB", min(loop, 65535), 0))
            parts += _extensions(metadata)
        parts.append(_frame(frame, before))
        before = frame
    return b"".join((*parts, b"\x3b"))


def _shape(metadata: Metadata) -> int:
    """Return the byte that tells the shape of a pixel; 0 if that is a square."""
    if metadata.aspect is None:
        return 0
    across, down = metadata.aspect
    return min(255, max(1, round(64 * down / across - 15)))


def _extensions(metadata: Metadata) -> Iterator[bytes]:
    if metadata.icc:
        yield _ICC + _in_blocks(metadata.icc)
    if metadata.xmp:
        yield _XMP + metadata.xmp + _XMP_END
    for kind, text in metadata.extra:
        if kind == pillow.COMMENT:
            yield b"\x21\xfe" + _in_blocks(text)


def _in_blocks(data: bytes) -> bytes:
    pieces = (data[at : at + 255] for at in range(0, len(data), 255))
    return b"".join(bytes((len(piece),)) + piece for piece in pieces) + b"\0"


def _frame(frame: Frame, before: Frame | None) -> bytes:
    changed = _changed(frame.pixels, before)
    if changed is None:
        left, top, (image, transparent) = 0, 0, _with_palette(frame.pixels)
    else:
        rows, columns = changes.box(changed)
        left, top = columns.start, rows.start
        image, transparent = _through(frame.pixels[rows, columns], changed[rows, columns])
    flags = (frame.disposal & 7) << 2 | (transparent is not None)
    delay = min(round(frame.duration / 10), 65535)
    control = b"\x21\xf9\x04" + struct.pack("<BHBB", flags, delay, transparent or 0, 0)
    out = io.BytesIO()
    image.save(out, "GIF", interlace=0, optimize=False)  # which would renumber the colours
    return control + _as_local(out.getvalue(), left, top)


def _changed(pixels: Pixels, before: Frame | None) -> npt.NDArray[np.bool_] | None:
    """Find the pixels that differ from the frame before; None if the frame has to be drawn whole."""
    if before is None or before.disposal not in _STAYS or before.pixels.shape != pixels.shape:
        return None
    differs = changes.changed(pixels, before.pixels)
    if pixels.ndim == 3 and pixels.shape[2] == 4 and (differs & (pixels[..., 3] < _OPAQUE_FROM)).any():
        return None  # drawing cannot make an opaque pixel transparent
    return differs


def _through(pixels: Pixels, changed: npt.NDArray[np.bool_]) -> tuple[Image.Image, int | None]:
    """Make a palette picture in which unchanged pixels are transparent, if a colour is left for that."""
    if pixels.ndim == 2:
        spare = np.bincount(pixels[changed], minlength=256).argmin()
        if (pixels[changed] == spare).any():
            return _with_palette(pixels)
        gray = np.repeat(np.arange(256), 3).tolist()
        return _in_palette(np.where(changed, pixels, spare).astype(np.uint8), gray), int(spare)
    alpha = pixels[..., 3] if pixels.shape[2] == 4 else np.uint8(255)
    shown = np.where(changed, alpha, 0).astype(np.uint8)
    return _with_palette(np.dstack((pixels[..., :3], shown)))


def _as_local(single: bytes, left: int, top: int) -> bytes:
    """Turn a one-frame file into an image block at ``left`` and ``top``, with the palette as its own."""
    bits = single[10] & 7
    position = 13 + (3 << (bits + 1))
    palette = single[13:position]
    while single[position] == 0x21:
        position += 2
        while single[position]:
            position += 1 + single[position]
        position += 1
    size = single[position + 5 : position + 9]
    descriptor = (
        b"\x2c" + struct.pack("<HH", left, top) + size + bytes((single[position + 9] & 0x40 | 0x80 | bits,))
    )
    return descriptor + palette + single[position + 10 : -1]


def _with_palette(pixels: Pixels) -> tuple[Image.Image, int | None]:
    """Reduce to 256 colours; returns the picture and the index of the transparent colour, if there is one."""
    if pixels.ndim == 2:
        few = Image.fromarray(pixels).getcolors(_FEW)
        return (_quantized(np.dstack([pixels] * 3), _FEW) if few else Image.fromarray(pixels)), None
    if pixels.shape[2] == 3:
        return _quantized(pixels, 256), None
    hidden = pixels[..., 3] < _OPAQUE_FROM
    colours = np.ascontiguousarray(pixels[..., :3])
    if not hidden.any():
        return _quantized(colours, 256), None
    colours[hidden] = colours[~hidden][0] if not hidden.all() else 0
    image = _quantized(colours, 255)
    indices, palette = np.array(image), image.getpalette() or []
    transparent = len(palette) // 3
    indices[hidden] = transparent
    return _in_palette(indices, [*palette, 0, 0, 0]), transparent


def _quantized(pixels: Pixels, colours: int) -> Image.Image:
    """Keep the colours if they are few enough (those of gray always are), else choose some by median cut.

    Error diffusion keeps soft gradients from falling into steps.
    """
    image = Image.fromarray(pixels)
    known: Any = image.getcolors(colours)
    if known is None:
        palette = _sample(pixels).quantize(colours)
        indices = np.array(image.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG))
        # Unused entries of the palette are black too, and one of them may be the transparent colour.
        unused = indices >= colours
        if unused.any():
            indices[unused] = np.asarray(image.quantize(palette=palette, dither=Image.Dither.NONE))[unused]
        return _in_palette(indices, palette.getpalette() or [])
    table = sorted(colour for _, colour in known)
    indices = numbers_of(pixels, np.array(table, np.uint8))
    return _in_palette(indices, [value for colour in table for value in colour])


def _sample(pixels: Pixels) -> Image.Image:
    """Return pixels from all over the picture, enough to choose a palette: median cut is slow for each."""
    every = pixels.reshape(-1, 3)
    return Image.fromarray(np.ascontiguousarray(every[:: -(-len(every) // _SAMPLE)][np.newaxis]))


def _in_palette(indices: Pixels, palette: list[int]) -> Image.Image:
    image = Image.fromarray(indices)
    image.putpalette(palette)
    return image
