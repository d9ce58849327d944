"""The operator hears that the disk runs low once, and once that it has room again."""

from twisted.logger import globalLogPublisher
from twisted.trial.unittest import TestCase

from dpip.controller.disk_watch import DiskWatch

GIB = 1024**3


class DiskWatchTests(TestCase):
    def setUp(self) -> None:
        self.free = 50 * GIB
        self.watch = DiskWatch(usage=lambda: (100 * GIB, self.free), floor=GIB)
        self.logged: list[str] = []

        def observe(event: dict) -> None:
            if isinstance(event.get("log_source"), DiskWatch):
                self.logged.append(event["log_level"].name)

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)

    def test_nothing_to_say_while_there_is_room(self) -> None:
        self.watch.look()
        self.assertEqual((list(self.watch.warnings), self.logged), ([], []))

    def test_low_is_said_once_and_stays_in_the_status(self) -> None:
        self.free = 4 * GIB
        self.watch.look()
        self.watch.look()
        self.assertEqual(self.logged, ["warn"])
        (warning,) = self.watch.warnings
        self.assertIn("4.0 of 100.0 GiB free. Uploads will be refused below 1.0 GiB", warning)

    def test_below_the_floor_it_says_that_uploads_are_refused(self) -> None:
        self.free = GIB // 2
        self.watch.look()
        self.assertIn("Uploads are refused", self.watch.warnings[0])

    def test_room_again_is_said_too(self) -> None:
        self.free = 0
        self.watch.look()
        self.free = 50 * GIB
        self.watch.look()
        self.assertEqual((list(self.watch.warnings), self.logged), ([], ["warn", "info"]))
