"""The dashboard for Grafana: what it asks for is measured, and Prometheus understands how it asks."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from dpip.model import Outcome, RequestTimes
from dpip.runtime.metrics import Meters, as_text, gauge

BOARD = Path(__file__).parents[1] / "deploy" / "grafana-dashboard.json"
INTERVAL = "$__rate_interval"


def expressions() -> Iterator[str]:
    for panel in json.loads(BOARD.read_text())["panels"]:
        for target in panel["targets"]:
            yield target["expr"].replace(INTERVAL, "5m")


def measured() -> str:
    """All that a controller measures, with something counted of each."""
    meters = Meters()
    meters.job_ended(Outcome.DONE, 0.2)
    meters.attempt_ended('w"1', ["blur", "blur", "invert"], Outcome.DONE)
    buckets = (1,) + (0,) * (len(meters.commits.counts) - 1)
    meters.requests_served([RequestTimes("GET", "/images/{reference}", "2xx", buckets, 0.001)])
    states = [
        gauge(f"dpip_{name}", "Words.", label, {"x": 1.0})
        for name, label in (
            ("jobs", "state"),
            ("workers", "state"),
            ("disk_bytes", "state"),
            ("build_info", "version"),
        )
    ]
    return as_text([*states, *meters.metrics()])


class DashboardTests(SynchronousTestCase):
    def promtool(self, *arguments: str, given: str) -> None:
        program = shutil.which("promtool")
        if program is None:
            raise SkipTest("promtool is not installed (on Debian: apt-get install prometheus).")
        ran = subprocess.run([program, *arguments], input=given, capture_output=True, text=True, check=False)
        self.assertEqual(ran.returncode, 0, ran.stdout + ran.stderr)

    def test_each_panel_asks_for_what_is_measured(self) -> None:
        names = set(re.findall(r"^(dpip_\w+?)(?:{| )", measured(), re.MULTILINE))
        for expression in expressions():
            asked = set(re.findall(r"dpip_\w+", expression))
            self.assertTrue(asked)
            self.assertLessEqual(asked, names, expression)

    def test_prometheus_understands_each_question(self) -> None:
        rules = [
            {"record": f"panel:number:{number}", "expr": expression}
            for number, expression in enumerate(expressions())
        ]
        path = Path(self.mktemp())
        path.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))  # JSON is YAML
        self.promtool("check", "rules", str(path), given="")

    def test_prometheus_reads_what_is_measured(self) -> None:
        self.promtool("check", "metrics", given=measured())
