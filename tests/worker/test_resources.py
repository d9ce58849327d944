"""What a worker says of its machine."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from dpip.link import worker_messages as wire
from dpip.model import GpuLoad
from dpip.worker import resources
from dpip.worker.resources import Gpus, Sampler


class Nvml(ModuleType):
    """Stands in for ``pynvml``, which few machines that run tests have."""

    class NVMLError(Exception):
        pass

    def __init__(self, broken: str = "") -> None:
        super().__init__("pynvml")
        self.broken = broken

    def _try(self, name: str) -> None:
        if name in self.broken:
            raise self.NVMLError(f"{name} does not work")

    def nvmlInit(self) -> None:
        self._try("init")

    def nvmlDeviceGetCount(self) -> int:
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetName(self, handle: int) -> bytes:
        self._try(f"gpu{handle}")
        return b"Testla"

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Any:
        return SimpleNamespace(total=2**34, used=2**30 + handle)

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> Any:
        return SimpleNamespace(gpu=40 + handle)


class GpuTests(SynchronousTestCase):
    def gpus(self, module: Any) -> Gpus:
        self.patch(sys, "modules", {**sys.modules, "pynvml": module})
        gpus = Gpus()
        gpus.open()
        return gpus

    def test_without_the_package_there_are_none(self) -> None:
        gpus = self.gpus(None)
        self.assertFalse(gpus)
        self.assertEqual(gpus.loads(), ())

    def test_without_a_driver_there_are_none(self) -> None:
        gpus = self.gpus(Nvml("init"))
        self.assertFalse(gpus)
        self.assertEqual(gpus.loads(), ())

    def test_each_is_told(self) -> None:
        gpus = self.gpus(Nvml())
        self.assertTrue(gpus)
        expected = [GpuLoad("Testla", 40.0 + n, 2**34, 2**30 + n) for n in range(2)]
        self.assertEqual(gpus.loads(), tuple(expected))

    def test_one_that_has_fallen_off_the_bus_is_left_out(self) -> None:
        self.assertEqual([load.load_percent for load in self.gpus(Nvml("gpu0")).loads()], [41.0])


class SamplerTests(SynchronousTestCase):
    def sampler(self) -> Sampler:
        return Sampler(Gpus(), lambda: 12345)

    def test_a_load_is_credible_and_travels(self) -> None:
        load = self.sampler().sample([], [3, 4])
        self.assertTrue(0 <= load.cpu_percent <= 100)
        self.assertGreater(load.memory_total, load.memory_available)
        self.assertGreater(load.own_memory, 10**7)
        self.assertEqual((load.running, load.disk_free), ((3, 4), 12345))
        report = wire.Report(load)
        self.assertEqual(wire.decode(wire.encode(report), wire.Report), report)

    def test_disks_beyond_belief_are_cut_down(self) -> None:
        load = Sampler(Gpus(), lambda: 2**63).sample([], [])
        wire.Report(load)
        self.assertEqual(load.disk_free, 2**60)

    def test_children_count_and_dead_ones_do_not(self) -> None:
        sampler = self.sampler()
        waiting = "print('started', flush=True); input()"
        command = [sys.executable, "-c", waiting]
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert child.stdout is not None
        child.stdout.readline()  # before, it has no memory of its own yet
        alone = sampler.sample([], []).own_memory
        together = sampler.sample([child.pid], []).own_memory
        child.communicate(b"\n")
        after = sampler.sample([child.pid], []).own_memory
        self.assertGreater(together, alone + 2**20)
        self.assertLess(after, together)

    def test_its_own_busy_time_shows(self) -> None:
        sampler = self.sampler()
        sampler.sample([], [])
        spent = os.times().user + 0.2
        while os.times().user < spent:
            pass
        self.assertGreater(sampler.sample([], []).own_cpu_percent, 10)


class ContainerTests(SynchronousTestCase):
    """A container's limit counts, where it is below the machine's memory."""

    def memory(self, **files: str) -> tuple[int, int]:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        for name, text in files.items():
            (Path(temporary.name) / name.replace("_", ".")).write_text(text)
        self.patch(resources, "_CGROUP", Path(temporary.name))
        return resources.memory()

    def test_without_a_limit(self) -> None:
        machine = resources.psutil.virtual_memory().total
        self.assertEqual(self.memory()[0], machine)
        self.assertEqual(self.memory(memory_max="max\n")[0], machine)
        self.assertEqual(self.memory(memory_max=str(2**62))[0], machine)

    def test_with_a_limit(self) -> None:
        files = {"memory_max": str(2**20), "memory_current": str(2**19)}
        self.assertEqual(self.memory(**files), (2**20, 2**19))
        cached = f"anon 5\ninactive_file {2**18}\n"
        self.assertEqual(self.memory(**files, memory_stat=cached), (2**20, 2**19 + 2**18))

    def test_used_up(self) -> None:
        self.assertEqual(self.memory(memory_max="1000", memory_current="2000"), (1000, 0))


class MachineTests(SynchronousTestCase):
    def test_the_machine_is_always_the_same_and_says_nothing_of_itself(self) -> None:
        self.assertEqual(resources.machine(), resources.machine())
        self.patch(resources, "_BOOT_ID", Path("/nonexistent"))
        self.assertEqual(len(resources.machine()), 32)
        self.assertEqual(resources.machine(), resources.machine())

    def test_cores_are_those_that_a_container_may_use(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.patch(resources, "_CGROUP", Path(temporary.name))
        self.patch(os, "sched_getaffinity", lambda pid: set(range(8)))
        for limit, expected in (
            ("max 100000", 8),
            ("150000 100000", 2),
            ("1000 100000", 1),
            ("9900000 100000", 8),
        ):
            (Path(temporary.name) / "cpu.max").write_text(limit)
            self.assertEqual(resources.cores(), expected, limit)
        (Path(temporary.name) / "cpu.max").unlink()
        self.assertEqual(resources.cores(), 8)
