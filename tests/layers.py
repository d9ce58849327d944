"""Which package of ``dpip`` may import which; ``python -m tests.layers`` prints it in architecture.md."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "architecture.md"

MAY_IMPORT: dict[str, str] = {
    "model": "",
    "errors": "",
    "interfaces": "model",
    "runtime": "model",
    "filters": "errors",
    "link": "errors interfaces model runtime",
    "http": "runtime",
    "store": "errors filters interfaces link model runtime",
    "scheduler": "errors interfaces model",
    "datastore": "errors interfaces model runtime",
    "api.http": "errors filters http interfaces link model runtime",
    "api": "api.http errors http interfaces link model runtime store",
    "controller": "api datastore errors filters interfaces link model runtime scheduler store",
    "api_process": "api errors filters interfaces link model runtime store",
    "worker": "errors filters http link model runtime",
    "client": "http runtime",
    "backup": "datastore errors runtime",
    "tap": "controller runtime worker",
    "testing": "controller errors interfaces model runtime store",
    "command": "api backup client controller datastore errors filters model runtime scheduler tap worker",
    "__main__": "command",
}
"""Each package and root module of ``dpip``, and what it may import besides itself and ``__version__``."""

PURE = ("model", "errors", "filters", "scheduler.state")
"""Whatever these load, directly or not, must not be one of these:"""
IMPURE = ("twisted", "sqlite3", "sqlalchemy", "time", "random")

_MARKS = "<!-- layers: written by python -m tests.layers -->\n", "<!-- end of layers -->\n"


def modules() -> Iterator[tuple[str, Path]]:
    """Every module of ``dpip`` by its dotted name."""
    for path in sorted((ROOT / "dpip").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def package(module: str) -> str:
    """The row of the table that a module belongs to; empty for ``dpip`` itself."""
    inside = module.removeprefix("dpip").lstrip(".")
    return "api.http" if inside.startswith("api.http") else inside.partition(".")[0]


def within(module: str, package: str) -> bool:
    """Is the module that package, or in it?"""
    return module == package or module.startswith(package + ".")


@cache
def tree_of(path: Path) -> ast.Module:
    """The syntax of a file, which several rules look at."""
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(path: Path, types: bool = True) -> set[str]:
    """Names that a file imports, anywhere in it; with ``types`` False not those for type checkers alone."""
    found: set[str] = set()
    for node in _walk(tree_of(path), types):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def _walk(node: ast.AST, types: bool) -> Iterator[ast.AST]:
    yield node
    test = node.test if isinstance(node, ast.If) else None
    if types or not (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING"):
        for child in ast.iter_child_nodes(node):
            yield from _walk(child, types)


@cache
def graph(types: bool = True) -> dict[str, set[str]]:
    """Which module imports which, of those of ``dpip``."""
    known = dict(modules())
    return {
        module: {_module_of(name, known) for name in imported(path, types)} & known.keys() - {module, "dpip"}
        for module, path in known.items()
    }


def _module_of(name: str, known: Mapping[str, Path]) -> str:
    """The module that holds what is imported by that name."""
    return name if name in known else name.rpartition(".")[0]


def circles(edges: dict[str, set[str]]) -> list[Sequence[str]]:
    """Groups of modules each of which reaches all others (strongly connected components; Tarjan 1972)."""
    numbers: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: list[Sequence[str]] = []

    def visit(node: str) -> None:
        numbers[node] = lowest[node] = len(numbers)
        stack.append(node)
        for other in sorted(edges[node]):
            if other not in numbers:
                visit(other)
            if other in stack:
                lowest[node] = min(lowest[node], lowest[other])
        if lowest[node] == numbers[node]:
            start = stack.index(node)
            group = sorted(stack[start:])
            del stack[start:]
            if len(group) > 1:
                found.append(group)

    for node in sorted(edges):
        if node not in numbers:
            visit(node)
    return found


def table() -> str:
    """The table as it stands in architecture.md."""
    rows = [
        f"| `{name}` | {', '.join(f'`{other}`' for other in allowed.split()) or 'nothing'} |"
        for name, allowed in MAY_IMPORT.items()
    ]
    return "\n".join(["| Package | may import |", "|---|---|", *rows]) + "\n"


def page_with_table(text: str) -> str:
    """The page with the table as it is now."""
    begin, end = _MARKS
    return re.sub(f"(?s){re.escape(begin)}.*{re.escape(end)}", lambda _: f"{begin}\n{table()}\n{end}", text)


if __name__ == "__main__":
    PAGE.write_text(page_with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
