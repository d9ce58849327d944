"""Compute children: real processes, and everything that can happen to them."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from twisted.internet import reactor
from twisted.internet.defer import gatherResults
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from dpip.model import Outcome
from dpip.worker import compute_child as child_module
from dpip.worker.compute_child import ComputeTask, Verdict, Work
from dpip.worker.compute_pool import ComputePool

PROGRAM = (sys.executable, "-m", "tests.worker.child_program")


class PoolCase(TestCase):
    timeout = 60
    slots = 1
    memory = 64 * 2**20

    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.directory = Path(temporary.name)
        self.source = self.directory / "source"
        self.source.write_bytes(b"picture")
        self.pool = ComputePool(reactor, time.monotonic, self.slots, self.memory, PROGRAM)
        self.said: list[str] = []
        self.pool.log_line = self.said.append  # type: ignore[assignment]
        self.addCleanup(self.stop)

    async def stop(self) -> None:
        pids = self.pool.pids()
        if self.pool._stopped is None:
            await self.pool.stop()
        self.assertFalse([pid for pid in pids if psutil.pid_exists(pid)])

    def task(self, step: str, seconds: float = 30.0, **params: Any) -> ComputeTask:
        number = len(list(self.directory.iterdir()))
        return ComputeTask(
            str(self.source),
            str(self.directory / f"result{number}{time.monotonic_ns()}"),
            ((step, params),),
            {},
            1000,
            1,
            seconds,
        )

    def run_(self, step: str, seconds: float = 30.0, **params: Any) -> Work:
        return self.pool.submit(self.task(step, seconds, **params))

    def slow(self) -> tuple[Work, Path]:
        """A job that takes as long as the test wants."""
        marker = self.directory / f"slow{time.monotonic_ns()}"
        marker.touch()
        return self.run_("slow", **{"while": str(marker)}), marker


class ComputeTests(PoolCase):
    async def test_the_first_child_tells_what_it_can_do(self) -> None:
        ready = await self.pool.start()
        self.assertEqual((ready["filters"], ready["fingerprint"]), ({"copy": "1"}, "test"))

    async def test_a_result_is_a_file_and_its_hash(self) -> None:
        await self.pool.start()
        task = self.task("copy")
        verdict = await self.pool.submit(task).done
        self.assertEqual(Path(task.result).read_bytes(), b"PICTURE")
        self.assertEqual((verdict.outcome, verdict.content_type), (Outcome.DONE, "image/test"))
        self.assertEqual(verdict.sha256, hashlib.sha256(b"PICTURE").hexdigest())
        self.assertTrue(0 < verdict.seconds < 30)

    async def test_pictures_and_filters_that_fail_are_recorded_and_cost_no_child(self) -> None:
        await self.pool.start()
        pids = self.pool.pids()
        verdict = await self.run_("corrupt").done
        wanted = Verdict(Outcome.FAILED, "corrupt-picture", "It ends in the middle.", verdict.seconds)
        self.assertEqual(verdict, wanted)
        self.assertGreater(verdict.seconds, 0)
        verdict = await self.run_("fail").done
        self.assertEqual((verdict.code, verdict.detail), ("filter-error", "ZeroDivisionError: by a filter"))
        self.assertEqual(self.pool.pids(), pids)

    async def test_a_filter_that_prints_disturbs_nothing(self) -> None:
        await self.pool.start()
        verdict = await self.run_("chatter").done
        self.assertIs(verdict.outcome, Outcome.DONE)
        await self.run_("copy").done
        self.assertTrue(any("hello from a filter" in line for line in self.said))

    async def test_an_original_that_is_gone_is_no_crash(self) -> None:
        await self.pool.start()
        self.source.unlink()
        verdict = await self.run_("copy").done
        self.assertEqual((verdict.outcome, verdict.code), (Outcome.RETURNED, "spool-error"))

    async def test_no_room_for_the_result_is_no_crash(self) -> None:
        await self.pool.start()
        task = ComputeTask(str(self.source), "/dev/full", (("copy", {}),), {}, 1000, 1, 30.0)
        verdict = await self.pool.submit(task).done
        self.assertEqual((verdict.outcome, verdict.code), (Outcome.RETURNED, "disk-full"))


class IdleTests(PoolCase):
    async def test_the_time_without_work_is_told(self) -> None:
        now = [100.0]
        self.pool._monotonic = lambda: now[0]
        await self.pool.start()
        self.pool.idle_percent()
        now[0] += 8
        self.assertEqual(self.pool.waited(), 8.0)
        self.assertEqual(self.pool.idle_percent(), 100.0)
        slow, marker = self.slow()
        now[0] += 8
        self.assertEqual(self.pool.idle_percent(), 0.0)
        marker.unlink()
        await slow.done
        before = self.pool.waited()
        self.assertLess(before, 8.0, "what the child says counts, not how long we saw it wait")
        now[0] += 4
        self.assertAlmostEqual(self.pool.waited(), before + 4)

    async def test_what_a_dead_child_waited_is_not_forgotten(self) -> None:
        self.pool._monotonic = lambda: 100.0
        await self.pool.start()
        await self.run_("copy").done
        before = self.pool.waited()
        await self.run_("leave").done
        self.assertGreaterEqual(self.pool.waited(), before)


class CrashTests(PoolCase):
    async def test_a_child_that_leaves_costs_one_job(self) -> None:
        await self.pool.start()
        self.pool._typical = 0.0  # short jobs: the second is given to the child while the first runs
        works = [self.run_("leave"), self.run_("copy"), self.run_("copy")]
        self.assertEqual([len(child.work) for child in self.pool._children], [2])
        verdicts = await gatherResults([work.done for work in works])
        self.assertEqual(verdicts[0].code, "compute-crashed")
        self.assertIn("exit code 3", verdicts[0].detail)
        self.assertEqual([verdict.outcome for verdict in verdicts[1:]], [Outcome.DONE] * 2)

    async def test_the_signal_is_named(self) -> None:
        await self.pool.start()
        verdict = await self.run_("segfault").done
        self.assertEqual((verdict.outcome, verdict.code), (Outcome.CRASHED, "compute-crashed"))
        self.assertIn("SIGSEGV", verdict.detail)

    async def test_past_the_deadline_it_is_killed_even_where_it_holds_the_gil(self) -> None:
        await self.pool.start()
        verdict = await self.run_("hold_the_gil", seconds=0.2).done
        self.assertEqual((verdict.outcome, verdict.code), (Outcome.CRASHED, "compute-timeout"))
        self.assertIn("0.2 s", verdict.detail)
        self.assertIs((await self.run_("copy").done).outcome, Outcome.DONE)

    async def test_a_clock_set_forward_costs_no_job(self) -> None:
        await self.pool.start()
        slow, marker = self.slow()
        (child,) = self.pool._children
        assert child._deadline is not None
        child._deadline.reset(0)  # as if half an hour had passed on the wall
        await deferLater(reactor, 0.01)
        marker.unlink()
        self.assertIs((await slow.done).outcome, Outcome.DONE)

    async def test_too_much_memory_is_the_jobs_fault_alone(self) -> None:
        await self.pool.start()
        verdict = await self.run_("eat").done
        self.assertEqual((verdict.outcome, verdict.code), (Outcome.CRASHED, "out-of-memory"))
        self.assertIs((await self.run_("copy").done).outcome, Outcome.DONE)

    async def test_a_child_that_answers_nonsense_is_killed(self) -> None:
        await self.pool.start()
        verdict = await self.run_("lie").done
        self.assertIs(verdict.outcome, Outcome.CRASHED)
        self.assertTrue(any("bad answer" in line for line in self.said))
        self.assertIs((await self.run_("copy").done).outcome, Outcome.DONE)

    async def test_a_child_that_takes_no_files_is_killed(self) -> None:
        await self.pool.start()
        (child,) = self.pool._children
        self.addCleanup(child._files.close)
        child._files, unread = socket.socketpair()
        self.addCleanup(unread.close)
        child._files.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                child._files.send(bytes(4096))
        self.assertEqual((await self.run_("copy").done).code, "compute-crashed")
        self.assertTrue(any("takes no files" in line for line in self.said))
        self.assertIs((await self.run_("copy").done).outcome, Outcome.DONE)

    async def test_children_that_keep_dying_without_a_job_are_replaced_later_and_later(self) -> None:
        await self.pool.start()
        for deaths in range(1, 4):
            for call in self.pool._replacing:
                call.reset(0)
            while not self.pool.pids():
                await deferLater(reactor, 0.01)
            os.kill(self.pool.pids()[0], signal.SIGKILL)
            while self.pool._deaths < deaths:
                await deferLater(reactor, 0.01)
        (call,) = self.pool._replacing
        self.assertGreater(call.getTime() - reactor.seconds(), 0.6)  # type: ignore[attr-defined]
        call.reset(0)
        await self.run_("copy").done
        self.assertEqual(self.pool._deaths, 0)

    async def test_jobs_that_kill_their_children_make_nobody_wait(self) -> None:
        await self.pool.start()
        for _ in range(3):
            await self.run_("leave").done
        (call,) = self.pool._replacing
        self.assertLess(call.getTime() - reactor.seconds(), 0.1)  # type: ignore[attr-defined]
        self.assertIs((await self.run_("copy").done).outcome, Outcome.DONE)

    async def test_a_warm_up_that_fails_is_tried_again(self) -> None:
        marker = str(self.directory / "died")
        self.patch(os, "environ", {**os.environ, "DPIP_TEST_FIRST_CHILD_DIES": marker})
        ready = await self.pool.start()
        self.assertEqual(ready["fingerprint"], "test")
        self.assertTrue(any("the warm-up went wrong" in line for line in self.said), self.said)

    async def test_a_worn_out_child_is_replaced_between_jobs(self) -> None:
        self.patch(child_module, "MAX_JOBS", 2)
        await self.pool.start()
        pids = self.pool.pids()
        verdicts = await gatherResults([self.run_("copy").done for _ in range(5)])
        self.assertEqual({verdict.outcome for verdict in verdicts}, {Outcome.DONE})
        self.assertNotEqual(self.pool.pids(), pids)
        self.assertEqual(self.pool._deaths, 0)


class CancelTests(PoolCase):
    async def test_a_waiting_job_never_starts(self) -> None:
        await self.pool.start()
        slow, marker = self.slow()
        waiting = self.run_("copy")
        self.pool.cancel(waiting)
        self.assertEqual((await waiting.done).code, "cancelled")
        self.assertFalse(Path(waiting.task.result).exists())
        marker.unlink()
        self.assertIs((await slow.done).outcome, Outcome.DONE)

    async def test_a_running_job_may_finish_in_a_moment(self) -> None:
        await self.pool.start()
        pids = self.pool.pids()
        slow, marker = self.slow()
        self.pool.cancel(slow)
        marker.unlink()
        self.assertEqual((await slow.done).code, "cancelled")
        self.assertEqual(self.pool.pids(), pids)

    async def test_a_running_job_that_does_not_finish_is_ended(self) -> None:
        self.patch(child_module, "CANCEL_SECONDS", 0.05)
        await self.pool.start()
        work = self.run_("hold_the_gil")
        self.pool.cancel(work)
        self.assertEqual((await work.done).code, "cancelled")
        self.assertIs((await self.run_("copy").done).outcome, Outcome.DONE)

    async def test_one_that_waits_inside_the_child_is_ended_when_its_turn_comes(self) -> None:
        self.patch(child_module, "CANCEL_SECONDS", 0.05)
        await self.pool.start()
        self.pool._typical = 0.0
        slow, marker = self.slow()
        behind = self.run_("hold_the_gil")
        self.pool.cancel(behind)
        marker.unlink()
        self.assertIs((await slow.done).outcome, Outcome.DONE)
        self.assertEqual((await behind.done).code, "cancelled")

    async def test_stopping_ends_everything(self) -> None:
        await self.pool.start()
        slow, _ = self.slow()
        waiting = self.run_("copy")
        pids = self.pool.pids()
        await self.pool.stop()
        self.assertEqual([(await work.done).code for work in (slow, waiting)], ["cancelled"] * 2)
        self.assertFalse(any(psutil.pid_exists(pid) for pid in pids))


class SeveralTests(PoolCase):
    slots = 3

    async def test_one_warms_up_before_the_others_start(self) -> None:
        started = self.pool.start()
        self.assertEqual(len(self.pool._children), 1)
        await started
        self.assertEqual(len(self.pool._children), 3)

    async def test_where_the_kernels_are_cached_the_others_start_while_it_warms_up(self) -> None:
        marker = self.directory / "loading"
        marker.touch()
        self.patch(os, "environ", {**os.environ, "DPIP_TEST_CACHED": str(marker)})
        started = self.pool.start()
        while len(self.pool._children) < 3:
            await deferLater(reactor, 0.01)
        self.assertNoResult(started)
        marker.unlink()
        await started
        self.assertEqual(len(self.pool._children), 3)

    async def test_the_child_that_was_started_first_gets_the_first_job(self) -> None:
        await self.pool.start()
        while len(self.pool.pids()) < 3 or not all(child.ready for child in self.pool._children):
            await deferLater(reactor, 0.01)
        slow = [self.slow()[0] for _ in range(3)]
        working = [child.work[0] for child in self.pool._children]
        self.assertEqual(working, slow)

    async def test_as_many_jobs_run_at_once(self) -> None:
        await self.pool.start()
        slow = [self.slow() for _ in range(4)]
        while sum(work.started for work, _ in slow) < 3:
            await deferLater(reactor, 0.01)
        self.assertFalse(slow[3][0].started)
        for _, marker in slow:
            marker.unlink()
        verdicts = await gatherResults([work.done for work, _ in slow])
        self.assertEqual({verdict.outcome for verdict in verdicts}, {Outcome.DONE})


PARENT = """
import sys, time
from twisted.internet import reactor
from dpip.worker.compute_child import ComputeTask
from dpip.worker.compute_pool import ComputePool
from tests.worker.test_compute_pool import PROGRAM
pool = ComputePool(reactor, time.monotonic, 2, 2**26, PROGRAM)
def ready(_):
    pool.submit(ComputeTask(sys.argv[1], sys.argv[1] + ".out", (("hold_the_gil", {}),), {}, 1, 1, 60.0))
    reactor.callLater(0.3, lambda: print(*pool.pids(), flush=True))
pool.start().addCallback(ready)
reactor.run()
"""


class OrphanTests(TestCase):
    def test_no_child_outlives_a_killed_parent(self) -> None:
        """One idle, one in a filter that holds the GIL: the second ends only by the kernel's doing."""
        with tempfile.NamedTemporaryFile() as source:
            parent = subprocess.Popen([sys.executable, "-c", PARENT, source.name], stdout=subprocess.PIPE)
            assert parent.stdout is not None
            children = [psutil.Process(int(pid)) for pid in parent.stdout.readline().split()]
            self.assertEqual(len(children), 2)
            parent.send_signal(signal.SIGKILL)
            parent.communicate()
            gone, alive = psutil.wait_procs(children, timeout=20)
        self.assertEqual((len(gone), alive), (2, []))


class ReckonedMemoryTests(PoolCase):
    memory = 2**30

    async def test_a_job_may_take_what_was_reckoned_and_hardly_more(self) -> None:
        await self.pool.start()
        for reckoned, taken, code in ((0, 48, ""), (300, 300, ""), (0, 300, "out-of-memory")):
            work = self.run_("take", bytes=taken * 2**20, reckoned=reckoned * 2**20)
            self.assertEqual((await work.done).code, code)

    async def test_an_original_may_be_larger_than_all_that_the_job_before_could_take(self) -> None:
        await self.pool.start()
        await self.run_("copy").done
        with open(self.source, "wb") as file:
            file.truncate(150 * 2**20)
        work = self.run_("copy", reckoned=600 * 2**20)
        self.assertEqual((await work.done).code, "")

    async def test_none_may_take_more_than_a_job_of_this_machine(self) -> None:
        await self.pool.start()
        work = self.run_("take", bytes=1100 * 2**20, reckoned=2**40)
        self.assertEqual((await work.done).code, "out-of-memory")
