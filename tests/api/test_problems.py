"""What a client is told when it is refused."""

from __future__ import annotations

from collections.abc import Iterator

from twisted.trial.unittest import SynchronousTestCase

from dpip.api.problems import LATER, problem, status_of
from dpip.errors import DiskFull, DpipError, RetryLater, TooManyRequests


def kinds(kind: type[DpipError]) -> Iterator[type[DpipError]]:
    yield kind
    for more in kind.__subclasses__():
        yield from kinds(more)


class RefusalTests(SynchronousTestCase):
    def test_whoever_is_told_to_come_again_is_told_when(self) -> None:
        busy = {kind for kind in kinds(DpipError) if status_of(kind.__new__(kind)) in LATER}
        self.assertLessEqual({RetryLater, TooManyRequests, DiskFull}, busy)
        for kind in busy:
            self.assertGreaterEqual(int(problem(kind("Not now."), "id").headers["Retry-After"]), 1, kind)
