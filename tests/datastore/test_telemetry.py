from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.internet.task import Clock
from twisted.logger import LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from dpip.datastore import telemetry as module
from dpip.datastore.telemetry import Telemetry
from dpip.model import GpuLoad, Load, Sample
from dpip.runtime.threads import InlineThreads

NOW = 1_700_000_000.5
LOAD = Load(
    cpu_percent=12.5,
    memory_total=16 << 30,
    memory_available=3 << 30,
    own_cpu_percent=150.0,
    own_memory=1 << 28,
    gpus=(GpuLoad("card 🎴", 99.5, 8 << 30, 1 << 30), GpuLoad("", 0.0, 0, 0)),
    running=(7, 1 << 40),
    disk_free=1 << 41,
)


KEPT = evolve(LOAD, running=(0, 0))  # of the jobs their number


class Reactor(Clock):
    """Time that tests move; calls from threads are made at once."""

    def callFromThread(self, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        callable(*args, **kwargs)


class TelemetryTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.clock = Reactor()
        self.telemetry = self.opened()

    def opened(self, **options: Any) -> Telemetry:
        telemetry = Telemetry(self.path, self.clock, InlineThreads, **options)
        telemetry.startService()
        self.addCleanup(telemetry.stopService)
        return telemetry

    def history(self, worker: str = "w", since: float = 0) -> list[Sample]:
        return list(self.successResultOf(self.telemetry.history(worker, since)))

    def newest(self, worker: str) -> Load | None:
        sample = self.telemetry.latest(worker)
        return None if sample is None else sample.load

    def stored(self) -> int:
        with closing(sqlite3.connect(self.path)) as connection:
            [(count,)] = connection.execute("SELECT count(*) FROM samples").fetchall()
        return int(count)


class TelemetryTests(TelemetryTestCase):
    def test_a_load_comes_back_as_it_was(self) -> None:
        self.telemetry.sample("w", NOW, LOAD)
        self.assertEqual(self.newest("w"), LOAD)
        self.assertEqual(self.history(), [Sample(NOW, KEPT)])

    def test_an_unknown_worker_has_none(self) -> None:
        self.telemetry.sample("w", NOW, LOAD)
        self.assertIsNone(self.telemetry.latest("other"))
        self.assertEqual(self.history("other"), [])

    def test_oldest_first_from_a_moment_on(self) -> None:
        for second in (5, 10, 15, 20):
            self.telemetry.sample("w", NOW + second, LOAD)
            self.telemetry.sample("other", NOW + second, LOAD)
        times = [sample.at - NOW for sample in self.history(since=NOW + 10)]
        self.assertEqual(times, [10, 15, 20])

    def test_samples_are_written_every_few_seconds_together(self) -> None:
        for second in range(4):
            self.telemetry.sample("w", NOW + second, LOAD)
            self.clock.advance(1)
        self.assertEqual(self.stored(), 0)
        self.clock.advance(1)
        self.assertEqual(self.stored(), 4)

    def test_the_rest_is_written_at_the_end_and_read_after_a_new_start(self) -> None:
        self.telemetry.sample("w", NOW, LOAD)
        self.successResultOf(self.telemetry.stopService())
        self.telemetry = self.opened()
        self.assertIsNone(self.telemetry.latest("w"))
        self.assertEqual(self.history(), [Sample(NOW, KEPT)])

    def test_a_worker_that_talks_too_much_is_heard_once_a_second(self) -> None:
        for number in range(100):
            self.telemetry.sample("w", NOW + number * 0.05, Load(float(number), 1, 1))
        newest = self.telemetry.latest("w")
        assert newest is not None
        self.assertEqual(newest.load.cpu_percent, 99.0)
        self.assertEqual([round(sample.at - NOW, 2) for sample in self.history()], [0, 1, 2, 3, 4])

    def test_a_clock_that_went_back_does_not_silence_a_worker(self) -> None:
        self.telemetry.sample("w", NOW, LOAD)
        self.telemetry.sample("w", NOW - 3600, LOAD)
        self.assertEqual(len(self.history()), 2)

    def test_a_silent_worker_has_no_newest_load_any_more(self) -> None:
        self.telemetry.sample("w", NOW, LOAD)
        self.clock.pump([5.0] * 700)
        self.telemetry.sample("v", NOW, LOAD)
        self.assertEqual(self.newest("w"), LOAD)
        self.clock.pump([5.0] * 30)
        self.assertIsNone(self.telemetry.latest("w"))
        self.assertEqual(self.newest("v"), LOAD)

    def test_a_long_history_is_thinned_evenly_with_the_newest_in_it(self) -> None:
        self.patch(module, "POINTS", 10)
        for second in range(45):
            self.telemetry.sample("w", NOW + second, LOAD)
        times = [sample.at - NOW for sample in self.history()]
        self.assertEqual(times, [4, 9, 14, 19, 24, 29, 34, 39, 44])
        self.assertEqual(len(self.history(since=NOW + 35)), 10)


class BoundTests(TelemetryTestCase):
    def test_a_day_is_kept(self) -> None:
        day = 24 * 3600
        for hour in (0, 1, 2, 25):
            self.telemetry.sample("w", NOW + hour * 3600, LOAD)
        self.assertEqual([s.at for s in self.history()], [NOW + h * 3600 for h in (1, 2, 25)])
        self.telemetry.sample("w", NOW + 26 * 3600 + day, LOAD)
        self.assertEqual(len(self.history()), 1)

    def test_so_many_rows_are_kept_whoever_sent_them(self) -> None:
        self.successResultOf(self.telemetry.stopService())
        self.telemetry = self.opened(rows=30)
        for second in range(100):
            self.telemetry.sample(f"w{second % 7}", NOW + second, LOAD)
        self.clock.advance(5)
        self.assertEqual(self.stored(), 30)
        self.assertEqual(self.history("w1")[-1].at, NOW + 99)

    def test_what_cannot_be_written_is_lost_said_once_and_bounded(self) -> None:
        said: list[str] = []
        observer = lambda e: said.append(e["log_format"]) if e["log_level"] >= LogLevel.warn else None  # noqa: E731
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        with closing(sqlite3.connect(self.path)) as connection, connection:
            connection.execute("ALTER TABLE samples RENAME TO elsewhere")
        for second in range(3):
            self.telemetry.sample("w", NOW + second, LOAD)
            self.clock.advance(5)
        self.assertEqual(len(said), 1)
        self.assertEqual(self.newest("w"), LOAD)
        with closing(sqlite3.connect(self.path)) as connection, connection:
            connection.execute("ALTER TABLE elsewhere RENAME TO samples")
        self.telemetry.sample("w", NOW + 9, LOAD)
        self.assertEqual([s.at for s in self.history()], [NOW + 9])


class StartTests(SynchronousTestCase):
    def test_a_broken_file_is_replaced(self) -> None:
        path = Path(self.mktemp())
        path.write_bytes(b"no database at all " * 500)
        telemetry = Telemetry(path, Reactor(), InlineThreads)
        telemetry.startService()
        self.addCleanup(telemetry.stopService)
        telemetry.sample("w", NOW, LOAD)
        self.assertEqual(self.successResultOf(telemetry.history("w", 0)), [Sample(NOW, KEPT)])

    def test_the_file_is_its_owners_alone_and_a_constructor_makes_none(self) -> None:
        path = Path(self.mktemp())
        telemetry = Telemetry(path, Reactor(), InlineThreads)
        self.assertFalse(path.exists())
        telemetry.startService()
        self.addCleanup(telemetry.stopService)
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)

    def test_it_may_be_stopped_without_a_start(self) -> None:
        self.successResultOf(Telemetry(Path(self.mktemp()), Reactor(), InlineThreads).stopService())


class LongSamplesTests(TelemetryTestCase):
    def test_a_worker_that_says_much_takes_little_room(self) -> None:
        card = GpuLoad("x" * 256, 1.0, 1, 1)
        load = evolve(LOAD, running=tuple(range(8192)), gpus=(card,) * 64)
        self.telemetry.sample("w", NOW, load)
        [sample] = self.history()
        self.assertEqual((len(sample.load.running), len(sample.load.gpus)), (8192, 16))
        with closing(sqlite3.connect(self.path)) as connection:
            [(size,)] = connection.execute("SELECT length(load) FROM samples").fetchall()
        self.assertLess(size, 2048)
