"""Writing a file of at most so many bytes: with a lower quality, and then with fewer pixels."""

from __future__ import annotations

from collections.abc import Iterable
from math import sqrt
from typing import Any

import attrs

from dpip.errors import UnsupportedPicture
from dpip.filters import codec, groups
from dpip.filters.codec.picture import Frame, Picture
from dpip.filters.output import WITH_QUALITY
from dpip.filters.schema import Area

#: Below this quality a smaller picture looks better than a coarser one.
LOWEST_QUALITY = 40
_HIGHEST_QUALITY = 95
_FEWEST_PIXELS = 8  # of the shorter side


@attrs.frozen
class Written:
    """An encoded file, the name of its format, and the frames that are in it."""

    data: bytes
    format: str
    frames: tuple[Frame, ...]


def encode(picture: Picture, frames: Iterable[Frame], output: dict[str, Any]) -> Written:
    """Encode the frames within ``output["max_bytes"]``; what had to be lowered for it becomes a notice.

    The quality is the highest that fits, from the wanted one down to 40, and then the picture gets smaller.
    Raises UnsupportedPicture if it does not fit with any size.
    """
    kept, most = tuple(frames), output["max_bytes"]
    best = _written(picture, kept, output)
    if len(best.data) <= most:
        return best
    quality = None
    if best.format in WITH_QUALITY:
        start = output["quality"] or min(_HIGHEST_QUALITY, picture.style.get("quality") or _HIGHEST_QUALITY)
        lowest = min(start, LOWEST_QUALITY)
        best, quality = _by_quality(picture, kept, output, lowest, start)
        output = {**output, "quality": quality}
    if len(best.data) > most:
        best = _by_size(picture, kept, output, best)
    _tell(picture, kept, best, most, quality)
    return best


def _written(picture: Picture, frames: tuple[Frame, ...], output: dict[str, Any]) -> Written:
    data, format = codec.encode(picture, frames, output)
    return Written(data, format, frames)


def _by_quality(
    picture: Picture, frames: tuple[Frame, ...], output: dict[str, Any], lowest: int, highest: int
) -> tuple[Written, int]:
    """Return the file of the highest quality that fits, by halving; of the lowest if none does."""
    best, quality = _written(picture, frames, {**output, "quality": lowest}), lowest
    if len(best.data) > output["max_bytes"]:
        return best, quality
    while quality < highest:
        middle = (quality + highest + 1) // 2
        tried = _written(picture, frames, {**output, "quality": middle})
        if len(tried.data) <= output["max_bytes"]:
            best, quality = tried, middle
        else:
            highest = middle - 1
    return best, quality


def _by_size(picture: Picture, frames: tuple[Frame, ...], output: dict[str, Any], tried: Written) -> Written:
    """Make the frames smaller until the file fits; each guess takes bytes to go with the pixels."""
    scale = 1.0
    while len(tried.data) > output["max_bytes"]:
        scale *= min(0.95, sqrt(output["max_bytes"] / len(tried.data)) * 0.98)
        sizes = [(round(f.pixels.shape[1] * scale), round(f.pixels.shape[0] * scale)) for f in frames]
        if min(map(min, sizes)) < min(_FEWEST_PIXELS, *frames[0].pixels.shape[:2]):
            raise UnsupportedPicture(
                f"The result cannot have fewer than {output['max_bytes']:,} bytes, with whatever size: leave "
                "out the metadata, choose another format, or allow more."
            )
        tried = _written(picture, _smaller(frames, sizes), output)
    return tried


def _smaller(frames: tuple[Frame, ...], sizes: list[tuple[int, int]]) -> tuple[Frame, ...]:
    return tuple(_scaled(frame, *size) for frame, size in zip(frames, sizes, strict=True))


def _scaled(frame: Frame, width: int, height: int) -> Frame:
    from dpip.filters.resampling import resample

    pixels, parts = groups.each(lambda part: resample(part, width, height), frame.pixels, frame.groups)
    area: Area = "scaled" if frame.area in ("same", "scaled") else "moved"
    return attrs.evolve(frame, pixels=pixels, groups=parts, area=area)


def _tell(
    picture: Picture, frames: tuple[Frame, ...], result: Written, most: int, quality: int | None
) -> None:
    done = [f"its quality was lowered to {quality}"] if quality is not None else []
    before, after = frames[0].pixels.shape, result.frames[0].pixels.shape
    if before[:2] != after[:2]:
        done.append(f"it was scaled from {before[1]} x {before[0]} to {after[1]} x {after[0]} pixels")
    picture.notices.append(f"To have at most {most:,} bytes, {' and '.join(done)}.")
