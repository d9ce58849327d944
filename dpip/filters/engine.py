"""The engine applies a filter to an array, or a chain of filters to a file with one decode and one encode."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from os.path import basename
from traceback import extract_tb
from typing import Any

import attrs
import numpy as np

from dpip.errors import DpipError, FilterFailed, UnsupportedPicture
from dpip.filters import codec, groups, registry, target_size
from dpip.filters.alpha import channel_count
from dpip.filters.cuda import choice
from dpip.filters.fingerprint import fingerprint
from dpip.filters.output import CONTENT_TYPES
from dpip.filters.schema import Area, Filter, Pixels
from dpip.filters.shape import MAX_PIXELS, Shape

__all__ = ["Processed", "apply", "fingerprint", "process", "process_steps"]

_PIXELS = "H x W or H x W x C with 1 to 4 channels,"
_DTYPES = {"u": "uint8 or uint16", "f": "float32 or float64"}
_TYPES = (np.uint8, np.uint16, np.float32, np.float64)


@attrs.frozen
class Processed:
    """A filtered file; ``format`` is Pillow's name, width and height are in pixels.

    ``notices`` say in a sentence each what of the original the file does not have.
    """

    data: bytes = attrs.field(repr=lambda data: f"<{len(data)} bytes>")
    format: str
    width: int
    height: int
    notices: tuple[str, ...] = ()

    @property
    def content_type(self) -> str:
        return CONTENT_TYPES[self.format]


def apply(name: str, array: Pixels, *, threads: int = 1, **params: Any) -> Pixels:
    """Apply a filter to H x W or H x W x C with C = 1, 2 (gray, alpha), 3 or 4.

    The array is uint8 or uint16, or float32 or float64, where 0 is black and 1 white, values beyond are
    allowed, and NaN is a pixel that is not known.

    The result is a new array of the same dtype. A filter that keeps the number of channels keeps the shape.

    Raises UnknownFilter and BadParameter as :mod:`dpip.filters.registry` does, UnsupportedPicture for another
    dtype or shape, an empty array, or floating point where the filter takes none, PictureTooLarge for a
    result of more than 100 million pixels, FilterFailed when the filter's function raises or returns no
    picture.
    """
    found = registry.find(name)
    return _run(found, _checked(array), found.validate(params), threads)


def _checked(array: Pixels) -> Pixels:
    if fault := _fault(array):
        dtypes = ", or ".join(_DTYPES.values())
        raise UnsupportedPicture(f"What is filtered is an array of {dtypes}, {_PIXELS} not {fault}.")
    return np.ascontiguousarray(array)


def _fault(array: object, kinds: str = "uf") -> str:
    """Say what the array is instead of pixels of these kinds; empty if it is pixels."""
    if not isinstance(array, np.ndarray):
        return f"a {type(array).__name__}"
    if array.dtype not in _TYPES or array.dtype.kind not in kinds:
        return f"one of {array.dtype}"
    if array.ndim not in (2, 3) or 0 in array.shape or (array.ndim == 3 and array.shape[2] > 4):
        return f"one of the shape {array.shape}"
    return ""


def _run(
    found: Filter, array: Pixels, params: Mapping[str, Any], threads: int, max_pixels: int = MAX_PIXELS
) -> Pixels:
    """Apply the filter to a valid array; the filter sees H x W x 1 as H x W."""
    if array.dtype.kind == "f" and not found.takes_floats:
        raise UnsupportedPicture(
            f"The picture holds floating point or 32-bit numbers; the filter {found.name} takes none."
        )
    single = array.ndim == 3 and array.shape[2] == 1
    height, width = array.shape[:2]
    shape = Shape(width, height, channel_count(array), array.itemsize)
    shape.check_growth(found.shape_after(shape, params), max_pixels)
    more = {"threads": threads} if found.takes_threads else {}
    picture = array[..., 0] if single else array
    result = choice.run(found, picture, params, threads) if picture.dtype.kind == "u" else None
    if result is None:
        result = _called(found, picture, {**params, **more})
    return result[..., None] if single and result.ndim == 2 else result


def _called(found: Filter, picture: Pixels, options: Mapping[str, Any]) -> Pixels:
    """Call the filter's function. Raises FilterFailed, which tells the filter's author what to mend."""
    try:
        result = found.function(picture, **options)
    except (DpipError, MemoryError):
        raise
    except Exception as error:
        raise FilterFailed(
            f"The filter {found.name} raised {type(error).__name__}: {error}{_place(error)}"
        ) from error
    kind = picture.dtype.kind
    if fault := _fault(result, kind):
        wanted = f"an array of {_DTYPES[kind]}, {_PIXELS}"
        raise FilterFailed(f"The filter {found.name} must return {wanted} and it returned {fault}.")
    return result


def _area(chain: Sequence[tuple[Filter, Mapping[str, Any]]]) -> Area:
    """Say what all filters together do to the place of the pixels."""
    each = [found.area(params) if callable(found.area) else found.area for found, params in chain]
    every = set(each) - {"same"}
    if each.count("turned") == 1:  # which may be cut, too
        every -= {"cut"}
    elif "turned" in every:
        every = {"moved"}
    return every.pop() if len(every) == 1 else "moved" if every else "same"


_Along = tuple[Callable[[Pixels], Pixels], ...]


def _along(
    done: _Along | None, found: Filter, params: Mapping[str, Any], size: tuple[int, ...], threads: int
) -> _Along | None:
    """Add what the filter does to a map of a picture of that height and width; None if the map is lost."""
    way = found.maps(params) if callable(found.maps) else found.maps
    if done is None or way == "lost":
        return None
    if way == "same":
        return done

    def apply(pixels: Pixels) -> Pixels:
        from dpip.filters.resampling import resample

        whole = resample(pixels, size[1], size[0]) if way == "sized" else pixels
        return _step(found, whole, params, threads)

    return (*done, apply)


def _step(
    found: Filter, array: Pixels, params: Mapping[str, Any], threads: int, max_pixels: int = MAX_PIXELS
) -> Pixels:
    return np.ascontiguousarray(_run(found, _checked(array), params, threads, max_pixels))


def _place(error: Exception) -> str:
    """Name the line of the filter's own function; there is none if the call itself failed."""
    _, *frames = extract_tb(error.__traceback__)
    return f" ({basename(frames[0].filename)}, line {frames[0].lineno})" if frames else ""


def process(
    data: bytes,
    name: str,
    params: Mapping[str, Any] | None = None,
    *,
    output: Mapping[str, Any] | None = None,
    max_pixels: int = MAX_PIXELS,
    threads: int = 1,
) -> Processed:
    """Apply one filter to a file's bytes; see :func:`process_steps`."""
    return process_steps(data, [(name, params or {})], output=output, max_pixels=max_pixels, threads=threads)


def process_steps(
    data: bytes,
    steps: Sequence[tuple[str, Mapping[str, Any]]],
    *,
    output: Mapping[str, Any] | None = None,
    max_pixels: int = MAX_PIXELS,
    threads: int = 1,
    at_least: int = 0,
) -> Processed:
    """Apply filters one after the other to every frame of a file in any format of ``output.TABLE``.

    The result has the original's format and metadata unless ``output`` names others. A chain of nothing but
    ``convert`` returns a file as it is if it already is as ``output`` asks. ``at_least`` is for
    previews: a codec that decodes a smaller picture faster may return one of that many pixels each way.

    Raises UnknownFilter and BadParameter as :mod:`dpip.filters.registry` does; PictureTooLarge, before it
    decodes, for more than ``max_pixels`` pixels over all frames, and for a larger result; CorruptPicture and
    UnsupportedPicture for pictures that cannot be filtered; FilterFailed when a filter's function raises or
    returns no picture.
    """
    chain = [(found := registry.find(name), found.validate(params)) for name, params in steps]
    wanted = registry.validate_output(output)
    picture = codec.decode(
        data, max_pixels=max_pixels, luma=chain[0][0].luma_only, at_least=at_least, raw=wanted["raw"]
    )
    area = _area(chain)
    sizes: list[tuple[int, int]] = []

    def filtered(frame: Any) -> Any:
        pixels, parts = frame.pixels, frame.groups
        before, along = (pixels.shape[1], pixels.shape[0]), frame.along
        for found, params in chain:
            along = _along(along, found, params, pixels.shape[:2], threads)
            step = partial(_step, found, params=params, threads=threads, max_pixels=max_pixels)
            pixels, parts = groups.each(step, pixels, parts)
        sizes.append((pixels.shape[1], pixels.shape[0]))
        return attrs.evolve(frame, pixels=pixels, groups=parts, area=area, before=before, along=along)

    frames = map(filtered, picture.frames)
    if _stays(chain, wanted, picture, data):
        deque(frames, 0)  # a damaged file must not pass for a result
        info = codec.probe(data)
        return Processed(data, info.format, info.width, info.height)
    if wanted["max_bytes"]:
        result = target_size.encode(picture, frames, wanted)
        written, format = result.data, result.format
        sizes = [(frame.pixels.shape[1], frame.pixels.shape[0]) for frame in result.frames]
    else:
        written, format = codec.encode(picture, frames, wanted)
    width, height = sizes[0]
    return Processed(written, format, width, height, tuple(dict.fromkeys(picture.notices)))


def _stays(chain: Sequence[tuple[Filter, Any]], output: Mapping[str, Any], picture: Any, data: bytes) -> bool:
    """Tell whether the original is the result already: nothing is asked of it that it is not."""
    return (
        all(found.name == "convert" for found, _ in chain)
        and output["format"] in (None, picture.format)
        and output["quality"] is None
        and output["metadata"] == "keep"
        and output["colour"] == "keep"
        and len(data) <= (output["max_bytes"] or len(data))
    )
