"""The demo's folder is its own, or it is left alone."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click
from click.testing import CliRunner
from PIL import Image
from twisted.trial.unittest import TestCase

from dpip.command import main
from dpip.command.demo.folder import DemoFolder


class DemoFolderTests(TestCase):
    def setUp(self) -> None:
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory(prefix="dpip-test-"))) / "demo"

    def names(self) -> list[str]:
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file())

    def test_a_new_folder_and_an_empty_one(self) -> None:
        (self.folder.parent / "empty").mkdir()
        for folder in (self.folder, self.folder.parent / "empty"):
            demo = DemoFolder.claim(folder)
            self.assertTrue(demo.frame("blur", 7).parent.is_dir())
            self.assertEqual(demo.frame("blur", 7).name, "frame-0007.jpg")
            self.assertIn("dpip demo", (folder / "README.txt").read_text())

    def test_an_earlier_demos_folder_loses_its_frames_and_nothing_else(self) -> None:
        demo = DemoFolder.claim(self.folder)
        mine = [demo.frame("original", 0), demo.frame("blur", 47), demo.comparison]
        for path in mine:
            path.write_bytes(b"old")
        (self.folder / "notes.txt").write_text("mine")
        (self.folder / "blur" / "holiday.jpg").write_text("mine")
        DemoFolder.claim(self.folder)
        self.assertEqual(self.names(), ["README.txt", "blur/holiday.jpg", "notes.txt"])

    def test_a_folder_of_somebody_elses_is_not_touched(self) -> None:
        self.folder.mkdir()
        for name in ("README.txt", "photo.jpg"):
            (self.folder / name).write_text("mine")
        before = self.names()
        error = self.assertRaises(click.ClickException, DemoFolder.claim, self.folder)
        self.assertEqual(error.message, f"{self.folder} holds other files. Name another place with --keep.")
        self.assertEqual(self.names(), before)

    def test_a_place_that_cannot_be_written(self) -> None:
        self.folder.write_text("a file")
        self.assertRaises(click.ClickException, DemoFolder.claim, self.folder)
        error = self.assertRaises(click.ClickException, DemoFolder.claim, self.folder / "below")
        self.assertIn("cannot be used", error.message)

    def test_the_command_says_so_before_it_starts_anything(self) -> None:
        self.folder.mkdir()
        (self.folder / "photo.jpg").write_text("mine")
        result = CliRunner().invoke(main, ["demo", "--keep", str(self.folder)])
        self.assertEqual(result.exit_code, 1)
        self.assertIn("Error: ", result.stderr)
        self.assertIn("holds other files", result.stderr)

    def test_one_frame_is_compared_side_by_side_with_its_results(self) -> None:
        demo = DemoFolder.claim(self.folder)
        for kind, color in (("original", (255, 0, 0)), ("grayscale", 128), ("blur", (0, 0, 255))):
            picture = Image.new("L" if kind == "grayscale" else "RGB", (1280, 720), color)
            picture.save(demo.frame(kind, 3))
        demo.compare(3)
        with Image.open(demo.comparison) as sheet:
            middles = [sheet.getpixel((24 + 320 + place * 664, 24 + 180)) for place in range(3)]
            captions = sheet.crop((0, 24 + 360, sheet.width, sheet.height)).convert("L")
            self.assertEqual(sheet.format, "PNG")
            self.assertEqual(middles, [(254, 0, 0), (128, 128, 128), (0, 0, 254)])
            self.assertGreater(captions.getextrema()[1], 200)
