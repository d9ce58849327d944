"""Compiling kernels: they release the GIL, and are cached on disk for the next process.

The cache's directory is named after the source of all kernels. Numba's own key is only the function's file,
so it would miss a change of an inlined helper in another file, or an upgrade that keeps time stamps.
"""

from __future__ import annotations

import functools
import hashlib
import os
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba import types

F = TypeVar("F", bound=Callable[..., Any])
_lock = threading.Lock()


#: The types of arrays that a kernel reads; it takes writable arrays as well.
BYTES = types.Array(types.uint8, 1, "C", readonly=True)
WORDS = types.Array(types.uint16, 1, "C", readonly=True)
FLOATS = types.Array(types.float32, 1, "C", readonly=True)
DOUBLES = types.Array(types.float64, 1, "C", readonly=True)
#: The types of arrays that a kernel writes.
BYTES_OUT = types.uint8[::1]
WORDS_OUT = types.uint16[::1]
FLOATS_OUT = types.float32[::1]
DOUBLES_OUT = types.float64[::1]
INTS = types.Array(types.int64, 1, "C", readonly=True)
INT = types.int64
FLOAT = types.float64

#: A folder of its own in the cache, whose key does not include the operations of ``lanes``.
backend = "vector"


def kernel(*signatures: Any) -> Callable[[F], F]:
    """Compile now, for exactly these tuples of argument types; another type is an error, not a slow surprise.

    Kernels are sequential: many run at once, one per core, and one large picture is cut into bands of rows
    that run on threads (see ``dpip.filters.bands``). So no threading layer of Numba's is ever started.
    """

    config: Any = numba.config

    def compile_it(function: F) -> F:
        with _lock:
            before = config.CACHE_DIR
            config.CACHE_DIR = os.path.join(cache_directory()[0], backend)
            try:
                compiled: Any = numba.njit(
                    [types.void(*arguments) for arguments in signatures],
                    nogil=True,
                    cache=True,
                    error_model="numpy",
                )(function)
            finally:
                config.CACHE_DIR = before
        return cast(F, compiled)

    return compile_it


@functools.cache
def cache_directory() -> tuple[str, str]:
    """Return where compiled kernels are cached, and, if not beside the package, a sentence that says why."""
    name = "dpip-kernels-" + source_hash()
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    beside = Path(chosen) if chosen else Path(__file__).parent / "__pycache__"
    if _writable(beside / name):
        return str(beside / name), ""
    users = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()) / "dpip"
    if _writable(users / name):
        return str(users / name), f"{beside} cannot be written; compiled kernels are kept in {users} instead."
    # The name must be new: somebody else may have made a known one in /tmp, and the cache holds code.
    scratch = tempfile.mkdtemp(prefix="dpip-kernels-")
    return (
        scratch,
        f"No cache directory can be written; the kernels are compiled at every start, into {scratch}.",
    )


def source_hash() -> str:
    """Return a hash that changes whenever any kernel does."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _writable(directory: Path) -> bool:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            return True
    except OSError:
        return False


def is_warm() -> bool:
    """Tell whether kernels of this very source have been compiled before."""
    return any(Path(cache_directory()[0]).rglob("*.nbi"))
