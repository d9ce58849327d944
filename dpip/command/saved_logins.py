"""The logins and settings between commands: a file for each server, which only its owner can read."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
from attrs import asdict, field, frozen


@frozen
class Login:
    """A login to a server; ``authority`` is a PEM file of certificates to trust, None for the system's."""

    server: str
    user: str = ""
    token: str = field(default="", repr=False)
    expires_at: str | None = None
    authority: str | None = None


def login_to(server: str) -> Login | None:
    """Return the login that is kept for a server; None if there is none, or its file is damaged."""
    try:
        return _read(_file(server))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def newest_login() -> Login | None:
    """Return the latest login, whatever the server."""
    files = _folder().glob("*.json")
    newest = max(files, key=lambda each: each.stat().st_mtime, default=None)
    return None if newest is None else _read(newest)


def keep_login(login: Login) -> Path:
    """Write a login to a file of mode 0600, which is whole at every moment."""
    _folder().mkdir(parents=True, exist_ok=True, mode=0o700)
    path = _file(login.server)
    part = path.with_suffix(".part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
        json.dump(asdict(login), file)
    return part.replace(path)


def forget_login(server: str) -> None:
    """Remove the login to a server."""
    _file(server).unlink(missing_ok=True)


def _read(path: Path) -> Login:
    return Login(**json.loads(path.read_text(encoding="utf-8")))


def _file(server: str) -> Path:
    return _folder() / (quote(server, safe="") + ".json")


def _folder() -> Path:
    return config_folder() / "logins"


def config_folder() -> Path:
    """Return ``DPIP_CONFIG_DIR``, or the platform's folder for a user's settings."""
    from platformdirs import user_config_path

    named = os.environ.get("DPIP_CONFIG_DIR")
    return Path(named) if named else user_config_path("dpip", appauthor=False)


def settings(commands: Sequence[str]) -> dict[str, Any]:
    """Read the configuration file as defaults for each command: its own table over the settings at the top.

    Empty when there is no file. Raises ClickException when it is not TOML.
    """
    import tomllib

    path = config_folder() / "config.toml"
    try:
        with path.open("rb") as file:
            read = tomllib.load(file)
    except FileNotFoundError:
        return {}
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise click.ClickException(f"{path} cannot be read: {error}.") from None
    common = {name: value for name, value in read.items() if not isinstance(value, dict)}
    return {name: {**common, **read.get(name, {})} for name in commands}
