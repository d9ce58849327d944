"""Raw photographs, developed by libraw through rawpy: the extra ``raw``."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, Final

import attrs
import numpy as np
from PIL import Image

from dpip.errors import CorruptPicture, UnsupportedPicture
from dpip.filters.codec import pillow
from dpip.filters.codec.budget import DecodeBudget
from dpip.filters.codec.info import PictureInfo
from dpip.filters.codec.picture import Frame, Metadata, Picture

#: By the output option ``raw``.
_WAYS: Final[dict[str, dict[str, Any]]] = {
    "camera": {"use_camera_wb": True},
    "auto": {"use_auto_wb": True},
    "linear": {"use_camera_wb": True, "gamma": (1, 1), "no_auto_bright": True},
}
#: What a sensor may have more than the tags of its file say: masked rows and columns.
_MARGIN = 1.1
_EXIF, _GPS, _MAKER_NOTE = 0x8769, 0x8825, 0x927C
_KEPT = (0x010E, 0x010F, 0x0110, 0x0132, 0x013B, 0x8298)  # description, make, model, time, artist, copyright


def decode(data: bytes, budget: DecodeBudget, info: PictureInfo, way: str) -> Picture:
    """Develop the photograph to sRGB of 16 bits, upright.

    Raises UnsupportedPicture when rawpy is not installed, or does not know the camera.
    """
    rawpy = _library()
    room = attrs.evolve(budget, pixels=int(budget.pixels * _MARGIN))
    metadata = Metadata(exif=_exif(data))
    notices = [] if metadata.exif else ["What the camera noted of the photograph was left out."]
    if way == "linear":
        notices.append("The photograph was developed in linear light: it looks dark.")
    return Picture("RAW", _frames(rawpy, data, room, way), metadata=metadata, notices=notices)


def _library() -> Any:
    try:
        import rawpy
    except ImportError:
        raise UnsupportedPicture(
            "The file is a raw photograph. To have it developed, install rawpy where DPIP computes: "
            "pip install 'dpip[raw]'; or develop it first."
        ) from None
    return rawpy


def _frames(rawpy: Any, data: bytes, budget: DecodeBudget, way: str) -> Iterator[Frame]:
    with pillow.damage_as_corrupt():
        try:
            with rawpy.imread(io.BytesIO(data)) as photograph:
                sizes = photograph.sizes
                budget.take_frame(sizes.width, sizes.height, budget.pixel_bytes)
                pixels = photograph.postprocess(output_bps=16, **_WAYS[way])
        except (rawpy.LibRawFileUnsupportedError, rawpy.LibRawNonFatalError) as problem:
            raise UnsupportedPicture(
                f"libraw does not develop this raw photograph ({_said(problem)})."
            ) from None
        except rawpy.LibRawError as problem:
            raise CorruptPicture(f"The raw photograph is damaged or cut short ({_said(problem)}).") from None
    yield Frame(np.ascontiguousarray(pixels))


def _said(problem: Exception) -> str:
    words = problem.args[0] if problem.args else ""
    return words.decode(errors="replace") if isinstance(words, bytes) else str(words)


def _exif(data: bytes) -> bytes | None:
    """Return what the camera noted, without its maker's notes, if the file is a TIFF as most are."""
    found, kept = Image.Exif(), Image.Exif()
    try:
        found.load(data if data[:4] in (b"II*\0", b"MM\0*") else b"")
        for tag in _KEPT:
            if tag in found:
                kept[tag] = found[tag]
        for tag in (_EXIF, _GPS):
            inner = {name: value for name, value in found.get_ifd(tag).items() if name != _MAKER_NOTE}
            if inner:
                kept[tag] = inner
        return kept.tobytes().removeprefix(b"Exif\0\0") if len(kept) else None
    except Exception:  # noqa: BLE001 - Pillow raises whatever a damaged directory makes of it
        return None
