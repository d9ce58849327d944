"""The demo's film, and its picture of before and after."""

from __future__ import annotations

import tempfile
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageChops
from twisted.trial.unittest import SynchronousTestCase

from dpip.command.comparison import compare
from dpip.command.film.scene import Scene


class FilmTests(SynchronousTestCase):
    def test_frames_are_pictures_that_follow_each_other(self) -> None:
        scene = Scene(3)
        frames = [scene.frame(number) for number in range(3)]
        for frame in frames:
            self.assertEqual((frame.mode, frame.size), ("RGB", (1280, 720)))
        self.assertIsNotNone(ImageChops.difference(frames[0], frames[1]).getbbox())
        noon = frames[1].resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
        dawn = frames[0].resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
        self.assertGreater(sum(noon), sum(dawn))  # type: ignore[arg-type]

    def test_the_same_film_every_time(self) -> None:
        self.assertEqual(Scene(2).jpeg(1), Scene(2).jpeg(1))

    def test_a_film_of_one_frame_is_a_jpeg(self) -> None:
        with Image.open(BytesIO(Scene(1).jpeg(0))) as picture:
            self.assertEqual((picture.format, picture.size), ("JPEG", (1280, 720)))


class ComparisonTests(SynchronousTestCase):
    def test_pictures_side_by_side_in_their_order(self) -> None:
        folder = Path(self.enterContext(tempfile.TemporaryDirectory(prefix="dpip-test-")))
        panels = {}
        for name, color in (("red", (255, 0, 0)), ("gray", 128), ("blue", (0, 0, 255))):
            panels[name] = folder / f"{name}.png"
            Image.new("L" if name == "gray" else "RGB", (320, 180), color).save(panels[name])
        compare(panels, folder / "sheet.png")
        with Image.open(folder / "sheet.png") as sheet:
            middles = [sheet.getpixel((24 + 320 + place * 664, 24 + 180)) for place in range(3)]
            captions = sheet.crop((0, 24 + 360, sheet.width, sheet.height)).convert("L")
            self.assertEqual(middles, [(255, 0, 0), (128, 128, 128), (0, 0, 255)])
            self.assertGreater(captions.getextrema()[1], 200)
