"""How much memory a job takes: the most of decoding, of any filter's step, and of encoding.

The scheduler places jobs by it, and a compute child gets no more. Nothing here imports NumPy. What codecs
take is in :mod:`dpip.filters.codec.memory`, what a filter takes in :class:`dpip.filters.schema.Filter`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import attrs

from dpip.errors import PictureTooLarge
from dpip.filters import registry
from dpip.filters.codec.headers import PictureInfo
from dpip.filters.codec.memory import DECODING, TURNED, Encoding, encoding
from dpip.filters.output import BY_NAME
from dpip.filters.schema import Filter
from dpip.filters.shape import MAX_PIXELS, Shape

#: For what is imported at first use, tables, and small pictures.
BASE = 16 * 2**20
#: The share by which a heap in use is larger than what lies in it.
_HEAP = 1.1
_SIZES = 32

Chain = Sequence[tuple[Filter, Mapping[str, Any]]]


def memory_needed(
    info: PictureInfo,
    file: int,
    steps: Sequence[tuple[str, Mapping[str, Any]]],
    output: Mapping[str, Any] | None = None,
    at_least: int = 0,
    max_pixels: int = MAX_PIXELS,
) -> int:
    """Return the bytes that a compute child takes for a job beyond those that it has when idle.

    ``file`` is the size of the picture's file; the rest is as :func:`dpip.filters.process_steps` takes it.
    Raises UnknownFilter and BadParameter as :mod:`dpip.filters.registry` does.
    """
    chain = [(found := registry.find(name), found.validate(params)) for name, params in steps]
    wanted = registry.validate_output(output)
    frames = _frames(info, chain, at_least)
    bands = max(1.0, info.channels / 4)  # of a TIFF, of which each is filtered alone
    return BASE + int(
        bands * max(_frame_memory(info, file, frame, chain, wanted, max_pixels) for frame in frames)
    )


def _frames(info: PictureInfo, chain: Chain, at_least: int) -> Iterator[Shape]:
    """Yield what a decoded frame may be: pages have sizes of their own, and metadata may turn a picture."""
    for width, height in _few(info.sizes):
        frame = Shape(max(width, 1), max(height, 1), min(info.channels, 4), -(-info.bits // 8))
        if info.format == "JPEG":
            frame = _jpeg_frame(info, frame, chain, at_least)
        yield frame
        if info.format in TURNED:
            yield frame.turned


def _few(sizes: Collection[tuple[int, int]]) -> Collection[tuple[int, int]]:
    """Take many sizes together that are much alike, since each takes time here."""
    if len(sizes) <= _SIZES:
        return sizes
    largest: dict[tuple[int, int], tuple[int, int]] = {}
    for width, height in sizes:
        alike = width.bit_length(), height.bit_length()
        known = largest.get(alike, (0, 0))
        largest[alike] = max(width, known[0]), max(height, known[1])
    return largest.values()


def _jpeg_frame(info: PictureInfo, frame: Shape, chain: Chain, at_least: int) -> Shape:
    """Return what the decoder gives: gray where that suffices, a smaller picture where it may."""
    if frame.channels == 4:
        return attrs.evolve(frame, channels=3)  # CMYK
    if "luma" in info.traits and chain[0][0].luma_only:
        frame = attrs.evolve(frame, channels=1)
    eighths = min(8, at_least * 8 // min(frame.width, frame.height) + 1) if at_least else 8
    return attrs.evolve(frame, width=frame.width * eighths // 8 + 1, height=frame.height * eighths // 8 + 1)


def _frame_memory(
    info: PictureInfo, file: int, frame: Shape, chain: Chain, output: Mapping[str, Any], max_pixels: int
) -> int:
    """Reckon a job whose largest frame, or every frame, is ``frame``."""
    several = info.frames > 1
    decoder = DECODING[info.format](info)
    held = file + frame.bytes * (1 + (info.format in TURNED)) + decoder.stays(frame, file)
    steps, result = _steps(frame, chain, max_pixels)
    decoding = file + _HEAP * decoder.peak(frame, file)
    if result is None:
        return int(max(decoding, held + _HEAP * steps))
    format = output["format"] or BY_NAME[info.format].of_result(
        info.frames, result.sample_bytes > 1, result.has_alpha
    )
    written = encoding(format, result, info, output)
    parts: float = written.file * (info.frames - 1)
    kept = parts + (frame.bytes + 2 * result.bytes if several else 0)  # the picture before, and the first one
    if format == "AVIF" and several:  # Pillow wants all of them, as pictures of its own
        kept += info.frames * (result.bytes + 4 * result.pixels)
    if output["max_bytes"]:
        parts, kept, written = _tried_again(info, result, written, kept)
    work = max(steps, result.bytes + written.peak)
    return int(kept + max(decoding, held + _HEAP * work, held + parts))


def _tried_again(
    info: PictureInfo, result: Shape, written: Encoding, kept: float
) -> tuple[float, float, Encoding]:
    """Reckon a file that must not have too many bytes: all frames are kept, and smaller ones are written."""
    like = {"width": result.width, "height": result.height, "fit": "stretch", "linear": False}
    smaller = registry.find("resize").step_memory(result, like)
    every = (2 * result.bytes + 2 * written.file) * info.frames
    peak = written.peak + smaller[1] + result.bytes
    return written.file * info.frames, kept + every, Encoding(peak, written.file)


def _steps(frame: Shape, chain: Chain, max_pixels: int) -> tuple[int, Shape | None]:
    """Return the most that a step takes besides the decoded frame, and what the last one makes, if it may."""
    most, shape = 0, frame
    for number, (found, params) in enumerate(chain):
        result, took = found.step_memory(shape, params)
        try:
            shape.check_growth(result, max_pixels)
        except PictureTooLarge:
            return most, None
        most, shape = max(most, took + (shape.bytes if number else 0)), result
    return most, shape
