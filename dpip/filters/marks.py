"""Marks on pictures: a text or a small picture as pixels, scaled and drawn over another picture."""

from __future__ import annotations

import functools
from base64 import b64decode

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from dpip.errors import BadParameter
from dpip.filters.alpha import channel_count, has_alpha
from dpip.filters.bands import over_rows
from dpip.filters.colours import components
from dpip.filters.kernels import marks as kernels
from dpip.filters.placing import offset
from dpip.filters.schema import MAX_PICTURE_PIXELS, Pixels

_LETTERS = 96  # pixels high: texts are drawn once, and scaled like pictures
#: No Unicode character: what the font draws for it stands for all that it does not have.
_MISSING = "\uffff"


@functools.lru_cache(4)
def of_text(text: str, colour: str) -> Pixels:
    """Return the text in Pillow's own font, H x W x 4 uint8. Raises BadParameter for letters it lacks."""
    font = ImageFont.load_default(_LETTERS)
    missing = _drawn_letter(font, _MISSING)
    for letter in dict.fromkeys(text):
        if not letter.isspace() and _drawn_letter(font, letter) == missing:
            raise BadParameter(
                f"The built-in font has no letter {letter!r}: draw the text in a program of your own, and "
                "give it as a picture.",
                parameter="text",
            )
    box = ImageDraw.Draw(Image.new("L", (1, 1))).multiline_textbbox((0, 0), text, font)
    size = (max(1, round(box[2] - box[0])), max(1, round(box[3] - box[1])))
    shape = Image.new("L", size)
    ImageDraw.Draw(shape).multiline_text((-box[0], -box[1]), text, 255, font)
    result = np.empty((size[1], size[0], 4), np.uint8)
    result[..., :3] = components(colour)
    result[..., 3] = np.asarray(shape)
    result.flags.writeable = False
    return result


def _drawn_letter(font: ImageFont.FreeTypeFont | ImageFont.ImageFont, letter: str) -> bytes:
    return bytes(font.getmask(letter))


@functools.lru_cache(4)
def of_picture(encoded: str) -> Pixels:
    """Return a file in base64 as H x W x 4 uint8. Raises CorruptPicture, PictureTooLarge and others."""
    from dpip.filters import codec

    frames = iter(codec.decode(b64decode(encoded), max_pixels=MAX_PICTURE_PIXELS).frames)
    pixels = next(frames).pixels
    if pixels.dtype == np.uint16:
        pixels = (pixels // 257).astype(np.uint8)
    planes = pixels if pixels.ndim == 3 else pixels[..., None]
    result = np.full((*planes.shape[:2], 4), 255, np.uint8)
    result[..., :3] = planes[..., :3] if planes.shape[2] > 2 else planes[..., :1]
    if has_alpha(planes):
        result[..., 3] = planes[..., -1]
    result.flags.writeable = False
    return result


def drawn(
    array: Pixels,
    mark: Pixels,
    place: str,
    size: float,
    margin: float,
    opacity: float,
    tiled: bool,
    threads: int = 1,
) -> Pixels:
    """Draw ``mark``, H x W x 4 uint8, over the picture; the numbers are shares of 1."""
    result = array.copy()
    height, width = array.shape[:2]
    gap = round(margin * min(height, width))
    scaled = _scaled(mark, min(width * size / mark.shape[1], height / mark.shape[0]))
    samples = _samples(scaled, array, opacity)
    mark_height, mark_width = samples.shape[:2]
    left, top = offset(place, width - mark_width, height - mark_height, gap)
    left, top = (
        min(max(0, edge), most) for edge, most in ((left, width - mark_width), (top, height - mark_height))
    )
    target, channels = result[top : top + mark_height], channel_count(array)
    right = left + mark_width
    if tiled:
        samples = np.pad(samples, ((gap, 0), (gap, 0), (0, 0)))
        mark_height, mark_width = samples.shape[:2]
        target, left, right = result, 0, width
    most = float(np.iinfo(array.dtype).max)
    flat, drawn_over = samples.reshape(-1), target.reshape(-1)
    over_rows(
        target.shape[0],
        threads,
        lambda a, b: kernels.draw(
            drawn_over, flat, most, width, channels, mark_height, mark_width, left, right, a, b
        ),
    )
    return result


def _scaled(mark: Pixels, scale: float) -> Pixels:
    height, width = mark.shape[:2]
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(Image.fromarray(mark).resize(size, Image.Resampling.LANCZOS))


def _samples(mark: Pixels, array: Pixels, opacity: float) -> npt.NDArray[np.float32]:
    """Return what the kernel takes: the picture's colours times the opacity, and the opacity."""
    top = np.iinfo(array.dtype).max
    shares = mark[..., 3:].astype(np.float32) * np.float32(opacity / 255)
    colours = mark[..., :3].astype(np.float32) * np.float32(top / 255)
    if channel_count(array) < 3:
        colours = (colours @ np.array((0.299, 0.587, 0.114), np.float32))[..., None]
    return np.concatenate((colours * shares, shares), axis=2)
