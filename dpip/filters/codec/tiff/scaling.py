"""Tags that speak of pixels, after a filter has changed the size: corrected, or left out and told.

Sources: TIFF 6.0, OGC GeoTIFF 1.1 (19-008r4), the OME-TIFF specification, ImageJ's documentation.
"""

from __future__ import annotations

import re

from dpip.filters.codec.picture import Area
from dpip.filters.codec.tiff import tags
from dpip.filters.metadata.directories import Directory, Layout, Tag

_SCALE, _TIE_POINTS, _TRANSFORMATION, _KEYS = 33550, 33922, 34264, 34735
_MAP = frozenset({_SCALE, 33918, 33919, 33920, _TIE_POINTS, _TRANSFORMATION, _KEYS, 34736, 34737})
#: Camera models and outlines that are in pixels, which nobody here corrects.
_IN_PIXELS = {
    50844: "The map's camera model",
    50838: "ImageJ's outlines and labels",
    50839: "ImageJ's outlines and labels",
}
_POINT = 2  # the value of GTRasterTypeGeoKey where a pixel is a point and no area
_RASTER_TYPE = 1025
_RESOLUTION = frozenset({tags.X_RESOLUTION, tags.Y_RESOLUTION, tags.RESOLUTION_UNIT})
_RATIONAL, _DOUBLE = 5, 12

Size = tuple[int, int]


def fitted(
    directory: Directory,
    layout: Layout,
    area: Area,
    before: Size,
    after: Size,
    notices: list[str],
    *,
    turn: int,
) -> Directory:
    """Return the tags for a picture that had the size ``before`` and has the size ``after``.

    ``area`` tells what the filters did to the place of the pixels; before, it may have had the
    orientation ``turn``.
    """
    if area == "same" and before != after:
        area = "moved"
    result = dict(directory)
    elsewhere = turn != 1 or area in ("cut", "turned", "moved")
    if (turn >= 5) != (area == "turned"):
        _swap_resolution(result)
    if elsewhere:
        _leave_out(result, _MAP, "The place on the map was left out: the pixels have moved.", notices)
    if elsewhere or before != after:
        for tag, name in _IN_PIXELS.items():
            _leave_out(result, {tag}, f"{name} were left out: the pixels have moved.", notices)
    if before == after:
        return result
    across, down = after[0] / before[0], after[1] / before[1]
    if area == "scaled":
        _scale_resolution(result, layout, across, down)
        _scale_map(result, layout, across, down)
    else:
        across = down = 1.0
    if area == "moved":
        _leave_out(result, _RESOLUTION, "The resolution was left out: it does not fit another size.", notices)
    _correct_ome(result, (across, down), before, after)
    return result


def with_channels(directory: Directory, before: int, after: int, notices: list[str]) -> Directory:
    """Leave out OME-XML, which lists the channels, where there are others now."""
    result = dict(directory)
    if before != after and b"<OME" in result.get(tags.DESCRIPTION, Tag(2, 0, b"")).value:
        _leave_out(result, {tags.DESCRIPTION}, "OME-XML was left out: it lists other channels.", notices)
    return result


def _leave_out(
    directory: Directory, going: set[int] | frozenset[int], notice: str, notices: list[str]
) -> None:
    found = going & directory.keys()
    for tag in found:
        del directory[tag]
    if found:
        notices.append(notice)


def _swap_resolution(directory: Directory) -> None:
    """Exchange the resolutions across and down, if there are both."""
    if tags.X_RESOLUTION in directory and tags.Y_RESOLUTION in directory:
        across, down = directory[tags.X_RESOLUTION], directory[tags.Y_RESOLUTION]
        directory[tags.X_RESOLUTION], directory[tags.Y_RESOLUTION] = down, across


def _scale_resolution(directory: Directory, layout: Layout, across: float, down: float) -> None:
    """Keep the picture's size on paper, or that of its object."""
    for tag, ratio in ((tags.X_RESOLUTION, across), (tags.Y_RESOLUTION, down)):
        numbers = layout.parsed(directory[tag]) if tag in directory else ()
        if len(numbers) == 2 and numbers[1]:
            directory[tag] = rational(layout, numbers[0] / numbers[1] * ratio)


def rational(layout: Layout, value: float) -> Tag:
    """Write a number as a fraction, as exactly as 32 bits allow."""
    whole = max(1, int(value)).bit_length()
    denominator = 1
    while denominator < 10**6 and value * denominator % 1 > 1e-9 and whole + denominator.bit_length() < 28:
        denominator *= 10
    return layout.numbers(_RATIONAL, min(round(value * denominator), 2**32 - 1), denominator)


def _scale_map(directory: Directory, layout: Layout, across: float, down: float) -> None:
    shift = 0.5 if _is_point(directory, layout) else 0.0  # a point is in the middle of its pixel
    scale = _doubles(directory, layout, _SCALE)
    if len(scale) == 3:
        directory[_SCALE] = layout.numbers(_DOUBLE, scale[0] / across, scale[1] / down, scale[2])
    points = _doubles(directory, layout, _TIE_POINTS)
    if points and len(points) % 6 == 0:
        for place in range(0, len(points), 6):
            points[place] = (points[place] + shift) * across - shift
            points[place + 1] = (points[place + 1] + shift) * down - shift
        directory[_TIE_POINTS] = layout.numbers(_DOUBLE, *points)
    matrix = _doubles(directory, layout, _TRANSFORMATION)
    if len(matrix) == 16:
        directory[_TRANSFORMATION] = layout.numbers(_DOUBLE, *_scaled_matrix(matrix, across, down, shift))


def _scaled_matrix(matrix: list[float], across: float, down: float, shift: float) -> list[float]:
    for row in range(0, 16, 4):
        a, b = matrix[row], matrix[row + 1]
        matrix[row], matrix[row + 1] = a / across, b / down
        matrix[row + 3] += shift * (a / across - a) + shift * (b / down - b)
    return matrix


def _doubles(directory: Directory, layout: Layout, tag: int) -> list[float]:
    entry = directory.get(tag)
    return list(layout.parsed(entry)) if entry is not None and entry.kind == _DOUBLE else []


def _is_point(directory: Directory, layout: Layout) -> bool:
    keys = layout.parsed(directory[_KEYS]) if _KEYS in directory else ()
    return any(keys[at] == _RASTER_TYPE and keys[at + 3] == _POINT for at in range(4, len(keys) - 3, 4))


def _correct_ome(directory: Directory, ratios: tuple[float, float], before: Size, after: Size) -> None:
    """Correct the size and the pixels' physical size in OME-XML."""
    entry = directory.get(tags.DESCRIPTION)
    if entry is None or b"<OME" not in entry.value:
        return
    text = entry.value
    for axis, old, new, ratio in zip(b"XY", before, after, ratios, strict=True):
        name = bytes((axis,))
        text = text.replace(b'Size%s="%d"' % (name, old), b'Size%s="%d"' % (name, new))
        text = _divided(text, rb'(PhysicalSize%s=")([0-9.eE+-]+)"' % name, ratio)
    directory[tags.DESCRIPTION] = Tag(entry.kind, len(text), text)


def _divided(text: bytes, pattern: bytes, ratio: float) -> bytes:
    def divide(found: re.Match[bytes]) -> bytes:
        return found[1] + repr(float(found[2]) / ratio).encode() + b'"'

    return re.sub(pattern, divide, text)
