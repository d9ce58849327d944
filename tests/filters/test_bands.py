"""Bands of rows on several threads."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase

from dpip.filters.bands import over_rows


class Bands(TestCase):
    @given(st.integers(0, 5000), st.integers(1, 9))
    def test_every_row_once(self, rows: int, threads: int) -> None:
        seen: list[tuple[int, int]] = []
        over_rows(rows, threads, lambda first, last: seen.append((first, last)))
        covered = [row for first, last in sorted(seen) for row in range(first, last)]
        self.assertEqual(covered, list(range(rows)))

    def test_two_threads_meet(self) -> None:
        both = threading.Barrier(2)
        names: set[str] = set()

        def work(first: int, last: int) -> None:
            if first in (0, 16):
                both.wait(10)  # only two threads get past this
            names.add(threading.current_thread().name)

        over_rows(32, 2, work)
        self.assertEqual(len(names), 2)

    def test_what_goes_wrong_in_any_band_is_raised(self) -> None:
        for bad in range(0, 160, 16):

            def work(first: int, last: int, bad: int = bad) -> None:
                if first == bad:
                    raise ValueError(bad)

            self.assertRaises(ValueError, over_rows, 160, 2, work)

    def test_helpers_busy_elsewhere_are_not_waited_for(self) -> None:
        release, holding = threading.Event(), threading.Event()

        def hold(first: int, last: int) -> None:
            holding.set()
            release.wait(10)

        busy = threading.Thread(target=over_rows, args=(32, 2, hold))
        busy.start()
        self.addCleanup(busy.join)
        self.addCleanup(release.set)
        self.assertTrue(holding.wait(10))
        done: list[int] = []
        over_rows(160, 2, lambda first, last: done.append(last - first))
        self.assertEqual(sum(done), 160)
