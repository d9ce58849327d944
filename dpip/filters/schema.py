"""What a filter is, which parameters it has, and how their values are checked.

A third-party filter is one :class:`Filter`, published under the entry point group ``dpip.filters``.
"""

from __future__ import annotations

import binascii
import math
import re
import unicodedata
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import attrs

from dpip.errors import BadParameter
from dpip.filters.shape import Shape

if TYPE_CHECKING:
    import numpy.typing as npt

#: uint8 or uint16, or float32 or float64 where a filter takes it: H x W (gray), or H x W x C with C = 2
#: (gray, alpha), 3 (RGB) or 4 (RGBA).
Pixels: TypeAlias = "npt.NDArray[Any]"

#: What became of the place of the pixels: each is where it was; the whole picture has another size; pixels
#: were cut off, added or turned, and are as large as before; they were turned by a quarter; or anything else.
Area: TypeAlias = Literal["same", "scaled", "cut", "turned", "moved"]
#: What becomes of a map that belongs to the picture, such as a gain map: it is true as it is, in another size
#: if the picture has another; it is, once the filter is applied to it too, in whatever size ("along") or in
#: the picture's ("sized"); or it is not true any more.
Along: TypeAlias = Literal["same", "along", "sized", "lost"]

_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})
_COLOUR = re.compile(r"#(?:[0-9a-f]{3}|[0-9a-f]{6})")
_DATA_URL = re.compile(r"data:[\w/+.-]*;base64,")
#: The limit of a parameter that is a picture: it travels with each job.
MAX_PICTURE_BYTES = 16 * 1024
#: What a filter should decode of it at most: a small file may be a bomb.
MAX_PICTURE_PIXELS = 2_000_000


def shown(value: object) -> str:
    """Return what was given, short enough for an error message."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


@attrs.frozen
class Parameter:
    """One parameter of a filter.

    ``choices`` are the words that a ``choice`` may be; a number or a colour may have words that stand in its
    place (``threshold`` takes 0 to 255, or ``otsu``). A ``default`` of None makes the parameter optional.
    ``maximum`` of a text is its number of characters. A colour is ``#rrggbb``; a picture is a whole file of
    at most 16 KiB in base64, and the function gets that text.
    """

    name: str
    type: Literal["float", "integer", "boolean", "choice", "text", "colour", "picture"] = attrs.field(
        validator=attrs.validators.in_(("float", "integer", "boolean", "choice", "text", "colour", "picture"))
    )
    default: float | bool | str | None
    description: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()

    def parse(self, value: object) -> Any:
        """Return the value as the filter takes it; text such as ``"5"``, which forms send, is understood.

        Raises BadParameter with what is allowed and what was given.
        """
        if value is None and self.default is None:
            return None
        if isinstance(value, str) and value in self.choices:
            return value
        parsed = _PARSERS[self.type](value)
        if parsed is None or not self._in_range(parsed):
            raise BadParameter(
                f"Parameter {self.name} must be {self.allowed()}; {shown(value)} was given.",
                parameter=self.name,
            )
        return parsed

    def _in_range(self, value: Any) -> bool:
        if isinstance(value, str):
            return self.type != "text" or len(value) <= (self.maximum or math.inf)
        return (self.minimum is None or value >= self.minimum) and (
            self.maximum is None or value <= self.maximum
        )

    def allowed(self) -> str:
        """Say in words which values are allowed."""
        words = " or ".join(self.choices) if len(self.choices) < 3 else "one of " + ", ".join(self.choices)
        if self.type == "choice":
            return words
        if self.type == "boolean":
            return "true or false"
        if self.type == "text":
            return f"text of 1 to {self.maximum:g} printable characters" if self.maximum else "printable text"
        if self.type == "picture":
            return f"a picture in base64, a file of at most {MAX_PICTURE_BYTES // 1024} KiB"
        if self.type == "colour":
            return f"a colour such as #ff8800, or {words}" if words else "a colour such as #ff8800"
        kind = "a number" if self.type == "float" else "a whole number"
        if self.minimum is not None and self.maximum is not None:
            kind += f" from {self.minimum:g} to {self.maximum:g}"
        return f"{kind}, or {words}" if words else kind

    def describe(self) -> dict[str, Any]:
        """Describe the parameter, JSON-able; members that do not apply are left out."""
        facts = attrs.asdict(self)
        facts["choices"] = list(self.choices)
        return {
            key: value
            for key, value in facts.items()
            if key in ("name", "type", "default", "description") or (value is not None and value != [])
        }


def _float(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, Real | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _integer(value: object) -> int | None:
    if isinstance(value, Integral) and not isinstance(value, bool):
        return int(value)
    number = _float(value)
    return int(number) if number is not None and number.is_integer() else None


def _boolean(value: object) -> bool | None:
    if isinstance(value, bool):
        return value
    word = value.strip().lower() if isinstance(value, str) else str(value)
    return True if word in _TRUE else False if word in _FALSE else None


def _text(value: object) -> str | None:
    """Return what can be drawn: no empty text, and no control characters but line ends."""
    if not isinstance(value, str) or not value.strip():
        return None
    return None if any(unicodedata.category(c) in ("Cc", "Cs") and c != "\n" for c in value) else value


def _colour(value: object) -> str | None:
    word = value.strip().lower() if isinstance(value, str) else ""
    if not _COLOUR.fullmatch(word):
        return None
    return word if len(word) == 7 else "#" + "".join(digit * 2 for digit in word[1:])


def _picture(value: object) -> str | None:
    """Return base64 without the head of a data URL, which browsers put before it."""
    if not isinstance(value, str):
        return None
    text = _DATA_URL.sub("", value.strip(), count=1)
    try:
        data = binascii.a2b_base64(text, strict_mode=True)
    except ValueError:  # binascii.Error is one, and so is what is no ASCII
        return None
    return text if 0 < len(data) <= MAX_PICTURE_BYTES else None


_PARSERS: dict[str, Callable[[object], Any]] = {
    "float": _float,
    "integer": _integer,
    "boolean": _boolean,
    "choice": lambda value: None,  # parse() has looked up the known words before
    "text": _text,
    "colour": _colour,
    "picture": _picture,
}


@attrs.frozen(kw_only=True)
class Filter:
    """A filter as the registry knows it.

    ``function(array, **parameters)`` takes any Pixels, C-contiguous, which it must not write to, and returns
    a new array of the same dtype and of any of these shapes.
    """

    name: str
    summary: str
    function: Callable[..., Pixels]
    parameters: tuple[Parameter, ...] = ()
    #: The shape of the result for an array of this shape and these parameters; None: as that of the array.
    result_shape: Callable[[Shape, Mapping[str, Any]], Shape] | None = None
    #: The bytes that the function takes at its peak besides array and result; one that takes more may be
    #: stopped. None: ``memory_factor`` for each byte of the larger of the two.
    working_bytes: Callable[[Shape, Mapping[str, Any]], float] | None = None
    memory_factor: float = 5.0
    #: The module whose ``TWIN`` gives the same bytes on an NVIDIA GPU, see :mod:`dpip.filters.cuda.twin`.
    cuda: str = ""
    uses_gpu: bool = attrs.field(default=attrs.Factory(lambda self: bool(self.cuda), takes_self=True))
    version: str = "1"
    #: The function takes ``threads=`` and spreads one large picture over that many cores.
    takes_threads: bool = False
    #: The function takes float32 and float64, too: 0 is black and 1 white, values beyond are allowed, NaN is
    #: a pixel that is not known.
    takes_floats: bool = False
    #: What the filter does to the place of the pixels, or a function of its parameters that tells it.
    area: Area | Callable[[Mapping[str, Any]], Area] = "moved"
    #: What becomes of a map that belongs to the picture, or a function of the parameters that tells it.
    maps: Along | Callable[[Mapping[str, Any]], Along] = "lost"
    #: Only the luma matters: the codec may return gray instead of RGB.
    luma_only: bool = False
    #: A pixel of the result may depend on any of the picture, or on its place: bands of rows are no pictures.
    whole_picture: bool = False
    #: Parameters to try the filter with, where it needs more than its defaults.
    example: Mapping[str, Any] = attrs.field(factory=dict)
    #: Raises BadParameter where each value is right but they do not go together.
    check: Callable[[Mapping[str, Any]], None] | None = None

    def validate(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters as the function takes them, defaults filled in.

        Raises BadParameter for an unknown name, or a value out of its range.
        """
        known = {parameter.name for parameter in self.parameters}
        for name in params:
            if name not in known:
                has = "has " + ", ".join(p.name for p in self.parameters) if known else "has no parameters"
                raise BadParameter(f"The filter {self.name} {has}; {shown(name)} was given.", parameter=name)
        values = {p.name: p.parse(params[p.name]) if p.name in params else p.default for p in self.parameters}
        if self.check is not None:
            self.check(values)
        return values

    def shape_after(self, shape: Shape, params: Mapping[str, Any]) -> Shape:
        """Return the shape of the result for an array of ``shape``. ``params`` are valid and complete."""
        return shape if self.result_shape is None else self.result_shape(shape, params)

    def step_memory(self, shape: Shape, params: Mapping[str, Any]) -> tuple[Shape, int]:
        """Return the shape of the result for an array of ``shape``, and the bytes that the function takes.

        These include the result, and not the array. ``params`` are valid and complete.
        """
        result = self.shape_after(shape, params)
        if self.working_bytes is None:
            return result, result.bytes + int(self.memory_factor * max(shape.bytes, result.bytes))
        return result, result.bytes + int(self.working_bytes(shape, params))

    def describe(self) -> dict[str, Any]:
        """Describe the filter, JSON-able, for ``GET /filters``."""
        return {
            "name": self.name,
            "summary": self.summary,
            "parameters": [parameter.describe() for parameter in self.parameters],
            "uses_gpu": self.uses_gpu,
        }
