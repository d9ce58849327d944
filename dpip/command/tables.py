"""Answers as tables for people, or as JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click

Columns = Mapping[str, Callable[[Any], object]]

_LEFT_AND_RIGHT = (*range(0x202A, 0x202F), *range(0x2066, 0x206A))  # they turn what follows around
_CONTROLS = (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029, *_LEFT_AND_RIGHT)
_ESCAPED = {code: ascii(chr(code))[1:-1] for code in _CONTROLS}

json_option = click.option("--json", "as_json", is_flag=True, help="For programs, in the API's words.")


def show(rows: Sequence[Any], columns: Columns, as_json: bool, nothing: str) -> None:
    """``columns`` are headings with what makes a row's cell; ``nothing`` is said when there are no rows."""
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
    """To standard output, at once: somebody may be reading along."""
    click.echo(json.dumps(facts, ensure_ascii=False))


def show_facts(facts: Iterable[tuple[str, object]]) -> None:
    """Names and values below each other; those of None are left out."""
    shown = [(name, plain(str(value))) for name, value in facts if value is not None]
    width = max(len(name) for name, _ in shown)
    for name, value in shown:
        click.echo(f"{name.ljust(width)}  {value}")


def lines(rows: Iterable[Any], columns: Columns, bold: bool = False) -> list[str]:
    """Aligned; numbers to the right. A line is as long as it is: nothing is cut off."""
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


def plain(text: str) -> str:
    """The text on one line, without what a terminal would obey: names of strangers may hold anything."""
    return text.translate(_ESCAPED)


def chain(steps: Iterable[Mapping[str, Any]]) -> str:
    """``grayscale + blur sigma=5``."""
    return " + ".join(
        " ".join(
            [
                step["name"],
                *(f"{key}={value}" for key, value in step.items() if key != "name" and value is not None),
            ]
        )
        for step in steps
    )


def size(count: float | None) -> str:
    """Bytes, as ``1.5G``."""
    if count is None:
        return ""
    for unit in ("", "K", "M", "G"):
        if abs(count) < 1024:
            return f"{count:.3g}{unit}"
        count /= 1024
    return f"{count:.3g}T"


def since(timestamp: str | None, now: datetime | None = None) -> str:
    """How long ago, in the largest unit that fits: ``5 s``, ``3 min``, ``2 h``, ``12 d``."""
    if timestamp is None:
        return ""
    seconds = ((now or datetime.now(UTC)) - datetime.fromisoformat(timestamp)).total_seconds()
    for length, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(0, seconds):.0f} s"
