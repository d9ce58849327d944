"""Converting colours to sRGB, by a profile or by numbers, and samples of 9 to 15 bits.

Sources: ITU-R BT.2100, BT.2408, IEC 61966-2-1.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from dpip.filters.alpha import channel_count, has_alpha
from dpip.filters.codec.picture import Pixels
from dpip.filters.metadata.spaces import HLG, PQ, SRGB_PRIMARIES, Space

_BAND = 1 << 18  # pixels that are converted at once


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


def is_srgb(profile: bytes) -> bool:
    """Tell whether the profile calls itself sRGB."""
    try:
        known = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return "srgb" in ImageCms.getProfileDescription(known).lower()
    except (ImageCms.PyCMSError, OSError, ValueError):
        return False


def in_srgb(pixels: Pixels, profile: bytes) -> Pixels | None:
    """Convert gray or RGB, with or without alpha, by its profile; None if that cannot be used."""
    result = np.empty_like(pixels)
    rows = max(1, _BAND // pixels.shape[1])
    try:
        convert = (_eight_bits if pixels.dtype == np.uint8 else _deep)(profile)
        for top in range(0, len(pixels), rows):
            result[top : top + rows] = _by_profile(pixels[top : top + rows], profile, convert)
    except (ImageCms.PyCMSError, OSError, ValueError, RuntimeError):
        return None
    return result


_Convert = Callable[[Pixels], Pixels]


def _by_profile(pixels: Pixels, profile: bytes, convert: _Convert) -> Pixels:
    flat = pixels if pixels.ndim == 3 else pixels[..., None]
    count = flat.shape[2] - has_alpha(pixels)
    colours = flat[..., :count]
    if count == 1 and profile[16:20] == b"RGB ":
        colours = np.repeat(colours, 3, axis=2)
    converted = convert(np.ascontiguousarray(colours))
    if count == 1:  # gray, whose red, green and blue are alike
        converted = converted[..., 1:2]
    return np.asarray(np.concatenate((converted, flat[..., count:]), axis=2).reshape(pixels.shape))


def _eight_bits(profile: bytes) -> _Convert:
    """Return a function from gray or RGB to sRGB, 8 bits per channel."""
    known = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    mode = "L" if profile[16:20] == b"GRAY" else "RGB"
    transform = ImageCms.buildTransform(known, ImageCms.createProfile("sRGB"), mode, "RGB")

    def convert(colours: Pixels) -> Pixels:
        image = Image.fromarray(colours if colours.shape[2] == 3 else colours[..., 0])
        return np.asarray(ImageCms.applyTransform(image, transform))

    return convert


def _deep(profile: bytes) -> _Convert:
    """Return a function for 16 bits, and for floating point, which goes through these."""
    import imagecodecs

    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()

    def convert(colours: Pixels) -> Pixels:
        floats = colours.dtype.kind == "f"
        if floats:
            colours = np.asarray(np.clip(np.nan_to_num(colours), 0, 1) * 65535 + 0.5).astype(np.uint16)
        gray = colours.shape[2] == 1
        source = np.ascontiguousarray(colours[..., 0] if gray else colours)
        space = "gray" if gray else "rgb"
        made = np.asarray(
            imagecodecs.cms_transform(
                source, profile, srgb, colorspace=space, outcolorspace="rgb", outdtype=np.uint16
            )
        )
        return np.asarray(made / 65535.0) if floats else made

    return convert


_WHITE = 203.0  # nits of white on a page (ITU-R BT.2408)
_KNEE = 0.5  # of that white: darker light stays as it is, brighter is compressed


def from_space(pixels: Pixels, space: Space) -> Pixels:
    """Convert gray or RGB, with or without alpha, to sRGB; light brighter than white is compressed."""
    result = np.empty_like(pixels)
    rows = max(1, _BAND // pixels.shape[1])
    matrix = None if channel_count(pixels) <= 2 else _to_srgb_primaries(space.primaries)
    for top in range(0, len(pixels), rows):
        result[top : top + rows] = _block(pixels[top : top + rows], space, matrix)
    return result


def _block(pixels: Pixels, space: Space, matrix: Any) -> Pixels:
    top = 1.0 if pixels.dtype.kind == "f" else float(np.iinfo(pixels.dtype).max)
    flat = pixels if pixels.ndim == 3 else pixels[..., None]
    count = flat.shape[2] - has_alpha(pixels)
    light = _light(np.clip(flat[..., :count].astype(np.float32) / np.float32(top), 0, 1), space)
    if matrix is not None:
        light = light @ matrix.T
    light = np.clip(light, 0, None)
    if space.hdr:
        light = _compressed(light)
    coded = _coded(np.clip(light, 0, 1)) * top
    made = coded if pixels.dtype.kind == "f" else coded + 0.5
    result = np.concatenate((made.astype(pixels.dtype), flat[..., count:]), axis=2)
    return np.asarray(result.reshape(pixels.shape))


def _light(code: Any, space: Space) -> Any:
    """Turn codes into light, of which 1 is white."""
    if space.gamma is not None:
        return code**space.gamma
    if space.curve == PQ:
        return _pq(code) * (10_000 / _WHITE)
    if space.curve == HLG:
        return _hlg(code) * (1000 / _WHITE)
    return np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)


def _pq(code: Any) -> Any:
    """Source: ITU-R BT.2100, table 4; the result is 1 for 10,000 nits."""
    power = code ** (32 / 2523)
    return (np.maximum(power - 3424 / 4096, 0) / (2413 / 128 - 2392 / 128 * power)) ** (16384 / 2610)


def _hlg(code: Any) -> Any:
    """Source: ITU-R BT.2100, table 5, for a screen of 1,000 nits, which are 1."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)
    luma = scene @ np.array([0.2627, 0.678, 0.0593]) if scene.shape[2] == 3 else scene[..., 0]
    return scene * luma[..., None] ** 0.2


def _compressed(light: Any) -> Any:
    """Bring light brighter than the knee below white, by one factor for all colours of a pixel."""
    most = light.max(axis=2, keepdims=True)
    over = np.maximum(most - _KNEE, 0)
    bent = np.where(most > _KNEE, _KNEE + (1 - _KNEE) * (1 - np.exp(-over / (1 - _KNEE))), most)
    return light * np.divide(bent, most, out=np.ones_like(most), where=most > 0)


def _coded(light: Any) -> Any:
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * np.maximum(light, 1e-9) ** (1 / 2.4) - 0.055)


def _to_srgb_primaries(primaries: tuple[float, ...]) -> Any:
    """Return the matrix from light in these primaries to light in those of sRGB, white to white."""
    if primaries == SRGB_PRIMARIES:
        return None
    return (np.linalg.inv(_xyz(SRGB_PRIMARIES)) @ _adapted(primaries) @ _xyz(primaries)).astype(np.float32)


def _xyz(primaries: tuple[float, ...]) -> Any:
    x, y = np.array(primaries[0:6:2]), np.array(primaries[1:6:2])
    columns = np.stack((x / y, np.ones(3), (1 - x - y) / y))
    return columns * np.linalg.solve(columns, _white(primaries))


def _white(primaries: tuple[float, ...]) -> Any:
    x, y = primaries[6:]
    return np.array((x / y, 1.0, (1 - x - y) / y))


_BRADFORD = np.array(((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296)))


def _adapted(primaries: tuple[float, ...]) -> Any:
    """Return Bradford's matrix from the white of these primaries to that of sRGB."""
    ratio = (_BRADFORD @ _white(SRGB_PRIMARIES)) / (_BRADFORD @ _white(primaries))
    return np.linalg.inv(_BRADFORD) @ np.diag(ratio) @ _BRADFORD
