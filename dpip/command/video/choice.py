"""Choosing how a film's copy is stored: the codec, its options, and the pixel format that keeps most."""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import click
from attrs import evolve

from dpip.command.run.films import has_alpha, pyav
from dpip.command.video.codecs import CODECS, Codec


def codec_for(kind: str, original: str, format: Any, wanted: str | None) -> Codec:
    """Return the codec for a film of this kind: the ``wanted`` one, else one as good as the original's.

    ``format`` is the original's pixel format. Raises ClickException where this PyAV lacks it.
    """
    codec = CODECS[wanted or _default(kind, original, format)]
    if codec.name == "hevc" and wanted is None and original != "hevc":
        codec = evolve(codec, formats=("yuv420p", "yuv420p10le"))  # what players show
    try:
        pyav().Codec(codec.encoder, "w")
    except pyav().error.FFmpegError:
        raise click.ClickException(
            f"PyAV has no encoder for {codec.name} here: name another --codec."
        ) from None
    return codec


def _default(kind: str, original: str, format: Any) -> str:
    deep = _bits(format) > 8
    if has_alpha(format) and kind not in (".mp4", ".m4v"):
        return "prores" if kind == ".mov" else "ffv1" if deep and kind == ".mkv" else "vp9"
    if kind == ".webm":
        return "av1" if deep or original == "av1" else "vp9"
    stays = original in CODECS and kind in CODECS[original].kinds
    if stays and not (original == "h264" and deep) and not (original == "vp9" and kind != ".mkv"):
        return original
    return "hevc" if deep else "h264"


def best_format(codec: Codec, original: Any) -> str:
    """Return the pixel format of the codec that keeps most of the original's: alpha, depth, colours."""
    av = pyav()
    names = codec.formats or [each.name for each in av.Codec(codec.encoder, "w").video_formats or ()]
    usable = [name for name in names if not name.startswith(("nv", "yuvj", "gray", "gbr"))] or ["yuv420p"]
    return min(usable, key=lambda name: _costs(av.VideoFormat(name, 16, 16), original))


def losses(name: str, original: Any) -> list[str]:
    """Say what a pixel format does not keep of the original's, a sentence each."""
    kept = pyav().VideoFormat(name, 16, 16)
    found = []
    if has_alpha(original) and not has_alpha(kept):
        found.append("Transparency is lost: name the result .mov, .mkv or .webm to keep it.")
    if _bits(kept) < _bits(original):
        found.append(f"Of {_bits(original)} bits per colour {_bits(kept)} are kept.")
    if _colours(kept) < _colours(original) and not original.is_rgb:
        found.append("Colours have a lower resolution than in the original.")
    return found


def _costs(format: Any, original: Any) -> tuple[int, ...]:
    """Return what is lost by a format, the worst first, and then what it has to spare."""
    alpha, bits = has_alpha(format) - has_alpha(original), _bits(format) - _bits(original)
    wanted = _colours(original) if not original.is_rgb else 64  # what is drawn on screens is shown with less
    colours = _colours(format) - wanted
    return (
        *(max(0, -each) for each in (alpha, bits, colours)),
        *(max(0, each) for each in (alpha, bits, colours)),
        int(format.is_rgb),
    )


def _bits(format: Any) -> int:
    return max(int(component.bits) for component in format.components)


def _colours(format: Any) -> int:
    """Return how many samples of colour there are for 16 x 16 pixels."""
    if format.is_rgb:
        return 256
    if len(format.components) < 3:  # gray
        return 64
    return int(format.chroma_width(16) * format.chroma_height(16)) or 64


def options_for(codec: Codec, format: str, crf: int | None, side_data: Mapping[str, bytes]) -> dict[str, str]:
    """Return the encoder's options; ``side_data`` is that of the first frame, of which HDR's is passed on."""
    options = dict(codec.options)
    if codec.crf is not None:
        options["crf"] = str(codec.crf[0] if crf is None else crf)
    if codec.name == "hevc":
        options["x265-params"] = ":".join(("log-level=none", *_light(side_data, "master-display", "max-cll")))
    elif codec.name == "av1":
        os.environ.setdefault("SVT_LOG", "1")  # errors only: it prints them itself
        options["svtav1-params"] = ":".join(_light(side_data, "mastering-display", "content-light"))
    elif codec.name == "prores":
        options["profile"] = "4444" if "444" in format else "hq"
    return options


def keeps_light(codec: Codec) -> bool:
    """Tell whether the codec's encoder takes HDR's data about the display and the brightest light."""
    return codec.name in ("hevc", "av1")


def _light(side_data: Mapping[str, bytes], display_name: str, level_name: str) -> list[str]:
    """Return HDR's data, which FFmpeg has as structs, as parameters with these names.

    x265 takes whole numbers of 0.00002 for colours and 0.0001 for light, SVT-AV1 numbers with a point.
    """
    found = []
    display = side_data.get("MASTERING_DISPLAY_METADATA", b"")
    if len(display) >= 88 and all(struct.unpack_from("=2i", display, 80)):
        numbers = struct.unpack_from("=20i", display)
        values = [Fraction(a, b or 1) for a, b in zip(numbers[::2], numbers[1::2], strict=True)]
        whole = display_name == "master-display"
        shown = [
            str(round(v * (10000 if n > 7 else 50000))) if whole else f"{float(v):.5f}"
            for n, v in enumerate(values)
        ]
        pairs = {"G": shown[2:4], "B": shown[4:6], "R": shown[0:2], "WP": shown[6:8], "L": shown[:7:-1]}
        words = "".join(f"{name}({x},{y})" for name, (x, y) in pairs.items())
        found.append(f"{display_name}={words}")
    level = side_data.get("CONTENT_LIGHT_LEVEL", b"")
    if len(level) >= 8:
        found.append(f"{level_name}={','.join(map(str, struct.unpack_from('=2I', level)))}")
    return found
