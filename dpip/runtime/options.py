"""What the options of all processes share: kinds of values, the state directory, pid file and log."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit

from platformdirs import user_state_dir
from twisted.python import reflect, usage

from dpip import __version__
from dpip.runtime import addresses, logs

_STOCK_PID_FILE = "twistd.pid"
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


class ProcessOptions(usage.Options):
    """The options of a process: what is wrong with them is told in the last line, after one line of usage."""

    process_name: ClassVar[str]

    def parseOptions(self, options: Any = None) -> None:
        try:
            super().parseOptions(options)
        except usage.UsageError as error:
            if self.parent is None:  # not under twistd, which would print all options first
                raise
            line = f"Usage: twistd [options] {self.process_name} [options]; --help lists them"
            raise SystemExit(f"{line}\nError: {error}") from None

    def opt_version(self) -> None:
        """Print the version of DPIP and end."""
        sys.stdout.write(f"DPIP {__version__}\n")
        raise SystemExit(0)


def default_state_dir() -> Path:
    """Return ``DPIP_STATE_DIR``, or this platform's place for a user's state."""
    return Path(os.environ.get("DPIP_STATE_DIR") or user_state_dir("dpip", appauthor=False))


def name_process_files(options: usage.Options, name: str) -> None:
    """Name twistd's pid file and log after the process, unless its user has named them.

    twistd writes ``twistd.pid`` into the current directory even with ``-n``, so that a second process started
    there is refused. In the foreground there is no pid file; a daemon gets ``<name>.pid`` and ``<name>.log``.
    The size of a log file is bounded.
    """
    twistd = options.parent
    if twistd is None:
        return
    foreground = twistd["nodaemon"]
    if twistd["pidfile"] == _STOCK_PID_FILE:
        twistd["pidfile"] = "" if foreground else f"{name}.pid"
    if twistd["syslog"] or twistd["logger"]:
        return
    path = twistd["logfile"] or ("-" if foreground else f"{name}.log")
    logs.process_log.path = "" if path == "-" else path
    logs.process_log.json = options.get("log-format") == "json"
    twistd["logger"] = "dpip.runtime.logs.process_log"


def size(text: str) -> int:
    """Return ``500M`` as a number of bytes; units are K, M, G, T, powers of 1024. Raises ValueError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if match is None:
        raise ValueError(f"{text!r} is not a size such as 500M or 2G")
    return int(float(match[1]) * _UNITS[match[2].upper()])


def database_argument(text: str) -> str:
    """Check the URL of a PostgreSQL database on a command line, which all users of a machine can read.

    Raises ValueError.
    """
    parts = urlsplit(_checked_scheme(text))
    if parts.password is not None or "password" in parts.query.lower():
        raise ValueError(
            "it holds a password, which others can read here: set PGPASSWORD, write it to ~/.pgpass, or set "
            "DPIP_DATABASE to the whole URL"
        )
    return text


def database_from_environment() -> str | None:
    """Return ``DPIP_DATABASE``, a URL that may hold a password. Raises UsageError."""
    text = os.environ.get("DPIP_DATABASE")
    try:
        return _checked_scheme(text) if text else None
    except ValueError as error:
        raise usage.UsageError(f"DPIP_DATABASE: {error}") from None


def _checked_scheme(text: str) -> str:
    if not text.startswith(("postgresql://", "postgres://")):
        raise ValueError("a database's URL begins with postgresql://")
    return text


def address(text: str) -> addresses.ListenAddress:
    return addresses.parse(text)


def tls_names(text: str) -> tuple[str, ...]:
    """Parse host names and IP addresses, separated by commas. Raises ValueError."""
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in names:
        if not addresses.is_host(name):
            raise ValueError(f"{name!r} is neither a host name nor an IP address")
    return names


TLS_NAMES_OPTION: Final = [
    "tls-names",
    None,
    (),
    "Further names and addresses in the certificate of --http-tls, with commas between.",
    tls_names,
]


def certificate_hosts(options: usage.Options) -> tuple[str, ...]:
    """Return what clients may call the API: where it listens, --api-url's host, and --tls-names."""
    advertised = urlsplit(options["api-url"] or "").hostname
    named = [*options["http"].hosts, *([advertised] if advertised else ()), *options["tls-names"]]
    return tuple(dict.fromkeys(named))


def check_openness(options: usage.Options) -> None:
    """Check that passwords stay secret if the API is open to a network. Raises UsageError."""
    http = options["http"]
    if not (http.loopback or http.tls or options["http-tls"] or options["behind-proxy"]):
        raise usage.UsageError(
            "The API would be open to the network without TLS, passwords in the clear: add --http-tls, "
            "or --behind-proxy when a proxy in front of it speaks TLS."
        )
    if http.tls and options["http-tls"]:
        raise usage.UsageError("--http is an ssl: endpoint already; leave out --http-tls.")


def coerce_defaults(options: usage.Options) -> None:
    """Coerce the defaults, which usage.Options does not: --help shows them as they are."""
    parameters: list[list[Any]] = []
    reflect.accumulateClassList(type(options), "optParameters", parameters)
    for name, _, default, _, *coerce in parameters:
        if coerce and isinstance(default, str) and options[name] == default:
            options[name] = coerce[0](default)
