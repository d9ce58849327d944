"""TIFF: read by tifffile, and written here, page by page, with every tag that is still true."""

from __future__ import annotations

from dpip.filters.codec.tiff.reader import decode
from dpip.filters.codec.tiff.writer import encode

__all__ = ["decode", "encode"]
