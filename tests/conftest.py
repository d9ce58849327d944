"""For pytest alone: what trial does by itself, a working directory of its own for what tests leave behind."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import chdir

import pytest


@pytest.fixture(autouse=True, scope="session")
def _working_directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """``TestCase.mktemp`` makes its directories below the current one."""
    with chdir(tmp_path_factory.mktemp("tests")):
        yield


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """For ``-n auto``: one more than there are cores, as many tests wait for other processes now and then."""
    return (os.cpu_count() or 1) + 1
