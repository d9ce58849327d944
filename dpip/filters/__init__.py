"""Filters on pictures: ``apply`` on an array, ``process`` on a file's bytes.

The names are imported when they are first used, so that whoever only looks at :mod:`dpip.filters.registry`
pays for neither NumPy nor Numba.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dpip.filters.engine import Processed, apply, process, process_steps

__all__ = ["Processed", "apply", "process", "process_steps"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("dpip.filters.engine"), name)
