"""No statement walks through a whole table, unless it is meant to."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from typing import Any

from sqlalchemy import Engine, Executable, event

from dpip.datastore import bulk
from dpip.datastore.bulk import _written as written
from dpip.model import (
    ALL,
    UNFINISHED,
    Activity,
    CertificateRecord,
    Delivery,
    ImageType,
    Outcome,
    Role,
    Selection,
    Webhook,
    WorkloadStatus,
)
from tests.datastore.support import NOW, DatastoreTestCase, key, stored, worker, workload

MEANT = {
    # Lists of all, asked for by people, by the sweep, or before the last admin goes.
    r"FROM users ORDER BY users.name",
    r"FROM workers ORDER BY workers.name",
    r"SELECT workloads.directory",
    r"SELECT count\(\*\) AS count_1 FROM users WHERE users.role",
    # Pages from the newest row on.
    r"WHERE workloads.deleted IS NULL ORDER BY workloads.id DESC LIMIT",
    r"FROM activity ORDER BY activity.id DESC LIMIT",
    # A count for each page of a workload's results, once while it is looked at.
    r"GROUP BY images.seq / \?",
    r"GROUP BY jobs.seq / \?",
    # From the newest on again, to find a part of a name.
    r"instr\(lower\(json_extract\(workloads.spec",
    # Who has too many rows, once a minute, in a thread that reads.
    r"FROM (activity GROUP BY activity.actor|keys GROUP BY keys.owner_id) HAVING",
    # People's lists of tokens.
    r"ORDER BY tokens.name IS NULL, tokens.created DESC",
}
PARTIAL = "USING (COVERING )?INDEX jobs_leased"  # holds nothing but what is asked for


class PlanTests(DatastoreTestCase):
    postgres = False  # its plans follow its statistics

    def setUp(self) -> None:
        self.statements: dict[str, Any] = {}
        event.listen(Engine, "before_cursor_execute", self.heard)
        self.patch(bulk, "_written", self.written)
        self.addCleanup(event.remove, Engine, "before_cursor_execute", self.heard)
        super().setUp()

    def heard(self, _c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if re.match("SELECT|INSERT|UPDATE|DELETE", statement) and "sqlite_master" not in statement:
            self.statements[statement] = parameters

    def written(self, statement: Executable, driver: str) -> Any:
        sql, names, constants = found = written(statement, driver)
        everything = {
            "rows": "[]",
            "workload": "w1",
            "image": "a",
            "directory": "",
            "type": "",
            "after": 0,
            "until": 9,
            "limit": 9,
        }
        self.statements[sql] = [(constants | everything)[name] for name in names]
        return found

    def live(self) -> None:
        """A little of everything."""
        do, store = self.now, self.datastore
        do(store.add_user("bob", "", Role.ADMIN, None, NOW))
        do(store.add_user("eve", "", Role.ADMIN, None, NOW))
        do(store.add_token(b"d" * 32, "ann", NOW, NOW + 1, "backup"))
        do(store.tokens("ann", 10))
        do(store.tokens(None, 10))
        do(store.revoke_token((b"d" * 8).hex(), "ann"))
        do(store.add_token(b"d", "ann", NOW, NOW + 1))
        self.joined(worker(), "", NOW)
        new = CertificateRecord("2", "worker", "", NOW, NOW + 1)
        do(store.renew_certificate(new, "worker 1"))
        do(store.worker_offended("worker", NOW))
        do(store.revoke_worker("worker", NOW))
        do(store.add_workload(workload("w2"), key("k2")))
        jobs = self.prepared(*"abcd")
        self.uploaded("e", key=key())
        self.uploaded("e", key=key())
        do(store.finish(jobs[0].lease, "worker", stored("r"), NOW))
        do(store.finish(jobs[0].lease, "worker", stored("r"), NOW))
        do(store.fail(jobs[1].lease, "bad-picture", "", NOW))
        do(store.release([(jobs[2].lease, Outcome.LOST)], NOW))
        do(store.record(Activity(NOW, "ann", "login", "ann")))
        for owner in ("ann", None):
            for which in (ALL, UNFINISHED, Selection((WorkloadStatus.COMPLETED,), "x")):
                for after in ("w2", None):
                    do(store.workloads(owner, which, after, 10))
        do(store.workloads_finished_before(NOW, 10))
        do(store.workloads_empty_before(NOW, 10))
        do(store.delete_workload("w3", NOW, True))
        do(store.workload("w1"))
        do(store.results("w1", 0))
        do(store.endings("w1"))
        do(store.image("a"))
        do(store.image_at("w1", ImageType.FILTERED, 0))
        do(store.images("w1", ImageType.ORIGINAL, None, 10))
        do(store.paths("holiday-w1"))
        do(store.activity(None, 10))
        do(store.activity(5, 10))
        do(store.user("ann"))
        do(store.users())
        do(store.token(b"d"))
        do(store.remove_token(b"d"))
        do(store.workers(None, None, None))
        do(store.directories())
        do(store.worker_left("worker", NOW))
        do(store.recover(NOW))
        do(store.unfinished(0, 10))
        do(store.set_password("ann", ""))
        do(store.cancel_workload("w1", NOW))
        do(store.retry_images("w1", None, -1, NOW))
        do(store.cancel_workload("w1", NOW))
        do(store.retry_images("w1", ["c"], -1, NOW))
        do(store.seal_workload("w1", Webhook("u", "s"), NOW))
        do(store.webhooks_due(NOW, 10))
        do(store.webhook("w1"))
        do(store.webhook_delivered("w1", Delivery(NOW, 1, 200), None, NOW))
        do(store.delete_workload("w1", NOW))
        do(store.remove_user("ann", NOW))
        do(store.remove_user("bob", NOW))
        do(store.expire(NOW))

    def test_every_statement_of_a_full_life_finds_its_rows_by_an_index(self) -> None:
        self.live()
        self.assertGreater(len(self.statements), 50)
        walks = []
        tables = {name for (name,) in self.rows("SELECT name FROM sqlite_master WHERE type = 'table'")}
        with closing(sqlite3.connect(self.path)) as connection:
            for statement, parameters in self.statements.items():
                flat = " ".join(statement.split())
                if any(re.search(meant, flat) for meant in MEANT):
                    continue
                plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]
                walks += [f"{step}: {flat}" for step in plan if self.walks(step, tables)]
        self.assertEqual(walks, [])

    def walks(self, step: str, tables: set[str]) -> bool:
        verb, name, *_ = step.split()
        return "TEMP B-TREE" in step or (
            verb == "SCAN" and name in tables and re.search(PARTIAL, step) is None
        )

    def test_meant_walks_are_still_taken(self) -> None:
        self.live()
        flat = [" ".join(statement.split()) for statement in self.statements]
        self.assertEqual([meant for meant in MEANT if not any(re.search(meant, s) for s in flat)], [])
