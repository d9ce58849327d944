"""Every shell line of the user guide runs, and its answers have the shape that is printed.

So do the README's lines that begin with ``dpip``.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.trial.unittest import TestCase

from tests.command.video.test_command import make_film
from tests.frames import encoded
from tests.system.processes import PASSWORD, REPOSITORY, Cluster

BLOCK = re.compile(r"^```(sh|json)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROGRAM = re.compile(r"^`(\w+\.py)`, for a server.*?^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def text_of(name: str) -> str:
    return (REPOSITORY / name).read_text(encoding="utf-8")


def shape(value: Any) -> Any:
    """The keys of objects, all the way down; of values only their kind."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items() if key not in ("filters", "params")}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return (
        "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__
    )


class UserGuideTests(TestCase):
    def test_its_lines_run_and_its_answers_are_true(self) -> None:
        guide = text_of("user-guide.md")
        blocks = BLOCK.findall(guide)
        with Cluster() as cluster:
            cluster.start_controller("--slots", "1", plugin="dpip").wait_for_log("Joined")
            self._write_pictures(cluster.directory)
            (program,) = PROGRAM.findall(guide)
            (cluster.directory / program[0]).write_text(self._local(cluster, program[1]))
            answers = self._printed(cluster, [text for kind, text in blocks if kind == "sh"])
        number = -1
        for kind, text in blocks:
            if kind == "sh":
                number += 1
            else:
                with self.subTest(answer=text[:60]):
                    printed, got = shape(json.loads(text)), shape(json.loads(answers[number]))
                    self.assertEqual(printed, got)

    def test_the_commands_of_the_readme_run(self) -> None:
        commands = [text for kind, text in BLOCK.findall(text_of("README.md")) if text.startswith("dpip ")]
        self.assertNotEqual(commands, [])
        with Cluster() as cluster:
            self._write_pictures(cluster.directory)
            self._printed(cluster, commands)
            self.assertTrue((cluster.directory / "gray.mp4").exists())

    def _write_pictures(self, directory: Path) -> None:
        for number, name in enumerate(("photos/a.jpg", "photos/sub/b.jpg", "scans/2020/c.tif")):
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            kind = "TIFF" if name.endswith("tif") else "JPEG"
            (directory / name).write_bytes(encoded(number, 80, 60, kind))
        make_film(directory / "clip.mp4")
        photo = encoded(1, 320, 240, "JPEG")
        (directory / "photo.jpg").write_bytes(photo)
        (directory / "broken.jpg").write_bytes(photo[:4000])
        (directory / "cat.png").write_bytes(encoded(2, 320, 240))

    def _printed(self, cluster: Cluster, commands: list[str]) -> list[str]:
        """What each block printed: all run in one shell, in order."""
        end = "---- end of block ----"
        script = "set -eu\n" + "".join(f"{command}\necho '{end}'\n" for command in commands)
        done = subprocess.run(
            ["bash", "-c", self._local(cluster, script)],
            cwd=cluster.directory,
            env={
                "PATH": f"{self._programs(cluster.directory)}:/usr/bin:/bin",
                "PASSWORD": PASSWORD,
                "DPIP_CONFIG_DIR": str(cluster.directory / "config"),
            },
            capture_output=True,
            text=True,
        )
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout.split(f"{end}\n")[:-1]

    def _local(self, cluster: Cluster, text: str) -> str:
        return text.replace("http://127.0.0.1:8080", f"http://127.0.0.1:{cluster.http}")

    def _programs(self, directory: Path) -> Path:
        """A folder for the PATH, with what ``.venv/bin`` has."""
        folder = directory / "bin"
        folder.mkdir()
        for name, arguments in (
            ("python3", ""),
            ("dpip", "-c 'from dpip.command import main; main(prog_name=\"dpip\")'"),
        ):
            script = f'#!/bin/sh\nPYTHONPATH="{REPOSITORY}" exec "{sys.executable}" {arguments} "$@"\n'
            (folder / name).write_text(script)
            (folder / name).chmod(0o755)
        return folder
