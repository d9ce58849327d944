"""Films: read, copied, and filtered by ``dpip video`` and ``dpip run`` as processes of their own."""

from __future__ import annotations

import tempfile
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import click
import numpy as np
from twisted.trial.unittest import SynchronousTestCase

from dpip.command.run.films import Film
from dpip.command.video.copy import FilmCopy
from dpip.command.video.segments import Segments
from tests.command.test_demo import RUN, VIDEO, ProcessTestCase

WIDTH, HEIGHT, FRAMES = 64, 48, 10


def make_film(path: Path, sound: bool = True, rate: Fraction = Fraction(30000, 1001), **traits: Any) -> None:
    """A square that moves over a gradient, with a tone."""
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=rate, options={"crf": "5"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, traits.pop("pix_fmt", "yuv420p")
        rotation = traits.pop("rotation", 0)
        if rotation:
            video.set_display_rotation(rotation)
        for name, value in traits.items():
            setattr(video.codec_context, name, value)
        tone = out.add_stream("aac", rate=48000) if sound else None
        if tone is not None:
            tone.layout = "stereo"
        for number in range(FRAMES):
            pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
            pixels[...] = np.linspace(0, 255, WIDTH, dtype=np.uint8)[:, None]
            pixels[8:24, 4 * number : 4 * number + 16] = (255, 0, 0)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(
                format=video.pix_fmt, dst_color_range=traits.get("color_range", 1)
            )
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        if tone is not None:
            for number in range(20):
                wave = np.sin(np.arange(1024 * number, 1024 * (number + 1)) / 20, dtype=np.float64)
                samples = av.AudioFrame.from_ndarray(
                    np.stack([wave, wave]).astype(np.float32), format="fltp", layout="stereo"
                )
                samples.sample_rate, samples.pts = 48000, 1024 * number
                out.mux(tone.encode(samples))
            out.mux(tone.encode(None))


def traits(path: Path) -> dict[str, Any]:
    with av.open(str(path)) as film:
        video = film.streams.video[0]
        context = video.codec_context
        frames = list(film.decode(video))
        found: dict[str, Any] = {
            "size": (context.width, context.height),
            "rate": video.average_rate,
            "format": context.pix_fmt,
            "range": int(context.color_range),
            "colours": (int(context.colorspace), int(context.color_primaries), int(context.color_trc)),
            "rotation": frames[0].rotation,
            "times": [frame.time for frame in frames],
        }
    with av.open(str(path)) as film:
        found["sound"] = [bytes(packet) for packet in film.demux(audio=0)] if film.streams.audio else []
    return found


def luma(path: Path) -> np.ndarray[Any, Any]:
    with av.open(str(path)) as film:
        return np.stack(
            [np.array(frame.to_ndarray()[: frame.height]) for frame in film.decode(video=0)]
        ).astype(int)


class FilmTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory(prefix="dpip-test-")))
        self.film, self.result = self.folder / "film.mp4", self.folder / "copy.mp4"

    def copied(self, **options: Any) -> list[str]:
        """Copy the film unfiltered; returns the notices."""
        segments = Segments(self.folder / ".parts", {})
        with (
            Film(self.film) as film,
            closing(FilmCopy(self.result, film, segments, crf=5, **options)) as copy,
        ):
            segments.open(resume=False)
            for frame in film.frames(progressive=True):
                if frame.number == 0:
                    copy.look_at(frame)
                copy.write(frame.png(), frame.pts)
            copy.finish()
            segments.remove()
            segments.close()
            return copy.notices


class FilmFilesTests(FilmTestCase):
    def test_a_copy_is_like_the_original(self) -> None:
        for more in (
            {"colorspace": 1, "color_primaries": 1, "color_trc": 1, "color_range": 1},
            {"colorspace": 5, "color_primaries": 6, "color_trc": 6, "color_range": 2},
            {"pix_fmt": "yuv444p", "colorspace": 1, "color_range": 1},
            {"rotation": 90, "colorspace": 1, "color_range": 1},
            {"pix_fmt": "yuv420p10le", "colorspace": 1, "color_range": 1},
        ):
            with self.subTest(**more):
                make_film(self.film, **more)
                self.copied()
                self.assertEqual(traits(self.result), traits(self.film))
                apart = np.abs(luma(self.result) - luma(self.film)) / (4 if "p10" in str(more) else 1)
                self.assertLess(apart.mean(), 1)
                self.assertLess(apart.max(), 20)

    def test_without_sound(self) -> None:
        make_film(self.film, sound=False)
        self.copied()
        self.assertEqual(traits(self.result)["sound"], [])
        make_film(self.film)
        self.copied(sound=False)
        self.assertEqual(traits(self.result)["sound"], [])

    def test_no_film(self) -> None:
        self.film.write_text("no film")
        error = self.assertRaises(click.ClickException, Film(self.film).__enter__)
        self.assertIn("film.mp4 cannot be read as a film", error.message)

    def test_its_length_is_told(self) -> None:
        make_film(self.film)
        with Film(self.film) as film:
            self.assertEqual(film.length, FRAMES)


class VideoTests(ProcessTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.environment["DPIP_CONFIG_DIR"] = str(self.folder / "config")
        make_film(self.folder / "film.mp4")

    def test_a_film_in_gray_keeps_times_and_sound(self) -> None:
        command = (*VIDEO, "film.mp4", "-o", "gray.mp4", "-f", "grayscale")
        code, out, err = self.run_it(*command)
        self.assertEqual((code, err), (0, ""), out)
        self.assertRegex(out, r"^10 frames in \d+:\d\d \([\d.]+ frames/s\): gray\.mp4\n$")
        before, after = traits(self.folder / "film.mp4"), traits(self.folder / "gray.mp4")
        self.assertEqual((after["times"], after["sound"]), (before["times"], before["sound"]))
        with av.open(str(self.folder / "gray.mp4")) as film:
            for frame in film.decode(video=0):
                pixels = frame.to_ndarray(format="rgb24").astype(int)
                self.assertLess(np.abs(pixels[..., 0] - pixels[..., 2]).max(), 4)
        self.assertEqual(sorted(path.name for path in self.folder.iterdir() if path.name[0] == "."), [])
        code, _, err = self.run_it(*command)
        self.assertEqual(code, 2)
        self.assertIn("gray.mp4 is there already", err)

    def test_a_filter_that_changes_the_size(self) -> None:
        command = (*VIDEO, "film.mp4", "-o", "small.mkv", "-f", "resize", "--width", "31", "--json")
        code, out, err = self.run_it(*command)
        self.assertEqual(code, 0, out + err)
        self.assertEqual(traits(self.folder / "small.mkv")["size"], (30, 22))

    def test_wrong_places_are_refused_before_anything_starts(self) -> None:
        for result, words in (
            ("film.mp4", "cannot take the place"),
            ("gray.txt", "ends in one of .mp4"),
            ("none/gray.mp4", "no folder none"),
        ):
            code, _, err = self.run_it(*VIDEO, "film.mp4", "-o", result, "-f", "grayscale")
            self.assertEqual(code, 2)
            self.assertIn(words, err)

    def test_the_frames_as_files(self) -> None:
        code, out, err = self.run_it(*RUN, "film.mp4", "-o", "out", "-f", "invert")
        self.assertEqual((code, err), (0, ""), out)
        self.assertEqual(
            sorted(path.name for path in (self.folder / "out" / "film").iterdir()),
            [f"{number:06}.png" for number in range(FRAMES)],
        )
        code, out, err = self.run_it(*RUN, "-o", "out", "--resume")
        self.assertEqual(
            (code, out), (0, "10 images done by an earlier run and unchanged since: skipped\n"), err
        )
