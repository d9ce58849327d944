"""Thumbnails that the controller asks a worker for."""

from __future__ import annotations

from dpip.errors import DpipError
from dpip.link.worker_messages import MAX_THUMBNAIL
from tests.worker.test_local_store import LocalCase
from tests.worker.test_session import WorkingCase

PICTURE = b"\xff\xd8\xff small"


class ThumbnailTests(WorkingCase):
    async def test_it_is_made_and_given_back_and_nothing_is_left(self) -> None:
        await self.start()
        [link] = self.workers.links()
        self.assertEqual(await link.thumbnail(self.give(0, data=PICTURE)), PICTURE.upper())
        self.assertEqual(self.results(), [])
        self.assertEqual(self.spooled(), [])
        self.assertEqual(self.record.endings(), {})

    async def test_it_does_not_wait_behind_jobs(self) -> None:
        await self.start()
        gate = self.directory / "gate"
        gate.touch()
        slow = [self.give(number, "slow", **{"while": str(gate)}) for number in range(1, 5)]
        await self.record.link.run(slow)
        await self.record.until(self.running)
        [link] = self.workers.links()
        made = link.thumbnail(self.give(9, data=PICTURE))
        made.addCallback(lambda data: (data, len(self.results())))
        gate.unlink()
        data, results = await made
        self.assertEqual(data, PICTURE.upper())
        self.assertLess(results, 4)
        await self.ended(4)

    async def test_a_picture_that_cannot_be_filtered_has_none(self) -> None:
        await self.start()
        [link] = self.workers.links()
        self.assertEqual(await link.thumbnail(self.give(0, "corrupt", data=PICTURE)), b"")

    async def test_what_does_not_work_out_here_is_for_another_worker(self) -> None:
        await self.start()
        [link] = self.workers.links()
        for lost in (self.give(0, "leave"), self.give(1, data=b"\xff\xd8\xff" + bytes(MAX_THUMBNAIL))):
            with self.assertRaises(DpipError):
                await link.thumbnail(lost)
        self.assertEqual(self.spooled(), [])

    async def test_an_original_that_is_not_there(self) -> None:
        await self.start()
        new = self.give(0, data=PICTURE)
        self.api.originals.clear()
        for path in self.directory.glob("images/w/*"):
            path.unlink()
        with self.assertRaises(DpipError):
            await self.workers.links()[0].thumbnail(new)

    async def test_bytes_that_are_no_jpeg_are_an_offence(self) -> None:
        await self.start()
        with self.assertRaisesRegex(DpipError, "a thumbnail that is none"):
            await self.workers.links()[0].thumbnail(self.give(0, data=b"<html>"))


class LocalThumbnailTests(LocalCase, ThumbnailTests):
    """The same, of a worker that shares the image store's files."""
