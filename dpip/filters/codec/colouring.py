"""Which profile a result has, or whether its colours are converted to sRGB."""

from __future__ import annotations

import attrs

from dpip.filters.alpha import channel_count
from dpip.filters.codec.picture import Metadata, Pixels
from dpip.filters.metadata import exif, fitting, icc
from dpip.filters.metadata.fitting import Wanted
from dpip.filters.metadata.spaces import ADOBE_RGB, Space
from dpip.filters.output import BY_NAME

#: Formats that store gray as equal red, green and blue, to which a gray profile does not fit.
_ALWAYS_RGB = frozenset({"WEBP", "AVIF", "GIF", "BMP"})


def fitted(
    pixels: Pixels, metadata: Metadata, wanted: Wanted, to_srgb: bool, notices: list[str]
) -> tuple[Pixels, Metadata, bool]:
    """Return pixels, metadata with the profile that fits them, and whether they were converted to sRGB.

    They are if that is wanted, and where the format cannot say what they are; the latter is told.
    """
    space = _space(metadata, wanted, to_srgb)
    if space is not None and (
        to_srgb or "space" not in BY_NAME[wanted.format].metadata or space is ADOBE_RGB
    ):
        if not to_srgb:
            notices.append(
                f"The colours, {space.name}, were converted to sRGB: {wanted.format} cannot say so without a "
                "profile."
            )
        from dpip.filters.codec import colours  # few pictures need it

        return colours.from_space(pixels, space), _without_colours(metadata), True
    if metadata.icc is None:
        return pixels, metadata, False
    return _by_profile(pixels, metadata, metadata.icc, wanted, to_srgb, notices)


def _space(metadata: Metadata, wanted: Wanted, to_srgb: bool) -> Space | None:
    """Return the colours if numbers say what they are: some count more than a profile."""
    space = metadata.space
    if space is not None and (metadata.icc is None or space.code is not None):
        return space
    exif_goes = wanted.way in (fitting.STRIP, fitting.RIGHTS) or "exif" not in BY_NAME[wanted.format].metadata
    if metadata.icc is None and (to_srgb or exif_goes) and exif.is_adobe_rgb(metadata.exif):
        return ADOBE_RGB
    return None


def _by_profile(
    pixels: Pixels, metadata: Metadata, profile: bytes, wanted: Wanted, to_srgb: bool, notices: list[str]
) -> tuple[Pixels, Metadata, bool]:
    channels = 3 if wanted.format in _ALWAYS_RGB else channel_count(pixels)
    fits = icc.fitting(profile, channels) if "icc" in BY_NAME[wanted.format].metadata else None
    if fits is not None and not to_srgb:
        return pixels, attrs.evolve(metadata, icc=fits), False
    from dpip.filters.codec import colours

    plain = _without_colours(metadata)
    if colours.is_srgb(profile):
        return pixels, plain, True
    made = colours.in_srgb(pixels, profile)
    if made is None:
        notices.append("The colour profile was left out: it is damaged, or for colours of another kind.")
        return pixels, attrs.evolve(metadata, icc=None), False
    if not to_srgb:
        notices.append(f"{wanted.format} is written without a profile: the colours were converted to sRGB.")
    return made, plain, True


def _without_colours(metadata: Metadata) -> Metadata:
    extra = tuple(part for part in metadata.extra if part[0] not in fitting.COLOUR_CHUNKS)
    return attrs.evolve(metadata, icc=None, space=None, extra=extra)
