"""The filter ``grayscale`` on a GPU."""

from __future__ import annotations

from dpip.filters.cuda import kernels
from dpip.filters.cuda.kernels import cuda
from dpip.filters.cuda.twin import Trial, Twin
from dpip.filters.schema import Pixels


def grayscale(array: Pixels) -> Pixels:
    """Do what ``dpip.filters.builtin.grayscale`` does."""
    if array.ndim == 2 or array.shape[2] == 2:
        return array.copy()
    height, width, channels = array.shape
    shape = (height, width) if channels == 3 else (height, width, 2)
    pixels = height * width
    gray = cuda.device_array(pixels * (channels - 2), array.dtype)
    kernels.launch(kernels.luma, gray, cuda.to_device(array.reshape(-1)), channels, samples=pixels)
    result: Pixels = gray.copy_to_host().reshape(shape)
    return result


def kind(array: Pixels) -> str:
    """Tell colour, which has trials, from gray, which has none: copying it is never faster on a GPU."""
    return "colour" if array.ndim == 3 and array.shape[2] > 2 else "gray"


TWIN = Twin(
    function=grayscale,
    trials={"colour": tuple(Trial(channels, dtype) for dtype in ("uint8", "uint16") for channels in (3, 4))},
    kind=kind,
)
