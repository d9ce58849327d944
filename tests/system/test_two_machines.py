"""The guide's lines for several machines, on two machines: network namespaces with a cable between them."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from unittest import SkipTest, TestCase

from tests.frames import encoded
from tests.system.processes import PASSWORD, PATIENCE, REPOSITORY, Process, wait_until

_COMMANDS = {
    "twistd": "from twisted.scripts.twistd import run; run()",
    "dpip": "from dpip.command import main; main()",
}
_ENTER = "import os, sys; os.execvp('ip', ['ip', 'netns', 'exec', *sys.argv[1:]])"


def guide_lines() -> dict[str, str]:
    """The chapter's command lines, by the program's name."""
    guide = (REPOSITORY / "user-guide.md").read_text()
    chapter = guide.partition("\n## Run it on several machines\n")[2].partition("\n### ")[0]
    lines = "".join(re.findall(r"```text\n(.*?)```", chapter, re.DOTALL)).splitlines()
    return {" ".join(line.split()[:3]).removeprefix("twistd -n "): line for line in lines}


class TwoMachinesTests(TestCase):
    """One has 10.0.0.1, the other 10.0.0.2; neither has another way out."""

    def setUp(self) -> None:
        self.names = [f"dpip-{os.getpid()}-{which}" for which in "ab"]
        self.processes: list[Process] = []
        self._connect()
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory(prefix="dpip-test-")))
        self.addCleanup(self._end)

    def _connect(self) -> None:
        if shutil.which("ip") is None:
            raise SkipTest("there is no ip(8) here, which makes network namespaces")
        first, second = self.names
        cable = [f"{end}{os.getpid() % 10**7}" for end in "ab"]
        for name in self.names:
            self._ip("netns", "add", name)
            self.addCleanup(subprocess.run, ["ip", "netns", "del", name], check=False)
        self._ip(
            "link", "add", cable[0], "netns", first, "type", "veth", "peer", "name", cable[1], "netns", second
        )
        for name, end, address in zip(self.names, cable, ("10.0.0.1/24", "10.0.0.2/24"), strict=True):
            for words in ("link set lo up", f"link set {end} up", f"addr add {address} dev {end}"):
                self._ip("-n", name, *words.split())

    def _ip(self, *words: str) -> None:
        done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
        if done.returncode:
            raise SkipTest(f"network namespaces cannot be made here: {done.stderr.strip()}")

    def _end(self) -> None:
        for process in self.processes:
            process.kill()

    def _service(self, machine: int, line: str, ready: str) -> None:
        """Start a service with the guide's line on a machine, and wait for its log."""
        words = shlex.split(line)[2:]
        program = ("-c", _ENTER, self.names[machine], sys.executable, "-c", _COMMANDS["twistd"])
        directory = self.folder / "ab"[machine]
        process = Process(directory, words[0], *words, program=program)
        self.processes.append(process)
        process.wait_for_log(ready)

    def _run(self, line: str, given: str = "", more: Sequence[str] = ()) -> str:
        """Run a client's line on the second machine; returns what it prints."""
        program, *words = shlex.split(line)
        start = [sys.executable, "-c", _COMMANDS[program]] if program in _COMMANDS else [program]
        done = subprocess.run(
            ["ip", "netns", "exec", self.names[1], *start, *words, *more],
            cwd=self.folder / "b",
            env=dict(os.environ, PYTHONPATH=str(REPOSITORY), DPIP_CONFIG_DIR=str(self.folder / "config")),
            input=given,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def test_the_lines_of_the_guide(self) -> None:
        lines, state = guide_lines(), self.folder / "a" / "state"
        for machine in "ab":
            (self.folder / machine).mkdir()
        self._service(
            0, f"{lines['dpip-controller']} --state-dir {state}", "Ready: API at https://10.0.0.1:8080"
        )
        for name in ("ca.pem", "join-token"):  # as somebody copies them from one machine to the other
            shutil.copy(state / name, self.folder / "b" / name)
        if shutil.which("curl"):
            self.assertEqual(json.loads(self._run(lines["curl --cacert ca.pem"])), {"status": "ready"})
        self._service(1, f"{lines['dpip-worker']} --slots 1", "Joined as ")
        self._run(lines["dpip login https://10.0.0.1:8080"], given=PASSWORD)
        (self.folder / "b" / "photo.jpg").write_bytes(encoded(1, 64, 48, "JPEG"))
        self.assertIn("1 image done", self._run("dpip run photo.jpg -o out -f invert"))
        wait_until((self.folder / "b" / "out" / "photo.jpg").exists, "the result")
