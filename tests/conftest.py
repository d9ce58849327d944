"""For pytest alone: what trial does by itself, a working directory of its own for what tests leave behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import chdir

import pytest


@pytest.fixture(autouse=True, scope="session")
def _working_directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """``TestCase.mktemp`` makes its directories below the current one."""
    with chdir(tmp_path_factory.mktemp("tests")):
        yield
