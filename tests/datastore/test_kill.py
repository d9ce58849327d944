"""A process that is killed at any moment leaves behind what it has answered, and nothing by halves."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from dpip.datastore.datastore import Datastore
from dpip.model import JobState, Role
from dpip.runtime.threads import InlineThreads
from tests.datastore.support import EVERYWHERE, NOW, DatabaseFor, workload

ROOT = Path(__file__).parents[2]
ANSWERS = (25, 60, 110)  # heard from each life before it is killed

# Uploads two pictures, leases them, finishes one and fails the other, for ever; says what has been answered.
PROGRAM = """
import sys
from pathlib import Path
from dpip.datastore.datastore import Datastore
from dpip.datastore.postgres import PostgresDatabase
from dpip.runtime.threads import InlineThreads
from tests.datastore.support import NOW, stored

def now(deferred):
    found = []
    deferred.addBoth(found.append)
    print(*said, flush=True)
    return found[0]

place = sys.argv[1]
database = PostgresDatabase(place) if place.startswith("postgresql:") else Path(place)
store = Datastore(database, InlineThreads(), InlineThreads)
store.startService()
said = ("recovered",)
now(store.recover(NOW))
number = int(sys.argv[2])
while True:
    names = [f"i{number}", f"i{number + 1}"]
    said = ("uploaded", *names)
    accepted, _ = now(store.add_originals("w1", [(n, "r" + n, stored(n)) for n in names], None, NOW))
    said = ("leased",)
    jobs = now(store.lease([(one.job.job, "worker", "n" + one.image.id) for one in accepted], NOW))
    said = ("finished", names[0])
    now(store.finish(jobs[0].lease, "worker", stored("r" + names[0]), NOW))
    said = ("failed", names[1])
    now(store.fail(jobs[1].lease, "bad-picture", "", NOW))
    number += 2
"""


class KillTests(SynchronousTestCase):
    postgres = EVERYWHERE

    def setUp(self) -> None:
        self.database = DatabaseFor.made(Path(self.mktemp()).absolute(), self.postgres)
        self.heard: set[tuple[str, ...]] = set()
        store = self.open()
        self.successResultOf(store.add_user("ann", "", Role.USER, None, NOW))
        self.successResultOf(store.add_workload(workload(), None))

    def open(self) -> Datastore:
        store = Datastore(self.database.place, InlineThreads(), InlineThreads)
        store.startService()
        self.addCleanup(store.stopService)
        return store

    def live_and_die(self, first: int, answers: int) -> None:
        program = [sys.executable, "-c", PROGRAM, str(self.database.url or self.database.path), str(first)]
        with subprocess.Popen(program, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
            assert process.stdout is not None
            for _ in range(answers):
                self.heard.add(tuple(process.stdout.readline().split()))
            process.kill()
            for line in process.stdout:  # answered, and not yet read when the signal came
                if line.endswith("\n"):
                    self.heard.add(tuple(line.split()))
        self.assertEqual(process.returncode, -signal.SIGKILL)

    def test_what_was_answered_is_there_and_the_rest_is_whole(self) -> None:
        for life, answers in enumerate(ANSWERS):
            self.live_and_die(1000 * life, answers)
            self.look()

    def look(self) -> None:
        rows = self.database.rows
        if self.database.url is None:
            self.assertEqual(rows("PRAGMA integrity_check"), [("ok",)])
            self.assertEqual(rows("PRAGMA foreign_key_check"), [])
        jobs = dict(rows("SELECT public, state FROM jobs JOIN images ON images.id = original_id"))
        [attempts] = rows("SELECT count(*) FROM attempts WHERE outcome = 'done'")
        [results] = rows("SELECT count(*) FROM images WHERE type = 'filtered'")
        for what, *names in self.heard:
            for name in names:
                self.assertIn(name, jobs)
                if what in ("finished", "failed"):
                    self.assertEqual(jobs[name], "done" if what == "finished" else "failed")
        ends = list(jobs.values())
        self.assertEqual(len(ends) % 2, 0, "two pictures of one upload come together")
        self.assertEqual((attempts, results), ((ends.count("done"),), (ends.count("done"),)))
        found = self.successResultOf(self.open().workload("w1"))
        assert found is not None
        self.assertEqual(
            (found.accepted, found.filtered, found.failed),
            (len(ends), ends.count(JobState.DONE), ends.count(JobState.FAILED)),
        )
        self.assertEqual(found.size, 100 * (found.accepted + found.filtered))
