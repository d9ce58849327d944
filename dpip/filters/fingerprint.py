"""The fingerprint: one line, recorded with each result, that names all that its bytes depend on."""

from __future__ import annotations

import functools
import platform
from importlib.metadata import PackageNotFoundError, version

from dpip import __version__


@functools.cache
def fingerprint() -> str:
    """Return the fingerprint; two machines with the same one make identical files of the same original.

    The kernels give the same pixels on every processor. But ISA-L and libwebp choose their code by the
    processor's extensions, and may encode the same pixels in other bytes: so the extensions belong to it.
    """
    from PIL import features

    from dpip.filters.codec import deflate
    from dpip.filters.kernels.compile import source_hash

    parts = [f"dpip-{__version__}", f"kernels-{source_hash()}"]
    parts += [
        f"{name}-{version(name)}"
        for name in ("numba", "numpy", "pillow", "simplejpeg", "tifffile", "imagecodecs")
    ]
    parts += [f"{name}-{_installed(name)}" for name in ("pillow_heif", "rawpy")]
    libraries = ("libjpeg_turbo", "webp", "libtiff", "freetype2", "avif", "jpg_2000")
    parts += [f"{name}-{features.version(name)}" for name in libraries]
    return " ".join([*parts, deflate.version(), _processor()])


def _installed(name: str) -> str:
    """Return the version of a package that an extra of DPIP installs."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


def _processor() -> str:
    """Name the architecture and the vector extensions for which the codecs have code of their own."""
    from llvmlite import binding

    known = binding.get_host_cpu_features()
    extensions = [
        name for name in ("sse4.2", "avx2", "avx512bw", "vpclmulqdq", "neon", "sve") if known.get(name)
    ]
    return "+".join([platform.machine().lower() or "unknown", *extensions])
