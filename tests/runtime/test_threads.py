"""Threads around one queue: what is asked for is done, whatever fails."""

from __future__ import annotations

from threading import Event, current_thread

from twisted.trial.unittest import SynchronousTestCase

from dpip.runtime.threads import RealThreads


class RealThreadsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.threads = RealThreads(2, "test")
        self.threads.start()

    def test_stopping_waits_for_all_that_was_asked_for(self) -> None:
        done: list[int] = []
        for number in range(100):
            self.threads.callInThread(done.append, number)
        self.threads.stop()
        self.assertEqual(sorted(done), list(range(100)))

    def test_as_many_at_once_as_there_are_threads(self) -> None:
        first, second = Event(), Event()

        def meet(mine: Event, other: Event) -> None:
            mine.set()
            self.assertTrue(other.wait(30))

        self.threads.callInThread(meet, first, second)
        self.threads.callInThread(meet, second, first)
        self.threads.stop()

    def test_what_fails_is_logged_and_the_thread_goes_on(self) -> None:
        names: list[str] = []
        for _ in range(2):
            self.threads.callInThread(lambda: 1 / 0)
        self.threads.callInThread(lambda: names.append(current_thread().name))
        self.threads.stop()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
        self.assertIn(names[0], ("test-0", "test-1"))

    def test_they_can_be_started_again(self) -> None:
        self.threads.stop()
        self.threads.start()
        done = Event()
        self.threads.callInThread(done.set)
        self.threads.stop()
        self.assertTrue(done.is_set())
