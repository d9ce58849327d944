"""Where tokens are kept between commands: a file for each server, for its owner's eyes only."""

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
    """``authority`` is a PEM file of certificates to trust, None for the system's."""

    server: str
    user: str = ""
    token: str = field(default="", repr=False)
    expires_at: str | None = None
    authority: str | None = None


@frozen
class Logins:
    """``folder`` is made when it is needed."""

    folder: Path

    @classmethod
    def usual(cls) -> Logins:
        """Those of this user: beside the configuration file."""
        return cls(config_folder() / "logins")

    def of(self, server: str) -> Login | None:
        try:
            return Login(**json.loads(self._path(server).read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def newest(self) -> Login | None:
        """Of the server that was logged in to last."""
        try:
            files = [each for each in self.folder.iterdir() if each.suffix == ".json"]
        except OSError:
            return None
        newest = max(files, key=lambda each: each.stat().st_mtime, default=None)
        return None if newest is None else Login(**json.loads(newest.read_text(encoding="utf-8")))

    def keep(self, login: Login) -> Path:
        """In a file of mode 0600 that is whole at every moment."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._path(login.server)
        part = path.with_suffix(".part")
        part.unlink(missing_ok=True)
        with os.fdopen(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            json.dump(asdict(login), file)
        part.replace(path)
        return path

    def forget(self, server: str) -> None:
        self._path(server).unlink(missing_ok=True)

    def _path(self, server: str) -> Path:
        return self.folder / (quote(server, safe="") + ".json")


def config_folder() -> Path:
    """``DPIP_CONFIG_DIR``, or the place that this platform has for a user's settings."""
    from platformdirs import user_config_path

    named = os.environ.get("DPIP_CONFIG_DIR")
    return Path(named) if named else user_config_path("dpip", appauthor=False)


def settings(commands: Sequence[str]) -> dict[str, Any]:
    """The configuration file as defaults for each command: its own table over what stands at the top.

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
