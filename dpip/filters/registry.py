"""Filters by name: the built-in ones, and those of third parties from the entry point group ``dpip.filters``.

Nothing here imports Numba or NumPy: a filter imports its kernels when it is first applied.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from dpip.errors import BadParameter, UnknownFilter
from dpip.filters.output import OPTIONS, validate_output
from dpip.filters.schema import Filter, Parameter, shown

__all__ = [
    "Filter",
    "Parameter",
    "broken",
    "describe",
    "describe_output",
    "find",
    "names",
    "validate",
    "validate_output",
    "validate_steps",
]

GROUP = "dpip.filters"
#: A chain longer than this is a mistake or an attack: each step costs a pass over the picture.
MAX_STEPS = 32

_BUILT_IN = {
    name: f"dpip.filters.builtin.{name}"
    for name in (
        "grayscale",
        "blur",
        "box_blur",
        "sharpen",
        "edges",
        "median",
        "invert",
        "sepia",
        "brightness_contrast",
        "gamma",
        "threshold",
        "resize",
        "thumbnail",
        "crop",
        "rotate",
        "flip",
        "auto_orient",
        "pad",
        "levels",
        "auto_contrast",
        "clahe",
        "saturation",
        "white_balance",
        "denoise",
        "dither",
        "watermark",
        "convert",
    )
}


def find(name: str) -> Filter:
    """Return the filter with that name. Raises UnknownFilter with the known names as ``available``."""
    if isinstance(name, str):
        if name in _BUILT_IN:
            return _built_in(name)
        third = _third_party()[0].get(name)
        if third is not None:
            return third
    available = names()
    raise UnknownFilter(
        f"There is no filter named {shown(name)}. Known filters: {', '.join(available)}.", available=available
    )


def names() -> list[str]:
    """Return every filter's name: the built-in ones first, then those of third parties."""
    return [*_BUILT_IN, *sorted(_third_party()[0])]


def versions() -> dict[str, str]:
    """Return each filter's name and version."""
    return {name: find(name).version for name in names()}


def describe() -> list[dict[str, Any]]:
    """Describe each filter with its parameters, JSON-able, for ``GET /filters``."""
    return [find(name).describe() for name in names()]


def describe_output() -> list[dict[str, Any]]:
    """Describe the options of the output, JSON-able, for ``GET /output``."""
    return [option.describe() for option in OPTIONS]


def is_built_in(name: str) -> bool:
    """Tell whether the filter is part of DPIP, and not of another package."""
    return name in _BUILT_IN


def broken() -> dict[str, str]:
    """Return the third-party filters that are left out, each with the reason."""
    return dict(_third_party()[1])


def validate(name: str, params: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the parameters as the filter takes them, defaults filled in.

    Raises UnknownFilter as :func:`find` does; BadParameter with the parameter, its range and what was given.
    """
    params = {} if params is None else params
    if not isinstance(params, Mapping):
        raise BadParameter(f"params must be an object; {shown(params)} was given.", parameter="params")
    return find(name).validate(params)


def validate_steps(steps: Sequence[Mapping[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    """Turn a chain like ``[{"name": "grayscale"}, {"name": "blur", "sigma": 3}]`` into (name, params) pairs.

    Raises UnknownFilter and BadParameter with the number of the step at fault in the member ``step``.
    """
    if isinstance(steps, str | bytes) or not isinstance(steps, Sequence) or not 1 <= len(steps) <= MAX_STEPS:
        raise BadParameter(
            f'steps must be a list of 1 to {MAX_STEPS} objects such as {{"name": "blur", "sigma": 3}}.',
            parameter="steps",
        )
    return [_validate_step(number, step) for number, step in enumerate(steps)]


def _validate_step(number: int, step: object) -> tuple[str, dict[str, Any]]:
    if not isinstance(step, Mapping) or not isinstance(step.get("name"), str):
        raise BadParameter(
            f'Step {number} must be an object with a name, such as {{"name": "blur", "sigma": 3}}.',
            parameter="steps",
            step=number,
        )
    params = {key: value for key, value in step.items() if key != "name"}
    try:
        return step["name"], validate(step["name"], params)
    except (BadParameter, UnknownFilter) as problem:
        problem.members["step"] = number
        raise


@functools.cache
def _built_in(name: str) -> Filter:
    found: Filter = import_module(_BUILT_IN[name]).FILTER
    return found


@functools.cache
def _third_party() -> tuple[dict[str, Filter], dict[str, str]]:
    """Load the entry points, once: returns the filters that work, and why the others do not."""
    good: dict[str, Filter] = {}
    bad: dict[str, str] = {}
    for entry in entry_points(group=GROUP):
        try:
            good[entry.name] = _load(entry)
        except Exception as problem:  # noqa: BLE001 - a stranger's module may raise anything, and must harm nobody
            bad[entry.name] = f"{entry.value}: {type(problem).__name__}: {problem}"
    return good, bad


def _load(entry: EntryPoint) -> Filter:
    if entry.name in _BUILT_IN:
        raise ValueError("the name belongs to a built-in filter")
    loaded = entry.load()
    if not isinstance(loaded, Filter):
        raise TypeError(f"not a dpip.filters.registry.Filter but {type(loaded).__name__}")
    if loaded.name != entry.name:
        raise ValueError(f"it calls itself {loaded.name!r}")
    return loaded
