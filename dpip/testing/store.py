"""The image store for tests: the real one, with everything done before a call returns."""

from __future__ import annotations

from pathlib import Path

from dpip.runtime.threads import InlineThreads
from dpip.store.image_store import ImageStore


def inline_image_store(root: Path) -> ImageStore:
    """Return a started store at ``root``, which has no thread and so needs no stop."""
    store = ImageStore(root, InlineThreads(), InlineThreads, floor=0)
    store.startService()
    return store
