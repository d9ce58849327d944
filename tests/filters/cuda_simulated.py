"""Twins on numba-cuda's simulated GPU.

``test_cuda`` runs this in a process of its own: Numba takes a GPU or a simulated one when it is imported. The
simulator runs a kernel's threads as Python, so the pictures are tiny.
"""

from __future__ import annotations

from itertools import cycle
from typing import Any

import attrs
import numpy as np
from twisted.trial.unittest import SynchronousTestCase

from dpip.filters import apply, process, registry
from dpip.filters.cuda import blur, choice, driver, grayscale, kernels
from dpip.filters.cuda.twin import Trial
from dpip.filters.schema import Pixels
from tests.filters.pictures import gaussian, natural, noise, opened, saved

SHAPES = ((1, 1, 1), (1, 1, 3), (5, 7, 1), (7, 5, 3), (1, 40, 3), (33, 2, 3))


#: A small and a large picture on the CPU, then on the GPU, which is the faster one.
SECONDS = (1.0, 1e6, 0.0, 1.0)


class Simulated(SynchronousTestCase):
    def setUp(self) -> None:
        self.patch(kernels, "THREADS", 2)
        self.patch(kernels, "MOST_BLOCKS", 2)

    def same(self, name: str, twin: Any, picture: Pixels, **params: Any) -> None:
        before = picture.copy()
        got, wanted = twin(picture, **params), apply(name, picture, **params)
        self.assertEqual((got.dtype, got.shape), (wanted.dtype, wanted.shape))
        np.testing.assert_array_equal(got, wanted, f"{name} {params} {picture.shape} {picture.dtype}")
        np.testing.assert_array_equal(picture, before)


class Grayscale(Simulated):
    def test_every_shape_and_depth(self) -> None:
        for dtype in ("uint8", "uint16"):
            for channels in (2, 3, 4):
                for size in ((1, 1), (3, 11)):
                    self.same("grayscale", grayscale.grayscale, Trial(channels, dtype).picture(*size))
        self.same("grayscale", grayscale.grayscale, natural(4, 5)[..., 0].copy())


class Blur(Simulated):
    def test_bytes_at_every_number_of_octaves(self) -> None:
        for sigma in (0.3, 2, 4.7, 9, 19):
            for shape in SHAPES:
                self.same("blur", blur.blur, noise(*shape), sigma=sigma)

    def test_sixteen_bits(self) -> None:
        for channels in (1, 3):
            picture = Trial(channels, "uint16").picture(6, 9)
            self.same("blur", blur.blur, picture[..., 0].copy() if channels == 1 else picture, sigma=1.3)

    def test_colours_weighted_by_alpha(self) -> None:
        for channels in (2, 4):
            for dtype in ("uint8", "uint16"):
                picture = Trial(channels, dtype).picture(6, 9)
                picture[:3, :, -1] = 0
                self.same("blur", blur.blur, picture, sigma=1)
                picture[..., -1] = np.iinfo(picture.dtype).max
                self.same("blur", blur.blur, picture, sigma=2)

    def test_it_is_the_gaussian(self) -> None:
        picture = natural(9, 14)
        for sigma in (1.5, 5):
            self.assertLessEqual(
                np.abs(blur.blur(picture, sigma=sigma) - gaussian(picture, sigma)).max(), 0.8
            )


class Start(Simulated):
    """With a simulated GPU in the place of a real one."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(driver, "present", lambda: True)
        self.patch(choice, "CHECKED", (5, 6))
        self.patch(choice, "TIMED", ((1, 2), (2, 3)))
        self.patch(choice, "_used", {})
        self.said: list[str] = []
        self.clock = cycle(tick for seconds in SECONDS for tick in (0.0, seconds) * 3).__next__

    def test_files_come_out_the_same(self) -> None:
        files = [saved(natural(6, 8), "PNG"), saved(Trial(4, "uint8").picture(5, 6), "PNG")]
        steps = [("grayscale", {}), ("blur", {"sigma": 2.0})]
        on_cpu = [process(data, *step).data for data in files for step in steps]
        self.assertTrue(choice.start(self.said.append, self.clock))
        self.assertEqual(self.said, ["The GPU helps with: grayscale, blur."])
        self.assertTrue(choice.backend().startswith("numba-cuda-"))
        ran: list[str] = []
        for name, used in choice._used.items():
            twin = attrs.evolve(used.twin, function=self.counted(ran, name, used.twin.function))
            choice._used[name] = attrs.evolve(used, twin=twin)
        self.assertEqual([process(data, *step).data for data in files for step in steps], on_cpu)
        self.assertEqual(ran, ["grayscale", "blur"] * 2)
        self.assertEqual(opened(on_cpu[0]).mode, "L")

    def counted(self, ran: list[str], name: str, function: Any) -> Any:
        def call(*arguments: Any, **params: Any) -> Any:
            ran.append(name)
            return function(*arguments, **params)

        return call

    def test_a_full_gpu_is_left_alone(self) -> None:
        self.patch(choice, "ROOM", float("inf"))
        self.patch(kernels.cuda, "close", lambda: self.said.append("closed"))
        info = type("Info", (), {"free": 5 << 20})
        context = type("Context", (), {"get_memory_info": lambda self: info})
        self.patch(kernels.cuda, "current_context", context)
        self.assertFalse(choice.start(self.said.append, self.clock))
        self.assertEqual(self.said[0], "closed")
        self.assertIn("only 5 MiB", self.said[1])

    def test_every_trial_has_valid_parameters(self) -> None:
        for found in (registry.find("blur"), registry.find("grayscale")):
            twin = {"blur": blur, "grayscale": grayscale}[found.name].TWIN
            for kind, trials in twin.trials.items():
                for trial in trials:
                    self.assertEqual(found.validate(trial.params), dict(trial.params))
                    self.assertEqual(twin.kind(trial.picture(9, 9)), kind)
