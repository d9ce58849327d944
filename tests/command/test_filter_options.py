"""Options made from the parameters of filters."""

from __future__ import annotations

from typing import Any

from click.testing import CliRunner
from twisted.trial.unittest import SynchronousTestCase

from dpip.command.filter_options import FilterCommand


class FilterOptionsTests(SynchronousTestCase):
    def parsed(self, *arguments: str) -> Any:
        seen: list[Any] = []
        command = FilterCommand("x", callback=lambda **given: seen.append(given))
        result = CliRunner().invoke(command, arguments)
        if result.exit_code:
            return result.output
        return seen[0]["steps"], seen[0]["output"]

    def test_parameters_are_options(self) -> None:
        self.assertEqual(
            self.parsed("--filter", "blur", "--sigma", "8"), ([{"name": "blur", "sigma": "8"}], {})
        )
        self.assertEqual(
            self.parsed("-f", "solarize", "-p", "limit=3"), ([{"name": "solarize", "limit": "3"}], {})
        )

    def test_help_says_what_each_filter_takes(self) -> None:
        result = CliRunner().invoke(FilterCommand("x"), ["--help"])
        told = " ".join(result.output.split())
        self.assertIn("(box_blur) A whole number from 1 to 100. (median) A whole number from 1 to 3.", told)
        self.assertIn("(blur, sharpen) A number from 0.3 to 100.", told)

    def test_chains(self) -> None:
        self.assertEqual(
            self.parsed("--step", "grayscale", "--step", "resize:width=80,fit=cover"),
            ([{"name": "grayscale"}, {"name": "resize", "width": "80", "fit": "cover"}], {}),
        )

    def test_output(self) -> None:
        self.assertEqual(
            self.parsed("--format", "png", "--quality", "9"), ([], {"format": "png", "quality": "9"})
        )

    def test_what_does_not_go_together(self) -> None:
        self.assertIn("Give either", self.parsed("-f", "blur", "--step", "blur"))
        self.assertIn("--step blur:sigma=3", self.parsed("--step", "blur", "--sigma", "3"))
        self.assertIn("name=value", self.parsed("-f", "blur", "-p", "sigma"))
