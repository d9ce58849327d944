"""Draws ``bench/results.json`` as one SVG for the README, readable on light and on dark pages.

``python -m bench.picture [PICTURE.svg]``
"""

from __future__ import annotations

import math
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from bench.record import load

PICTURE = Path(__file__).parents[1] / "docs" / "benchmarks.svg"
WIDTH, LABELS, RIGHT = 820, 300, 40  # pixels: all, for the names of rows, free at the right
ROW, HEAD = 24, 62
STYLE = """
text { font: 13px system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif; fill: #1f2933 }
.title { font-size: 16px; font-weight: 600 }
.small { font-size: 11.5px; fill: #616e7c }
.grid { stroke: #9aa5b1; stroke-opacity: .35 }
.mark { stroke: #9aa5b1; stroke-dasharray: 4 3 }
.ours { fill: #0b7fab }
.other { fill: none; stroke: #7b8794; stroke-width: 1.6 }
@media (prefers-color-scheme: dark) {
  text { fill: #e4e7eb }
  .small { fill: #9aa5b1 }
  .ours { fill: #38bdf8 }
  .other { stroke: #9aa5b1 }
}
"""


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>'


class Axis:
    """From values to pixels between the names of rows and the right margin; ``share`` is 0 at the left."""

    def __init__(self, share: Callable[[float], float], ticks: Sequence[float]) -> None:
        self._share, self._ticks = share, ticks

    def __call__(self, value: float) -> float:
        return LABELS + self._share(value) * (WIDTH - LABELS - RIGHT)

    def ticks(self, top: float, bottom: float) -> Iterator[str]:
        for value in self._ticks:
            x = self(value)
            yield f'<line x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{bottom}" class="grid"/>'
            yield text(x, bottom + 15, f"{value:g}", "small", "middle")


def linear(low: float, high: float, step: float) -> Axis:
    ticks = [low + i * step for i in range(round((high - low) / step) + 1)]
    return Axis(lambda value: (min(value, high) - low) / (high - low), ticks)


def ratios(values: Iterable[float]) -> Axis:
    """Logarithmic: twice as fast is as far from equal as half as fast."""
    round_ones = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
    least, most = min(1.0, *values), max(2.0, *values)
    low = max(tick for tick in round_ones if tick <= least)
    high = min(tick for tick in round_ones if tick >= most)
    ticks = [tick for tick in round_ones if low <= tick <= high]
    return Axis(lambda value: math.log(value / low) / math.log(high / low), ticks)


class Panel(ABC):
    """A title, a sentence below it, rows of marks and an axis."""

    def __init__(self, title: str, words: str, rows: Mapping[str, Any], axis: Axis) -> None:
        self._title, self._words, self._rows, self.axis = title, words, rows, axis

    @property
    def height(self) -> int:
        return HEAD + ROW * len(self._rows) + 34

    def draw(self, top: float) -> Iterator[str]:
        yield text(0, top + 18, self._title, "title")
        yield text(0, top + 38, self._words, "small")
        first = top + HEAD
        yield from self.axis.ticks(first - 10, first + ROW * len(self._rows) - 8)
        for number, (name, figures) in enumerate(self._rows.items()):
            y = first + ROW * number
            yield text(LABELS - 12, y + 4, name, anchor="end")
            yield from self.body(figures, y)

    @abstractmethod
    def body(self, figures: Any, y: float) -> Iterator[str]:
        """The marks of one row, at its height."""


class Dots(Panel):
    """Ours filled, the other rules as rings."""

    def body(self, figures: Any, y: float) -> Iterator[str]:
        for name, value in figures.items():
            x = self.axis(value)
            if name == "ours":
                yield f'<circle cx="{x:.1f}" cy="{y}" r="6" class="ours"/>'
            elif name != "forecast":
                title = f"<title>{escape(name)}</title>"
                yield f'<circle cx="{x:.1f}" cy="{y}" r="4.5" class="other">{title}</circle>'


class Bars(Panel):
    """One bar a row, with its figure: from the dashed line, where both are equally fast, to the ratio."""

    def body(self, figures: Any, y: float) -> Iterator[str]:
        equal, (start, end) = self.axis(1), sorted((self.axis(1), self.axis(figures)))
        yield f'<rect x="{start:.1f}" y="{y - 7}" width="{end - start:.1f}" height="14" rx="2" class="ours"/>'
        yield f'<line x1="{equal:.1f}" y1="{y - 12}" x2="{equal:.1f}" y2="{y + 12}" class="mark"/>'
        yield text(end + 6, y + 4, f"{figures:.0f}×" if figures >= 10 else f"{figures:.1f}×", "small")


def panels(results: Mapping[str, Any]) -> Iterator[Panel]:
    """Of the questions that have been answered."""
    if "scheduling" in results:
        scenes = results["scheduling"]["figures"]["scenes"]
        words = (
            "Time until all is done ÷ lower bound. Filled: DPIP. "
            "Rings: least loaded, occupancy (Dask), round robin, random."
        )
        yield Dots("Scheduling", words, scenes, linear(1.0, 3.0, 0.25))
    if "kernels" in results:
        rows = results["kernels"]["figures"]
        words = "Times as fast as the named peer on the same picture in the same run (dashed: equal)."
        yield Bars("Filters and codecs", words, rows, ratios(rows.values()))
    if "throughput" in results:
        rows = results["throughput"]["figures"]
        words = (
            "Images/s over HTTP, durable ÷ a bare pool with Pillow working from memory (dashed: equal), 720p."
        )
        yield Bars("The whole system", words, rows, ratios(rows.values()))


def drawn(results: Mapping[str, Any]) -> str:
    """The SVG's text."""
    top, parts = 0, list[str]()
    for panel in panels(results):
        parts += panel.draw(top)
        top += panel.height
    days = sorted({answer["day"] for answer in results.values()})
    machines = sorted({answer["machine"] for answer in results.values()})
    when = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    parts.append(text(0, top + 14, f"Measured {when} on {'; '.join(machines)}", "small"))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-10 0 {WIDTH + 10} {top + 28}" role="img"'
    label = 'aria-label="Results of the benchmarks of DPIP">'
    return "\n".join([f"{head} {label}", f"<style>{STYLE}</style>", *parts, "</svg>", ""])


def main() -> None:
    picture = Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURE
    picture.parent.mkdir(exist_ok=True)
    picture.write_text(drawn(load()), encoding="utf-8")


if __name__ == "__main__":
    main()
