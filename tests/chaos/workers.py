"""Workers for tests in which the controller goes and comes all the time."""

from __future__ import annotations

from typing import Final

IMPATIENT: Final = (
    "-c",
    "from dpip.link import session; session.FIRST_DELAY = session.MAX_DELAY = session.LONG_DELAY = 0.05; "
    "from twisted.scripts.twistd import run; run()",
)
"""Python's way to twistd with the real worker, but that it joins again at once."""
