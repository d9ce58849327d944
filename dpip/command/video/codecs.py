"""The codecs that films may be stored with, and the kinds of files that take them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import click
from attrs import field, frozen

_MOVIE: Final = (".mp4", ".m4v", ".mov")
KINDS: Final = (*_MOVIE, ".mkv", ".webm")


@frozen
class Codec:
    """A codec of FFmpeg's, ``encoder``, with the kinds of files that take it.

    ``crf`` is the default of the option, with its maximum; None where there is no such option. Of the
    ``formats`` of pixels only these are used, as players know no others; empty for all of the encoder's.
    """

    name: str
    encoder: str
    kinds: tuple[str, ...]
    crf: tuple[int, int] | None = None
    formats: tuple[str, ...] = ()
    options: Mapping[str, str] = field(factory=dict)


_PLANAR: Final = ("yuv420p", "yuv422p", "yuv444p")
_DEEP: Final = tuple(f"{name}{bits}le" for bits in (10, 12) for name in _PLANAR)
CODECS: Final = {
    codec.name: codec
    for codec in (
        Codec("h264", "libx264", (*_MOVIE, ".mkv"), (18, 51), _PLANAR),
        Codec("hevc", "libx265", (*_MOVIE, ".mkv"), (20, 51), (*_PLANAR, *_DEEP)),
        Codec("av1", "libsvtav1", (*_MOVIE, ".mkv", ".webm"), (24, 63)),
        Codec("vp9", "libvpx-vp9", (".mp4", ".mkv", ".webm"), (24, 63), (*_PLANAR, "yuva420p"), {"b": "0"}),
        Codec("prores", "prores_ks", (".mov", ".mkv")),
        Codec("ffv1", "ffv1", (".mkv",), options={"level": "3"}),
    )
}


def check(codec: str | None, crf: int | None, kind: str) -> None:
    """Raise UsageError for a codec that does not go into this kind of file, or has no such quality."""
    if codec is None:
        return
    chosen = CODECS[codec]
    if kind not in chosen.kinds:
        fitting = ", ".join(chosen.kinds)
        raise click.UsageError(f"--codec {codec} does not go into {kind}: name the result {fitting}.")
    if crf is not None and chosen.crf is None:
        raise click.UsageError(f"--crf: {codec} has no such option; leave it out.")
    if crf is not None and chosen.crf is not None and crf > chosen.crf[1]:
        raise click.UsageError(f"--crf of {codec} is from 0 to {chosen.crf[1]}.")
