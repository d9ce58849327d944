"""Which worker a job goes to."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve
from twisted.trial.unittest import TestCase

from dpip.model import GpuLoad, Step
from dpip.scheduler import events as e
from dpip.scheduler.limits import SchedulerLimits
from dpip.scheduler.state import State
from tests.scheduler.fakes import GIB, MIB, info, load, waiting, workload
from tests.scheduler.world import World

SMALL = 100_000


class PolicyTestCase(TestCase):
    def setUp(self) -> None:
        self.world = World(wants_gpu=self.wants_gpu)
        self.number = 0

    def wants_gpu(self, steps: Sequence[Step]) -> bool:
        return any(name == "gpu-blur" for name, _ in steps)

    def join(self, name: str, available: int = 16 * GIB, cpu: float = 0.0, **facts: object) -> None:
        self.world.join(name, info(name, **facts), load(available, cpu=cpu))  # type: ignore[arg-type]

    def add(self, jobs: int = 1, pixels: int = SMALL, **facts: object) -> None:
        first = self.number + 1
        self.number += jobs
        made = workload(f"w{first}", **facts)  # type: ignore[arg-type]
        self.world.add(made, [waiting(first + i, pixels) for i in range(jobs)])
        self.world.settle()

    def counts(self) -> dict[str, int]:
        return {session: len(jobs) for session, jobs in self.world.sent.items()}

    def finish_all(self, seconds: dict[str, float]) -> None:
        for session, jobs in self.world.sent.items():
            for job in list(jobs.values()):
                self.world.finish(session, job.lease, seconds[session])
        self.world.settle()


class PlacementTests(PolicyTestCase):
    def test_idle_slots_come_before_prefetching(self) -> None:
        self.join("a", slots=2, capacity=8)
        self.join("b", slots=2, capacity=8)
        self.join("c", slots=4, capacity=8)
        self.add(8)
        self.assertEqual(self.counts(), {"a": 2, "b": 2, "c": 4})

    def test_a_worker_whose_slots_become_more_or_fewer_gets_as_many_jobs(self) -> None:
        self.join("a", slots=1, capacity=100)
        self.add(100)
        self.assertEqual(self.counts(), {"a": 2})
        for slots, jobs in ((8, 9), (2, 9)):
            self.world.tell(e.WorkerReported("a", evolve(load(), slots=slots)))
            self.world.settle()
            self.assertEqual(self.counts(), {"a": jobs})
        (kind,) = {worker.kind for worker in self.world.state._roster.workers.values()}
        self.assertEqual(kind.slots, 2)
        self.finish_all({"a": 5.0})
        self.assertEqual(self.counts(), {"a": 3})

    def test_capacity_is_never_exceeded(self) -> None:
        self.join("a", slots=2, capacity=3)
        self.join("b", slots=2, capacity=2)
        self.add(100)
        self.assertEqual(self.counts(), {"a": 3, "b": 2})

    def test_jobs_are_spread(self) -> None:
        for name in "abcd":
            self.join(name, slots=4)
        self.add(8)
        self.assertEqual(set(self.counts().values()), {2})

    def test_ties_go_to_the_first_that_joined(self) -> None:
        self.join("b")
        self.join("a")
        self.add(1)
        self.assertEqual(self.counts(), {"b": 1, "a": 0})

    def test_a_machine_busy_with_other_things_comes_last(self) -> None:
        self.join("busy", cpu=80.0)
        self.join("idle")
        self.add(2)
        self.assertEqual(self.counts(), {"busy": 0, "idle": 2})

    def test_a_machine_busy_with_our_jobs_does_not_look_busy(self) -> None:
        self.join("ours", slots=4)
        self.world.tell(e.WorkerReported("ours", load(cpu=100.0, own_cpu=400.0)))
        self.join("other", slots=4, cpu=10.0)
        self.add(1)
        self.assertEqual(self.counts(), {"ours": 1, "other": 0})

    def test_nothing_before_the_first_report(self) -> None:
        self.world.join("silent", info("silent"), None)
        self.add(1)
        self.assertEqual(self.counts(), {"silent": 0})
        self.world.tell(e.WorkerReported("silent", load()))
        self.world.settle()
        self.assertEqual(self.counts(), {"silent": 1})

    def test_prefetch_is_bounded_by_time(self) -> None:
        """Half a second of work ahead, and one job at least."""
        self.join("slow", slots=1, capacity=100)
        self.join("fast", slots=1, capacity=100)
        self.add(2000)
        for _ in range(60):
            self.finish_all({"slow": 3.0, "fast": 0.05})
        self.assertEqual(self.counts(), {"slow": 2, "fast": 11})

    def test_a_full_worker_is_refilled_several_jobs_at_a_time(self) -> None:
        self.join("a", slots=1, capacity=17)
        self.add(2000)
        for _ in range(20):
            self.finish_all({"a": 0.01})
        held = []
        for _ in range(5):
            held.append(self.counts()["a"])
            job = next(iter(self.world.sent["a"].values()))
            self.world.finish("a", job.lease, 0.01)
            self.world.settle()
        self.assertEqual(held, [17, 16, 15, 14, 17])

    def test_the_fewer_jobs_are_left_the_fewer_wait_with_a_worker(self) -> None:
        """What waits here can still go to whoever turns out to be the fastest."""
        self.join("a", slots=1, capacity=17)
        self.join("b", slots=1, capacity=17)
        self.add(500)
        while any(self.counts().values()):
            self.finish_all({"a": 0.01, "b": 0.01})
        self.add(12)
        self.finish_all({"a": 0.01, "b": 0.01})
        done = [sum(self.counts().values())]
        while done[-1]:
            self.finish_all({"a": 0.01, "b": 0.01})
            done.append(sum(self.counts().values()))
        self.assertEqual(done, [5, 3, 0])


class AbilityTests(PolicyTestCase):
    def test_only_workers_with_the_filter(self) -> None:
        self.join("plain", filters=("blur",))
        self.join("rich", filters=("blur", "rare"))
        self.add(2, filters=("rare", "blur"))
        self.assertEqual(self.counts(), {"plain": 0, "rich": 2})

    def test_only_workers_with_all_the_tags(self) -> None:
        self.join("one", tags=("fast",))
        self.join("both", tags=("fast", "trusted"))
        self.add(2, tags=("trusted", "fast"))
        self.assertEqual(self.counts(), {"one": 0, "both": 2})

    def test_a_tag_asked_for_only_now(self) -> None:
        """The two workers were of one kind until somebody cared."""
        self.join("a")
        self.join("b", tags=("fast",))
        self.add(4)
        self.assertEqual(self.counts(), {"a": 2, "b": 2})
        self.add(1, tags=("fast",))
        self.assertEqual(self.counts(), {"a": 2, "b": 3})
        self.add(1)
        self.assertEqual(self.counts(), {"a": 3, "b": 3})

    def test_a_tag_nobody_asks_for_any_more(self) -> None:
        self.join("a", tags=("fast",))
        self.add(1, tags=("fast",))
        self.world.delete("w1")
        self.add(2, tags=("fast",))
        self.assertEqual(self.world.jobs("a"), [2, 3])

    def test_jobs_wait_for_a_worker_that_can(self) -> None:
        self.join("plain")
        self.add(2, filters=("rare",))
        self.add(1)
        self.assertEqual(self.world.jobs("plain"), [3])
        self.join("rich", filters=("rare",))
        self.world.settle()
        self.assertEqual(self.world.jobs("rich"), [1, 2])

    def test_a_gpu_is_preferred_where_it_helps(self) -> None:
        self.join("cpu", filters=("blur", "gpu-blur"))
        self.join("gpu", filters=("blur", "gpu-blur"), gpu=True)
        self.add(2, filters=("gpu-blur",))
        self.assertEqual(self.counts(), {"cpu": 0, "gpu": 2})

    def test_a_gpu_is_not_insisted_on(self) -> None:
        self.join("cpu", filters=("blur", "gpu-blur"), slots=2)
        self.join("gpu", filters=("blur", "gpu-blur"), gpu=True, slots=2)
        self.add(4, filters=("gpu-blur",))
        self.assertEqual(self.counts(), {"cpu": 2, "gpu": 2})

    def test_a_gpu_is_left_free_for_those_it_helps(self) -> None:
        self.join("gpu", gpu=True)
        self.join("cpu")
        self.add(1)
        self.assertEqual(self.counts(), {"gpu": 0, "cpu": 1})

    def test_each_gets_what_it_is_good_at(self) -> None:
        """Whoever's turn it is: the GPU's jobs do not block the others, nor fill their workers."""
        self.join("cpu", filters=("blur", "gpu-blur"), slots=4, capacity=4)
        self.world.add(workload("for gpu", "ann", filters=("gpu-blur",)), [waiting(n) for n in range(1, 10)])
        self.world.add(workload("plain", "bob"), [waiting(n) for n in range(11, 20)])
        self.join("gpu", filters=("blur", "gpu-blur"), slots=2, capacity=2, gpu=True)
        self.world.settle()
        self.assertEqual((self.world.jobs("gpu"), self.world.jobs("cpu")), ([1, 2], [11, 12, 13, 14]))

    def test_the_idle_gpu_of_two(self) -> None:
        for name, percent in (("busy", 90.0), ("idle", 0.0)):
            self.world.join(name, info(name, filters=("gpu-blur",), gpu=True), None)
            gpu = GpuLoad("GPU", percent, 8 * GIB, 0)
            self.world.tell(e.WorkerReported(name, _with_gpu(gpu)))
        self.add(1, filters=("gpu-blur",))
        self.assertEqual(self.counts(), {"busy": 0, "idle": 1})


class MemoryTests(PolicyTestCase):
    def test_no_more_than_fits(self) -> None:
        self.join("a", available=250 * MIB, slots=8, capacity=8)
        self.add(8, pixels=100 * MIB // 15)  # 100 MiB each
        self.assertEqual(self.counts(), {"a": 2})

    def test_workers_of_one_machine_share_it(self) -> None:
        for name in "ab":
            self.join(name, machine="m", available=250 * MIB, slots=8, capacity=8)
        self.add(8, pixels=100 * MIB // 15)
        self.assertEqual(sum(self.counts().values()), 2)

    def test_a_large_job_goes_where_there_is_room(self) -> None:
        self.join("small", available=64 * MIB)
        self.join("large", available=2 * GIB)
        self.add(1, pixels=100 * MIB // 15)
        self.assertEqual(self.counts(), {"small": 0, "large": 1})

    def test_small_jobs_pass_a_large_one_that_waits_for_memory(self) -> None:
        self.join("a", available=150 * MIB, slots=8, capacity=8)
        self.add(2, pixels=100 * MIB // 15)
        self.add(3, pixels=SMALL)
        self.assertEqual(sorted(self.world.jobs("a")), [1, 3, 4, 5])

    def test_small_jobs_of_the_same_workload_pass_too(self) -> None:
        self.join("a", available=150 * MIB, slots=8, capacity=8)
        jobs = [waiting(n, 100 * MIB // 15 if n < 3 else SMALL) for n in range(1, 6)]
        self.world.add(workload(), jobs)
        self.world.settle()
        self.assertEqual(sorted(self.world.jobs("a")), [1, 3, 4, 5])

    def test_memory_is_free_again_when_a_job_ends(self) -> None:
        self.join("a", available=150 * MIB, slots=8, capacity=8)
        self.add(2, pixels=100 * MIB // 15)
        self.finish_all({"a": 1.0})
        self.assertEqual(self.world.jobs("a"), [2])

    def test_memory_freed_by_one_worker_serves_the_other_of_its_machine(self) -> None:
        self.join("a", machine="m", available=150 * MIB, filters=("blur",))
        self.join("b", machine="m", available=150 * MIB, filters=("rare",))
        self.add(1, pixels=100 * MIB // 15)
        self.add(1, pixels=100 * MIB // 15, filters=("rare",))
        self.assertEqual(self.counts(), {"a": 1, "b": 0})
        self.world.finish("a", self.world.sent["a"][1].lease)
        self.world.settle()
        self.assertEqual(self.counts(), {"a": 0, "b": 1})

    def test_a_report_of_more_memory_is_used(self) -> None:
        self.join("a", available=50 * MIB)
        self.add(1, pixels=100 * MIB // 15)
        self.assertEqual(self.counts(), {"a": 0})
        self.world.tell(e.WorkerReported("a", load(120 * MIB)))
        self.world.settle()
        self.assertEqual(self.counts(), {"a": 1})

    def test_a_large_job_met_while_all_were_busy(self) -> None:
        self.join("a", available=150 * MIB, slots=1, capacity=1)
        self.add(1)
        self.add(1, pixels=100 * MIB // 15)
        self.finish_all({"a": 1.0})
        self.assertEqual(self.world.jobs("a"), [2])


class WhyTests(PolicyTestCase):
    def why(self, number: int) -> list[tuple[int, str]]:
        """Of the waiting jobs."""
        reasons = self.world.state.why(f"w{number}")
        return [(reason.jobs, reason.sentence) for reason in reasons if reason.worker is None]

    def test_no_worker_can(self) -> None:
        self.add(3, filters=("rare",))
        self.assertEqual(self.why(1), [(3, "No worker has joined")])
        self.join("plain")
        self.world.settle()
        self.assertEqual(self.why(1), [(3, "no joined worker has its filters and tags")])

    def test_all_are_busy(self) -> None:
        self.join("a", slots=1, capacity=1)
        self.add(3)
        self.assertEqual(self.why(1), [(2, "all workers that can do it are busy")])

    def test_too_little_memory(self) -> None:
        self.join("a", available=50 * MIB)
        self.world.add(workload("w1"), [waiting(1, 100 * MIB // 15), waiting(2)])
        self.world.settle()
        self.assertEqual(self.why(1), [(1, "no worker that can do it has enough free memory at present")])

    def test_where_a_job_went(self) -> None:
        self.join("a", slots=1, capacity=2)
        self.add(3)
        first, second, rest = self.world.state.why("w1")
        self.assertEqual(
            [(one.jobs, one.seq, one.worker) for one in (first, second)], [(1, 1, "a"), (1, 2, "a")]
        )
        self.assertIn("a free slot (it had 0 jobs on 1)", first.sentence)
        self.assertIn("ahead of its turn, after 1 job;", second.sentence)
        self.assertEqual((rest.jobs, rest.worker), (1, None))

    def test_nothing_waits(self) -> None:
        self.join("a")
        self.add(1)
        self.assertEqual((self.why(1), self.why(99)), ([], []))


class LostFilterTests(PolicyTestCase):
    def wants_gpu(self, steps: Sequence[Step]) -> bool:
        raise LookupError

    def test_a_filter_the_controller_has_lost(self) -> None:
        """Other workloads are not harmed."""
        self.world.state = State(self.wants_gpu, SchedulerLimits())
        self.join("a", filters=("lost", "blur"), slots=8, capacity=8, available=250 * MIB)
        self.add(4, pixels=100 * MIB // 15, filters=("lost",))
        self.assertEqual(self.counts(), {"a": 2})
        self.add(1)
        self.assertEqual(self.counts(), {"a": 3})


class TailTests(PolicyTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.join("slow", slots=1, capacity=1)
        self.join("fast", slots=1, capacity=1)
        self.add(40)
        for _ in range(20):
            self.finish_all({"slow": 8.0, "fast": 1.0})

    def test_the_last_job_waits_for_the_fast_worker(self) -> None:
        self.add(2)
        self.assertEqual(self.counts(), {"slow": 0, "fast": 1})
        self.finish_all({"fast": 1.0})
        self.assertEqual(self.counts(), {"slow": 0, "fast": 1})

    def test_far_from_the_tail_everyone_works(self) -> None:
        self.add(30)
        self.assertEqual(self.counts(), {"slow": 1, "fast": 1})

    def test_nobody_waits_for_a_fast_worker_that_is_gone(self) -> None:
        self.add(2)
        self.world.lose("fast")
        self.world.settle()
        self.assertEqual(self.counts(), {"slow": 1})

    def test_nobody_waits_for_a_fast_worker_that_leaves(self) -> None:
        self.add(2)
        self.world.tell(e.WorkerLeaving("fast"))
        self.finish_all({"fast": 1.0})
        self.assertEqual(self.counts(), {"slow": 1, "fast": 0})

    def test_the_last_job_queues_at_the_gpu_rather_than_at_an_idle_slow_worker(self) -> None:
        self.join("slow cpu", filters=("gpu-blur",), slots=1, capacity=1)
        self.join("gpu", filters=("gpu-blur",), gpu=True, slots=1, capacity=4)
        self.add(40, filters=("gpu-blur",))
        while any(self.counts().values()):
            self.finish_all({"slow cpu": 8.0, "gpu": 0.1, "slow": 1.0, "fast": 1.0})
        self.add(2, filters=("gpu-blur",))
        self.assertEqual(self.counts(), {"slow": 0, "fast": 0, "slow cpu": 0, "gpu": 2})

    def test_the_last_jobs_are_not_passed_over_where_others_queue(self) -> None:
        """Its workers have plain jobs waiting, and more plain jobs wait for the same places."""
        for name in "ab":
            self.join(name, tags=("special",), slots=1, capacity=4)
        self.add(60, tags=("special",))
        while any(self.counts().values()):
            self.world.now += 0.1
            self.finish_all({"a": 0.1, "b": 0.1, "slow": 8.0, "fast": 8.0})
        self.add(50, owner="ann")
        self.add(1, owner="bob", tags=("special",))
        last = self.number
        self.assertEqual((self.counts()["a"], self.counts()["b"]), (2, 2))
        self.world.now += 0.1
        self.world.finish("a", next(iter(self.world.sent["a"].values())).lease, 0.1)
        self.world.settle()
        self.assertIn(last, self.world.jobs("a"))


def _with_gpu(gpu: GpuLoad) -> object:
    plain = load()
    return type(plain)(plain.cpu_percent, plain.memory_total, plain.memory_available, gpus=(gpu,))
