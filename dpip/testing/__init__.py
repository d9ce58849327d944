"""Doubles of our own interfaces, for tests of whatever stands on them: in memory, but with the real rules.

They keep a ``log`` of what was asked of them, and ``hold`` makes one of their methods wait until the test
lets it go on. The tests of the API run against these and against the real things alike.
"""

from dpip.testing.controller import MemoryController
from dpip.testing.hold import Hold
from dpip.testing.store import inline_image_store

__all__ = ["Hold", "MemoryController", "inline_image_store"]
