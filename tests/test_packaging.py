"""A wheel, an editable install and a bare checkout all show twistd the three commands, from anywhere."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from twisted.trial.unittest import TestCase

ROOT = Path(__file__).parents[1]
COMMANDS = ("dpip ", "dpip-api", "dpip-controller", "dpip-worker")


def run(*command: str | Path, cwd: Path | None = None, **environment: str) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{command}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


class PackagingTests(TestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir(parents=True)
        self.elsewhere = self.directory / "elsewhere"
        self.elsewhere.mkdir()

    def _environment(self) -> Path:
        """A fresh environment that borrows the dependencies, but not dpip, from the running one."""
        environment = self.directory / "environment"
        run(sys.executable, "-m", "venv", "--without-pip", environment)  # pip takes seconds to install
        site = next(environment.glob("lib/python*/site-packages"))
        (site / "borrowed.pth").write_text(sysconfig.get_path("purelib"))
        return environment / "bin"

    def _install(self, bin: Path, *what: str | Path) -> None:
        run(sys.executable, "-m", "pip", "--python", bin / "python", "install", "--no-deps", *what)

    def _copy_of_the_sources(self) -> Path:
        sources = self.directory / "sources"
        sources.mkdir()
        for name in ("dpip", "twisted"):
            shutil.copytree(
                ROOT / name, sources / name, ignore=shutil.ignore_patterns("__pycache__", "*.cache")
            )
        for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, sources)
        return sources

    def _assert_twistd_lists_the_commands(self, twistd: str) -> None:
        for command in COMMANDS:
            self.assertIn(command, twistd)

    def test_wheel(self) -> None:
        bin = self._environment()
        sources = self._copy_of_the_sources()
        run(sys.executable, "-m", "pip", "wheel", "--no-deps", "-w", self.directory, sources)
        (wheel,) = self.directory.glob("dpip-*.whl")
        self._install(bin, wheel)
        shutil.rmtree(sources)
        self._assert_twistd_lists_the_commands(self._twistd_help(bin / "python"))
        self.assertIn("demo", run(bin / "dpip", "--help", cwd=self.elsewhere))
        page = "from dpip.api.page import PageRoutes; print(*sorted(PageRoutes().sources))"
        parts = {path.name for path in (ROOT / "dpip" / "page").iterdir()}
        self.assertEqual(set(run(bin / "python", "-c", page, cwd=self.elsewhere).split()), parts)

    def test_editable(self) -> None:
        bin = self._environment()
        self._install(bin, "-e", self._copy_of_the_sources())
        self._assert_twistd_lists_the_commands(self._twistd_help(bin / "python"))

    def test_checkout_on_the_path(self) -> None:
        self._assert_twistd_lists_the_commands(self._twistd_help(Path(sys.executable), PYTHONPATH=str(ROOT)))

    def _twistd_help(self, python: Path, **environment: str) -> str:
        script = "from twisted.scripts.twistd import run; run()"
        return run(python, "-c", script, "--help", cwd=self.elsewhere, **environment)

    def test_listing_the_commands_loads_neither_numba_nor_numpy(self) -> None:
        script = (
            "import sys; from twisted.scripts.twistd import ServerOptions\n"
            "print([name for name, *_ in ServerOptions().subCommands if 'dpip' in name])\n"
            "print([m for m in ('numba', 'numpy', 'PIL', 'dpip') if m in sys.modules])"
        )
        listed, loaded = run(
            sys.executable, "-c", script, cwd=self.elsewhere, PYTHONPATH=str(ROOT)
        ).splitlines()
        self.assertEqual(sorted(eval(listed)), ["dpip", "dpip-api", "dpip-controller", "dpip-worker"])
        self.assertEqual(loaded, "[]")
