"""CUDA twins of filters: the same bytes as on the CPU, from an NVIDIA GPU, where that is faster.

Nothing here imports numba-cuda until :func:`choice.start` has found a driver, and nothing runs on a GPU
before ``start`` was called: a program that calls the filters itself stays on the CPU unless it calls it.
"""
