"""The rules of architecture.md about which part may import which, and how things are named."""

from __future__ import annotations

import ast
from collections import Counter

from twisted.trial.unittest import TestCase

from tests import layers

MAY_REPEAT = frozenset[str](
    {
        # The client's answers have the names of the model's nouns: ``dpip.client.Workload`` is public.
        *("Image", "Token", "User", "Workload"),
    }
)
"""Class names that occur more than once. This list may only shrink."""
CIRCLE_OF_TYPES = "if TYPE_CHECKING:  # a circle of types: "


class LayeringTests(TestCase):
    def test_a_package_imports_only_what_the_table_allows(self) -> None:
        broken = [
            f"{module} imports {name}"
            for module, names in layers.graph().items()
            for name in sorted(names)
            if layers.package(module)
            and layers.package(name) not in {layers.package(module), *_allowed(layers.package(module))}
        ]
        self.assertEqual(broken, [])

    def test_the_table_has_a_row_for_each_package_and_allows_no_more_than_is_used(self) -> None:
        used: dict[str, set[str]] = {}
        for module, names in layers.graph().items():
            mine = used.setdefault(layers.package(module), set())
            mine |= {layers.package(name) for name in names} - {layers.package(module)}
        del used[""]
        self.assertEqual(used, {name: _allowed(name) for name in layers.MAY_IMPORT})

    def test_the_table_is_without_circles(self) -> None:
        self.assertEqual(layers.circles({name: _allowed(name) for name in layers.MAY_IMPORT}), [])

    def test_the_table_stands_in_architecture_md(self) -> None:
        text = layers.PAGE.read_text(encoding="utf-8")
        self.assertEqual(text, layers.page_with_table(text), "run python -m tests.layers")
        self.assertIn(layers.table(), text)

    def test_no_two_files_import_each_other_when_they_are_loaded(self) -> None:
        self.assertEqual(layers.circles(layers.graph(types=False)), [])

    def test_files_that_know_each_others_types_say_why(self) -> None:
        paths = dict(layers.modules())
        for circle in layers.circles(layers.graph()):
            texts = [paths[module].read_text(encoding="utf-8") for module in circle]
            for module, text in zip(circle, texts, strict=True):
                if "if TYPE_CHECKING:" in text:
                    self.assertIn(CIRCLE_OF_TYPES, text, module)
            self.assertTrue(any(CIRCLE_OF_TYPES in text for text in texts), circle)

    def test_pure_parts_load_no_reactor_no_database_and_no_clock(self) -> None:
        paths = dict(layers.modules())
        edges = layers.graph(types=False)
        broken = [
            f"{module} imports {name}"
            for module in sorted(_reached(edges, {m for m in paths if _is_pure(m)}))
            for name in sorted(layers.imported(paths[module], types=False))
            if name.partition(".")[0] in layers.IMPURE
        ]
        self.assertEqual(broken, [])

    def test_only_the_builders_the_commands_and_the_blocking_client_import_the_global_reactor(self) -> None:
        broken = [
            module
            for module, path in layers.modules()
            if "twisted.internet.reactor" in layers.imported(path)
            and not module.endswith("tap")
            and layers.package(module) != "command"
            and module != "dpip.client.blocking"  # for programs that have no reactor to give
        ]
        self.assertEqual(broken, [])

    def test_the_plugin_imports_nothing_of_dpip(self) -> None:
        names = layers.imported(layers.ROOT / "twisted" / "plugins" / "dpip_plugin.py")
        self.assertEqual([name for name in names if layers.within(name, "dpip")], [])

    def test_the_api_knows_nothing_of_perspective_broker_or_kernels(self) -> None:
        banned = ("twisted.spread", "dpip.filters.kernels", "sqlalchemy")
        broken = [
            f"{module} imports {name}"
            for module, path in layers.modules()
            if layers.within(module, "dpip.api")
            for name in layers.imported(path)
            if any(layers.within(name, ban) for ban in banned)
        ]
        self.assertEqual(broken, [])

    def test_twisted_stays_a_namespace_that_others_own(self) -> None:
        self.assertEqual(list((layers.ROOT / "twisted").rglob("__init__.py")), [])


class NamesTests(TestCase):
    def test_no_two_classes_have_one_name(self) -> None:
        names = Counter(
            node.name
            for _, path in layers.modules()
            for node in ast.walk(layers.tree_of(path))
            if isinstance(node, ast.ClassDef)
        )
        self.assertEqual({name for name, times in names.items() if times > 1}, MAY_REPEAT)


def _allowed(package: str) -> set[str]:
    return set(layers.MAY_IMPORT[package].split())


def _is_pure(module: str) -> bool:
    return any(layers.within(module, f"dpip.{part}") for part in layers.PURE)


def _reached(edges: dict[str, set[str]], start: set[str]) -> set[str]:
    seen, left = set(start), list(start)
    while left:
        new = edges[left.pop()] - seen
        seen |= new
        left += new
    return seen
