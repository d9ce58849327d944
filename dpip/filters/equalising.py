"""Contrast limited equalisation by tiles: tables from histograms, and their interpolation."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import numpy.typing as npt

from dpip.filters.alpha import channel_count
from dpip.filters.bands import over_rows
from dpip.filters.builtin.grayscale import grayscale
from dpip.filters.histograms import Counts, counts
from dpip.filters.kernels import histograms
from dpip.filters.schema import Pixels

_BINS = 1 << 16  # of tiles that are reckoned with at once: those of one with 16 bits, of 256 with 8


def equalised(array: Pixels, clip: float, tiles: int, threads: int = 1) -> Pixels:
    """Equalise the luma of ``tiles`` x ``tiles`` parts of the picture, at most one per pixel each way."""
    height, width = array.shape[:2]
    down, across = min(tiles, height), min(tiles, width)
    luma = grayscale(array, threads=threads)
    tables = np.empty((down * across, int(np.iinfo(array.dtype).max) + 1), array.dtype)
    parts, group = list(product(_parts(height, down), _parts(width, across))), _BINS // tables.shape[1]
    for first in range(0, len(parts), group):
        counted = [counts(luma, 0, *part) for part in parts[first : first + group]]
        tables[first : first + group] = _tables(counted, clip)
    places = (*_between(height, down), *_between(width, across))
    result = np.empty_like(array)
    pictures = (array.reshape(-1), luma.reshape(-1), result.reshape(-1))
    flat, sizes = tables.reshape(-1), (tables.shape[1], across, channel_count(array), channel_count(luma))
    over_rows(height, threads, lambda a, b: histograms.equalise(*pictures, flat, *places, *sizes, a, b))
    return result


def _parts(length: int, number: int) -> list[tuple[int, int]]:
    return list(pairwise(length * part // number for part in range(number + 1)))


def _tables(tiles: list[Counts], clip: float) -> npt.NDArray[np.float64]:
    """Return each tile's tones, equalised; what the limit cuts off is spread over all tones evenly."""
    counted = np.stack(tiles)
    bins = counted.shape[1]
    total = counted.sum(axis=1, keepdims=True)
    limit = np.maximum(1, (clip * total / bins).astype(np.int64))
    above = np.maximum(counted - limit, 0).sum(axis=1, keepdims=True)
    limited = np.minimum(counted, limit) + above // bins
    for tile, rest in zip(limited, (above % bins)[:, 0], strict=True):
        tile[np.arange(rest) * max(1, bins // max(rest, 1))] += 1
    tables: npt.NDArray[np.float64] = limited.cumsum(axis=1) * ((bins - 1) / np.maximum(total, 1))
    return np.rint(tables).clip(0, bins - 1)


def _between(length: int, number: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Return for each place the tiles whose middles are before and after it, and the share of the second."""
    position = np.arange(length) * (number / length) - 0.5
    before = np.floor(position)
    tiles = np.stack((before, before + 1), axis=1).clip(0, number - 1)
    return tiles.astype(np.int64).reshape(-1), (position - before).astype(np.float32)
