"""The folder that ``dpip demo`` leaves its pictures in."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click
from attrs import frozen

SIGMA: Final = 10
_CAPTIONS: Final = {"original": "original", "grayscale": "grayscale", "blur": f"blur, sigma {SIGMA}"}
_PANEL: Final = (640, 360)
_GAP, _CAPTION = 24, 56  # pixels
_FIRST_LINE: Final = "Made by 'dpip demo'. Running it again replaces the pictures of this folder."
_ABOUT: Final = """
before-after.png   one frame: as it was, in gray, blurred
original/          the film as it was drawn
grayscale/         what DPIP made of it: in gray,
blur/              and blurred
dpip.log           what the system said meanwhile
"""


@frozen
class DemoFolder:
    """A folder of the demo's own: a file in it says so, and no other files are ever overwritten."""

    path: Path

    @classmethod
    def claim(cls, path: Path) -> DemoFolder:
        """Make the folder, or take over an earlier demo's. Raises ClickException for any other folder."""
        folder, note = cls(path), path / "README.txt"
        ours = note.is_file() and note.read_text(errors="replace").startswith(_FIRST_LINE)
        if path.exists() and not ours and (not path.is_dir() or any(path.iterdir())):
            raise click.ClickException(f"{path} holds other files. Name another place with --keep.")
        try:
            for kind in _CAPTIONS:
                (path / kind).mkdir(parents=True, exist_ok=True)
                for frame in (path / kind).glob("frame-[0-9][0-9][0-9][0-9].jpg"):
                    frame.unlink()  # an earlier film may have been longer
            folder.comparison.unlink(missing_ok=True)
            note.write_text(f"{_FIRST_LINE}\n{_ABOUT}")
        except OSError as error:
            raise click.ClickException(f"{path} cannot be used: {error.strerror}.") from None
        return folder

    @property
    def comparison(self) -> Path:
        """The picture that shows before and after."""
        return self.path / "before-after.png"

    @property
    def log(self) -> Path:
        """The system's log."""
        return self.path / "dpip.log"

    def frame(self, kind: str, number: int) -> Path:
        """Name the file of a frame; ``kind`` is original, grayscale or blur."""
        return self.path / kind / f"frame-{number:04}.jpg"

    def compare(self, number: int) -> None:
        """Draw the comparison: one frame before and after, side by side, each over its caption."""
        from PIL import Image, ImageDraw, ImageFont

        step, height = _PANEL[0] + _GAP, _GAP + _PANEL[1] + _CAPTION
        sheet = Image.new("RGB", (_GAP + len(_CAPTIONS) * step, height), (24, 26, 31))
        draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(26)
        for place, (kind, caption) in enumerate(_CAPTIONS.items()):
            with Image.open(self.frame(kind, number)) as picture:
                panel = picture.convert("RGB").resize(_PANEL, Image.Resampling.LANCZOS)
            sheet.paste(panel, (_GAP + place * step, _GAP))
            middle = (_GAP + place * step + _PANEL[0] // 2, height - _CAPTION // 2)
            draw.text(middle, caption, (236, 238, 242), font, anchor="mm")
        sheet.save(self.comparison)
