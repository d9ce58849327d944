"""Options made from the parameters of filters."""

from __future__ import annotations

from pathlib import Path
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
        self.assertIn(
            "(median) Pixels to each side: 1 is a 3 x 3 square. [a whole number from 1 to 3; default: 1]",
            told,
        )
        self.assertIn("(crop, pad) Width to height, such as 16:9 or 1.5.", told)

    def test_chains(self) -> None:
        self.assertEqual(
            self.parsed("--step", "grayscale", "--step", "resize:width=80,fit=cover"),
            ([{"name": "grayscale"}, {"name": "resize", "width": "80", "fit": "cover"}], {}),
        )

    def test_output(self) -> None:
        self.assertEqual(
            self.parsed("--format", "png", "--quality", "9", "--max-bytes", "2K"),
            ([{"name": "convert"}], {"format": "png", "quality": "9", "max_bytes": 2048}),
        )
        self.assertIn("not a size such as 500M", self.parsed("--max-bytes", "much"))
        self.assertEqual(self.parsed(), ([], {}))

    def test_several_filters_are_a_chain_whose_parameters_find_their_own(self) -> None:
        self.assertEqual(
            self.parsed("-f", "grayscale", "-f", "blur")[0], [{"name": "grayscale"}, {"name": "blur"}]
        )
        self.assertEqual(
            self.parsed("-f", "grayscale", "-f", "blur", "--sigma", "3")[0],
            [{"name": "grayscale"}, {"name": "blur", "sigma": "3"}],
        )
        self.assertIn(
            "Several of the filters have --sigma", self.parsed("-f", "blur", "-f", "sharpen", "--sigma", "3")
        )
        self.assertIn(
            "None of the filters has --radius", self.parsed("-f", "blur", "-f", "edges", "--radius", "3")
        )

    def test_a_picture_is_read_from_its_file(self) -> None:
        logo = Path(self.mktemp())
        logo.write_bytes(b"logo")
        wanted = [{"name": "watermark", "picture": "bG9nbw=="}]
        self.assertEqual(self.parsed("-f", "watermark", "--picture", str(logo))[0], wanted)
        self.assertEqual(self.parsed("--step", f"watermark:picture={logo}")[0], wanted)
        logo.write_bytes(bytes(20_000))
        self.assertIn("--max-bytes 16K", self.parsed("-f", "watermark", "--picture", str(logo)))
        self.assertIn("No such file", self.parsed("-f", "watermark", "--picture", f"{logo}.png"))

    def test_what_does_not_go_together(self) -> None:
        self.assertIn("Give either", self.parsed("-f", "blur", "--step", "blur"))
        self.assertIn("--step blur:sigma=3", self.parsed("--step", "blur", "--sigma", "3"))
        self.assertIn("name=value", self.parsed("-f", "blur", "-p", "sigma"))
