"""The Numba loops. Importing a module of this package compiles its kernels or loads them from disk."""
