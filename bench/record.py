"""What the benches measured last, kept in ``bench/results.json`` for the picture and for whoever compares."""

from __future__ import annotations

import argparse
import json
import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).with_name("results.json")


def add_option(parser: argparse.ArgumentParser) -> None:
    """``--record [FILE]``: the path for ``keep``, or None where nothing is to be kept."""
    parser.add_argument(
        "--record",
        nargs="?",
        type=Path,
        const=RESULTS,
        metavar="FILE",
        help="keep the figures in this file [bench/results.json]",
    )


def keep(question: str, figures: Any, path: Path) -> None:
    """Replace the figures of one question; JSON values, with the day and what they were measured on."""
    results = load(path)
    results[question] = {
        "day": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "versions": {name: version(name) for name in ("Twisted", "SQLAlchemy", "numba", "Pillow")},
        "figures": figures,
    }
    path.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")


def load(path: Path = RESULTS) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.exists() else {}


def resident() -> int:
    """Bytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def machine() -> str:
    return f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
