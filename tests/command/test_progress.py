"""What is shown on a terminal and elsewhere."""

from __future__ import annotations

from io import StringIO

from rich.console import Console
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dpip.command.progress import LiveDisplay, PlainDisplay, display_on


class PlainTests(SynchronousTestCase):
    def printed(self, total: int | None, seconds_each: float) -> list[str]:
        clock, stream = Clock(), StringIO()
        with PlainDisplay(stream, clock.seconds) as display:
            stage = display.begin("blur", "uploading", 100)
            stage.say("compiling")
            for done in range(100):
                clock.advance(seconds_each)
                stage.show(f"{done} filtered", done, total)
            stage.finish("all done")
        return stream.getvalue().splitlines()

    def test_a_line_at_the_ends_and_every_ten_seconds_between(self) -> None:
        self.assertEqual(
            self.printed(None, 0.25),
            [
                "blur: uploading",
                "blur: compiling",
                "blur: 39 filtered",
                "blur: 79 filtered",
                "blur: all done",
            ],
        )

    def test_a_line_for_each_twentieth_but_not_many_a_second(self) -> None:
        self.assertEqual(self.printed(100, 1)[2:-1], [f"blur: {done} filtered" for done in range(5, 100, 5)])
        self.assertEqual(len(self.printed(100, 0.125)), 9)

    def test_what_is_no_terminal_gets_plain_lines(self) -> None:
        self.assertIsInstance(display_on(StringIO(), Clock()), PlainDisplay)


class LiveTests(SynchronousTestCase):
    def screen(self, width: int) -> list[str]:
        """The last picture of two stages, one done and one under way."""
        stream, clock = StringIO(), Clock()
        console = Console(file=stream, force_terminal=True, width=width, color_system=None)
        with LiveDisplay(console, clock) as display:
            film = display.begin("film", "drawing", 48)
            system = display.begin("system", "starting")
            system.say("compiling")
            blur = display.begin("blur", "uploading", 48)
            for done in range(48):
                film.show(f"{done} drawn", done)
                blur.show(f"48 uploaded, {done // 2} filtered, 123 images/s", done // 2)
                clock.advance(0.1)
            film.finish("48 frames of 1280x720 drawn")
            system.finish("2 images at once, ready in 1.9 s")
        self.assertEqual(clock.getDelayedCalls(), [])
        return [line.rstrip() for line in stream.getvalue().split("\x1b")[-2].splitlines()[-3:]]

    def test_stages_below_each_other_within_the_width(self) -> None:
        for width in (80, 120):
            film, system, blur = self.screen(width)
            self.assertIn("✓ film", film)
            self.assertTrue(film.endswith("48 frames of 1280x720 drawn"), film)
            self.assertIn("✓ system", system)
            self.assertNotIn("✓", blur)
            self.assertTrue(blur.endswith("48 uploaded, 23 filtered, 123 images/s"), blur)

    def test_where_nothing_can_move_nothing_is_drawn(self) -> None:
        for terminal, kind in ((False, "xterm"), (True, "dumb")):
            stream, clock = StringIO(), Clock()
            console = Console(file=stream, force_terminal=terminal, _environ={"TERM": kind})
            with LiveDisplay(console, clock) as display:
                display.begin("film", "drawing", 48).show("1 drawn", 1)
                clock.advance(1)
            self.assertEqual(stream.getvalue(), "")
