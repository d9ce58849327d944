"""What the samples of a page are: turned into pixels that filters take, and back.

Whole numbers of up to 16 bits are scaled to 8 or 16; of signed ones the lowest is black. Those of up to 32
bits become floating point from 0 to 1. Floating point stays as it is: 0 is black and 1 white.

Sources: TIFF 6.0 and its technical notes, Adobe Photoshop TIFF technical notes.
"""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from dpip.errors import CorruptPicture, UnsupportedPicture
from dpip.filters.codec import pillow
from dpip.filters.codec.picture import Pixels
from dpip.filters.codec.tiff import tags

MINISWHITE, MINISBLACK, RGB, PALETTE, MASK, CMYK, YCBCR, CIELAB, ICCLAB = 0, 1, 2, 3, 4, 5, 6, 8, 9
UNSIGNED, SIGNED, FLOAT, UNDEFINED = 1, 2, 3, 4
ASSOCIATED, UNASSOCIATED = 1, 2  # kinds of alpha
_COLOURS = {
    MINISWHITE: 1,
    MINISBLACK: 1,
    RGB: 3,
    PALETTE: 1,
    MASK: 1,
    CMYK: 4,
    YCBCR: 3,
    CIELAB: 3,
    ICCLAB: 3,
}
_RAW = {
    32803: "a camera's raw data",
    34892: "a camera's raw data",
    32844: "LogL",
    32845: "LogLuv",
    10: "ITU Lab",
}


@attrs.frozen
class Palette:
    """The places of a page in its table of colours; the table has 16 bits, N x 3."""

    places: npt.NDArray[Any] = attrs.field(repr=False)
    colours: npt.NDArray[np.uint16] = attrs.field(repr=False)


@attrs.frozen
class Kind:
    """How samples are stored: ``bits`` each, ``format`` and ``photometric`` as in TIFF 6.0."""

    bits: int = 8
    format: int = UNSIGNED
    photometric: int = MINISBLACK

    @property
    def negative(self) -> bool:
        """Tell whether 0 is white."""
        return self.photometric == MINISWHITE


def of(page: Any) -> Kind:
    """Describe a page of tifffile's. Raises UnsupportedPicture for samples that are not filtered."""
    bits, format, photometric = page.bitspersample, int(page.sampleformat), int(page.photometric)
    if tags.PHOTOMETRIC not in page.tags:
        photometric = (
            RGB if page.samplesperpixel > 2 else MINISWHITE if page.compression in (2, 3, 4) else MINISBLACK
        )
    if isinstance(bits, tuple):
        raise UnsupportedPicture(
            f"The TIFF has {bits} bits per channel; DPIP filters channels that are alike."
        )
    if format == UNDEFINED:
        format = UNSIGNED
    known = {UNSIGNED: range(1, 33), SIGNED: (8, 16, 32), FLOAT: (16, 24, 32, 64)}
    if bits not in known.get(format, ()):
        kind = {SIGNED: "signed whole numbers", UNSIGNED: "whole numbers", FLOAT: "floating point numbers"}
        raise UnsupportedPicture(
            f"The TIFF holds {kind.get(format, 'complex numbers')} of {bits} bits; DPIP filters 1 to 32 bits "
            "per channel, signed ones of 8, 16 and 32, and floating point numbers of 16 to 64."
        )
    if photometric not in _COLOURS:
        raise UnsupportedPicture(
            f"The TIFF holds {_RAW.get(photometric, f'colours of kind {photometric}')}, not a picture."
        )
    return Kind(bits, format, photometric)


def channels(
    kind: Kind, samples: int, extra: tuple[int, ...] | None
) -> tuple[list[int], tuple[int, ...], int]:
    """Return the order of the channels, how many belong together, and the kind of alpha (0: there is none).

    ``extra`` is the tag ExtraSamples: what the samples beyond the colours are. Without it, one of them is
    taken for alpha, as many programs write it, and more for bands.
    """
    colours = _COLOURS[kind.photometric]
    if samples < colours:
        raise CorruptPicture(
            f"The TIFF is damaged: its colours take {colours} channels, and it has {samples}."
        )
    more = samples - colours
    known = (
        ((UNASSOCIATED,) if more == 1 else (0,) * more) if extra is None else (*extra, *(0,) * more)[:more]
    )
    alphas = [place for place, meaning in enumerate(known) if meaning in (ASSOCIATED, UNASSOCIATED)]
    order = list(range(colours))
    if alphas:
        order.append(colours + alphas[0])
    order += [place for place in range(colours, samples) if place not in order]
    first = colours + bool(alphas)
    return order, (first, *(1,) * (samples - first)), known[alphas[0]] if alphas else 0


def pixels(kind: Kind, samples: Pixels, alpha: int) -> Pixels:
    """Turn H x W x C samples into uint8, uint16, float32 or float64."""
    if kind.format == FLOAT:
        result = samples.astype(np.float64 if kind.bits == 64 else np.float32)
    elif kind.format == SIGNED:
        result = (samples.view(f"u{samples.itemsize}") ^ _sign(kind)).astype(f"u{samples.itemsize}")
    else:
        result = samples
    if kind.format != FLOAT:
        result = _scaled(kind.bits, result)
    if kind.negative:
        result = _negative(result)
    return _straight(result) if alpha == ASSOCIATED else result


def _sign(kind: Kind) -> Any:
    return np.dtype(f"u{kind.bits // 8}").type(1 << (kind.bits - 1))


def _scaled(bits: int, samples: Pixels) -> Pixels:
    top = (1 << bits) - 1
    if bits in (8, 16):
        return samples
    if bits > 16:
        return samples / float(top)
    white, dtype = (255, np.uint8) if bits < 8 else (65535, np.uint16)
    table = ((np.arange(top + 1, dtype=np.uint32) * np.uint32(white) + top // 2) // top).astype(dtype)
    return np.take(table, samples.astype(dtype, copy=False))


def _negative(array: Pixels) -> Pixels:
    """Exchange black and white of gray, the first channel."""
    result = array.copy()
    result[..., 0] = 1 - array[..., 0] if array.dtype.kind == "f" else ~array[..., 0]
    return result


def _straight(array: Pixels) -> Pixels:
    """Divide the colours by the alpha that they were multiplied with."""
    alpha = array[..., -1:].astype(np.float64)
    top = 1.0 if array.dtype.kind == "f" else float(np.iinfo(array.dtype).max)
    colours = np.divide(array[..., :-1] * top, alpha, out=np.zeros(array[..., :-1].shape), where=alpha != 0)
    if array.dtype.kind != "f":
        colours = np.clip(np.rint(colours), 0, top)
    return np.concatenate((colours.astype(array.dtype), array[..., -1:]), axis=2)


def shown(kind: Kind, array: Pixels, colours: Palette | None, profile: bytes | None) -> Pixels:
    """Turn palettes, CMYK and LAB, with alpha or without, into RGB; H x W x C."""
    if colours is not None:
        table = (colours.colours >> 8).astype(np.uint8)
        return np.concatenate((table[colours.places], array[..., 1:]), axis=2)
    if kind.photometric not in (CMYK, CIELAB, ICCLAB):
        return array
    count = _COLOURS[kind.photometric]
    eight = np.ascontiguousarray(_as_bytes(array))
    if kind.photometric == ICCLAB:  # Pillow expects what TIFF calls CIELAB
        eight[..., 1:3] ^= 128
    mode = "CMYK" if kind.photometric == CMYK else "LAB"
    rgb = pillow.in_rgb(np.ascontiguousarray(eight[..., :count]), mode, profile)
    return np.concatenate((rgb, eight[..., count:]), axis=2)


def _as_bytes(array: Pixels) -> Pixels:
    if array.dtype.kind == "f":
        return np.asarray(np.clip(np.nan_to_num(array), 0, 1) * 255 + 0.5).astype(np.uint8)
    return (array >> 8).astype(np.uint8) if array.dtype == np.uint16 else array.copy()


def samples(kind: Kind, array: Pixels) -> Pixels:
    """Turn filtered pixels, H x W x C, into samples of the original's kind, but for fewer bits than 8."""
    if kind.negative:
        array = _negative(array)
    if array.dtype.kind != "f":
        signed = kind.format == SIGNED and array.itemsize * 8 == kind.bits
        return _signed(array, kind) if signed else array
    if kind.format == FLOAT:
        return array.astype({16: np.float16, 64: np.float64}.get(kind.bits, np.float32))
    top = float((1 << 32) - 1)
    whole = np.rint(np.clip(np.nan_to_num(array), 0, 1) * top).astype(np.uint32)
    return _signed(whole, kind) if kind.format == SIGNED else whole


def _signed(array: Pixels, kind: Kind) -> Pixels:
    return np.asarray(array ^ _sign(kind)).view(f"i{array.itemsize}")
