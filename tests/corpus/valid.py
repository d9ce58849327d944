"""Small valid files of every format that DPIP takes, in many of its ways to store a picture."""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from typing import Any

import imagecodecs
import numpy as np
import pillow_heif
from PIL import Image

from tests.filters.pictures import Array, natural, saved
from tests.filters.tiff.files import numbers, page, tiff, written

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
        **modern(),
        "float.tif": written(_PICTURE.astype(np.float32), compression="deflate", predictor=3, tile=(16, 16)),
    }


def modern() -> Mapping[str, bytes]:
    """Files of the formats that few programs write; several of them need extras of DPIP."""
    deep = np.dstack([_WIDE] * 3)
    return {
        "lossy.avif": saved(_PICTURE, "AVIF"),
        "sequence.avif": _animated("AVIF"),
        "deep.avif": imagecodecs.avif_encode(deep >> 6, bitspersample=10),
        "lossless.jxl": imagecodecs.jpegxl_encode(_PICTURE, lossless=True),
        "lossy.jxl": imagecodecs.jpegxl_encode(_PICTURE, distance=1.0),
        "deep.jxl": imagecodecs.jpegxl_encode(deep, lossless=True),
        "boxes.jp2": saved(_PICTURE, "JPEG2000"),
        "deep.j2k": imagecodecs.jpeg2k_encode(deep, codecformat="j2k", level=0, reversible=True),
        "rgb.qoi": imagecodecs.qoi_encode(_PICTURE),
        "rgb.ppm": saved(_PICTURE, "PPM"),
        "bits.pbm": saved(_PICTURE, "PPM", "1"),
        "deep.ppm": b"P6 64 48 65535\n" + deep.astype(">u2").tobytes(),
        "alpha.pam": b"P7\nWIDTH 64\nHEIGHT 48\nDEPTH 2\nMAXVAL 255\nENDHDR\n" + _PICTURE[..., :2].tobytes(),
        "gray.pfm": b"Pf\n64 48\n-1.0\n" + (_PICTURE[..., 0] / np.float32(255)).astype("<f4").tobytes(),
        "rgb.tga": saved(_PICTURE, "TGA"),
        "packed.tga": saved(_PICTURE, "TGA", "P", compression="tga_rle"),
        "icon.ico": saved(_PICTURE, "ICO"),
        "surface.dds": saved(_PICTURE, "DDS"),
        "phone.heic": heic(_PICTURE),
        "deep.heic": heic(deep),
        "photograph.dng": dng(48, 64),
    }


def heic(*pictures: Array, **options: Any) -> bytes:
    """A HEIC of RGB pictures of 8 or 16 bits, of which it keeps 10."""
    file = pillow_heif.HeifFile()
    for pixels in pictures:
        mode = "RGB;16" if pixels.dtype == np.uint16 else "RGB"
        file.add_frombytes(mode, pixels.shape[1::-1], pixels.tobytes())
    out = io.BytesIO()
    file.save(out, **options)
    return out.getvalue()


def dng(height: int, width: int) -> bytes:
    """A raw photograph as a DNG: a preview of 8 x 6 black pixels, and within it the sensor's data."""
    samples = (np.arange(height * width, dtype="<u2").reshape(height, width) * 17) % 60000 + 1000
    version = numbers(1, 1, 4, 0, 0)
    preview = page(np.zeros((6, 8, 3), np.uint8), {254: numbers(4, 1), 330: numbers(4, 0), 50706: version})
    matrix = struct.pack("<18i", *[number for n in range(9) for number in (int(n % 4 == 0), 1)])
    tags = {
        254: numbers(4, 0),
        262: numbers(3, 32803),
        33421: numbers(3, 2, 2),
        33422: numbers(1, 0, 1, 1, 2),
    }
    tags |= {50721: (10, 9, matrix), 50728: (5, 3, struct.pack("<6I", *[1] * 6)), 50778: numbers(3, 21)}
    file = bytearray(tiff(preview, page(samples, tags)))
    (first,) = struct.unpack_from("<I", file, 4)
    (count,) = struct.unpack_from("<H", file, first)
    link = first + 2 + 12 * count
    inner = next(place for place in range(first + 2, link, 12) if file[place : place + 2] == b"J")
    file[inner + 8 : inner + 12], file[link : link + 4] = file[link : link + 4], bytes(4)
    return bytes(file)


def _animated(format: str) -> bytes:
    frames = [Image.fromarray(np.roll(_PICTURE, 7 * number, axis=1)) for number in range(4)]
    out = io.BytesIO()
    frames[0].save(out, format, save_all=True, append_images=frames[1:], duration=40)
    return out.getvalue()
