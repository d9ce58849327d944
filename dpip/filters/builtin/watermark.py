"""The filter ``watermark``: a text or a picture drawn over the picture."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from typing import Any

from dpip.errors import BadParameter, NotAnImage
from dpip.filters.placing import place_parameter
from dpip.filters.schema import MAX_PICTURE_PIXELS, Filter, Parameter, Pixels
from dpip.filters.shape import Shape


def watermark(
    array: Pixels,
    *,
    text: str | None,
    picture: str | None,
    place: str,
    size: float,
    margin: float,
    opacity: float,
    colour: str,
    tiled: bool,
    threads: int = 1,
) -> Pixels:
    """Draw ``text`` in ``colour``, or ``picture`` (a file in base64), with ``opacity`` percent.

    It is ``size`` percent as wide as the picture, or less where it would be too high. It lies at ``place``,
    ``margin`` percent of the shorter side from the edges; or, ``tiled``, it covers the picture with that
    margin between. On a gray picture it is gray.
    """
    from dpip.filters import marks

    mark = marks.of_text(text, colour) if text is not None else marks.of_picture(picture or "")
    return marks.drawn(array, mark, place, size / 100, margin / 100, opacity / 100, tiled, threads)


def _has_one_mark(params: Mapping[str, Any]) -> None:
    if (params["text"] is None) == (params["picture"] is None):
        raise BadParameter("watermark needs either a text or a picture.", parameter="text")
    if params["picture"] is not None:
        _check_picture(b64decode(params["picture"]))


def _check_picture(data: bytes) -> None:
    from dpip.filters.codec import probe

    try:
        pixels = probe(data).pixels
    except NotAnImage as problem:
        raise BadParameter(f"Parameter picture: {problem.detail}", parameter="picture") from problem
    if pixels > MAX_PICTURE_PIXELS:
        raise BadParameter(
            f"Parameter picture has {pixels:,} pixels; the limit is {MAX_PICTURE_PIXELS:,}.",
            parameter="picture",
        )


def _working_bytes(shape: Shape, params: Mapping[str, Any]) -> float:
    """Reckon the mark, which may be as large as the picture, and decoding it."""
    large = params["tiled"] or params["size"] > 25
    return (42 if large else 6) * shape.pixels + (32 * MAX_PICTURE_PIXELS if params["picture"] else 0)


FILTER = Filter(
    name="watermark",
    summary="A text or a picture drawn over the picture.",
    function=watermark,
    parameters=(
        Parameter("text", "text", None, "What is written.", maximum=200),
        Parameter("picture", "picture", None, "What is drawn instead of a text; PNG and WebP have alpha."),
        place_parameter("bottom_right", "Where it lies."),
        Parameter("size", "float", 25.0, "Its width in percent of the picture's.", 1, 100),
        Parameter("margin", "float", 3.0, "Room around it, in percent of the shorter side.", 0, 50),
        Parameter("opacity", "float", 60.0, "Percent; 100 hides what is behind it.", 1, 100),
        Parameter("colour", "colour", "white", "Colour of the text.", choices=("white", "black")),
        Parameter("tiled", "boolean", False, "All over the picture instead of at one place."),
    ),
    working_bytes=_working_bytes,
    check=_has_one_mark,
    takes_threads=True,
    whole_picture=True,
    area="same",
    example={"text": "w"},
)
