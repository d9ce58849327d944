"""Output of commands: tables and sentences for people, or JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click

Columns = Mapping[str, Callable[[Any], object]]

_BIDIRECTIONAL = (*range(0x202A, 0x202F), *range(0x2066, 0x206A))  # they reverse the text that follows
_CONTROLS = (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029, *_BIDIRECTIONAL)
_ESCAPED = {code: ascii(chr(code))[1:-1] for code in _CONTROLS}

json_option = click.option("--json", "as_json", is_flag=True, help="For programs, in the API's words.")


def show(rows: Sequence[Any], columns: Columns, as_json: bool, nothing: str) -> None:
    """Print rows; ``columns`` has headings with functions that make a cell, ``nothing`` is for no rows."""
    if as_json:
        show_json(rows)
    elif rows:
        for line in lines(rows, columns, sys.stdout.isatty()):
            click.echo(line)
    else:
        click.echo(nothing, err=True)


def show_json(facts: Any) -> None:
    click.echo(json.dumps(facts, indent=2, ensure_ascii=False))


def json_line(facts: dict[str, Any]) -> None:
    """Print JSON on a line of its own, at once: a program may read along."""
    click.echo(json.dumps(facts, ensure_ascii=False))


def show_facts(facts: Iterable[tuple[str, object]]) -> None:
    """Print names and values, one pair a line; values of None are left out."""
    shown = [(name, plain(str(value))) for name, value in facts if value is not None]
    width = max(len(name) for name, _ in shown)
    for name, value in shown:
        click.echo(f"{name.ljust(width)}  {value}")


def lines(rows: Iterable[Any], columns: Columns, bold: bool = False) -> list[str]:
    """Align rows below their headings, numbers to the right; nothing is cut off."""
    cells = [[make(row) for make in columns.values()] for row in rows]
    texts = [list(columns), *[["" if cell is None else plain(str(cell)) for cell in row] for row in cells]]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    right = [all(isinstance(cell, int) for cell in column) for column in zip(*cells, strict=True)]
    aligned = [
        "  ".join(
            text.rjust(width) if numeric else text.ljust(width)
            for text, width, numeric in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in texts
    ]
    if bold:
        aligned[0] = click.style(aligned[0], bold=True)
    return aligned


_LONGEST_VALUE = 40  # characters of a parameter, which may be a whole picture


def plain(text: str) -> str:
    """Escape line ends and all that a terminal would obey: names from elsewhere may hold anything."""
    return text.translate(_ESCAPED)


def chain(steps: Iterable[Mapping[str, Any]]) -> str:
    """Format a chain of filters as ``grayscale + blur sigma=5``."""
    return " + ".join(map(_step, steps))


def _step(step: Mapping[str, Any]) -> str:
    given = ((key, str(value)) for key, value in step.items() if key != "name" and value is not None)
    return " ".join((step["name"], *(f"{key}={_shortened(value)}" for key, value in given)))


def _shortened(value: str) -> str:
    return value if len(value) <= _LONGEST_VALUE else value[: _LONGEST_VALUE - 1] + "…"


def counted(number: int, noun: str) -> str:
    """Format a number of things as ``1 image`` or ``2 images``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def size(count: float | None) -> str:
    """Format bytes as ``1.5G``."""
    if count is None:
        return ""
    for unit in ("", "K", "M", "G"):
        if abs(count) < 1024:
            return f"{count:.3g}{unit}"
        count /= 1024
    return f"{count:.3g}T"


def since(timestamp: str | None, now: datetime | None = None) -> str:
    """Format how long ago a time is, in the largest unit that fits: ``5 s``, ``3 min``, ``2 h``, ``12 d``."""
    if timestamp is None:
        return ""
    seconds = ((now or datetime.now(UTC)) - datetime.fromisoformat(timestamp)).total_seconds()
    for length, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(0, seconds):.0f} s"
