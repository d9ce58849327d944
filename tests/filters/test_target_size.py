"""Files of at most so many bytes, and conversion without a filter."""

from __future__ import annotations

from PIL import Image
from twisted.trial.unittest import TestCase

from dpip.errors import CorruptPicture, UnsupportedPicture
from dpip.filters import process
from tests.filters.pictures import natural, opened, saved

PICTURE = natural(150, 200)
JPEG = saved(PICTURE, "JPEG", quality=95)


class TargetSizes(TestCase):
    def test_the_highest_quality_that_fits(self) -> None:
        for format, most in (("jpeg", 4000), ("webp", 2500)):
            result = process(JPEG, "flip", output={"format": format, "max_bytes": most})
            self.assertLessEqual(len(result.data), most)
            self.assertEqual((result.width, result.height), (200, 150))
            (notice,) = result.notices
            quality = int(notice.removesuffix(".").rsplit(" ", 1)[1])
            self.assertIn(f"{most:,} bytes, its quality was lowered to", notice)
            finer = process(JPEG, "flip", output={"format": format, "quality": quality + 1})
            self.assertGreater(len(finer.data), most)

    def test_then_fewer_pixels(self) -> None:
        for data, output in ((JPEG, {"max_bytes": 2500}), (saved(PICTURE, "PNG"), {"max_bytes": 10_000})):
            result = process(data, "flip", output=output)
            self.assertLessEqual(len(result.data), output["max_bytes"])
            self.assertGreater(len(result.data), output["max_bytes"] * 0.6)
            self.assertLess(result.width, 200)
            self.assertEqual(opened(result.data).size, (result.width, result.height))
            self.assertIn(f"scaled from 200 x 150 to {result.width} x {result.height}", result.notices[0])

    def test_animations_too(self) -> None:
        frames = [Image.fromarray(natural(60, 80, seed=seed)) for seed in range(3)]
        data = saved(natural(60, 80), "GIF", save_all=True, append_images=frames)
        result = process(data, "flip", output={"max_bytes": 8000})
        self.assertLessEqual(len(result.data), 8000)
        self.assertEqual(getattr(opened(result.data), "n_frames", 1), 4)

    def test_what_fits_is_left_alone(self) -> None:
        plain = process(JPEG, "flip")
        bounded = process(JPEG, "flip", output={"max_bytes": len(plain.data)})
        self.assertEqual((bounded.data, bounded.notices), (plain.data, ()))

    def test_what_never_fits(self) -> None:
        heavy = saved(PICTURE, "JPEG", comment=bytes(3000))
        problem = self.assertRaises(UnsupportedPicture, process, heavy, "flip", output={"max_bytes": 1000})
        self.assertIn("leave out the metadata", problem.detail)


class Conversions(TestCase):
    def test_another_format(self) -> None:
        result = process(JPEG, "convert", output={"format": "webp"})
        self.assertEqual((result.format, opened(result.data).size), ("WEBP", (200, 150)))

    def test_what_is_as_wanted_stays_as_it_is(self) -> None:
        for output in ({}, {"format": "jpg"}, {"max_bytes": len(JPEG)}):
            self.assertEqual(process(JPEG, "convert", output=output).data, JPEG)
        for output in ({"quality": 95}, {"metadata": "strip"}, {"max_bytes": len(JPEG) - 1}):
            self.assertNotEqual(process(JPEG, "convert", output=output).data, JPEG)

    def test_a_damaged_file_is_none_even_so(self) -> None:
        self.assertRaises(CorruptPicture, process, saved(PICTURE, "PNG")[:-2000], "convert")

    def test_upright_by_the_tag(self) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6
        turned = process(saved(PICTURE, "JPEG", exif=exif), "auto_orient")
        self.assertEqual((turned.width, turned.height, opened(turned.data).size), (150, 200, (150, 200)))
        self.assertEqual(opened(turned.data).getexif().get(0x0112, 1), 1)
