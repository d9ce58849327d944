"""What a client is told when it is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from dpip.api.http.problems import LATER, InternalError, problem, status_of
from dpip.errors import DiskFull, DpipError, PictureError, RetryLater, TooManyRequests

GUIDE = Path(__file__).parents[3] / "user-guide.md"
ROW = re.compile(r"^\| ([\d, ]+) \| ([^|]*) \|", re.MULTILINE)


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

    def test_the_user_guide_lists_every_code_with_its_status(self) -> None:
        listed = {
            (code, int(status))
            for statuses, codes in ROW.findall(GUIDE.read_text(encoding="utf-8"))
            for code in re.findall("`([^`]+)`", codes)
            for status in statuses.split(", ")
        }
        told = {
            (kind.code, status_of(kind.__new__(kind)))
            for kind in kinds(DpipError)
            if not issubclass(kind, PictureError)  # why an image has failed: no answer to a request
        }
        told = {(code, status) for code, status in told if status != 500} | {(InternalError.code, 500)}
        self.assertLessEqual(told, listed)
        self.assertEqual({code for code, _ in listed}, {code for code, _ in told})
