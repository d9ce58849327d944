"""The vector operations against their plain twins, and what happens where they fail."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit
from twisted.trial.unittest import TestCase

import dpip
from dpip.filters import apply
from dpip.filters.kernels import compile, plain, vector
from tests.filters.pictures import natural, noise

ROOT = Path(dpip.__file__).parents[1]


def both(operation: str, arguments: int) -> tuple[Any, Any]:
    """Kernels that only call the operation, in its vector and in its plain form."""
    names = ", ".join("abcdef"[:arguments])
    made = []
    for module in (vector, plain):
        scope = {"operation": getattr(module, operation)}
        exec(f"def call({names}):\n    operation({names})", scope)
        made.append(njit(scope["call"]))
    return made[0], made[1]


PAIRS, LEAN = both("pairs", 6), both("lean", 5)
SPLITS = {1: both("split1", 5), 3: both("split3", 5)}
SPREADS = {1: both("spread1", 4), 3: both("spread3", 4)}
KINDS = st.sampled_from((np.uint8, np.uint16))
SEEDS = st.integers(0, 2**32 - 1)


def samples(kind: type, seed: int, count: int = 400) -> Any:
    """Bytes, or 8.7 fixed point with all its extremes."""
    rng = np.random.default_rng(seed)
    top = 256 if kind is np.uint8 else 255 * 128 + 1
    drawn = rng.integers(0, top, count)
    drawn[rng.integers(0, count, 40)] = top - 1
    return drawn.astype(kind)


class Twins(TestCase):
    @settings(max_examples=60, deadline=None)
    @given(KINDS, KINDS, SEEDS, st.integers(1, 16))
    def test_pairs(self, source_kind: type, target_kind: type, seed: int, taps: int) -> None:
        rng = np.random.default_rng(seed)
        source = samples(source_kind, seed)
        offsets = rng.integers(0, 300, 2 * taps)
        cuts = np.sort(rng.integers(0, 65537, taps - 1))
        weights = np.minimum(np.diff(np.concatenate(([0], cuts, [65536]))), 65535).astype(np.uint16)
        results = []
        for call in PAIRS:
            target = np.zeros(100, target_kind)
            call(source, offsets, weights, 7, target, 5)
            results.append(target)
        np.testing.assert_array_equal(*results)
        self.assertFalse(results[0][:5].any() or results[0][5 + 64 :].any())

    @settings(max_examples=30, deadline=None)
    @given(SEEDS)
    def test_lean(self, seed: int) -> None:
        source = samples(np.uint16, seed)
        results = []
        for call in LEAN:
            target = np.zeros(100, np.uint16)
            call(source, 3, 200, target, 11)
            results.append(target)
        np.testing.assert_array_equal(*results)
        exact = (3.0 * source[3:67] + source[200:264]) / 4
        self.assertLessEqual(np.abs(results[0][11:75] - exact).max(), 0.75)

    @settings(max_examples=30, deadline=None)
    @given(SEEDS, st.sampled_from((1, 3)))
    def test_split(self, seed: int, channels: int) -> None:
        source = samples(np.uint16, seed)
        results = []
        for call in SPLITS[channels]:
            target = np.zeros(300, np.uint16)
            call(source, 9, target, 2, 150)
            results.append(target)
        np.testing.assert_array_equal(*results)
        count = {1: plain.BLOCK1, 3: plain.BLOCK3}[channels]
        pixels = source[9 : 9 + 2 * count].reshape(-1, channels)
        np.testing.assert_array_equal(results[0][2 : 2 + count], pixels[0::2].reshape(-1))
        np.testing.assert_array_equal(results[0][150 : 150 + count], pixels[1::2].reshape(-1))

    @settings(max_examples=60, deadline=None)
    @given(KINDS, SEEDS, st.sampled_from((1, 3)))
    def test_spread(self, kind: type, seed: int, channels: int) -> None:
        source = samples(np.uint16, seed)
        results = []
        for call in SPREADS[channels]:
            target = np.zeros(300, kind)
            call(source, 9, target, 13)
            results.append(target)
        np.testing.assert_array_equal(*results)
        count = {1: plain.BLOCK1, 3: plain.BLOCK3}[channels]
        pixels = source[9 - channels : 9 + count + channels].reshape(-1, channels) / 128.0
        even, odd = ((3 * pixels[1:-1] + side) / 4 for side in (pixels[:-2], pixels[2:]))
        exact = np.stack((even, odd), axis=1).reshape(-1) * (128 if kind is np.uint16 else 1)
        self.assertLessEqual(np.abs(results[0][13 : 13 + 2 * count] - exact).max(), 0.75)


DIGEST = """
import hashlib
from dpip.filters import apply
from dpip.filters.kernels import lanes
from tests.filters.pictures import natural, noise
total = hashlib.sha256()
for picture in (natural(50, 61), noise(23, 70, 1)[..., 0], noise(40, 9)):
    for sigma in (0.7, 3, 7, 33):
        total.update(apply("blur", picture, sigma=sigma).tobytes())
print(lanes.BACKEND, total.hexdigest())
"""


#: Every index is checked. The cache is one of its own, as its key does not see that; it is kept for the next
#: run. All tests of the plain kernels share it, as these take some ten seconds to compile.
CHECKED = {
    "NUMBA_BOUNDSCHECK": "1",
    "NUMBA_CACHE_DIR": str(Path(compile.__file__).parent / "__pycache__" / "boundscheck"),
}


def run(code: str, **environment: str) -> tuple[str, str]:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env=os.environ | environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip(), done.stderr


class Choice(TestCase):
    def digest(self) -> str:
        total = hashlib.sha256()
        for picture in (natural(50, 61), noise(23, 70, 1)[..., 0], noise(40, 9)):
            for sigma in (0.7, 3, 7, 33):
                total.update(apply("blur", picture, sigma=sigma).tobytes())
        return total.hexdigest()

    def test_the_plain_kernels_give_the_same_bits(self) -> None:
        self.assertEqual(run(DIGEST, DPIP_KERNELS="plain", **CHECKED)[0], "plain " + self.digest())

    def test_operations_that_count_wrong_are_not_used(self) -> None:
        spoiled = (
            "from dpip.filters.kernels import vector\n"
            "right = vector.trial\n"
            "def wrong(*arrays):\n    right(*arrays)\n    arrays[3][400] ^= 1\n"
            "vector.trial = wrong\n"
        )
        out, log = run(spoiled + DIGEST, **CHECKED)
        self.assertEqual(out, "plain " + self.digest())
        self.assertIn("count differently", log)

    def test_no_access_outside_the_arrays(self) -> None:
        """The plain kernels with every index checked, on the sizes where blocks end badly."""
        code = (
            "import numpy as np\n"
            "from dpip.filters import apply\n"
            "for height, width in ((1, 1), (1, 65), (3, 21), (9, 22), (5, 43), (40, 64), (33, 97)):\n"
            "    for channels in (1, 3):\n"
            "        for sigma in (0.3, 4, 5, 12, 100):\n"
            "            apply('blur', np.full((height, width, channels), 200, np.uint8), sigma=sigma)\n"
            "print('done')"
        )
        out, _ = run(code, DPIP_KERNELS="plain", **CHECKED)
        self.assertEqual(out, "done")


class Cache(TestCase):
    def test_the_name_changes_with_the_source(self) -> None:
        self.assertIn(compile.source_hash(), compile.cache_directory()[0])

    def test_falls_back_to_the_users_cache_and_says_so(self) -> None:
        users = self.mktemp()
        code = (
            "from dpip.filters.kernels import compile\n"
            "where, why = compile.cache_directory()\n"
            "print(where); print(why)"
        )
        out, _ = run(code, NUMBA_CACHE_DIR="/dev/null/nowhere", XDG_CACHE_HOME=os.path.abspath(users))
        where, why = out.splitlines()
        self.assertTrue(where.startswith(os.path.abspath(users)))
        self.assertIn("cannot be written", why)
        self.assertTrue(os.path.isdir(where))
