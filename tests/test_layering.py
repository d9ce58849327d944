"""The rules of architecture.md about which part may import which, held by reading the sources."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import TestCase

ROOT = Path(__file__).parents[1]
PURE = {"twisted", "sqlite3", "sqlalchemy", "time", "random"}
FORBIDDEN = {
    "dpip.controller": {"dpip.worker"},
    "dpip.worker": {"dpip.controller", "dpip.api", "dpip.datastore"},
    "dpip.filters": PURE,
    "dpip.model": PURE,
    "dpip.scheduler.state": PURE,
    "dpip.scheduler.policy": PURE,
    "dpip.api": {"twisted.spread", "dpip.filters.kernels", "dpip.controller", "dpip.datastore", "sqlalchemy"},
    "dpip.remote": {"dpip.controller", "dpip.datastore", "dpip.scheduler", "dpip.filters", "sqlalchemy"},
    "dpip.http": {"dpip.client", "dpip.worker", "dpip.controller", "dpip.datastore", "dpip.api"},
    "dpip.client": {"dpip.controller", "dpip.worker", "dpip.datastore", "dpip.api"},
}


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted((ROOT / "dpip").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def imported(path: Path, everywhere: bool = True) -> set[str]:
    """Names of imported modules; with ``everywhere`` False only those run at import."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = ast.walk(tree) if everywhere else iter(tree.body)
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


class LayeringTests(TestCase):
    def test_no_part_imports_what_it_must_not_know(self) -> None:
        broken = [
            f"{module} imports {name}"
            for module, path in modules()
            for part, banned in FORBIDDEN.items()
            if within(module, part) and not module.endswith(".tap")
            for name in sorted(imported(path))
            if any(within(name, ban) for ban in banned)
        ]
        self.assertEqual(broken, [])

    def test_only_the_builders_the_commands_and_the_blocking_client_import_the_global_reactor(self) -> None:
        broken = [
            module
            for module, path in modules()
            if "twisted.internet.reactor" in imported(path)
            and not module.endswith("tap")
            and not within(module, "dpip.command")
            and module != "dpip.client.blocking"  # for programs that have no reactor to give
        ]
        self.assertEqual(broken, [])

    def test_the_plugin_imports_nothing_of_dpip(self) -> None:
        names = imported(ROOT / "twisted" / "plugins" / "dpip_plugin.py")
        self.assertEqual([name for name in names if within(name, "dpip")], [])

    def test_twisted_stays_a_namespace_that_others_own(self) -> None:
        self.assertEqual(list((ROOT / "twisted").rglob("__init__.py")), [])
