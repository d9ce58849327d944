"""The scheduler's limits, in one place."""

from __future__ import annotations

from attrs import frozen


@frozen
class SchedulerLimits:
    max_crashes: int = 3
    """Attempts that may end with a dead or overdue compute child before the job fails."""

    max_losses: int = 10
    """Workers that may be lost while computing the job before it fails: it may not be the job's fault."""

    lease_seconds: float = 900.0
    """An attempt older than this is cancelled and charged as a crash. It must exceed the wait in a worker's
    queue and the worker's own deadline for one job, which ends a hanging child much earlier."""

    rest_seconds: float = 1.0
    """A worker that hands a job back untouched gets no job for so long, doubled with each time in a row."""

    max_rest_seconds: float = 60.0
    """The longest such rest."""

    idle_workloads: int = 10_000
    """Workloads without unfinished jobs that are remembered; others are opened again when they get some."""

    max_dispatch_failures: int = 5
    """Failures in a row to send a worker its jobs before its connection is dropped."""

    lookahead_seconds: float = 0.5
    """Seconds of work that a worker holds beyond what it computes, so that transfers overlap with computing;
    one job at least, and never more than its capacity. More would make small workloads wait."""

    balance_seconds: float = 1.0
    """Seconds between two searches for jobs that an idle worker would finish much sooner than their own."""

    memory_wait_seconds: float = 30.0
    """Seconds that a job for which memory never suffices waits; then it runs alone, or fails."""
