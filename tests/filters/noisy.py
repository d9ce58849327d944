"""Files of noise, of every kind that DPIP reads and of any size: for measuring memory.

No format makes noise smaller, so that a kind takes what it can take.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from PIL import Image

from dpip.filters.codec import deflate, png
from dpip.filters.codec.picture import Metadata
from dpip.filters.schema import Pixels
from tests.corpus.valid import dng, heic


def noise(side: int, channels: int, dtype: type = np.uint8, rows: int = 0) -> Pixels:
    """Make a square of pixels, or so many rows, that no format makes smaller."""
    shape = (rows or side, side, channels)[: 2 if channels == 1 else 3]
    pixels = np.random.default_rng(channels).integers(0, np.iinfo(dtype).max + 1, shape, dtype=dtype)
    return np.asarray(pixels)


def _saved(image: Image.Image, format: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def _frames(side: int, mode: str) -> list[Image.Image]:
    count = {"L": 1, "P": 1, "RGB": 3, "RGBA": 4}[mode]
    images = [Image.fromarray(noise(side // 2, count) ^ np.uint8(number)) for number in range(4)]
    if mode == "P":
        for image in images:
            image.putpalette(bytes(range(256)) * 3)
    return images


def _several(side: int, mode: str, format: str, **options: Any) -> bytes:
    first, *rest = _frames(side, mode)
    return _saved(first, format, save_all=True, append_images=rest, **options)


def _interlaced(side: int) -> bytes:
    """Make an Adam7 PNG: the rows of each pass are noise, too."""
    pixels = noise(side, 3)
    rows = [b"\0" + row.tobytes() for x, y, across, down in png.PASSES for row in pixels[y::down, x::across]]
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 1)
    parts = (b"IHDR", header), (b"IDAT", deflate.compress(b"".join(rows))), (b"IEND", b"")
    return png.SIGNATURE + b"".join(png.chunk(kind, body) for kind, body in parts)


def _turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def _tiff(pixels: Pixels, compression: str | None = None) -> bytes:
    out = io.BytesIO()
    photometric = "minisblack" if pixels.ndim == 2 else "rgb"
    tifffile.imwrite(out, pixels, photometric=photometric, compression=compression, metadata=None)
    return out.getvalue()


def files() -> dict[str, Callable[[int], bytes]]:
    """Return makers of files with so many pixels each way, by kind."""
    image, words = Image.fromarray, np.uint16

    def palette(side: int) -> Image.Image:
        made = image(noise(side, 1))
        made.putpalette(bytes(range(256)) * 3)
        return made

    return {
        "JPEG": lambda n: _saved(image(noise(n, 3)), "JPEG", quality=90),
        "JPEG 4:4:4": lambda n: _saved(image(noise(n, 3)), "JPEG", quality=98, subsampling=0),
        "JPEG progressive": lambda n: _saved(
            image(noise(n, 3)), "JPEG", quality=50, progressive=True, subsampling=0
        ),
        "JPEG gray": lambda n: _saved(image(noise(n, 1)), "JPEG", quality=95),
        "JPEG CMYK": lambda n: _saved(image(noise(n, 4), "CMYK"), "JPEG", quality=90),
        "JPEG turned": lambda n: _saved(image(noise(n, 3)), "JPEG", quality=90, exif=_turned()),
        "PNG": lambda n: png.encode(noise(n, 3), Metadata()),
        "PNG alpha": lambda n: png.encode(noise(n, 4), Metadata()),
        "PNG gray": lambda n: png.encode(noise(n, 1), Metadata()),
        "PNG gray alpha": lambda n: png.encode(noise(n, 2), Metadata()),
        "PNG 16": lambda n: png.encode(noise(n, 3, words), Metadata()),
        "PNG 16 alpha": lambda n: png.encode(noise(n, 4, words), Metadata()),
        "PNG 16 gray": lambda n: png.encode(noise(n, 1, words), Metadata()),
        "PNG palette": lambda n: _saved(palette(n), "PNG"),
        "PNG palette alpha": lambda n: _saved(palette(n), "PNG", transparency=bytes(range(256))),
        "PNG 1 bit": lambda n: _saved(image(noise(n, 1)).convert("1"), "PNG"),
        "PNG key": lambda n: _saved(image(noise(n, 3)), "PNG", transparency=(1, 2, 3)),
        "PNG interlaced": _interlaced,
        "PNG frames": lambda n: _several(n, "RGBA", "PNG"),
        "WebP": lambda n: _saved(image(noise(n, 3)), "WEBP", quality=80, method=0),
        "WebP lossless": lambda n: _saved(image(noise(n, 4)), "WEBP", lossless=True, method=0),
        "WebP frames": lambda n: _several(n, "RGBA", "WEBP", method=0),
        "BMP": lambda n: _saved(image(noise(n, 3)), "BMP"),
        "BMP palette": lambda n: _saved(image(noise(n, 3)).quantize(256), "BMP"),
        "GIF": lambda n: _saved(image(noise(n, 3)).quantize(256), "GIF"),
        "GIF transparent": lambda n: _saved(image(noise(n, 3)).quantize(255), "GIF", transparency=3),
        "GIF frames": lambda n: _several(n, "P", "GIF"),
        "TIFF": lambda n: _tiff(noise(n, 3)),
        "TIFF LZW": lambda n: _tiff(noise(n, 3), "lzw"),
        "TIFF alpha": lambda n: _tiff(noise(n, 4)),
        "TIFF 16": lambda n: _tiff(noise(n, 3, words)),
        "TIFF 16 gray": lambda n: _tiff(noise(n, 1, words)),
        "TIFF float": lambda n: _tiff((noise(n, 1, words) / 65535).astype(np.float32)),
        "TIFF frames": lambda n: _several(n, "RGB", "TIFF"),
        **_modern(),
    }


def _modern() -> dict[str, Callable[[int], bytes]]:
    image, words = Image.fromarray, np.uint16
    fast: dict[str, Any] = {"speed": 10, "max_threads": 1}

    def avif10(side: int, channels: int) -> bytes:
        samples = noise(side, channels, words) >> 6
        return bytes(imagecodecs.avif_encode(samples, bitspersample=10, speed=10, numthreads=1))

    def jxl(pixels: Pixels, **options: Any) -> bytes:
        return bytes(imagecodecs.jpegxl_encode(pixels, numthreads=1, **options))

    def j2k(pixels: Pixels) -> bytes:
        return bytes(imagecodecs.jpeg2k_encode(pixels, codecformat="j2k", level=0, reversible=True))

    lossless: dict[str, Any] = {"lossless": True, "effort": 2}
    return {
        "AVIF": lambda n: _saved(image(noise(n, 3)), "AVIF", **fast),
        "AVIF 4:4:4": lambda n: _saved(image(noise(n, 3)), "AVIF", **fast, subsampling="4:4:4"),
        "AVIF alpha": lambda n: _saved(image(noise(n, 4)), "AVIF", **fast),
        "AVIF gray": lambda n: _saved(image(noise(n, 1)), "AVIF", **fast),
        "AVIF 10": lambda n: avif10(n, 3),
        "AVIF 10 alpha": lambda n: avif10(n, 4),
        "AVIF frames": lambda n: _several(n, "RGBA", "AVIF", **fast),
        "JXL": lambda n: jxl(noise(n, 3), distance=1.0, effort=3),
        "JXL alpha": lambda n: jxl(noise(n, 4), distance=1.0, effort=3),
        "JXL lossless": lambda n: jxl(noise(n, 3), **lossless),
        "JXL 16": lambda n: jxl(noise(n, 3, words), **lossless),
        "JXL 16 gray": lambda n: jxl(noise(n, 1, words), **lossless),
        "JXL float": lambda n: jxl((noise(n, 3, words) / 65535).astype(np.float32), **lossless),
        "JPEG 2000": lambda n: _saved(image(noise(n, 3)), "JPEG2000"),
        "JPEG 2000 alpha": lambda n: _saved(image(noise(n, 4)), "JPEG2000"),
        "JPEG 2000 gray": lambda n: _saved(image(noise(n, 1)), "JPEG2000"),
        "JPEG 2000 16": lambda n: j2k(noise(n, 3, words)),
        "JPEG 2000 16 gray": lambda n: j2k(noise(n, 1, words)),
        "QOI": lambda n: bytes(imagecodecs.qoi_encode(noise(n, 3))),
        "QOI alpha": lambda n: bytes(imagecodecs.qoi_encode(noise(n, 4))),
        "PNM": lambda n: b"P6\n%d %d\n255\n" % (n, n) + noise(n, 3).tobytes(),
        "PNM gray": lambda n: b"P5\n%d %d\n255\n" % (n, n) + noise(n, 1).tobytes(),
        "PNM 0 to 100": lambda n: b"P6\n%d %d\n100\n" % (n, n) + (noise(n, 3) % 101).tobytes(),
        "PNM 16": lambda n: b"P6\n%d %d\n65535\n" % (n, n) + noise(n, 3, words).tobytes(),
        "PNM text": lambda n: (
            b"P3\n%d %d\n255\n" % (n, n) + b" ".join(b"%d" % sample for sample in noise(n, 3).flat)
        ),
        "PNM bits": lambda n: b"P4\n%d %d\n" % (n, n) + noise(-(-n // 8) * n, 1, rows=1).tobytes(),
        "PNM text bits": lambda n: b"P1\n%d %d\n" % (n, n) + (noise(n, 1) % 2 + 48).tobytes(),
        "PFM": lambda n: (
            b"PF\n%d %d\n-1.0\n" % (n, n) + (noise(n, 3) / np.float32(255)).astype("<f4").tobytes()
        ),
        "TGA": lambda n: _saved(image(noise(n, 3)), "TGA"),
        "TGA alpha": lambda n: _saved(image(noise(n, 4)), "TGA", compression="tga_rle"),
        "TGA palette": lambda n: _saved(image(noise(n, 3)).quantize(256), "TGA"),
        "HEIF": lambda n: heic(_blocks(n)),
        "HEIF 10": lambda n: heic(_blocks(n).astype(words) * 257),
        "HEIF several": lambda n: heic(*[_blocks(n // 2)] * 4),
        "DDS": lambda n: _saved(image(noise(n // 4 * 4, 4)), "DDS", pixel_format="DXT5"),
        "ICO": _icon,
        "RAW": lambda n: dng(n, n),
    }


def _blocks(side: int) -> Pixels:
    """Make noise in blocks, which HEVC codes fast."""
    return np.asarray(np.repeat(np.repeat(noise(-(-side // 16), 3), 16, 0), 16, 1)[:side, :side])


def _icon(side: int) -> bytes:
    """Make an icon that is a bitmap, with a mask of bits below it."""
    pixels, mask = noise(side, 4), bytes(-(-side // 32) * 4 * side)
    head = struct.pack("<IiiHHIIiiII", 40, side, 2 * side, 1, 32, 0, 0, 0, 0, 0, 0)
    body = head + pixels.tobytes() + mask
    return struct.pack("<HHHBBBBHHII", 0, 1, 1, 0, 0, 0, 0, 1, 32, len(body), 22) + body


#: Kinds of which the header does not say that they take less, so that more than twice may be reckoned:
#: indexed colours may turn out gray, frames may be lossy, no pixel need be transparent where some may be, and
#: LZW may make the file larger than its pixels. JPEG XL in several passes takes far more, and an AVIF may be
#: gray.
LOOSE = frozenset(
    {
        *("JXL", "JXL alpha", "JXL lossless", "AVIF gray"),
        *("PNG palette", "PNG palette alpha", "PNG 1 bit", "PNG key"),
        *("BMP palette", "WebP frames", "GIF frames", "GIF transparent", "TIFF LZW"),
    }
)
