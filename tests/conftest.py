"""For pytest alone: what trial does by itself, a working directory of its own for what tests leave behind."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import pytest

SLOW = ("bench",)
"""Folders of tests of whole processes: ``-m "not slow"`` leaves them out."""


@pytest.fixture(autouse=True, scope="session")
def _working_directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """``TestCase.mktemp`` makes its directories below the current one."""
    with chdir(tmp_path_factory.mktemp("tests")):
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.relative_to(here).parts[0] in SLOW:
            item.add_marker(pytest.mark.slow)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """For ``-n auto``: one more than there are cores, as many tests wait for other processes now and then."""
    return (os.cpu_count() or 1) + 1
