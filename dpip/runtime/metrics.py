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

from dpip.model import ImageType, Metric, Outcome, RequestTimes

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

    def add(self, counts: Sequence[int], total: float) -> None:
        """Add what was observed elsewhere."""
        self.counts = [mine + other for mine, other in zip(self.counts, counts, strict=True)]
        self.total += total

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
    by_filter: Counter[tuple[str, Outcome]] = field(factory=Counter, init=False)  # attempts; of a chain each
    by_worker: Counter[tuple[str, Outcome]] = field(factory=Counter, init=False)
    requests: dict[tuple[str, str, str], Histogram] = field(factory=dict, init=False)

    def job_ended(self, outcome: Outcome, seconds: float) -> None:
        self.jobs.setdefault(outcome, Histogram()).observe(seconds)

    def attempt_ended(self, worker: str, filters: Iterable[str], outcome: Outcome) -> None:
        """Count an attempt for its worker, and for each filter of its chain."""
        self.by_worker[worker, outcome] += 1
        for name in set(filters):
            self.by_filter[name, outcome] += 1

    def requests_served(self, times: Iterable[RequestTimes]) -> None:
        for one in times:
            key = one.method, one.route, one.status
            self.requests.setdefault(key, Histogram()).add(one.counts, one.total)

    def worker_gone(self, name: str) -> None:
        """Forget its counts: there is no end of names."""
        for outcome in Outcome:
            self.by_worker.pop((name, outcome), None)

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
            Metric(
                "dpip_http_request_seconds",
                "histogram",
                "Answering a request once it has arrived, by route.",
                [
                    sample
                    for (method, route, status), histogram in sorted(self.requests.items())
                    for sample in histogram.samples(method=method, route=route, status=status)
                ],
            ),
            _counted("dpip_filter_jobs_total", "filter", self.by_filter, "Attempts that ended, by filter."),
            _counted(
                "dpip_worker_jobs_total", "worker", self.by_worker, "Attempts that ended, by joined worker."
            ),
            Metric("dpip_bytes_total", "counter", "Bytes of images taken in and asked for.", moved),
        ]


def _histogram(name: str, histogram: Histogram, words: str) -> Metric:
    return Metric(name, "histogram", words, list(histogram.samples()))


def _counted(name: str, label: str, counter: Counter[tuple[str, Outcome]], words: str) -> Metric:
    samples = [
        ("", {label: of, "outcome": outcome.value}, float(count))
        for (of, outcome), count in sorted(counter.items())
    ]
    return Metric(name, "counter", words, samples)


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
