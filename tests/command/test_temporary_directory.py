"""A command's directory, however the command ends."""

from __future__ import annotations

import tempfile
from pathlib import Path

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import TestCase

from dpip.command.temporary_directory import temporary


class TemporaryTests(TestCase):
    def setUp(self) -> None:
        self.parent = Path(self.enterContext(tempfile.TemporaryDirectory(prefix="dpip-test-")))

    async def test_it_is_there_while_it_is_used(self) -> None:
        async with temporary(self.parent, "some-") as directory:
            self.assertEqual(list(self.parent.iterdir()), [directory])
        self.assertEqual(list(self.parent.iterdir()), [])

    async def test_cancelled_while_it_is_made_nothing_is_left(self) -> None:
        async def use() -> None:
            async with temporary(self.parent, "some-"):
                raise AssertionError("it was cancelled before")

        using = Deferred.fromCoroutine(use())
        using.cancel()
        await self.assertFailure(using, CancelledError)
        self.assertEqual(list(self.parent.iterdir()), [])

    async def test_a_folder_that_cannot_be_written_to_is_told(self) -> None:
        (self.parent / "file").touch()
        with self.assertRaises(OSError):
            async with temporary(self.parent / "file", "some-"):
                raise AssertionError("it was never made")
