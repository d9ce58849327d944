"""The Numba loops. Importing one of these modules compiles its kernels, or loads them from the disk cache."""
