"""The film that the demo draws."""

from __future__ import annotations

from PIL import Image, ImageChops, ImageStat
from twisted.trial.unittest import SynchronousTestCase

from dpip.command.demo.film import DemoFilm


def brightness(picture: Image.Image) -> float:
    return float(ImageStat.Stat(picture.convert("L")).mean[0])


class FilmDrawingTests(SynchronousTestCase):
    def test_frames_follow_each_other_from_dawn_to_noon(self) -> None:
        film = DemoFilm(3)
        dawn, noon, dusk = (film.frame(number) for number in range(3))
        for frame in (dawn, noon, dusk):
            self.assertEqual((frame.mode, frame.size), ("RGB", (1280, 720)))
        self.assertGreater(brightness(noon), brightness(dawn) + 20)
        self.assertGreater(brightness(noon), brightness(dusk) + 20)

    def test_the_ball_rolls_from_left_to_right(self) -> None:
        film = DemoFilm(48)
        before, after = (film.frame(number) for number in (23, 24))
        meadow = (0, 600, 1280, 660)
        moved = ImageChops.difference(before.crop(meadow), after.crop(meadow)).convert("L")
        box = moved.point(lambda level: 255 * (level > 40)).getbbox()
        assert box is not None
        self.assertTrue(540 < box[0] < box[2] < 740, box)

    def test_the_film_is_the_same_every_time(self) -> None:
        self.assertEqual(DemoFilm(1).frame(0).tobytes(), DemoFilm(1).frame(0).tobytes())
