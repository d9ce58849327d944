"""The scheduler's numbers, in one place."""

from __future__ import annotations

from attrs import frozen


@frozen
class SchedulerLimits:
    max_crashes: int = 3
    """Attempts that may end with a dead or overdue compute child before the job fails."""

    max_losses: int = 10
    """Workers that may be lost while computing the job before it fails: losses may be nobody's fault."""

    lease_seconds: float = 900.0
    """An attempt older than this is cancelled and charged as a crash. Must exceed the workers' own deadline
    for one job with the wait in their queue, which ends a hanging child much earlier."""

    rest_seconds: float = 1.0
    """A worker that hands a job back untouched rests this long, twice as long each time in a row..."""

    max_rest_seconds: float = 60.0
    """...up to this."""

    idle_workloads: int = 10_000
    """Workloads without unfinished jobs that are remembered; others are opened again when they get some."""

    max_dispatch_failures: int = 5
    """Sendings in a row that a worker may fail to take before its connection is dropped."""

    lookahead_seconds: float = 0.5
    """A worker gets so much work beyond what it computes, to overlap transfer with computing (but one job
    at least, and never more than its capacity). More would make small workloads wait behind it."""

    balance_seconds: float = 1.0
    """How often it is looked for jobs that an idle worker would finish much sooner than their own."""

    memory_wait_seconds: float = 30.0
    """A job for which memory never suffices waits this long; then it runs alone, or fails."""
