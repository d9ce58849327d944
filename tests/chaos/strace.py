"""Faults at system calls, by strace: it counts them in a running process, and strikes at the n-th."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

from tests.system.processes import wait_until

DURABLE = (
    *("fsync", "fdatasync", "pwrite64", "ftruncate", "mkdir", "mkdirat", "rmdir"),
    *("rename", "renameat", "renameat2", "link", "linkat", "unlink", "unlinkat"),
)
"""What changes what is on the disk, but for ``write``, which is mostly sockets and logs."""
_CALL = re.compile(r"^(?:\d+ +)?(\w+)\(")


def missing() -> str | None:
    """Why this cannot be done here, or None."""
    program = shutil.which("strace")
    if program is None:
        return "strace is not installed"
    command = [program, "-qq", "-o", "/dev/null", "-e", "inject=fsync:error=EIO:when=1", "true"]
    done = subprocess.run(command, capture_output=True, text=True)
    return f"strace may not trace here: {done.stderr.strip()}" if done.returncode else None


class Strace:
    """Attached to the one thread that matters of the process; ``fault`` strikes there once, for example
    ``inject=fsync:signal=KILL:when=3``."""

    def __init__(self, pid: int, log: Path, fault: str | None = None) -> None:
        self._log = log
        command = ["strace", "-o", str(log), "-e", f"trace={','.join(DURABLE)}", "-p", str(pid)]
        self._process = subprocess.Popen(
            [*command, *(["-e", fault] if fault else [])], stderr=subprocess.PIPE, text=True
        )
        assert self._process.stderr is not None
        line = self._process.stderr.readline()
        assert "attached" in line, line

    def wait(self) -> None:
        """Until the process has ended."""
        wait_until(lambda: self._process.poll() is not None, "the end of strace", every=0.005)
        self._process.communicate()

    def calls(self) -> Counter[str]:
        """How often which."""
        lines = self._log.read_text().splitlines()
        return Counter(match[1] for line in lines if (match := _CALL.match(line)))

    def struck(self) -> str | None:
        """The call at which the fault came, as strace shows it."""
        lines = self._log.read_text().splitlines()
        if any("killed by SIGKILL" in line for line in lines):
            return [line for line in lines if _CALL.match(line)][-1]
        return next((line for line in lines if "(INJECTED)" in line), None)
