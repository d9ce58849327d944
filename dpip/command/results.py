"""The folder that the demo leaves its pictures in."""

from __future__ import annotations

import re
from pathlib import Path

import click
from attrs import frozen

_NOTE = "README.txt"
_FIRST_LINE = "Made by 'dpip demo'. Running it again replaces the pictures of this folder."
_FRAME = re.compile(r"frame-\d+\.jpg")
_FOLDERS = ("original", "grayscale", "blur")


@frozen
class Results:
    """``folder`` is the demo's own: it says so in a file, so that no other's files are ever overwritten."""

    folder: Path

    @classmethod
    def claim(cls, folder: Path) -> Results:
        """Make it, or take over what an earlier demo left. Raises ClickException for anything else."""
        note = folder / _NOTE
        ours = note.is_file() and note.read_text(errors="replace").startswith(_FIRST_LINE)
        if folder.exists() and not ours and (not folder.is_dir() or any(folder.iterdir())):
            raise click.ClickException(f"{folder} holds other files. Name another place with --keep.")
        try:
            for name in _FOLDERS:
                (folder / name).mkdir(parents=True, exist_ok=True)
            note.write_text(f"{_FIRST_LINE}\n{_ABOUT}")
        except OSError as error:
            raise click.ClickException(f"{folder} cannot be used: {error.strerror}.") from None
        results = cls(folder)
        results._forget_frames()
        return results

    @property
    def comparison(self) -> Path:
        """The picture that shows before and after."""
        return self.folder / "before-after.png"

    @property
    def log(self) -> Path:
        """What the system said."""
        return self.folder / "dpip.log"

    def frame(self, kind: str, number: int) -> Path:
        """``kind`` is original, grayscale or blur."""
        return Path(self.pattern(kind) % number)

    def pattern(self, kind: str) -> str:
        """Of the frames' paths, for a number to be put in with ``%``."""
        return str(self.folder / kind).replace("%", "%%") + "/frame-%04d.jpg"

    def _forget_frames(self) -> None:
        """An earlier, longer film would leave its end behind."""
        self.comparison.unlink(missing_ok=True)
        for name in _FOLDERS:
            for path in (self.folder / name).iterdir():
                if _FRAME.fullmatch(path.name):
                    path.unlink()


_ABOUT = """
before-after.png   one frame: as it was, in gray, blurred
original/          the film as it was drawn
grayscale/         what DPIP made of it: in gray,
blur/              and blurred
dpip.log           what the system said meanwhile
"""
