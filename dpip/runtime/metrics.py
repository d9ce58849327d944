"""What is counted and measured while the controller runs, for Prometheus.

The text format takes twenty lines. A client library would bring a registry of its own and locks, and its
metrics could not cross the link to an API process. Source: Prometheus, "Text-based format" 0.0.4.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from attrs import define, field

from dpip.model import ImageType, Metric, Outcome

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_TO_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)


@define
class Histogram:
    """Durations in seconds. One thread observes; others may read, perhaps half an observation."""

    counts: list[int] = field(factory=lambda: [0] * (len(_TO_SECONDS) + 1), init=False)
    total: float = field(default=0.0, init=False)

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(_TO_SECONDS, seconds)] += 1
        self.total += seconds

    def samples(self, **labels: str) -> Iterator[tuple[str, dict[str, str], float]]:
        """Yield suffix, labels and value of each sample; a bucket counts all up to its bound."""
        counted = 0
        for bound, count in zip((*map(str, _TO_SECONDS), "+Inf"), self.counts, strict=True):
            counted += count
            yield "_bucket", {**labels, "le": bound}, float(counted)
        yield "_sum", labels, self.total
        yield "_count", labels, float(counted)


@define
class Meters:
    """Counts and durations since the controller has started."""

    jobs: dict[Outcome, Histogram] = field(factory=dict, init=False)  # computing, as workers report it
    commits: Histogram = field(factory=Histogram, init=False)
    reactor: Histogram = field(factory=Histogram, init=False)  # how late timers run
    taken: Counter[ImageType] = field(factory=Counter, init=False)  # bytes
    given: Counter[ImageType] = field(factory=Counter, init=False)

    def job_ended(self, outcome: Outcome, seconds: float) -> None:
        self.jobs.setdefault(outcome, Histogram()).observe(seconds)

    def metrics(self) -> list[Metric]:
        durations = [
            sample
            for outcome, histogram in sorted(self.jobs.items())
            for sample in histogram.samples(outcome=outcome.value)
        ]
        moved = [
            ("", {"direction": direction, "type": kind.value}, float(counter[kind]))
            for direction, counter in (("in", self.taken), ("out", self.given))
            for kind in ImageType
        ]
        return [
            Metric("dpip_job_seconds", "histogram", "Computing of one attempt, by outcome.", durations),
            _histogram(
                "dpip_commit_seconds",
                self.commits,
                "A transaction of the database and its fsync, for all that waited.",
            ),
            _histogram(
                "dpip_reactor_delay_seconds",
                self.reactor,
                "How late the controller's reactor came to a timer.",
            ),
            Metric("dpip_bytes_total", "counter", "Bytes of images taken in and asked for.", moved),
        ]


def _histogram(name: str, histogram: Histogram, words: str) -> Metric:
    return Metric(name, "histogram", words, list(histogram.samples()))


def gauge(name: str, words: str, label: str, values: dict[str, float]) -> Metric:
    return Metric(name, "gauge", words, [("", {label: key}, float(value)) for key, value in values.items()])


def as_text(metrics: Iterable[Metric]) -> str:
    """Return the metrics in Prometheus' format."""
    return "".join(line for metric in metrics for line in _lines(metric))


def _lines(metric: Metric) -> Iterator[str]:
    yield f"# HELP {metric.name} {metric.help}\n# TYPE {metric.name} {metric.kind}\n"
    for suffix, labels, value in metric.samples:
        yield f"{metric.name}{suffix}{_labelled(list(labels.items()))} {value!r}\n"


def _labelled(labels: Sequence[tuple[str, str]]) -> str:
    if not labels:
        return ""
    inner = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels)
    return f"{{{inner}}}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
