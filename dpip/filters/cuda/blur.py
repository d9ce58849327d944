"""The filter ``blur`` on a GPU."""

from __future__ import annotations

import numpy as np

from dpip.filters import gaussian
from dpip.filters.alpha import is_opaque
from dpip.filters.cuda import gaussian as on_gpu
from dpip.filters.cuda.twin import Trial, Twin
from dpip.filters.schema import Pixels


def blur(array: Pixels, *, sigma: float) -> Pixels:
    """Do what ``dpip.filters.builtin.blur`` does; the same code handles alpha on the CPU."""
    return gaussian.gaussian(array, sigma, fixed=on_gpu.fixed, floating=on_gpu.floating)


def kind(array: Pixels) -> str:
    """Name the Gaussian that the picture needs."""
    return "fixed" if array.dtype == np.uint8 and is_opaque(array) else "floating"


TWIN = Twin(
    function=blur,
    trials={
        # By octaves, sigma hardly matters.
        "fixed": tuple(Trial(3, "uint8", {"sigma": sigma}) for sigma in (5.0, 1.5, 12.0)),
        # A small sigma is where the GPU gains least: work grows with sigma, the bytes to transfer do not.
        "floating": (Trial(4, "uint8", {"sigma": 2.0}), Trial(3, "uint16", {"sigma": 2.0})),
    },
    kind=kind,
)
