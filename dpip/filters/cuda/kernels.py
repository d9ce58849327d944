"""The loops of grayscale and the Gaussian on a GPU.

Each computes what its twin in ``dpip.filters.kernels`` does, sample by sample, in the same integers and in
the same order of float32 operations.

A separable filter runs along one axis at a time. Its source is flat and seen as lines x ``count`` positions x
``inner`` samples: down the rows, that is 1 x height x (width * channels); across, it is height x width x
channels. Either way neighbouring threads read neighbouring samples, so the accesses coalesce. The picture in
between stays in the GPU's memory, which is 10 to 50 times faster than the bus.

Each thread takes every n-th sample, where n is the number of threads, so a launch may have any size.
"""

from __future__ import annotations

import operator
import os
from typing import Any

import numpy as np
from numba import config
from numba import cuda as numba_cuda

from dpip.filters.kernels.compile import cache_directory

cuda: Any = numba_cuda  # without types
SIMULATED = bool(getattr(config, "ENABLE_CUDASIM", 0))

#: Threads of a block, and the most blocks: enough to fill any GPU.
THREADS, MOST_BLOCKS = 256, 4096


def launch(function: Any, target: Any, *arguments: Any, samples: int | None = None) -> None:
    """Run a kernel with a thread for each of ``samples``, by default for each sample of ``target``."""
    count = target.size if samples is None else samples
    function[max(1, min(-(-count // THREADS), MOST_BLOCKS)), THREADS](target, *arguments)


def _kernel(function: Any) -> Any:
    """Make a kernel that is compiled at its first call, and cached on disk beside the CPU's kernels."""
    if SIMULATED:
        return cuda.jit(function)
    from numba.cuda.core import config as its_own

    its_own.CUDA_LOW_OCCUPANCY_WARNINGS = 0  # small pictures are part of the trial
    before = its_own.CACHE_DIR
    its_own.CACHE_DIR = os.path.join(cache_directory()[0], "cuda")
    try:
        return cuda.jit(cache=True)(function)
    finally:
        its_own.CACHE_DIR = before


#: a * b, rounded: a plain product is fused by NVVM with the sum that follows and rounded once, where a CPU
#: rounds twice.
product: Any = operator.mul if SIMULATED else cuda.libdevice.fmul_rn


@_kernel
def luma(gray: Any, colours: Any, channels: Any) -> None:
    """Fill ``gray`` (n luma, or 2 n luma and alpha) from ``colours`` (n * channels uint8 or uint16)."""
    kept = channels - 2
    for pixel in range(cuda.grid(1), gray.size // kept, cuda.gridsize(1)):
        at = channels * pixel
        total = (
            np.int64(colours[at]) * 19595
            + np.int64(colours[at + 1]) * 38470
            + np.int64(colours[at + 2]) * 7471
            + 32768
        )
        gray[kept * pixel] = total >> 16
        if channels == 4:
            gray[2 * pixel + 1] = colours[at + 3]


@_kernel
def narrow(
    target: Any, source: Any, weights: Any, count: Any, inner: Any, up: Any, half: Any, down: Any
) -> None:
    """Do ``fixed_gaussian.narrow`` along one axis.

    ``weights``, int64 in units of 1/131072, go from the centre outwards; shifting by ``up`` makes the source
    8.7 fixed point; ``half`` and ``down`` round the result.
    """
    for at in range(cuda.grid(1), target.size, cuda.gridsize(1)):
        position = at // inner % count
        first = at - position * inner
        total = np.int64(weights.size // 2 + half)
        for k in range(weights.size):
            before = source[first + max(position - k, 0) * inner]
            after = source[first + min(position + k, count - 1) * inner]
            total += (((np.int64(before) + np.int64(after)) << up) * weights[k]) >> 16
        target[at] = total >> down


@_kernel
def halve(target: Any, source: Any, count: Any, halved: Any, inner: Any, border: Any, up: Any) -> None:
    """Do ``fixed_gaussian.halve`` along one axis: ``count`` positions, with a clamped border on both sides,
    become ``halved``."""
    for at in range(cuda.grid(1), target.size, cuda.gridsize(1)):
        here = 2 * (at // inner % halved) - border
        first = at // (halved * inner) * count * inner + at % inner
        near = np.int64(source[first + min(max(here, 0), count - 1) * inner])
        near += np.int64(source[first + min(max(here + 1, 0), count - 1) * inner])
        far = np.int64(source[first + min(max(here - 1, 0), count - 1) * inner])
        far += np.int64(source[first + min(max(here + 2, 0), count - 1) * inner])
        # [1 3 3 1]/8 with the half units that lanes.pairs adds for its cut products
        target[at] = ((((near << up) * 49152) >> 16) + (((far << up) * 16384) >> 16) + 2) >> 1


@_kernel
def double(
    target: Any,
    source: Any,
    count: Any,
    doubled: Any,
    inner: Any,
    border: Any,
    half: Any,
    down: Any,
) -> None:
    """Do ``fixed_gaussian.double`` along one axis, for ``doubled`` positions from number ``border`` on."""
    for at in range(cuda.grid(1), target.size, cuda.gridsize(1)):
        position = at // inner % doubled + border
        first = at // (doubled * inner) * count * inner + at % inner
        near = position // 2
        far = min(max(near - 1 + 2 * (position % 2), 0), count - 1)
        here = np.int64(source[first + near * inner])
        middle = (here + np.int64(source[first + far * inner]) + 1) >> 1
        target[at] = (((here + middle + 1) >> 1) + half) >> down


@_kernel
def floating(target: Any, source: Any, weights: Any, count: Any, inner: Any) -> None:
    """Do ``float_gaussian`` along one axis, in float32; ``weights`` go from the centre outwards."""
    for at in range(cuda.grid(1), target.size, cuda.gridsize(1)):
        position = at // inner % count
        first = at - position * inner
        value = product(weights[0], source[at])
        for k in range(1, weights.size):
            before = source[first + max(position - k, 0) * inner]
            after = source[first + min(position + k, count - 1) * inner]
            value += product(weights[k], before + after)
        target[at] = value
