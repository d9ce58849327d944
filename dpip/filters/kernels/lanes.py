"""The choice between vector operations and their plain twins, which replace them if results differ here.

Intrinsics may fail with another processor, LLVM or Numba. If they do not compile or compute wrong values, it
costs speed, but never gives a wrong picture.
"""

from __future__ import annotations

import logging
import os
from typing import Any

import numpy as np

from dpip.filters.kernels import compile, plain

LANES, BLOCK1, BLOCK3 = plain.LANES, plain.BLOCK1, plain.BLOCK3


def _vectors_count_right() -> bool:
    from dpip.filters.kernels import vector

    # No random numbers: every machine must compare the same.
    source = (np.arange(600) * 7919 % 257 % 256).astype(np.uint8)
    offsets = np.array([3, 5, 0, 9, 1, 30], np.int64)
    weights = np.array([40001, 20002, 5533], np.uint16)
    words, out = np.zeros(1024, np.uint16), np.zeros(512, np.uint8)
    vector.trial(source, offsets, weights, words, out)
    out[460] = out[504:506] = 0  # what paeth may spill
    expected, expected_out = _by_numpy(source, offsets, weights)
    return bool((words == expected).all() and (out == expected_out).all())


def _by_numpy(source: Any, offsets: Any, weights: Any) -> tuple[Any, Any]:
    """Compute what ``vector.trial`` computes."""
    words = np.zeros(1024, np.uint16)

    def pairs(samples: Any, x: int, bias: int, shift: int) -> Any:
        """Compute one block of ``plain.pairs`` on 8.7 samples."""
        at = x + np.arange(LANES)[:, None]
        sums = samples[offsets[0::2] + at].astype(np.uint32) + samples[offsets[1::2] + at]
        return ((sums * weights >> 16).sum(axis=1) + len(weights) // 2 + bias) >> shift

    fixed = source.astype(np.uint16) << 7
    for x in range(0, 256, LANES):
        words[x : x + LANES] = pairs(fixed, x, 1, 1)
    words[256:320], words[320:384] = words[0:128:2], words[1:128:2]
    pixels = words[128:224].reshape(-1, 3)
    words[384:432], words[448:496] = pixels[0::2].reshape(-1), pixels[1::2].reshape(-1)
    words[512:576] = _quarter(words[3:67], words[101:165])
    words[576:704] = _spread(words[63:129], 1)
    words[704:800] = _spread(words[61:115], 3)
    words[832:896] = pairs(words, 512, 1, 1)
    spread = np.concatenate((_spread(words[63:129], 1), _spread(words[61:115], 3)))
    out = np.zeros(512, np.uint8)
    out[0:64], out[64:128] = pairs(words, 640, 128, 8), pairs(fixed, 320, 128, 8)
    out[128 : 128 + spread.size] = (spread + 64) >> 7
    _paeth(source[0:60], out, 3, 400, 3)
    _paeth(source[70:94], out, 200, 480, 6)
    return words, out


def _paeth(source: Any, out: Any, above: int, at: int, step: int) -> None:
    for i, filtered in enumerate(source.tolist()):
        a, b, c = int(out[at + i - step]), int(out[above + i]), int(out[above + i - step])
        nearest = min((a, b, c), key=lambda value: abs(a + b - c - value))
        out[at + i] = (filtered + nearest) % 256


def _quarter(near: Any, far: Any) -> Any:
    return (near.astype(np.uint32) + (near.astype(np.uint32) + far + 1) // 2 + 1) // 2


def _spread(samples: Any, channels: int) -> Any:
    """Compute ``plain.spread`` of all pixels but the first and the last."""
    pixels = samples.reshape(-1, channels)
    even, odd = _quarter(pixels[1:-1], pixels[:-2]), _quarter(pixels[1:-1], pixels[2:])
    return np.stack((even, odd), axis=1).reshape(-1)


def _vectors_work() -> bool:
    if os.environ.get("DPIP_KERNELS") == "plain":
        return False
    try:
        same, reason = _vectors_count_right(), "they count differently"
    except Exception as problem:  # noqa: BLE001 - another LLVM may raise anything, and there are the twins
        same, reason = False, f"{type(problem).__name__}: {problem}"
    if not same:
        logging.getLogger(__name__).warning("Vector kernels are not used on this machine: %s.", reason)
    return same


_chosen: Any = plain
if _vectors_work():
    from dpip.filters.kernels import vector as _chosen
compile.backend = BACKEND = _chosen.__name__.rpartition(".")[2]

pairs = _chosen.pairs
split1, split3 = _chosen.split1, _chosen.split3
lean = _chosen.lean
spread1, spread3 = _chosen.spread1, _chosen.spread3
paeth4, paeth8 = _chosen.paeth4, _chosen.paeth8
nearest = plain.nearest
