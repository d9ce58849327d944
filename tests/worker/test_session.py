"""A whole worker against the controller's port and a stand-in API: joining, working, leaving."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import psutil
from attrs import evolve
from twisted.internet import reactor
from twisted.internet.defer import fail, succeed
from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory, Protocol
from twisted.protocols.tls import TLSMemoryBIOFactory

from dpip.errors import BadCertificate, StaleLease
from dpip.link import session as session_module
from dpip.link.broker import CallRefused
from dpip.link.certificates import Authority
from dpip.link.worker_messages import Receipt, Receipts, encode
from dpip.model import LeasedJob, Outcome, Role
from dpip.worker import compute_child as child_module
from dpip.worker import heartbeat as pulse_module
from dpip.worker import job_runner as shift_module
from tests.worker.api import job
from tests.worker.cluster import ClusterCase, lease


class JoiningTests(ClusterCase):
    async def test_it_joins_and_reports(self) -> None:
        self.worker(tags=("gpu", "fast"), slots=2)
        await self.record.times("reported", 2)
        info = self.record.link.info
        self.assertEqual((info.name, info.slots, info.tags), ("anna", 2, frozenset({"gpu", "fast"})))
        self.assertEqual((info.filters, info.fingerprint), ({"copy": "1"}, "test"))
        self.assertGreater(info.capacity, info.slots)
        load = self.record.told("reported")[1][2]
        self.assertGreater(load.memory_total, load.memory_available)
        self.assertGreater(load.own_memory, 10**7)
        self.assertGreater(load.disk_free, 0)
        principal = self.workers.authenticate_worker(self.api.token)
        assert principal is not None
        self.assertIs(principal.role, Role.WORKER)

    async def test_it_may_be_started_before_there_is_a_token(self) -> None:
        token = self.token_file.read_text()
        self.token_file.unlink()
        self.worker()
        await self.said("There is no join token at")
        self.token_file.write_text(token)
        await self.record.times("joined")

    async def test_a_wrong_token_is_said_once_and_read_again(self) -> None:
        token = self.token_file.read_text()
        self.token_file.write_text(token.replace(".", ".wrong", 1))
        self.worker()
        await self.said("The join token is not valid")
        for _ in range(3):
            await self.said("may not join")
        self.token_file.write_text(token)
        await self.record.times("joined")
        said = [line for line in self.lines if "does not take this worker" in line]
        self.assertEqual(len(said), 1)

    async def test_a_controller_that_the_token_is_not_for_learns_nothing(self) -> None:
        """Somebody else listens where the controller should be."""
        received: list[bytes] = []

        class Thief(Protocol):
            def dataReceived(self, data: bytes) -> None:
                received.append(data)

        other = Authority.load_or_create(self.directory / "other", reactor.seconds())  # type: ignore[attr-defined]
        factory = TLSMemoryBIOFactory(other.server_options(), False, Factory.forProtocol(Thief))
        port = await serverFromString(reactor, "tcp:0:interface=127.0.0.1").listen(factory)
        self.addCleanup(port.stopListening)
        real, self.port = self.port, port.getHost().port
        self.worker()
        await self.said("Not the controller that the join token is for")
        self.assertEqual(received, [])
        self.assertNotEqual(real, self.port)

    async def test_filters_of_another_version_are_said(self) -> None:
        self.workers._terms = self.make_workers()._terms.__class__(  # the controller was upgraded
            version="2.0", filters={"copy": "2"}, max_pixels=1, api_url=lambda host: self.api.url
        )
        self.worker()
        await self.said("install the same DPIP and filters on both")
        self.assertEqual(self.record.told("joined"), [])

    async def test_a_lost_link_is_made_again(self) -> None:
        self.worker()
        await self.record.times("joined")
        self.record.link.drop("for the test")
        await self.record.times("joined", 2)
        self.assertEqual(len(self.record.told("lost")), 1)

    async def test_it_comes_back_by_its_certificate_and_needs_the_token_no_more(self) -> None:
        self.worker()
        await self.record.times("joined")
        self.token_file.unlink()
        self.record.link.drop("for the test")
        await self.record.times("joined", 2)
        self.assertEqual(len(self.record.certificates), 1)

    async def test_a_certificate_that_is_refused_is_replaced_for_the_token(self) -> None:
        self.worker()
        await self.record.times("joined")
        self.record.storing = fail(BadCertificate("It was revoked."))
        self.record.link.drop("for the test")
        await self.said("It was revoked.")
        self.record.storing = succeed(None)
        await self.record.times("joined", 2)
        self.assertGreater(len(self.record.certificates), 1)

    async def test_it_renews_its_certificate_in_time_and_stays_joined(self) -> None:
        self.workers._certificates = evolve(self.workers._certificates, seconds=3.0)
        self.worker()
        await self.record.times("joined")
        await self.record.until(lambda: len(self.record.certificates) > 1)
        self.assertEqual(self.record.told("lost"), [])

    async def test_a_controller_that_falls_silent_is_left(self) -> None:
        self.patch(pulse_module, "MAX_SILENCE", 2)
        session = self.worker()
        await self.record.times("joined")
        broker = session._session._broker
        assert broker is not None
        self.patch(broker, "dataReceived", lambda data: None)
        await self.said("the controller does not answer")
        await self.record.times("joined", 2)

    async def test_one_that_waits_for_hours_does_not_fill_the_log(self) -> None:
        self.port = 1  # where nobody listens
        attempts: list[float] = []
        delay = session_module.JoinedSession._delay
        self.patch(
            session_module.JoinedSession,
            "_delay",
            lambda *args: (attempts.append(0), self.record.look(), delay(*args))[2],
        )
        self.worker()
        await self.record.until(lambda: len(attempts) > 4)
        self.assertEqual(len([line for line in self.lines if "cannot be reached" in line]), 1)


class WorkingCase(ClusterCase):
    """Images go over HTTP."""

    async def start(self, slots: int = 1) -> None:
        self.session = self.worker(slots=slots)
        await self.record.times("joined")

    def give(self, number: int, step: str = "copy", data: bytes = b"picture", **params: Any) -> LeasedJob:
        new = job(number, data, (step, params))
        self.api.originals[new.original.id] = data
        return new

    def results(self) -> list[tuple[str, bytes]]:
        """Nonce and bytes of every result that has been delivered."""
        return [(fields["nonce"], data) for fields, data in self.api.results]

    async def ended(self, count: int = 1) -> dict[int, tuple[Outcome, str]]:
        await self.record.times("ended", count)
        return self.record.endings()

    def spooled(self) -> list[str]:
        directory = self.session.spool.path
        return sorted(os.listdir(directory))

    def running(self) -> Any:
        """As the last report says."""
        reports = self.record.told("reported")
        return reports[-1][2].running if reports else None


class WorkingTests(WorkingCase):
    async def test_a_job_from_end_to_end(self) -> None:
        await self.start()
        await self.record.link.run([self.give(7)])
        self.assertEqual(await self.ended(), {7: (Outcome.DONE, "")})
        self.assertEqual(self.results(), [("nonce7", b"PICTURE")])
        seconds = self.record.told("ended")[0][6]
        self.assertGreater(seconds, 0)
        self.assertEqual(self.spooled(), [])

    async def test_many_jobs_each_once(self) -> None:
        await self.start(slots=2)
        jobs = [self.give(number, data=b"picture %d" % number) for number in range(40)]
        await self.record.link.run(jobs)
        self.assertEqual(set((await self.ended(40)).values()), {(Outcome.DONE, "")})
        self.assertEqual(
            sorted(self.results()), sorted((f"nonce{number}", b"PICTURE %d" % number) for number in range(40))
        )
        self.assertEqual(self.spooled(), [])

    async def test_what_fails_and_what_crashes_is_told_apart(self) -> None:
        await self.start()
        await self.record.link.run([self.give(1, "corrupt"), self.give(2, "leave"), self.give(3)])
        self.assertEqual(
            await self.ended(3),
            {
                1: (Outcome.FAILED, "corrupt-picture"),
                2: (Outcome.CRASHED, "compute-crashed"),
                3: (Outcome.DONE, ""),
            },
        )
        self.assertEqual(self.record.told("lost"), [])
        self.assertEqual(self.spooled(), [])

    async def test_one_job_alone_may_use_every_core(self) -> None:
        await self.start()
        tasks: list[Any] = []
        pool = self.session.engine
        run = pool.submit
        self.patch(pool, "submit", lambda task: (tasks.append(task), run(task))[1])
        await self.record.link.run([self.give(1)])
        await self.ended()
        await self.record.link.run([self.give(2), self.give(3)])
        await self.ended(3)
        self.assertEqual(tasks[0].threads, self.session.cores)
        self.assertEqual(tasks[1].threads, 1)

    async def test_a_bug_in_the_worker_loses_no_job(self) -> None:
        await self.start()

        def bug(task: object) -> None:
            raise ZeroDivisionError("a bug")

        self.patch(self.session.engine, "submit", bug)
        await self.record.link.run([self.give(1)])
        self.assertEqual(await self.ended(), {1: (Outcome.RETURNED, "worker-error")})
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    async def test_cancelled_jobs_are_not_heard_of_again(self) -> None:
        self.patch(child_module, "CANCEL_SECONDS", 0.05)
        await self.start()
        await self.record.link.run([self.give(1, "hold_the_gil")])
        await self.record.until(lambda: self.running() == (1,))
        await self.record.link.run([self.give(2), self.give(3)])
        self.record.link.cancel([lease(1), lease(2), lease(99)])
        self.assertEqual(await self.ended(), {3: (Outcome.DONE, "")})

    async def test_what_a_lost_link_had_in_hand_is_dropped(self) -> None:
        self.patch(child_module, "CANCEL_SECONDS", 0.05)
        await self.start()
        await self.record.link.run([self.give(1, "hold_the_gil")])
        await self.record.until(lambda: self.running() == (1,))
        await self.record.link.run([self.give(2)])
        self.record.link.drop("for the test")
        await self.record.times("joined", 2)
        await self.record.link.run([self.give(3)])
        self.assertEqual(await self.ended(), {3: (Outcome.DONE, "")})
        self.assertEqual(self.spooled(), [])


class HttpTests(WorkingCase):
    async def test_a_stale_result_is_no_trouble(self) -> None:
        await self.start()
        self.api.next = [
            self.api.behave,
            lambda _: encode(Receipts((Receipt(StaleLease.code, "Not leased."),))),
        ]
        await self.record.link.run([self.give(1)])
        self.assertEqual(await self.ended(), {1: (Outcome.RETURNED, "stale-lease")})

    async def test_a_token_that_died_makes_it_join_again(self) -> None:
        await self.start()
        self.api.token = "another"
        await self.record.link.run([self.give(1)])
        await self.record.times("joined", 2)
        self.assertEqual(self.record.told("ended"), [])
        await self.record.link.run([self.give(2)])
        self.assertEqual(await self.ended(), {2: (Outcome.DONE, "")})

    async def test_a_full_disk_hands_the_job_back_and_later_takes_it(self) -> None:
        await self.start()
        spool = self.session.spool
        room = self.patch(spool, "take_room", lambda size: False)
        await self.record.link.run([self.give(1)])
        self.assertEqual(await self.ended(), {1: (Outcome.RETURNED, "disk-full")})
        self.assertEqual(self.api.requests, [])
        room.restore()
        await self.record.link.run([self.give(1)])
        await self.ended(2)
        self.assertEqual(self.record.endings(), {1: (Outcome.DONE, "")})

    async def test_what_waits_to_be_handed_back_is_handed_back_at_once_when_it_leaves(self) -> None:
        self.patch(shift_module, "_FIRST_PAUSE", 1000.0)
        self.patch(shift_module, "_MAX_PAUSE", 1000.0)
        await self.start()
        self.patch(self.session.spool, "take_room", lambda size: False)
        await self.record.link.run([self.give(1)])
        await self.said("goes back to the controller")
        await self.session.stopService()
        await self.record.times("lost")
        self.assertEqual(self.record.endings(), {1: (Outcome.RETURNED, "leaving")})


class LeavingTests(WorkingCase):
    async def test_what_runs_is_finished_and_the_rest_handed_back(self) -> None:
        await self.start()
        marker = self.directory / "slow"
        marker.touch()
        slow = self.give(1, "slow", **{"while": str(marker)})
        await self.record.link.run([slow])
        await self.record.until(lambda: self.running() == (1,))
        await self.record.link.run([self.give(2), self.give(3)])
        pids = self.session.engine.pids()
        directory = self.session.spool.path
        stopped = self.session.stopService()
        await self.record.times("leaving")
        await self.record.times("ended", 2)
        self.assertEqual(set(self.record.endings().values()), {(Outcome.RETURNED, "leaving")})
        await self.assertFailure(self.record.link.run([self.give(4)]), CallRefused)
        marker.unlink()
        await self.record.times("lost")
        await stopped
        self.assertEqual(self.record.endings()[1], (Outcome.DONE, ""))
        self.assertEqual(self.results(), [("nonce1", b"PICTURE")])
        self.assertFalse(any(psutil.pid_exists(pid) for pid in pids))
        self.assertFalse(Path(directory).exists())

    async def test_asked_to_leave_it_says_so_to_whoever_runs_it(self) -> None:
        await self.start()
        self.record.link.dismiss()
        self.record.link.dismiss()
        await self.session.dismissed
        self.assertTrue(self.session.running, "it is stopped from outside")

    async def test_what_does_not_end_in_time_is_handed_back_too(self) -> None:
        self.patch(shift_module, "DRAIN_SECONDS", 0.1)
        await self.start()
        await self.record.link.run([self.give(1, "hold_the_gil")])
        await self.record.until(lambda: self.running() == (1,))
        await self.session.stopService()
        await self.record.times("lost")
        self.assertEqual(self.record.endings(), {1: (Outcome.RETURNED, "leaving")})

    async def test_a_link_that_is_lost_meanwhile_ends_the_waiting(self) -> None:
        self.patch(child_module, "CANCEL_SECONDS", 0.05)
        await self.start()
        await self.record.link.run([self.give(1, "hold_the_gil")])
        await self.record.until(lambda: self.running() == (1,))
        stopped = self.session.stopService()
        await self.record.times("leaving")
        self.record.link.drop("for the test")
        await stopped
        self.assertEqual(self.record.told("ended"), [])

    async def test_with_nothing_in_hand_it_just_goes(self) -> None:
        await self.start()
        await self.session.stopService()
        await self.record.times("lost")
        self.assertEqual(len(self.record.told("leaving")), 1)

    async def test_one_that_never_joined_goes_too(self) -> None:
        self.token_file.unlink()
        session = self.worker()
        await self.said("There is no join token at")
        await session.stopService()

    async def test_one_that_is_still_warming_up_goes_too(self) -> None:
        session = self.worker()
        await session.stopService()
        self.assertEqual(self.record.log, [])
