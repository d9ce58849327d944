"""What the peers that are task queues compute, with Pillow alone. Runs in the peers' own Python."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from PIL import Image, ImageFilter


def filtered(data: bytes, filter: str) -> bytes:
    """The picture in gray, or blurred with σ = 5, in its own format; a JPEG at quality 90."""
    picture = Image.open(BytesIO(data))
    format = picture.format
    result = picture.convert("L") if filter == "grayscale" else picture.filter(ImageFilter.GaussianBlur(5))
    file = BytesIO()
    result.save(file, format, **({"quality": 90} if format == "JPEG" else {}))
    return file.getvalue()


def filtered_size(data: bytes, filter: str) -> int:
    return len(filtered(data, filter))


def filtered_file(source: str, target: str, filter: str) -> None:
    """The same from file to file."""
    Path(target).write_bytes(filtered(Path(source).read_bytes(), filter))
