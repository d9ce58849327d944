"""Some of the cases of ``python -m tests.security.openapi``, where schemathesis is installed."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

from twisted.trial.unittest import SkipTest, TestCase

from tests.system.processes import REPOSITORY

CASES = 80


class OpenApiCasesTests(TestCase):
    def test_no_fault_and_no_answer_outside_the_document(self) -> None:
        if find_spec("schemathesis") is None:
            raise SkipTest("schemathesis is not installed: pip install schemathesis")
        command = [sys.executable, "-m", "tests.security.openapi", "--cases", str(CASES)]
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout[-6000:] + done.stderr[-2000:])
