"""Real processes of DPIP on free ports of the loopback interface, and their end whatever happens."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
PASSWORD = "correct horse battery"
PATIENCE = 120.0
"""Seconds after which a test gives up waiting: only ever reached when something is broken."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(
    condition: Callable[[], Any], what: str, every: float = 0.02, patience: float = PATIENCE
) -> Any:
    """What ``condition`` returns once it is true; other processes give no other event to wait on."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        result = condition()
        if result:
            return result
        time.sleep(every)
    raise AssertionError(f"waited {patience:.0f} s for: {what}")


TWISTD = ("-c", "from twisted.scripts.twistd import run; run()")


class Process:
    """One ``twistd -n …``; its log goes to a file, shown when a test fails. ``program`` is Python's way to
    it."""

    def __init__(self, directory: Path, name: str, *arguments: str, program: Sequence[str] = TWISTD) -> None:
        self.log_path = directory / f"{name}.{time.monotonic_ns()}.log"
        environment = dict(os.environ, DPIP_ADMIN_PASSWORD=PASSWORD, PYTHONUNBUFFERED="1")
        environment["PYTHONPATH"] = os.pathsep.join([str(REPOSITORY), environment.get("PYTHONPATH", "")])
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, *program, "-n", *arguments],
                cwd=directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def wait_for_log(self, text: str) -> None:
        def seen() -> bool:
            if text in self.log:
                return True
            if self.process.poll() is not None:
                raise AssertionError(
                    f"ended with {self.process.returncode} before {text!r}:\n{self.log[-4000:]}"
                )
            return False

        wait_until(seen, f"{text!r} in the log:\n{self.log[-2000:]}")

    def kill(self) -> None:
        """kill -9 of this process alone: its children must notice by themselves."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)


class Cluster:
    """A controller and any number of workers in one temporary directory; a context manager."""

    def __init__(self) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="dpip-test-")
        self.directory = Path(self._temporary.name)
        self.state = self.directory / "state"
        self.http, self.pb = free_port(), free_port()
        self.processes: list[Process] = []

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        for process in self.processes:
            if process.process.poll() is None:
                process.process.kill()
            process.process.wait()
            if kind is not None:
                print(f"==== {process.log_path.name}\n{process.log[-6000:]}")
        self._temporary.cleanup()

    def run(self, name: str, *arguments: str, program: Sequence[str] = TWISTD) -> Process:
        process = Process(self.directory, name, *arguments, program=program)
        self.processes.append(process)
        return process

    def start_controller(self, *more: str, plugin: str = "dpip-controller") -> Process:
        controller = self.run(
            "controller",
            plugin,
            "--state-dir", str(self.state),
            "--http", f"127.0.0.1:{self.http}",
            "--pb", f"127.0.0.1:{self.pb}",
            *more,
        )  # fmt: skip
        controller.wait_for_log("Ready")
        return controller

    def start_worker(self, name: str, *more: str, program: Sequence[str] = TWISTD) -> Process:
        return self.run(
            name,
            "dpip-worker",
            "--controller", f"127.0.0.1:{self.pb}",
            "--state-dir", str(self.state),
            "--worker-name", name,
            *more,
            program=program,
        )  # fmt: skip
