"""No module of ``dpip`` but one uses names that other packages keep to themselves."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import textwrap
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from twisted.trial.unittest import TestCase

from tests.layers import tree_of

ROOT = Path(__file__).parents[1] / "dpip"
THE_ONE = "dpip.runtime.twisted_private"
FOREIGN = ("twisted", "treq", "klein", "zope")
NOT_PRIVATE = {"_exit"}  # of os: it is documented


class PrivateNamesTests(TestCase):
    def test_no_other_module_imports_a_private_name(self) -> None:
        broken = [
            f"{path.relative_to(ROOT)} imports {name}"
            for path, tree in sources()
            for name in foreign_imports(tree)
            if any(part.startswith("_") and part != "__future__" for part in name.split("."))
        ]
        self.assertEqual(broken, [])

    def test_no_other_module_reaches_into_other_objects(self) -> None:
        """``self``, ``super()`` and what a class of the same file is made of are a module's own."""
        broken = [
            f"{path.relative_to(ROOT)}:{node.lineno} uses {ast.unparse(node)}"
            for path, tree in sources()
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and is_private(node.attr)
            if not is_own(node.value) and node.attr not in made_here(tree) | NOT_PRIVATE
        ]
        self.assertEqual(broken, [])

    def test_no_other_class_uses_what_its_foreign_bases_keep_to_themselves(self) -> None:
        broken = [
            f"{ours.__module__}.{ours.__qualname__} uses {name} of {base.__module__}.{base.__qualname__}"
            for ours in classes()
            for base in ours.__mro__
            if base.__module__.partition(".")[0] in FOREIGN
            for name in sorted(names(ours) & names(base))
        ]
        self.assertEqual(broken, [])


def sources() -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(ROOT.rglob("*.py")):
        if path != ROOT / "runtime" / "twisted_private.py":
            yield path, tree_of(path)


def foreign_imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name for name in found if name.partition(".")[0] in FOREIGN)


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def is_own(value: ast.expr) -> bool:
    if isinstance(value, ast.Call):
        return ast.unparse(value.func) == "super"
    return isinstance(value, ast.Name) and value.id in ("self", "cls")


@cache
def made_here(tree: ast.Module) -> set[str]:
    """Names of a file's functions and of what it assigns to ``self`` or in a class's body."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and is_own(node.value):
            found.add(node.attr)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
    return found


OF_DASK = tuple(f"dpip.worker.dask.{name}" for name in ("cluster", "engine", "plugin"))
"""They need an extra."""


def classes() -> Iterator[type]:
    """Those of ``dpip``, but of the one module that may, and of the filters, which know no Twisted."""
    for module in pkgutil.walk_packages([str(ROOT)], "dpip."):
        if module.name == THE_ONE or module.name.endswith("__main__"):
            continue
        if module.name in OF_DASK and find_spec("distributed") is None:
            continue
        if module.name.startswith("dpip.filters.") or "migrations" in module.name:
            continue
        for value in vars(importlib.import_module(module.name)).values():
            if inspect.isclass(value) and value.__module__ == module.name:
                yield value


def names(kind: type) -> set[str]:
    """Private attributes that a class defines, or uses of itself."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(kind)))
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and is_own(node.value)}
    return {name for name in used | set(vars(kind)) if is_private(name)}
