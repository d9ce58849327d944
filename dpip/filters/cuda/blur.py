"""Blur on a GPU."""

from __future__ import annotations

import numpy as np

from dpip.filters import gaussian
from dpip.filters.alpha import is_opaque
from dpip.filters.cuda import gaussian as on_gpu
from dpip.filters.cuda.twin import Trial, Twin
from dpip.filters.schema import Pixels


def blur(array: Pixels, *, sigma: float) -> Pixels:
    """As ``dpip.filters.builtin.blur``; what alpha means is worked out on the CPU, by the same code."""
    return gaussian.gaussian(array, sigma, fixed=on_gpu.fixed, floating=on_gpu.floating)


def kind(array: Pixels) -> str:
    """Which of the two Gaussians it needs."""
    alpha = array.ndim == 3 and array.shape[2] in (2, 4)
    return "fixed" if array.dtype == np.uint8 and not (alpha and not is_opaque(array)) else "floating"


TWIN = Twin(
    function=blur,
    trials={
        # By octaves, sigma hardly matters.
        "fixed": tuple(Trial(3, "uint8", {"sigma": sigma}) for sigma in (5.0, 1.5, 12.0)),
        # Measured where the GPU gains least: the work grows with sigma, what has to be carried does not.
        "floating": (Trial(4, "uint8", {"sigma": 2.0}), Trial(3, "uint16", {"sigma": 2.0})),
    },
    kind=kind,
)
