"""Colours of formats without room for a profile, and samples of 9 to 15 bits."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from dpip.filters.codec.picture import Pixels

_PRIMARIES = {9: "BT.2020", 11: "DCI-P3", 12: "Display P3"}
_CURVES = {16: "PQ", 18: "HLG", 8: "linear light"}
_BAND = 1 << 18  # pixels
_PLAIN_PRIMARIES, _PLAIN_CURVES = (0, 1, 2, 5, 6), (0, 1, 2, 6, 13)


def notices(nclx: tuple[int, int] | None, profile: bytes | None) -> list[str]:
    """Say what is wrong with colours that are stated as numbers (ITU-T H.273) and not by a profile."""
    if nclx is None or profile is not None:
        return []
    primaries, curve = nclx
    names = [_PRIMARIES.get(primaries, f"primaries {primaries}")] * (primaries not in _PLAIN_PRIMARIES)
    names += [_CURVES.get(curve, f"curve {curve}")] * (curve not in _PLAIN_CURVES)
    if not names:
        return []
    return [
        f"The original's colours are {' with '.join(names)}, and were taken as sRGB: they look different."
    ]


def widened(pixels: Pixels, bits: int) -> Pixels:
    """Spread samples of ``bits`` over 8 bits, or over 16 if there are more."""
    kind, most = (np.uint8, 255) if bits <= 8 else (np.uint16, 65535)
    if bits in (8, 16):
        return pixels.astype(kind, copy=False)
    return scaled(pixels, (1 << bits) - 1, most).astype(kind)


def scaled(samples: npt.NDArray[Any], most: int, top: int) -> npt.NDArray[np.uint32]:
    """Spread whole numbers up to ``most`` over those up to ``top``, both below 65,536."""
    wide = samples.astype(np.uint32)
    wide *= np.uint32(top)
    wide += np.uint32(most // 2)
    wide //= np.uint32(most)
    return wide


def with_srgb_curve(pixels: Pixels, alpha: bool) -> Pixels:
    """Turn samples in linear light into sRGB, whole numbers into 16 bits of it; alpha stays as it is."""
    result = np.empty(pixels.shape, np.float32 if pixels.dtype.kind == "f" else np.uint16)
    rows = max(1, _BAND // pixels.shape[1])
    for first in range(0, len(pixels), rows):  # as floating point all would take ten times as much
        result[first : first + rows] = _curved(pixels[first : first + rows], alpha)
    return result


def _curved(pixels: Pixels, alpha: bool) -> npt.NDArray[Any]:
    floats = pixels.dtype.kind == "f"
    most = 1.0 if floats else float(np.iinfo(pixels.dtype).max)
    light = pixels.astype(np.float32) / most
    low = np.abs(light) <= 0.0031308
    curved = np.where(low, light * 12.92, np.sign(light) * (1.055 * np.abs(light) ** (1 / 2.4) - 0.055))
    if alpha:
        curved[..., -1] = light[..., -1]
    return curved if floats else np.asarray(curved * 65535 + 0.5)


def in_srgb(pixels: Pixels, profile: bytes) -> Pixels | None:
    """Convert 8-bit RGB, with or without alpha, by its profile; None if that is sRGB, or cannot be used."""
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] < 3:
        return None
    try:
        known = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "srgb" in ImageCms.getProfileDescription(known).lower():
            return None
        image = Image.fromarray(np.ascontiguousarray(pixels[..., :3]))
        converted = ImageCms.profileToProfile(image, known, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None
    if converted is None:
        return None
    return (
        np.dstack((np.asarray(converted), pixels[..., 3:])) if pixels.shape[2] == 4 else np.asarray(converted)
    )
