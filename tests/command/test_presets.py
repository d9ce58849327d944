"""dpip preset, and --preset."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from twisted.trial.unittest import SynchronousTestCase

from dpip.command import main
from dpip.command.filter_options import FilterCommand


class PresetCommandTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.patch(os, "environ", {**os.environ, "DPIP_CONFIG_DIR": str(self.folder)})

    def dpip(self, *arguments: str) -> Result:
        return CliRunner().invoke(main, arguments)

    def save(self, *more: str) -> Result:
        chain = ("--step", "grayscale", "--step", "blur:sigma=3")
        return self.dpip("preset", "save", "web", *chain, "--format", "jpeg", "--quality", "82", *more)

    def used(self, *arguments: str) -> Any:
        seen: list[Any] = []
        command = FilterCommand("x", callback=lambda **given: seen.append(given))
        result = CliRunner().invoke(command, arguments)
        return (seen[0]["steps"], seen[0]["output"]) if seen else (result.exit_code, result.output)

    def test_it_is_saved_listed_shown_used_and_deleted(self) -> None:
        self.assertEqual((self.save().output, self.save().exit_code), ("Saved web.\n", 1))
        self.assertIn("blur:sigma=3", self.dpip("preset", "list").output)
        shown = json.loads(self.dpip("preset", "show", "web").output)
        self.assertEqual(shown["steps"], [{"name": "grayscale"}, {"name": "blur", "sigma": 3.0}])
        self.assertEqual(self.used("--preset", "web"), (shown["steps"], {"format": "JPEG", "quality": 82}))
        self.assertEqual(
            self.used("--preset", "web", "--quality", "60")[1], {"format": "JPEG", "quality": "60"}
        )
        self.assertEqual(self.dpip("preset", "delete", "web").exit_code, 0)
        self.assertEqual(json.loads(self.dpip("preset", "list", "--json").output), [])

    def test_a_name_that_is_taken_needs_force(self) -> None:
        self.save()
        refused = self.dpip("preset", "save", "web", "--filter", "invert")
        self.assertEqual(refused.exit_code, 1)
        self.assertIn("--force", refused.output)
        self.assertEqual(self.dpip("preset", "save", "web", "--filter", "invert", "--force").exit_code, 0)
        self.assertEqual(self.used("--preset", "web"), ([{"name": "invert"}], {}))

    def test_wrong_usage_ends_with_2(self) -> None:
        self.save()
        for arguments, told in (
            (("preset", "show", "print"), "no preset 'print'"),
            (("preset", "delete", "print"), "There are: web"),
            (("preset", "save", "new"), "Give at least"),
            (("preset", "save", "new", "--filter", "nothing"), "nothing"),
            (("preset", "save", "new", "--filter", "blur", "--sigma", "-1"), "sigma"),
            (("preset", "save", " ", "--filter", "blur"), "1 to 64"),
            (("run", "x", "-o", "y", "--preset", "print"), "no preset 'print'"),
            (("run", "x", "-o", "y", "--preset", "web", "-f", "blur"), "either a --preset"),
        ):
            result = self.dpip(*arguments)
            self.assertEqual(result.exit_code, 2, (arguments, result.output))
            self.assertIn(told, " ".join(result.output.split()))

    def test_a_damaged_file_is_named(self) -> None:
        self.save()
        (self.folder / "presets.json").write_text("{")
        result = self.dpip("preset", "list")
        self.assertEqual(result.exit_code, 1)
        self.assertIn("presets.json cannot be read", result.output)
