"""What is measured, in Prometheus' text format."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from dpip.model import ImageType, Metric, Outcome
from dpip.runtime.metrics import Histogram, Meters, as_text, gauge


class MetricsTests(SynchronousTestCase):
    def test_a_gauge_with_labels_that_need_escaping(self) -> None:
        metric = gauge("dpip_x", "Words.", "state", {"a": 1, 'b"\\\n': 2})
        lines = ["# HELP dpip_x Words.", "# TYPE dpip_x gauge", 'dpip_x{state="a"} 1.0']
        self.assertEqual(as_text([metric]).splitlines(), [*lines, r'dpip_x{state="b\"\\\n"} 2.0'])

    def test_buckets_hold_all_up_to_their_bound(self) -> None:
        histogram = Histogram()
        for seconds in (0.0, 0.001, 0.0011, 0.3, 1e9):
            histogram.observe(seconds)
        samples = list(histogram.samples(outcome="done"))
        buckets = {labels["le"]: count for suffix, labels, count in samples if suffix == "_bucket"}
        self.assertEqual(
            [buckets[le] for le in ("0.001", "0.0025", "0.25", "0.5", "60.0", "+Inf")], [2, 3, 3, 4, 4, 5]
        )
        self.assertEqual(samples[-1], ("_count", {"outcome": "done"}, 5))
        self.assertAlmostEqual(samples[-2][2], 1e9 + 0.3021)
        text = as_text([Metric("h", "histogram", "Words.", samples)])
        self.assertIn('h_bucket{outcome="done",le="+Inf"} 5.0\n', text)
        self.assertIn('h_count{outcome="done"} 5.0\n', text)

    def test_what_is_counted(self) -> None:
        meters = Meters()
        meters.job_ended(Outcome.DONE, 0.02)
        meters.job_ended(Outcome.FAILED, 0.02)
        meters.taken[ImageType.ORIGINAL] += 7
        lines = as_text(meters.metrics()).splitlines()
        for line in (
            'dpip_job_seconds_bucket{outcome="done",le="0.025"} 1.0',
            'dpip_job_seconds_count{outcome="failed"} 1.0',
            "dpip_commit_seconds_count 0.0",
            'dpip_bytes_total{direction="in",type="original"} 7.0',
            'dpip_bytes_total{direction="out",type="filtered"} 0.0',
        ):
            self.assertIn(line, lines)
        self.assertTrue(all(line.startswith(("dpip_", "# ")) for line in lines))
