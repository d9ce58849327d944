"""AVIF: Pillow's libavif has 8 bits per channel, metadata and sequences; imagecodecs' reads more bits."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import Any

import attrs
import numpy as np
from PIL import Image

from dpip.filters.codec import colours, pillow
from dpip.filters.codec.budget import DecodeBudget
from dpip.filters.codec.gainmap import GAIN_LEFT_OUT
from dpip.filters.codec.info import PictureInfo
from dpip.filters.codec.picture import Frame, Metadata, Picture
from dpip.filters.codec.probes import heif
from dpip.filters.codec.upright import upright
from dpip.filters.metadata import spaces, xmp

_QUALITY = 75
#: libavif's: 6 is Pillow's. 8 takes half of the time, for files about 5 % larger.
_SPEED = 7


def decode(data: bytes, budget: DecodeBudget, info: PictureInfo) -> Picture:
    """Decode an AVIF, or the frames of a sequence."""
    picture = pillow.decode(data, "AVIF", budget)
    content = heif.content(io.BytesIO(data), sequence=True)
    if content.nclx is not None and picture.metadata.icc is None:
        space = spaces.of_code(*content.nclx)
        picture = attrs.evolve(picture, metadata=attrs.evolve(picture.metadata, space=space))
    picture.notices.extend([GAIN_LEFT_OUT] if content.gain else [])
    picture.notices.extend([xmp.DEPTH_LEFT_OUT] if content.depth else [])
    if info.bits == 8:
        return picture
    return attrs.evolve(picture, frames=_deep(data, picture, budget, content.bits))


def _deep(data: bytes, picture: Picture, budget: DecodeBudget, bits: int) -> Iterator[Frame]:
    """Decode frames of 10 or 12 bits per channel. Pillow has compared their number, and their size is one."""
    import imagecodecs

    with pillow.damage_as_corrupt(), Image.open(io.BytesIO(data), formats=("AVIF",)) as image:
        turn = pillow.orientation(image)
        for number in range(picture.frame_count):
            image.seek(number)
            budget.take_frame(*image.size, budget.pixel_bytes)
            pixels = imagecodecs.avif_decode(data, index=number, numthreads=1)
            yield Frame(upright(colours.widened(pixels, bits), turn), image.info.get("duration", 0))


def encode(frames: Iterable[Frame], picture: Picture, metadata: Metadata, style: dict[str, Any]) -> bytes:
    """Encode one picture, or a sequence, of 8 bits per channel."""
    first, *rest = list(frames)
    options = pillow.metadata_options(metadata, "AVIF")
    options |= {"quality": style.get("quality", _QUALITY), "speed": _SPEED, "max_threads": 1}
    if rest:
        options |= {"save_all": True, "append_images": [_image(frame) for frame in rest]}
        options["duration"] = [max(1, round(frame.duration)) for frame in (first, *rest)]
    out = io.BytesIO()
    _image(first).save(out, "AVIF", **options)
    return out.getvalue()


def _image(frame: Frame) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(frame.pixels))
