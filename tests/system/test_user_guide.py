"""Every shell line of the user guide runs, and its answers have the shape that is printed."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

from twisted.trial.unittest import TestCase

from tests.frames import encoded
from tests.system.processes import PASSWORD, REPOSITORY, Cluster

BLOCK = re.compile(r"^```(sh|json)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


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
        blocks = BLOCK.findall((REPOSITORY / "user-guide.md").read_text(encoding="utf-8"))
        with Cluster() as cluster:
            cluster.start_controller("--slots", "1", plugin="dpip").wait_for_log("Joined")
            self._write_pictures(cluster.directory)
            answers = self._printed(cluster, [text for kind, text in blocks if kind == "sh"])
        number = -1
        for kind, text in blocks:
            if kind == "sh":
                number += 1
            else:
                with self.subTest(answer=text[:60]):
                    printed, got = shape(json.loads(text)), shape(json.loads(answers[number]))
                    self.assertEqual(printed, got)

    def _write_pictures(self, directory: Path) -> None:
        photo = encoded(1, 320, 240, "JPEG")
        (directory / "photo.jpg").write_bytes(photo)
        (directory / "broken.jpg").write_bytes(photo[:4000])
        (directory / "cat.png").write_bytes(encoded(2, 320, 240))

    def _printed(self, cluster: Cluster, commands: list[str]) -> list[str]:
        """What each block printed: all run in one shell, in order."""
        end = "---- end of block ----"
        script = "set -eu\n" + "".join(f"{command}\necho '{end}'\n" for command in commands)
        script = script.replace("http://127.0.0.1:8080", f"http://127.0.0.1:{cluster.http}")
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=cluster.directory,
            env={"PATH": "/usr/bin:/bin", "PASSWORD": PASSWORD},
            capture_output=True,
            text=True,
        )
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout.split(f"{end}\n")[:-1]
