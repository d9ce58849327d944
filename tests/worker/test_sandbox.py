"""What a compute child may not do: tried by one that tries it, where the kernel has the means."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from typing import Any

from twisted.trial.unittest import SkipTest, TestCase

from dpip.model import Outcome
from tests.worker.test_compute_pool import PROGRAM, PoolCase

_TRIES = """
import json, os, socket, subprocess, sys, threading
from dpip.worker.sandbox import confine

def outcome(what):
    try:
        what()
    except OSError as error:
        return type(error).__name__
    return "done"

go, elsewhere = threading.Event(), {}
def in_another_thread():
    go.wait()
    elsewhere["socket"] = outcome(lambda: socket.socket())
thread = threading.Thread(target=in_another_thread)
thread.start()
means = confine()
tries = {
    "tcp": outcome(lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM)),
    "udp": outcome(lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)),
    "packets": outcome(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW)),
    "pair": outcome(socket.socketpair),
    "program": outcome(lambda: subprocess.run([sys.executable, "-c", ""], check=True)),
    "signal": outcome(lambda: os.kill(os.getppid(), 0)),
    "file": outcome(lambda: open(os.devnull, "w").close()),
}
go.set()
thread.join()
print(json.dumps({"means": means, **tries, "in another thread": elsewhere["socket"]}))
"""


class ConfinementTests(TestCase):
    def tries(self) -> dict[str, Any]:
        run = subprocess.run([sys.executable, "-c", _TRIES], stdout=subprocess.PIPE, check=True)
        found: dict[str, Any] = json.loads(run.stdout)
        return found

    def test_no_network_whatever_the_thread(self) -> None:
        found = self.tries()
        if "seccomp" not in found["means"]:
            raise SkipTest("this kernel has no seccomp filters")
        refused = "PermissionError"
        for what in ("tcp", "udp", "packets", "in another thread"):
            self.assertEqual(found[what], refused, what)
        self.assertEqual((found["pair"], found["file"]), ("done", "done"))

    def test_no_programs_and_no_signals(self) -> None:
        found = self.tries()
        if "landlock" not in found["means"]:
            raise SkipTest("this kernel has no Landlock")
        self.assertEqual(found["program"], "PermissionError")
        self.assertIn(found["signal"], ("PermissionError", "done"))  # "done" before Landlock's ABI 6


class ChildTests(PoolCase):
    async def phone(self, *flags: str) -> Any:
        """What becomes of a filter that connects to a port of this machine."""
        port = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(port.close)
        self.pool._command = (*PROGRAM, *flags)
        ready = await self.pool.start()
        if not flags and "seccomp" not in ready["confined"]:
            raise SkipTest("this kernel has no seccomp filters")
        return await self.run_("phone", port=port.getsockname()[1]).done

    async def test_a_filter_reaches_no_network(self) -> None:
        verdict = await self.phone()
        self.assertEqual((verdict.outcome, verdict.code), (Outcome.FAILED, "filter-error"))
        self.assertIn("PermissionError", verdict.detail)

    async def test_unless_it_is_to(self) -> None:
        verdict = await self.phone("--unconfined")
        self.assertIs(verdict.outcome, Outcome.DONE)
