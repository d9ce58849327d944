"""The controller's start, where it cannot start."""

from __future__ import annotations

from pathlib import Path

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from dpip.controller.options import ControllerOptions
from dpip.controller.service import ControllerService
from dpip.controller.tap import build
from dpip.runtime.startup import CannotStart


class CannotStartTests(TestCase):
    def test_a_state_directory_that_cannot_be_used_is_named_with_the_reason(self) -> None:
        for spoiled, reason in (("state", "Not a directory"), ("state/dpip.sqlite", "not a database")):
            folder = Path(self.mktemp())
            folder.mkdir()
            state = folder / "state" / "below" if spoiled == "state" else folder / "state"
            file = folder / spoiled
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(b"something else" * 500)
            options = ControllerOptions()
            options.parseOptions(["--state-dir", str(state)])
            error = self.assertRaises(CannotStart, ControllerService(options, reactor, build).startService)
            self.assertIn(f"{state.absolute()} cannot be used: ", str(error))
            self.assertIn(reason, str(error))
