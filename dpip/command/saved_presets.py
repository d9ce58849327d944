"""Presets of this user on this machine: filters and output by name, in one file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click
from attrs import asdict, field, frozen

from dpip.command.saved_logins import config_folder

MAX_NAME = 64


@frozen
class SavedPreset:
    """What ``--preset`` stands for: ``steps`` and ``output`` as the API takes them."""

    steps: list[dict[str, Any]]
    output: dict[str, Any] = field(factory=dict)


def saved_presets() -> dict[str, SavedPreset]:
    """Return all presets by name. Raises ClickException for a file that is damaged."""
    try:
        found = json.loads(_file().read_text(encoding="utf-8"))
        return {name: SavedPreset(**facts) for name, facts in sorted(found.items())}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise click.ClickException(f"{_file()} cannot be read: {error}.") from error


def saved_preset(name: str) -> SavedPreset:
    """Raises UsageError when there is none."""
    presets = saved_presets()
    if name not in presets:
        known = f"There are: {', '.join(presets)}." if presets else "None is saved."
        raise click.UsageError(
            f"There is no preset {name!r} on this machine. {known} One that a server has is brought here "
            f"with: dpip preset copy {name} --server URL"
        )
    return presets[name]


def keep_preset(name: str, preset: SavedPreset, force: bool) -> None:
    """Raises ClickException when the name is taken, unless ``force``; UsageError for what is no name."""
    if not 1 <= len(name) <= MAX_NAME or not name.isprintable() or name != name.strip():
        raise click.UsageError(
            f"A preset's name has 1 to {MAX_NAME} printable characters, and no space at its ends."
        )
    presets = saved_presets()
    if name in presets and not force:
        raise click.ClickException(
            f"There is a preset {name!r} already. With --force the new one replaces it."
        )
    _write({**presets, name: preset})


def forget_preset(name: str) -> None:
    """Raises UsageError when there is none."""
    saved_preset(name)
    _write({other: preset for other, preset in saved_presets().items() if other != name})


def _write(presets: dict[str, SavedPreset]) -> None:
    """Write the file, which is whole at every moment."""
    path = _file()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = path.with_suffix(f".{os.getpid()}.part")
    facts = {name: asdict(preset) for name, preset in presets.items()}
    part.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    part.replace(path)


def _file() -> Path:
    return config_folder() / "presets.json"
