"""A hold makes an asynchronous method wait until the test lets it go on."""

from __future__ import annotations

from attrs import define, field
from twisted.internet.defer import Deferred


@define
class Hold:
    """A place to wait. ``reached`` fires when somebody waits; :meth:`release` lets all go on, also later."""

    reached: Deferred[None] = field(factory=Deferred)
    _released: Deferred[None] = field(factory=Deferred)

    async def wait(self) -> None:
        if not self.reached.called:
            self.reached.callback(None)
        await self._released

    def release(self) -> None:
        self._released.callback(None)
