"""``python -m tests.oldest FILE``: constraints for pip, the oldest version of each package that we allow."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

SETUP = Path(__file__).parents[1] / "setup.py"
LISTS = ("RUNTIME", "VIDEO", "HEIF", "RAW", "POSTGRES", "DASK")
_REQUIREMENT = re.compile(r"([\w-]+)(?:\[\w+\])? >= ([\d.]+)(?:, < [\d.]+)?(; .+)?")


def requirements() -> Iterator[str]:
    """What ``setup.py`` says that a user needs."""
    for node in ast.parse(SETUP.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in LISTS:
            yield from ast.literal_eval(node.value)


def pinned(requirement: str) -> str:
    """The oldest version of this requirement. Raises ValueError where it has none."""
    found = _REQUIREMENT.fullmatch(requirement)
    if found is None:
        raise ValueError(f"setup.py does not say which version is the oldest: {requirement!r}")
    name, version, marker = found.groups(default="")
    return f"{name}=={version}{marker}"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text("".join(f"{pinned(each)}\n" for each in requirements()), encoding="utf-8")
