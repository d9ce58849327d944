"""What a job really takes of memory, beside what is reckoned for it.

``python -m tests.filters.peaks`` measures every filter on every kind of file, and fails where a job took more
than was reckoned, or less than half of it and more than 64 MiB. Each job runs in a fork of a warm process, as
an idle compute child is one; the peak is the kernel's (VmHWM), beyond what the fork began with.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import io
import itertools
import json
import os
import resource
import signal
import struct
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from attrs import frozen
from PIL import Image

from dpip.errors import DpipError
from dpip.filters import process_steps, registry
from dpip.filters.codec import deflate, png, probe
from dpip.filters.codec.picture import Metadata
from dpip.filters.memory import memory_needed
from dpip.filters.schema import Pixels
from dpip.filters.warmup import warm_up
from dpip.runtime.malloc import keep_freed_memory
from dpip.worker.memory_limit import MemoryLimit

MUCH = 64 * 2**20
LIMIT = 16 * 2**30
#: Parameters besides the defaults with which a filter takes the most.
MORE: dict[str, Sequence[dict[str, Any]]] = {
    "resize": (
        {"width": 100},
        {"width": 200, "height": 200, "fit": "stretch", "linear": True},
        {"width": 1500, "linear": True},
    ),
    "crop": ({"width": 500, "place": "saliency"}, {"width": 500, "height": 500, "place": "entropy"}),
    "pad": ({"border": 100}, {"border": 100, "background": "transparent"}),
    "rotate": ({}, {"angle": 10}, {"angle": 10, "background": "transparent", "expand": False}),
    "watermark": ({"text": "w"}, {"text": "w", "tiled": True, "size": 100}),
    "threshold": ({}, {"value": 100}),
    "denoise": ({"radius": 1},),
}
_OTHER_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")


def noise(side: int, channels: int, dtype: type = np.uint8) -> Pixels:
    """Make pixels that no format makes smaller."""
    shape = (side, side, channels) if channels > 1 else (side, side)
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
    passes = (
        (0, 0, 8, 8),
        (4, 0, 8, 8),
        (0, 4, 4, 8),
        (2, 0, 4, 4),
        (0, 2, 2, 4),
        (1, 0, 2, 2),
        (0, 1, 1, 2),
    )
    pixels = noise(side, 3)
    rows = [b"\0" + row.tobytes() for x, y, across, down in passes for row in pixels[y::down, x::across]]
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
    }


#: Kinds of which the header does not say that they take less, so that more than twice may be reckoned:
#: indexed colours may turn out gray, frames may be lossy, no pixel need be transparent where some may be, and
#: LZW may make the file larger than its pixels.
LOOSE = frozenset(
    {
        *("PNG palette", "PNG palette alpha", "PNG 1 bit", "PNG key"),
        *("BMP palette", "WebP frames", "GIF frames", "GIF transparent", "TIFF LZW"),
    }
)


@frozen
class Job:
    kind: str
    side: int
    step: tuple[str, dict[str, Any]]
    output: dict[str, Any]


@frozen
class Measured:
    job: Job
    reckoned: int
    peak: int
    error: str = ""

    def wrong(self) -> str:
        if self.error:
            return self.error
        if self.peak > self.reckoned:
            return "took more than was reckoned"
        name, params = self.job.step
        loose = self.job.kind in LOOSE or params.get("background") == "transparent"
        format = self.job.output.get("format")
        if name == "convert":  # a file may stay as it is; nobody knows how often one of few bytes is tried
            loose |= format is None or self.job.kind.upper().startswith(format)
        if self.peak > MUCH and self.reckoned > 2 * self.peak and not loose:
            return "took less than half of what was reckoned"
        return ""

    def __str__(self) -> str:
        name, params = self.job.step
        figures = f"reckoned {self.reckoned / 2**20:6.0f} MiB, took {self.peak / 2**20:6.0f}"
        return (
            f"{self.job.kind:18} {self.job.side:5} {name:20} {figures} {params or ''} {self.job.output or ''}"
        )


def jobs(kinds: Sequence[str], filters: Sequence[str], sides: Sequence[int]) -> Iterator[Job]:
    for side, kind in itertools.product(sides, kinds):
        for name in filters:
            found = registry.find(name)
            for params in MORE.get(name, ({**found.example},)):
                yield Job(kind, side, (name, params), {})


def conversions(kinds: Sequence[str], side: int) -> Iterator[Job]:
    """Yield jobs that write another format, and at most so many bytes."""
    for kind, format in itertools.product(kinds, _OTHER_FORMATS):
        yield Job(kind, side, ("convert", {}), {"format": format})
    for kind in kinds:
        yield Job(kind, side, ("convert", {}), {"max_bytes": 100_000})


class Meter:
    """Measures jobs, one after the other. Files are made in forks, too, so that this process stays idle."""

    def __init__(self) -> None:
        warm_up(lambda words: None)
        keep_freed_memory()
        self._made: tuple[str, int] | None = None
        self._data = b""

    def measure(self, job: Job) -> Measured | None:
        """Return None if the filter does not take that kind of picture."""
        if self._made != (job.kind, job.side):
            self._made = job.kind, job.side
            self._data = self._in_fork(lambda: files()[job.kind](job.side))
        try:
            reckoned = memory_needed(probe(self._data), len(self._data), [job.step], job.output)
        except DpipError:
            return None
        answer = json.loads(self._in_fork(lambda: json.dumps(self._peak(job, reckoned)).encode()))
        if answer.get("refused"):
            return None
        return Measured(job, reckoned, answer.get("peak", 0), answer.get("error", ""))

    def _peak(self, job: Job, reckoned: int) -> dict[str, Any]:
        data = self._data
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        before = _status("VmRSS")
        MemoryLimit(LIMIT).allow(reckoned, 1)
        try:
            process_steps(data, [job.step], output=job.output)
        except MemoryError:
            return {"error": "was stopped by the limit"}
        except DpipError as problem:
            return {"refused": problem.detail}
        except Exception as problem:  # noqa: BLE001 - it is reported with the job
            return {"error": repr(problem)}
        return {"peak": _status("VmHWM") - before + len(data)}

    def _in_fork(self, work: Callable[[], bytes]) -> bytes:
        read, write = os.pipe()
        child = os.fork()
        if not child:
            try:
                os.close(read)
                made = work()
                resource.setrlimit(resource.RLIMIT_DATA, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
                with open(write, "wb") as out:
                    out.write(made)
            finally:
                os.kill(os.getpid(), signal.SIGKILL)
        os.close(write)
        with open(read, "rb") as answer:
            found = answer.read()
        os.waitpid(child, 0)
        return found


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name + ":"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sides", type=int, nargs="*", default=[60, 700, 2500])
    parser.add_argument("--kinds", nargs="*", default=list(files()))
    parser.add_argument("--filters", nargs="*", default=registry.names())
    parser.add_argument("--no-conversions", action="store_true")
    parser.add_argument("--show-all", action="store_true")
    options = parser.parse_args()
    meter, count, wrong = Meter(), 0, 0
    every = jobs(options.kinds, options.filters, options.sides)
    if not options.no_conversions:
        every = itertools.chain(every, conversions(options.kinds, max(options.sides)))
    for job in every:
        measured = meter.measure(job)
        if measured is not None:
            count += 1
            wrong += bool(measured.wrong())
            if measured.wrong() or options.show_all:
                print(measured, measured.wrong(), flush=True)
    print(f"{count:,} jobs, {wrong} wrong")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
