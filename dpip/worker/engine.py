"""What computes a worker's tasks: compute children on this machine, or a Dask cluster."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from dpip.errors import DpipError
from dpip.model import Load
from dpip.worker.compute_child import ComputeTask, Work


class EngineUnusable(DpipError):
    """This engine cannot be used, and trying again does not help."""

    code = "engine-unusable"


class IEngine(Interface):
    """Computes tasks, from file to file. All of it is called in the reactor's thread."""

    slots = Attribute("Tasks computed at once now (int).")
    most_slots = Attribute("As many as they may ever become (int).")

    def start() -> Deferred[Mapping[str, Any]]:
        """Start. Fires when tasks can be computed, with what can be: ``filters``, ``fingerprint``…"""

    def stop() -> Deferred[None]:
        """End; fires when nothing is left. All work that has not ended is cancelled."""

    def submit(task: ComputeTask, first: bool = False) -> Work:
        """Have the task computed as soon as a slot is free; ``first``: before all that wait, where it can."""

    def cancel(work: Work) -> None:
        """Cancel work whose verdict is not wanted any more."""

    def pids() -> list[int]:
        """Return the process ids of what computes on this machine."""

    def idle_percent() -> float:
        """Return the idle part of the slots' time since the last call."""

    def reckoned(load: Load) -> Load:
        """Return this machine's load with the numbers of those machines that compute."""
