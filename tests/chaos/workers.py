"""Workers for tests in which the controller goes and comes all the time."""

from __future__ import annotations

from typing import Final

IMPATIENT: Final = (
    "-c",
    "from dpip.worker import session; session._FIRST_DELAY = session._MAX_DELAY = 0.05; "
    "session._PATIENT = 1 << 30; from twisted.scripts.twistd import run; run()",
)
"""Python's way to twistd with the real worker, but that it joins again at once."""
