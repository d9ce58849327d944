"""Processes that draw the film."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import click
from PIL import Image
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from dpip.command.drawing import Painter, draw


class DrawTests(TestCase):
    def setUp(self) -> None:
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory(prefix="dpip-test-")))
        root = str(Path(__file__).parents[2])
        self.patch(os, "environ", {**os.environ, "PYTHONPATH": root})

    async def test_every_frame_is_drawn_once(self) -> None:
        told: list[int] = []
        await draw(reactor, 3, f"{self.folder}/frame-%04d.jpg", 2, told.append)
        self.assertEqual(sum(told), 3)
        names = sorted(os.listdir(self.folder))
        self.assertEqual(names, ["frame-0000.jpg", "frame-0001.jpg", "frame-0002.jpg"])
        for name in names:
            with Image.open(self.folder / name) as picture:
                self.assertEqual(picture.size, (1280, 720))

    async def test_why_it_cannot_be_done(self) -> None:
        try:
            await draw(reactor, 1, f"{self.folder}/no/frame-%04d.jpg", 1, lambda more: None)
        except click.ClickException as error:
            self.assertRegex(
                error.message, r"^The film could not be drawn: FileNotFoundError: .*frame-0000.jpg"
            )
        else:
            self.fail("it was drawn into a folder that is not there")


class Transport:
    """Of a process that takes signals."""

    pid = 1

    def __init__(self) -> None:
        self.signals: list[str] = []

    def signalProcess(self, name: str) -> None:
        self.signals.append(name)


class PainterTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.told: list[int] = []
        self.painter = Painter(self.told.append)
        self.process = Transport()
        self.painter.makeConnection(self.process)  # type: ignore[arg-type]

    def test_lines_are_counted_wherever_they_are_cut(self) -> None:
        for piece in (b"0\n1", b"\n2\n", b"3\n"):
            self.painter.outReceived(piece)
        self.assertEqual(sum(self.told), 4)
        self.painter.processEnded(Failure(ProcessDone(0)))
        self.successResultOf(self.painter.ended)

    def test_a_process_that_dies_without_a_word(self) -> None:
        self.painter.processEnded(Failure(ProcessTerminated(signal=9)))
        failure = self.failureResultOf(self.painter.ended, click.ClickException)
        self.assertIn("signal 9", failure.value.message)

    def test_giving_up_kills_it_and_listens_no_more(self) -> None:
        self.painter.ended.cancel()
        self.failureResultOf(self.painter.ended, CancelledError)
        self.assertEqual(self.process.signals, ["KILL"])
        self.painter.outReceived(b"0\n")
        self.painter.processEnded(Failure(ProcessTerminated(signal=9)))
        self.assertEqual(self.told, [])

    def test_giving_up_on_one_that_has_ended_but_not_been_noticed(self) -> None:
        self.process.pid = None  # type: ignore[assignment]
        ended: Deferred[None] = self.painter.ended
        ended.cancel()
        self.failureResultOf(ended, CancelledError)
        self.assertEqual(self.process.signals, [])
