"""One picture that shows the same frame before and after."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

_PANEL = (640, 360)
_GAP = 24
_CAPTION = 56
_PAPER, _INK = (24, 26, 31), (236, 238, 242)


def compare(panels: Mapping[str, Path], to: Path) -> None:
    """Write a PNG of the pictures side by side, each over its caption."""
    width = _GAP + len(panels) * (_PANEL[0] + _GAP)
    sheet = Image.new("RGB", (width, _GAP + _PANEL[1] + _CAPTION), _PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(26)
    for number, (caption, path) in enumerate(panels.items()):
        left = _GAP + number * (_PANEL[0] + _GAP)
        with Image.open(path) as picture:
            panel = picture.convert("RGB").resize(_PANEL, Image.Resampling.LANCZOS)
        sheet.paste(panel, (left, _GAP))
        middle = (left + _PANEL[0] // 2, _GAP + _PANEL[1] + _CAPTION // 2)
        draw.text(middle, caption, _INK, font, anchor="mm")
    sheet.save(to)
