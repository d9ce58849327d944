"""Doubles of our own interfaces for tests of what uses them: in memory, but with the real rules.

The controller keeps a ``log`` of what was asked of it, and its ``hold`` makes one of its methods wait until
the test lets it go on. The tests of the API run against it and against the real controller.
"""

from dpip.testing.controller import MemoryController
from dpip.testing.hold import Hold
from dpip.testing.store import inline_image_store

__all__ = ["Hold", "MemoryController", "inline_image_store"]
