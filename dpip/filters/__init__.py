"""Filters on pictures: ``apply`` on an array, ``process`` on a file's bytes.

Names are imported at first use, so that a program that only reads :mod:`dpip.filters.registry` loads neither
NumPy nor Numba.
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
