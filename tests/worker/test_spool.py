"""The spool: one directory for each living worker, and never the last bytes of a disk."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from dpip.worker.spool import PREFIX, Spool

DIES = """
import os, sys
from pathlib import Path
from types import SimpleNamespace
from dpip.worker.spool import Spool
spool = Spool(Path(sys.argv[1]))
spool.open()
spool.pair()[0].write_bytes(b"left behind")
os._exit(1)
"""


class SpoolTests(SynchronousTestCase):
    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.parent = Path(temporary.name) / "spool"

    def spool(self, floor: int = 0, **more: Any) -> Spool:
        spool = Spool(self.parent, floor, **more)
        spool.open()
        self.addCleanup(spool.close)
        return spool

    def test_names_are_never_given_twice(self) -> None:
        spool = self.spool()
        paths = [path for _ in range(10) for path in spool.pair()]
        self.assertEqual(len(set(paths)), 20)
        self.assertEqual({path.parent for path in paths}, {spool.path})

    def test_nobody_else_may_look(self) -> None:
        self.assertEqual(self.spool().path.stat().st_mode & 0o077, 0)

    def test_closing_removes_everything(self) -> None:
        spool = self.spool()
        spool.pair()[0].write_bytes(b"x")
        spool.close()
        spool.close()
        self.assertEqual(list(self.parent.iterdir()), [])

    def test_what_a_dead_worker_left_is_removed_and_a_living_ones_is_not(self) -> None:
        living = self.spool()
        living.pair()[0].write_bytes(b"in use")
        subprocess.run([sys.executable, "-c", DIES, str(self.parent)], check=False)
        self.assertEqual(len(list(self.parent.iterdir())), 2)
        new = self.spool()
        self.assertEqual(set(self.parent.iterdir()), {living.path, new.path})
        self.assertEqual(len(list(living.path.iterdir())), 1)

    def test_one_whose_worker_died_before_it_had_its_name_goes_too_but_not_at_once(self) -> None:
        for name, age in ((f".{PREFIX}dead", 3600), (f".{PREFIX}being-made", 0)):
            (self.parent / name).mkdir(parents=True)
            at = time.time() - age
            os.utime(self.parent / name, (at, at))
        spool = self.spool()
        self.assertEqual(
            {path.name for path in self.parent.iterdir()}, {spool.path.name, f".{PREFIX}being-made"}
        )

    def test_other_peoples_files_are_left_alone(self) -> None:
        self.parent.mkdir()
        (self.parent / "theirs").mkdir()
        (self.parent / f"{PREFIX}file").write_text("not a directory")
        self.spool()
        self.assertTrue((self.parent / "theirs").exists())
        self.assertTrue((self.parent / f"{PREFIX}file").exists())

    def test_a_link_that_somebody_planted_is_not_followed(self) -> None:
        victim = self.parent.parent / "victim"
        victim.mkdir()
        (victim / "precious").write_text("x")
        self.parent.mkdir()
        (self.parent / f"{PREFIX}planted").symlink_to(victim)
        self.spool()
        self.assertEqual([path.name for path in victim.iterdir()], ["precious"])

    def test_there_is_room_down_to_the_floor(self) -> None:
        for total, free, size, room in (
            (10_000, 500, 400, True), (10_000, 500, 401, False), (10_000, 99, 0, False),
            (200, 120, 100, True), (200, 120, 101, False),
        ):  # fmt: skip
            spool = self.spool(floor=100, disk_usage=lambda path, t=total, f=free: (t, t - f, f))
            self.assertIs(spool.has_room_for(size), room, (total, free, size))

    def test_one_that_was_tidied_away_comes_back(self) -> None:
        spool = self.spool()
        shutil.rmtree(spool.path)
        self.assertGreater(spool.free(), 0)
        spool.pair()[0].write_bytes(b"x")
