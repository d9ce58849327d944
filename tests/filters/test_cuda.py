"""When a filter runs on a GPU, and that it makes no difference but time."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import attrs
import numpy as np
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from dpip.filters import apply, engine, registry, warmup
from dpip.filters.cuda import choice, driver
from dpip.filters.cuda.choice import Cost
from dpip.filters.cuda.twin import Trial, Twin
from dpip.filters.schema import Filter, Parameter, Pixels
from dpip.link import worker_messages as wire
from dpip.worker import child_main
from dpip.worker.child_main import Filters
from dpip.worker.session import WorkerSession

ROOT = Path(__file__).parents[2]


def python(*arguments: str, **environment: str) -> str:
    """What it printed; fails where it did."""
    done = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        cwd=ROOT,
    )
    if done.returncode:
        raise AssertionError(done.stdout)
    return done.stdout


class WithoutGpu(TestCase):
    def test_nothing_of_cuda_is_imported(self) -> None:
        program = (
            "import sys; from dpip.filters import engine; from dpip.filters.cuda import choice;"
            "engine.registry.describe();"
            "print(choice.start(print, None), repr(choice.backend()), 'numba.cuda' in sys.modules)"
        )
        self.assertEqual(python("-c", program, CUDA_VISIBLE_DEVICES="").strip(), "False '' False")

    def test_a_simulated_gpu_is_none(self) -> None:
        self.patch(os, "environ", {**os.environ, "NUMBA_ENABLE_CUDASIM": "1"})
        self.assertFalse(driver.present())

    def test_who_has_a_twin_uses_the_gpu(self) -> None:
        uses = {facts["name"] for facts in registry.describe() if facts["uses_gpu"]}
        self.assertEqual(uses, {"grayscale", "blur"})
        self.assertTrue(attrs.evolve(registry.find("invert"), uses_gpu=True).uses_gpu)


class Telling(SynchronousTestCase):
    """What a worker says of its GPU is what its compute child found."""

    def ready(self, gpu: bool) -> Mapping[str, Any]:
        self.patch(warmup, "warm_up", lambda say: None)
        self.patch(choice, "start", lambda say, clock: gpu)
        self.patch(choice, "backend", lambda: "numba-cuda-9" if gpu else "")
        self.patch(child_main, "send", lambda message: None)
        return Filters().warm_up()

    def hello(self, ready: Mapping[str, Any]) -> wire.WorkerHello:
        needed = [each for each in attrs.fields(WorkerSession) if each.init and each.default is attrs.NOTHING]
        facts: dict[str, Any] = {each.name: None for each in needed}
        facts |= {
            "connector": SimpleNamespace(clock=Clock()),
            "engine": SimpleNamespace(slots=1, most_slots=1),
        }
        return WorkerSession(**{**facts, "worker_name": "w", "machine": "m", "tags": ()}).hello(ready)

    def test_with_one_and_without(self) -> None:
        without, with_one = self.hello(self.ready(False)), self.hello(self.ready(True))
        self.assertEqual((without.has_gpu, with_one.has_gpu), (False, True))
        self.assertEqual(without.fingerprint, engine.fingerprint())
        self.assertEqual(with_one.fingerprint, engine.fingerprint() + " numba-cuda-9")


class Simulator(TestCase):
    def test_twins_give_the_same_bytes(self) -> None:
        python("-m", "unittest", "tests.filters.cuda_simulated", NUMBA_ENABLE_CUDASIM="1")

    if find_spec("numba_cuda") is None:
        test_twins_give_the_same_bytes.skip = "numba-cuda is not installed"  # type: ignore[attr-defined]


class Driver:
    """Stands in for the driver's library."""

    def __init__(self, devices: int, failing: str = "") -> None:
        self.devices, self.failing = devices, failing

    def cuInit(self, flags: int) -> int:
        return 100 * (self.failing == "cuInit")

    def cuDeviceGetCount(self, count: Any) -> int:
        count._obj.value = self.devices
        return 100 * (self.failing == "cuDeviceGetCount")


class DriverTests(SynchronousTestCase):
    def present(self, load: Callable[[str], Any]) -> bool:
        self.patch(driver.ctypes, "CDLL", load)
        return driver.present()

    def test_only_a_device_that_answers_counts(self) -> None:
        def missing(name: str) -> Driver:
            raise OSError(name)

        self.assertFalse(self.present(missing))
        self.assertFalse(self.present(lambda name: Driver(0)))
        self.assertFalse(self.present(lambda name: Driver(1, "cuInit")))
        self.assertFalse(self.present(lambda name: Driver(1, "cuDeviceGetCount")))
        self.assertTrue(self.present(lambda name: Driver(1)))


def plus_one(array: Pixels, *, by: int = 1) -> Pixels:
    return array + np.uint8(by)


def out_of_memory(array: Pixels, **params: Any) -> Pixels:
    raise RuntimeError("[2] Call to cuMemAlloc results in CUDA_ERROR_OUT_OF_MEMORY")


class Choosing(SynchronousTestCase):
    """A filter that adds one, and twins that do, or do not."""

    def setUp(self) -> None:
        self.said: list[str] = []
        self.ran: list[str] = []
        self.patch(choice, "_used", {})
        self.patch(choice, "_make_room", lambda: None)
        self.patch(driver, "present", lambda: True)
        self.patch(driver, "installed", lambda: True)
        self.patch(choice, "TIMED", ((10, 10), (100, 100)))

    def start(self, function: Callable[..., Pixels], times: Sequence[float] = (10, 500, 50, 100)) -> bool:
        """``times`` of a small and a large picture on the CPU, then on the GPU."""
        step = Parameter("by", "integer", 1, "How much.", 0, 9)
        found = Filter(
            name="fake", summary="", function=plus_one, parameters=(step,), cuda="twin", takes_threads=False
        )
        module: Any = ModuleType("twin")
        trials = {"uint8": (Trial(1, "uint8", {"by": 2}), Trial(3, "uint8", {"by": 3}))}
        module.TWIN = Twin(function=function, trials=trials, kind=lambda array: str(array.dtype))
        self.patch(sys, "modules", {**sys.modules, "twin": module})
        self.patch(registry, "_BUILT_IN", {"fake": "fake", "invert": "dpip.filters.builtin.invert"})
        self.patch(registry, "_built_in", {"fake": found, "invert": registry.find("invert")}.__getitem__)
        ticks = iter([tick for seconds in times for tick in (0.0, seconds) * 3])
        return choice.start(self.said.append, lambda: next(ticks))

    def on_gpu(self, array: Pixels, *, by: int) -> Pixels:
        self.ran.append("gpu")
        return plus_one(array, by=by)

    def gpu_takes(self, array: Pixels, threads: int = 1) -> bool:
        self.ran.clear()
        np.testing.assert_array_equal(apply("fake", array, threads=threads), plus_one(array))
        return bool(self.ran)

    def test_the_faster_one_is_taken(self) -> None:
        self.assertTrue(self.start(self.on_gpu))
        self.assertEqual(self.said, ["The GPU helps with: fake."])
        small, large = np.zeros((20, 25), np.uint8), np.zeros((90, 100), np.uint8)
        self.assertFalse(self.gpu_takes(small))
        self.assertTrue(self.gpu_takes(large))
        self.assertFalse(self.gpu_takes(large, threads=8))
        self.assertFalse(self.gpu_takes(large.astype(np.uint16)))  # a kind that was never tried

    def test_times_make_a_line(self) -> None:
        self.start(self.on_gpu)
        (cpu, gpu), *_ = choice._used["fake"].costs.values()
        self.assertAlmostEqual(cpu.seconds(100), 10)
        self.assertAlmostEqual(gpu.seconds(10_000), 100)
        self.assertEqual(Cost(2.0, 0.5).seconds(10), 7.0)

    def test_one_that_never_pays_is_not_used(self) -> None:
        self.assertFalse(self.start(self.on_gpu, (10, 100, 10, 500)))
        self.assertEqual(self.said, ["The GPU helps with: nothing, the CPU is as fast."])
        self.assertEqual(choice.backend(), "")

    def test_one_that_differs_is_not_used(self) -> None:
        wrong = [3]  # right for the first trial, not for the second

        def off(array: Pixels, *, by: int) -> Pixels:
            return plus_one(array, by=by + (by in wrong))

        self.assertFalse(self.start(off))
        self.assertIn(
            "The GPU is not used for fake: it differs from the CPU on Trial(channels=3", self.said[0]
        )

    def test_one_that_does_not_run_is_not_used(self) -> None:
        self.assertFalse(self.start(out_of_memory))
        self.assertEqual(len(self.said), 1)
        self.assertIn("The GPU is not used: RuntimeError: [2] Call to cuMemAlloc", self.said[0])

    def test_without_numba_cuda_that_is_said(self) -> None:
        self.patch(driver, "installed", lambda: False)
        self.assertFalse(self.start(self.on_gpu))
        self.assertIn("numba-cuda is not installed", self.said[0])

    def test_a_gpu_that_fails_costs_no_picture(self) -> None:
        failing: list[bool] = []

        def fragile(array: Pixels, *, by: int) -> Pixels:
            return out_of_memory(array) if failing else self.on_gpu(array, by=by)

        self.start(fragile)
        large = np.zeros((90, 100), np.uint8)
        self.assertTrue(self.gpu_takes(large))
        failing.append(True)
        with self.assertLogs(choice.__name__, logging.WARNING) as logs:
            self.assertFalse(self.gpu_takes(large))
            failing.clear()
            self.assertFalse(self.gpu_takes(large))  # once and for all
        self.assertEqual(len(logs.output), 1)
        self.assertIn("CUDA_ERROR_OUT_OF_MEMORY", logs.output[0])
