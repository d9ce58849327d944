"""What every process of DPIP shares: where state lives, and what its pid file and log are called."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_state_dir
from twisted.python import usage

from dpip.runtime import logs

_STOCK_PID_FILE = "twistd.pid"


def default_state_dir() -> Path:
    """``DPIP_STATE_DIR``, or the place that this platform has for a user's state."""
    return Path(os.environ.get("DPIP_STATE_DIR") or user_state_dir("dpip", appauthor=False))


def name_process_files(options: usage.Options, name: str) -> None:
    """Name twistd's pid file and log after the process, unless its user has named them.

    twistd writes ``twistd.pid`` into the current directory even with ``-n``, so that a second process
    started there is refused. In the foreground nobody needs the file; a daemon gets ``<name>.pid`` and
    ``<name>.log``. A log in a file is kept within bounds.
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
    as_json = options.get("log-format") == "json"
    if path != "-" or as_json:
        logs.process_log.path = "" if path == "-" else path
        logs.process_log.json = as_json
        twistd["logger"] = "dpip.runtime.logs.process_log"
