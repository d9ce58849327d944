"""For pytest alone: what trial does by itself, which tests are slow, and what all test processes share."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SLOW = (
    "api/http/test_filenames.py",
    "api/test_extreme_numbers.py",
    "api/test_real.py",
    "api/test_remote.py",
    "bench",
    "chaos",
    "command/run/test_command.py",
    "command/run/test_local.py",
    "command/test_commands.py",
    "command/test_demo.py",
    "command/video/test_command.py",
    "corpus",
    "datastore/test_kill.py",
    "datastore/test_leadership.py",
    "datastore/test_postgres.py",
    "filters/metadata/test_mutants.py",
    "filters/test_cuda.py",
    "filters/test_kernels.py",
    "filters/test_peaks.py",
    "page",
    "security",
    "simulation",
    "system",
    "test_packaging.py",
    "worker/test_compute_pool.py",
    "worker/test_dask_engine.py",
    "worker/test_local_store.py",
    "worker/test_session.py",
    "worker/test_thumbnail.py",
)
"""Whole processes, browsers, worlds, pictures by the hundred: ``-m "not slow"`` leaves them out."""

MEMORY = Path("/dev/shm")


def _keep_temporary_files_in_memory() -> None:
    """Real controllers fsync thousands of times. Where memory is scarce, or TMPDIR is set, disks do it."""
    if "TMPDIR" not in os.environ and MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > 4 << 30:
        os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)


_keep_temporary_files_in_memory()


def _is_slow(path: Path) -> bool:
    return any(path.is_relative_to(HERE / slow) for slow in SLOW)


@pytest.fixture(autouse=True, scope="session")
def _working_directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """``TestCase.mktemp`` makes its directories below the current one."""
    with chdir(tmp_path_factory.mktemp("tests")):
        yield


def pytest_sessionstart(session: pytest.Session) -> None:
    """Compile the filters once, if they are not yet: else each of the first processes would do it.

    The kernels of windows take as long as all others, which are compiled meanwhile.
    """
    if hasattr(session.config, "workerinput"):  # the process that started this one has done it
        return
    programs = (
        "import dpip.filters.kernels.windows",
        "from dpip.filters.warmup import warm_up; warm_up(print)",
    )
    for process in [subprocess.Popen([sys.executable, "-c", code], cwd=HERE.parent) for code in programs]:
        if process.wait():
            raise pytest.UsageError("The filters cannot be compiled.")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Modules that would be left out need not be imported."""
    return True if config.option.markexpr == "not slow" and _is_slow(collection_path) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks slow modules, and deals them to the processes of ``--dist worksteal``.

    Each process begins with one of as many runs of tests. What is short comes last in each, so that none is
    left with long tests in the end.
    """
    for item in items:
        if _is_slow(item.path):
            item.add_marker(pytest.mark.slow)
    count = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    slow = list(dict.fromkeys(item.path for item in items if _is_slow(item.path)))
    short = [item for item in items if item.path not in slow]
    turns = {path: number % count for number, path in enumerate(slow)}
    items[:] = [
        item
        for turn in range(count)
        for item in (
            *(item for item in items if turns.get(item.path) == turn),
            *short[turn * len(short) // count : (turn + 1) * len(short) // count],
        )
    ]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """For ``-n auto``: one more than there are cores, as many tests wait for other processes now and then."""
    return (os.cpu_count() or 1) + 1
