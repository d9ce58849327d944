"""The systemd units: systemd takes them, and the programs take the options in them."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from twisted.python import usage
from twisted.trial.unittest import SkipTest, TestCase

from dpip.controller.options import ControllerOptions
from dpip.worker.tap import WorkerOptions as WorkerOptions

DEPLOY = Path(__file__).parent.parent / "deploy"
PROGRAM = "/opt/dpip/venv/bin/twistd"


def settings(text: str) -> dict[str, str]:
    """``NAME=value`` lines of an environment file, or of a unit's ``Environment``."""
    lines = [line.removeprefix("Environment=") for line in text.splitlines() if not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines if "=" in line)


class UnitTests(TestCase):
    def unit(self, name: str) -> str:
        return (DEPLOY / f"dpip-{name}.service").read_text()

    def options(self, name: str) -> list[str]:
        """The plugin's, with the example configuration."""
        known = settings(self.unit(name)) | settings((DEPLOY / f"{name}.env").read_text())
        known["CREDENTIALS_DIRECTORY"] = "/run/credentials"
        (line,) = [line for line in self.unit(name).splitlines() if line.startswith("ExecStart=")]
        line = line.replace("%H", "this-host")
        for variable, value in known.items():
            line = line.replace(f"${{{variable}}}", value).replace(f"${variable}", value)
        program, *arguments = shlex.split(line.removeprefix("ExecStart="))
        self.assertEqual(program, PROGRAM)
        return arguments[arguments.index(f"dpip-{name}") + 1 :]

    def test_systemd_takes_them(self) -> None:
        if shutil.which("systemd-analyze") is None:
            raise SkipTest("systemd-analyze is not installed")
        directory = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, directory)
        for name in ("controller", "worker"):
            file = directory / f"dpip-{name}.service"
            file.write_text(self.unit(name).replace(PROGRAM, sys.executable))
            verified = subprocess.run(
                ["systemd-analyze", "verify", str(file)], capture_output=True, text=True, timeout=60
            )
            self.assertEqual((verified.returncode, verified.stderr), (0, ""), name)

    def test_the_programs_take_their_options(self) -> None:
        kinds: dict[str, type[usage.Options]] = {"controller": ControllerOptions, "worker": WorkerOptions}
        for name, kind in kinds.items():
            options = kind()
            options.parseOptions(self.options(name))
            self.assertEqual(options["log-format"], "json", name)
