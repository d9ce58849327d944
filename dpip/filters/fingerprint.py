"""What a result's bytes depend on, in one line that is recorded with the result."""

from __future__ import annotations

import functools
import platform
from importlib.metadata import version

from dpip import __version__


@functools.cache
def fingerprint() -> str:
    """Two machines with the same fingerprint make identical files of the same original.

    The kernels give the same pixels on every processor, but ISA-L and libwebp choose their code by the
    processor's abilities, and with it now and then other bytes for the same pixels: so these belong to it.
    """
    from PIL import features

    from dpip.filters.codec import deflate
    from dpip.filters.kernels.compile import source_hash

    parts = [f"dpip-{__version__}", f"kernels-{source_hash()}"]
    parts += [f"{name}-{version(name)}" for name in ("numba", "numpy", "pillow", "simplejpeg")]
    parts += [f"{name}-{features.version(name)}" for name in ("libjpeg_turbo", "webp", "libtiff")]
    return " ".join([*parts, deflate.version(), _processor()])


def _processor() -> str:
    """The architecture and those vector extensions for which the codecs have code of their own."""
    from llvmlite import binding

    known = binding.get_host_cpu_features()
    extensions = [
        name for name in ("sse4.2", "avx2", "avx512bw", "vpclmulqdq", "neon", "sve") if known.get(name)
    ]
    return "+".join([platform.machine().lower() or "unknown", *extensions])
