"""Schemathesis, if it is installed, against a real controller: no 5xx, and no answer outside the document."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SkipTest, TestCase

from tests.system.plain_client import PlainClient
from tests.system.processes import PASSWORD, Cluster

CASES = 10  # of each operation


def program() -> str:
    """Raises SkipTest."""
    beside = Path(sys.executable).with_name("schemathesis")
    found = str(beside) if beside.exists() else shutil.which("schemathesis")
    if found is None:
        raise SkipTest("schemathesis is not installed: pip install schemathesis")
    return found


class SchemathesisTests(TestCase):
    def test_no_fault_and_no_answer_outside_the_document(self) -> None:
        schemathesis = program()
        with Cluster() as cluster:
            cluster.start_controller()
            client = PlainClient(cluster.http)
            client.login("admin", PASSWORD)
            done = subprocess.run(
                [
                    schemathesis,
                    "run",
                    f"http://127.0.0.1:{cluster.http}/openapi.json",
                    "--header",
                    f"Authorization: Bearer {client.token}",
                    "--checks",
                    "not_a_server_error,status_code_conformance,content_type_conformance,"
                    "response_schema_conformance",
                    "--exclude-path-regex",
                    "events$|^/log|^/tokens/|^/users/",  # endless answers; and what would end the session
                    "--max-examples",
                    str(CASES),
                    "--phases",
                    "examples,fuzzing",
                    "--request-timeout",
                    "20",
                    "--seed",
                    "1",
                    "--no-color",
                ],
                cwd=cluster.directory,
                capture_output=True,
                text=True,
            )
            self.assertEqual(client.request("GET", "/status").status, 200, "the session has ended meanwhile")
            self.assertEqual(done.returncode, 0, done.stdout[-6000:] + done.stderr[-2000:])
