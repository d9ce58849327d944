"""Which part of a picture is most worth seeing: a map of interest, and the window that holds most of it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from dpip.filters.builtin.grayscale import grayscale
from dpip.filters.schema import Pixels

_LONGEST = 128
_BLOCK = 4  # pixels of the small picture, for the entropy
Map = npt.NDArray[np.int64]


def best_place(array: Pixels, method: str, width: int, height: int) -> tuple[int, int]:
    """Return (left, top) of the window of ``width`` x ``height`` that has most of what matters.

    ``method`` is "saliency", what stands out from the rest, or "entropy", where most tones are. Among equals
    the window nearest to the middle wins.
    """
    full_height, full_width = array.shape[:2]
    luma = _small(array)
    found = _saliency(luma) if method == "saliency" else _entropy(luma)
    rows, columns = found.shape
    down, across = (max(1, round(height * rows / full_height)), max(1, round(width * columns / full_width)))
    top, left = _window(found, min(down, rows), min(across, columns))
    return (
        min(round(left * full_width / columns), full_width - width),
        min(round(top * full_height / rows), full_height - height),
    )


def _small(array: Pixels) -> npt.NDArray[np.float64]:
    """Return the luma, shown on black where there is alpha, with at most ``_LONGEST`` pixels each way."""
    gray = grayscale(array)
    if gray.dtype.kind == "f":  # what lies beyond black and white, and what is not known, stands out no more
        gray = (np.nan_to_num(gray).clip(0, 1) * 255).astype(np.uint8)
    top = np.iinfo(gray.dtype).max
    luma = gray if gray.ndim == 2 else gray[..., 0]
    if gray.dtype != np.uint8:
        luma = (luma // 257).astype(np.uint8)
    if gray.ndim == 3:
        luma = (luma.astype(np.uint32) * gray[..., 1] // top).astype(np.uint8)
    height, width = luma.shape
    scale = min(1.0, _LONGEST / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(Image.fromarray(luma).resize(size, Image.Resampling.BOX), np.float64)


def _saliency(luma: npt.NDArray[np.float64]) -> Map:
    """Return what the spectrum's mean does not explain.

    Hou, Zhang, "Saliency detection: a spectral residual approach" (2007).
    """
    spectrum = np.fft.fft2(luma)
    amplitude = np.log(np.abs(spectrum) + 1)
    residual = amplitude - _smoothed(amplitude, "wrap")
    found = np.abs(np.fft.ifft2(np.exp(residual + 1j * np.angle(spectrum)))) ** 2
    return _whole(_smoothed(_smoothed(found, "edge"), "edge"))


def _smoothed(values: npt.NDArray[np.float64], mode: str) -> npt.NDArray[np.float64]:
    """Return the mean of 3 x 3 values."""
    padded = np.pad(values, 1, mode=mode)  # type: ignore[call-overload]
    height, width = values.shape
    shifted = [padded[y : y + height, x : x + width] for y in range(3) for x in range(3)]
    return np.asarray(sum(shifted) / 9)


def _entropy(luma: npt.NDArray[np.float64]) -> Map:
    """Return the entropy of the tones, in 16 classes, of the blocks that a pixel is in."""
    classes = luma.astype(np.int64) >> 4
    padded = np.pad(classes, _BLOCK, mode="edge")
    side = 2 * _BLOCK + 1
    height, width = luma.shape
    total = np.zeros((height, width))
    for one in range(16):
        here = np.pad((padded == one).cumsum(axis=0, dtype=np.int32).cumsum(axis=1), ((1, 0), (1, 0)))
        counted = here[side:, side:] - here[:-side, side:] - here[side:, :-side] + here[:-side, :-side]
        share = counted / side**2
        total -= share * np.log2(np.where(share > 0, share, 1))
    return _whole(total)


def _whole(found: npt.NDArray[np.float64]) -> Map:
    """Return whole numbers: sums of these do not depend on the order, nor on the processor's rounding."""
    most = found.max()
    return np.rint(found / most * 10_000).astype(np.int64) if most > 0 else np.zeros(found.shape, np.int64)


def _window(found: Map, height: int, width: int) -> tuple[int, int]:
    """Return (top, left) of the window with the largest sum, the nearest to the middle among equals."""
    table = np.pad(found.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    sums = (
        table[height:, width:] - table[:-height, width:] - table[height:, :-width] + table[:-height, :-width]
    )
    y, x = np.mgrid[0 : sums.shape[0], 0 : sums.shape[1]]
    off = (2 * y - sums.shape[0] + 1) ** 2 + (2 * x - sums.shape[1] + 1) ** 2
    best = np.flatnonzero(sums == sums.max())
    nearest = best[off.reshape(-1)[best].argmin()]
    return int(nearest) // sums.shape[1], int(nearest) % sums.shape[1]
