"""Small valid files of every format that DPIP takes, in many of its ways to store a picture."""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np
from PIL import Image

from tests.filters.pictures import natural, saved
from tests.filters.tiff.files import written

_PICTURE = natural(48, 64)
_WIDE = np.arange(48 * 64, dtype=np.uint16).reshape(48, 64) * 21


def files() -> Mapping[str, bytes]:
    """By name; made anew at each call."""
    transparent = np.dstack((_PICTURE, _PICTURE[..., 0]))
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "upright"
    icc = bytes(range(256)) * 2
    return {
        "baseline.jpg": saved(_PICTURE, "JPEG", quality=90),
        "progressive.jpg": saved(_PICTURE, "JPEG", progressive=True, exif=exif),
        "full-chroma.jpg": saved(_PICTURE, "JPEG", subsampling=0, icc_profile=icc),
        "gray.jpg": saved(_PICTURE, "JPEG", "L"),
        "cmyk.jpg": saved(_PICTURE, "JPEG", "CMYK"),
        "rgb.png": saved(_PICTURE, "PNG"),
        "alpha.png": saved(transparent, "PNG", exif=exif),
        "palette.png": saved(_PICTURE, "PNG", "P"),
        "one-bit.png": saved(_PICTURE, "PNG", "1"),
        "deep.png": saved(_WIDE, "PNG"),
        "animated.png": _animated("PNG"),
        "lossy.webp": saved(_PICTURE, "WEBP"),
        "lossless.webp": saved(transparent, "WEBP", lossless=True),
        "animated.webp": _animated("WEBP"),
        "rgb.bmp": saved(_PICTURE, "BMP"),
        "palette.bmp": saved(_PICTURE, "BMP", "P"),
        "still.gif": saved(_PICTURE, "GIF"),
        "animated.gif": _animated("GIF"),
        "raw.tif": saved(_PICTURE, "TIFF"),
        "lzw.tif": saved(_PICTURE, "TIFF", compression="tiff_lzw"),
        "deflate.tif": saved(_PICTURE, "TIFF", compression="tiff_adobe_deflate"),
        "jpeg.tif": saved(_PICTURE, "TIFF", compression="jpeg"),
        "fax.tif": saved(_PICTURE, "TIFF", "1", compression="group4"),
        "deep.tif": saved(_WIDE, "TIFF"),
        "pages.tif": _animated("TIFF"),
        "lerc.tif": written(_PICTURE[..., 0].copy(), compression="lerc"),
        "jpeg2000.tif": written(_PICTURE, compression="jpeg2000"),
        "webp.tif": written(_PICTURE, compression="webp"),
        "float.tif": written(_PICTURE.astype(np.float32), compression="deflate", predictor=3, tile=(16, 16)),
    }


def _animated(format: str) -> bytes:
    frames = [Image.fromarray(np.roll(_PICTURE, 7 * number, axis=1)) for number in range(4)]
    out = io.BytesIO()
    frames[0].save(out, format, save_all=True, append_images=frames[1:], duration=40)
    return out.getvalue()
