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


def files(spool: Spool, size: int = 0) -> tuple[Path, Path]:
    pair = spool.pair(size)
    assert pair is not None
    return pair


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
        paths = [path for _ in range(10) for path in files(spool)]
        self.assertEqual(len(set(paths)), 20)
        self.assertEqual({path.parent for path in paths}, {spool.path})

    def test_nobody_else_may_look(self) -> None:
        self.assertEqual(self.spool().path.stat().st_mode & 0o077, 0)

    def test_closing_removes_everything(self) -> None:
        spool = self.spool()
        files(spool)[0].write_bytes(b"x")
        spool.close()
        spool.close()
        self.assertEqual(list(self.parent.iterdir()), [])

    def test_what_a_dead_worker_left_is_removed_and_a_living_ones_is_not(self) -> None:
        living = self.spool()
        files(living)[0].write_bytes(b"in use")
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
            self.assertIs(spool.take_room(size), room, (total, free, size))

    def test_what_was_given_is_counted_until_the_disk_is_looked_at_again(self) -> None:
        free, now, looks = 1000, 0.0, []
        spool = self.spool(
            disk_usage=lambda path: looks.append(now) or (10_000, 0, free), monotonic=lambda: now
        )
        self.assertEqual(
            [spool.take_room(400), spool.take_room(400), spool.take_room(400)], [True, True, False]
        )
        now, free = 1.0, 500
        self.assertEqual([spool.take_room(400), spool.take_room(400)], [True, False])
        self.assertEqual(looks, [0.0, 1.0])

    def test_without_room_for_an_original_and_its_result_there_are_no_files(self) -> None:
        spool = self.spool(disk_usage=lambda path: (10_000, 0, 900))
        self.assertIsNone(spool.pair(301))
        files(spool, 300)

    def test_small_pictures_are_kept_in_memory_while_there_is_room(self) -> None:
        memory, rooms = self.parent.parent / "memory", {}
        spool = self.spool(memory=memory, disk_usage=lambda path: (10**9, 0, rooms.get(path, 10**8)))
        places = [files(spool, size)[0].parent.parent for size in (1, 512 * 1024, 512 * 1024 + 1)]
        self.assertEqual(places, [memory, memory, self.parent])
        rooms[memory] = 0
        full = self.spool(memory=memory, disk_usage=lambda path: (10**9, 0, rooms.get(path, 10**8)))
        self.assertEqual(files(full, 1)[0].parent.parent, self.parent)
        for one in (spool, full):
            one.close()
        self.assertEqual(list(memory.iterdir()), [])

    def test_a_memory_that_cannot_be_used_is_none(self) -> None:
        memory = self.parent.parent / "memory"
        memory.write_text("no directory")
        spool = self.spool(memory=memory)
        self.assertEqual(files(spool, 1)[0].parent.parent, self.parent)

    def test_one_that_was_tidied_away_comes_back(self) -> None:
        spool = self.spool()
        shutil.rmtree(spool.path)
        self.assertGreater(spool.free(), 0)
        files(spool)[0].write_bytes(b"x")
