"""The summary of a run."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from dpip.command.run.report import RunReport


class SummaryTests(SynchronousTestCase):
    def test_where_nothing_was_done_there_is_no_rate(self) -> None:
        report, printed = RunReport(Path("out"), as_json=False), io.StringIO()
        report.add_failed("/in/a.jpg", Path("a.jpg"), "corrupt-picture", "It is damaged.")
        with redirect_stdout(printed):
            report.finish(1.0, None, ())
        self.assertEqual(
            printed.getvalue().splitlines(),
            ["0 images done in 0:01", "1 image failed:", "  a.jpg: It is damaged."],
        )
