"""How a kernel is compiled: without the GIL, and kept on disk for the next process.

The cache lives in a directory named after the source of all kernels: Numba's own key is the one file that
holds the function, so a change of an inlined helper in another file, or an upgrade that keeps time stamps,
would go unseen.
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


#: What a kernel takes to read; writable arrays are taken as well.
BYTES = types.Array(types.uint8, 1, "C", readonly=True)
WORDS = types.Array(types.uint16, 1, "C", readonly=True)
FLOATS = types.Array(types.float32, 1, "C", readonly=True)
DOUBLES = types.Array(types.float64, 1, "C", readonly=True)
#: What a kernel writes to.
BYTES_OUT = types.uint8[::1]
WORDS_OUT = types.uint16[::1]
FLOATS_OUT = types.float32[::1]
DOUBLES_OUT = types.float64[::1]
INTS = types.Array(types.int64, 1, "C", readonly=True)
INT = types.int64
FLOAT = types.float64

#: Kept apart in the cache, whose key does not see which operations a kernel was compiled with (see
#: ``lanes``).
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
    """Where compiled kernels are kept, and where that is not beside the package, a sentence that says why."""
    name = "dpip-kernels-" + source_hash()
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    beside = Path(chosen) if chosen else Path(__file__).parent / "__pycache__"
    if _writable(beside / name):
        return str(beside / name), ""
    users = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()) / "dpip"
    if _writable(users / name):
        return str(users / name), f"{beside} cannot be written; compiled kernels are kept in {users} instead."
    # Never a name in /tmp that others could have made first: a cache holds code.
    scratch = tempfile.mkdtemp(prefix="dpip-kernels-")
    return (
        scratch,
        f"No cache directory can be written; the kernels are compiled at every start, into {scratch}.",
    )


def source_hash() -> str:
    """Changes whenever any kernel does."""
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
    """Whether kernels of this very source have been compiled before."""
    return any(Path(cache_directory()[0]).rglob("*.nbi"))
