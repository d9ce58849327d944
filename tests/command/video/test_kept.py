"""What a film's copy keeps of the original, and what it says of the rest."""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from fractions import Fraction
from typing import Any

import av
import click
import numpy as np

from dpip.command.run.films import Film, turned
from dpip.command.video.codecs import check
from dpip.command.video.copy import FilmCopy
from dpip.command.video.segments import Segments
from dpip.filters.codec.picture import Metadata
from dpip.filters.codec.png import encode
from tests.command.video.test_command import FRAMES, HEIGHT, WIDTH, FilmTestCase, make_film


def pictures(format: str = "rgba", frames: int = FRAMES) -> Iterator[Any]:
    """A square that moves, half transparent where the format has alpha."""
    for number in range(frames):
        pixels = np.full((HEIGHT, WIDTH, 4), 90, np.uint8)
        pixels[8:24, 4 * number : 4 * number + 16] = (255, 0, 0, 255)
        frame = av.VideoFrame.from_ndarray(pixels, format="rgba").reformat(format=format)
        frame.pts, frame.time_base = number, Fraction(1, 10)
        yield frame


def tone(out: Any, name: str, language: str) -> Callable[[], None]:
    """Add a track of sound, which the returned function writes."""
    track = out.add_stream(name, rate=48000)
    track.layout = "stereo"
    track.metadata["language"], track.bit_rate = language, 64000

    def write() -> None:
        size = 1024
        for number in range(40):
            samples = av.AudioFrame.from_ndarray(
                np.zeros((2, size), np.float32), format="fltp", layout="stereo"
            )
            samples.sample_rate, samples.pts = 48000, size * number
            out.mux(track.encode(samples))
        out.mux(track.encode(None))

    return write


class KeptTests(FilmTestCase):
    def written(
        self, name: str, codec: str, format: str, *sounds: tuple[str, str], more: Any = None, **options: str
    ) -> None:
        self.film = self.folder / name
        with av.open(str(self.film), "w") as out:
            video = out.add_stream(codec, rate=10, options=options)
            video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, format
            writers = [tone(out, *sound) for sound in sounds]
            if more is not None:
                writers.append(more(out))
            for frame in pictures(format):
                out.mux(video.encode(frame))
            out.mux(video.encode(None))
            for write in writers:
                write()

    def copy_to(self, name: str, **options: Any) -> list[str]:
        self.result = self.folder / name
        return self.copied(**options)

    def streams(self) -> list[tuple[str, str, str | None]]:
        with av.open(str(self.result)) as film:
            return [
                (each.type, each.codec_context.codec.canonical_name, each.language)
                for each in film.streams
                if each.codec_context is not None
            ]

    def picture(self) -> tuple[str, str, int]:
        """Codec, format and number of frames."""
        with Film(self.result) as film:
            frames = [frame.picture for frame in film.frames()]
            return film.codec, frames[0].format.name, len(frames)

    def test_sound_that_the_file_does_not_take_is_encoded_again(self) -> None:
        self.written("film.mp4", "libx264", "yuv420p", ("aac", "deu"))
        (told,) = self.copy_to("copy.webm")
        self.assertIn("deu is aac, which does not go into .webm: it was encoded again as Opus", told)
        self.assertEqual(self.streams(), [("video", "vp9", None), ("audio", "opus", "deu")])
        with av.open(str(self.result)) as film:
            samples = sum(frame.samples for frame in film.decode(audio=0))
        self.assertAlmostEqual(samples, 40 * 1024, delta=2000)

        self.written("film.wmv", "wmv2", "yuv420p", ("wmav2", "eng"))
        (told,) = self.copy_to("copy.mp4")
        self.assertIn("wmav2", told)
        self.assertEqual([kind[:2] for kind in self.streams()], [("video", "h264"), ("audio", "aac")])

    def test_all_tracks_with_their_languages_and_chapters(self) -> None:
        text = self.folder / "text.srt"
        text.write_text("1\n00:00:00,000 --> 00:00:00,500\nBonjour\n\n")
        words = self.enterContext(av.open(str(text)))

        def more(out: Any) -> Callable[[], None]:
            track = out.add_stream_from_template(words.streams[0])
            track.metadata["language"] = "fra"
            out.metadata["title"] = "A film"
            chapter = {"id": 1, "start": 0, "end": 500, "time_base": Fraction(1, 1000)}
            out.set_chapters([{**chapter, "metadata": {"title": "One"}}])

            def write() -> None:
                for packet in words.demux():
                    if packet.size:
                        packet.stream = track
                        out.mux(packet)

            return write

        self.written("film.mkv", "libx264", "yuv420p", ("aac", "deu"), ("libopus", "eng"), more=more)
        kept = [("audio", "aac", "deu"), ("audio", "opus", "eng"), ("subtitle", "subrip", "fra")]
        self.assertEqual(self.copy_to("copy.mkv"), [])
        self.assertEqual(sorted(self.streams()[1:]), sorted(kept))
        with av.open(str(self.result)) as film:
            self.assertEqual([each["metadata"]["title"] for each in film.chapters()], ["One"])
            self.assertEqual(film.metadata["title"], "A film")
        (told,) = self.copy_to("copy.mp4")
        self.assertIn("The subtitles fra", told)
        self.assertEqual(sorted(self.streams()[1:]), sorted(kept[:2]))

    def test_hdr_stays_hdr(self) -> None:
        light = "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
        params = f"log-level=none:{light}:max-cll=1000,400"
        self.written("film.mkv", "libx265", "yuv420p10le", **{"x265-params": params})
        for name in ("copy.mp4", "copy.mkv"):
            self.assertEqual(self.copy_to(name), [])
            self.assertEqual(self.picture()[:2], ("hevc", "yuv420p10le"))
            with Film(self.result) as film:
                found = {each.type.name: bytes(each) for each in next(iter(film.frames())).picture.side_data}
            self.assertEqual(struct.unpack_from("=2I", found["CONTENT_LIGHT_LEVEL"]), (1000, 400))
            (red, _) = struct.unpack_from("=2i", found["MASTERING_DISPLAY_METADATA"])
            self.assertEqual(red, 34000)
        (told, *_) = self.copy_to("copy.mp4", codec="h264")
        self.assertIn("Of 10 bits per colour 8 are kept.", told)

    def test_transparency_stays_or_is_told(self) -> None:
        self.written("film.mov", "prores_ks", "yuva444p10le", profile="4444")
        for name, codec, format in (
            ("copy.mov", "prores", "yuva444p12le"),
            ("copy.webm", "vp9", "yuva420p"),
            ("copy.mkv", "ffv1", "yuva444p12le"),
        ):
            self.copy_to(name)
            self.assertEqual(self.picture(), (codec, format, FRAMES), name)
            with Film(self.result) as film:
                alpha = next(iter(film.frames())).picture.to_ndarray(format="rgba")[..., 3]
            self.assertAlmostEqual(int(alpha[-1, -1]), 90, delta=3, msg=name)
            self.assertGreater(int(alpha[16, 8]), 250)
        self.assertIn("Transparency is lost", self.copy_to("copy.mp4")[0])
        self.film = self.folder / "copy.webm"
        self.assertEqual(self.copy_to("again.webm"), [])
        self.assertEqual(self.picture()[1], "yuva420p")

    def test_interlaced_films_are_made_progressive_and_that_is_told(self) -> None:
        self.written("film.mkv", "mpeg2video", "yuv420p", flags="+ildct+ilme", field_order="tt", top="1")
        with Film(self.film) as film:
            interlaced = next(iter(film.frames())).picture.interlaced_frame
        self.assertTrue(interlaced)
        (told,) = self.copy_to("copy.mp4")
        self.assertIn("made progressive", told)
        self.assertEqual(self.picture()[2], FRAMES)
        with Film(self.film) as film, Film(self.result) as copy:
            times = [[float(f.picture.time) for f in each.frames()] for each in (film, copy)]
        self.assertLess(max(abs(a - b) for a, b in zip(*times, strict=True)), 0.002)

    def test_codecs_that_were_asked_for(self) -> None:
        make_film(self.film)
        for codec, name in (
            ("hevc", "c.mp4"),
            ("av1", "c.webm"),
            ("vp9", "c.mkv"),
            ("prores", "c.mov"),
            ("ffv1", "c.mkv"),
        ):
            self.copy_to(name, codec=codec)
            self.assertEqual((self.picture()[0], self.picture()[2]), (codec, FRAMES))
        for codec, crf, kind in (("prores", None, ".mp4"), ("ffv1", 5, ".mkv"), ("h264", 60, ".mp4")):
            self.assertRaises(click.UsageError, check, codec, crf, kind)

    def test_an_interrupted_film_goes_on_after_its_last_piece(self) -> None:
        make_film(self.film)
        self.patch(sys.modules[FilmCopy.__module__], "FRAMES", 4)
        self.copied()
        whole = self.result.read_bytes()
        segments = Segments(self.folder / ".parts", {"task": 1})
        segments.open(resume=False)
        with Film(self.film) as film, closing(FilmCopy(self.result, film, segments, crf=5)) as copy:
            for frame in film.frames():
                if frame.number == 0:
                    copy.look_at(frame)
                if frame.number < 6:
                    copy.write(frame.png(), frame.pts)
        segments.close()
        again = Segments(self.folder / ".parts", {"task": 1})
        again.open(resume=True)
        self.assertEqual(again.frames, 4)
        with Film(self.film) as film, closing(FilmCopy(self.result, film, again, crf=5)) as copy:
            for frame in film.frames():
                if frame.number == 0:
                    copy.look_at(frame)
                if frame.number >= 4:
                    copy.write(frame.png(), frame.pts)
            copy.finish()
        self.assertEqual(self.picture()[2], FRAMES)
        self.assertEqual(len(self.result.read_bytes()), len(whole))
        again.close()
        other = Segments(self.folder / ".parts", {"task": 2})
        self.assertRaises(click.UsageError, other.open, True)
        other.close()
        other.open(resume=False)
        self.assertEqual(other.frames, 0)
        self.assertRaises(click.ClickException, Segments(self.folder / ".parts", {"task": 2}).open, False)
        other.close()
        self.assertFalse((self.folder / ".parts").exists())

    def test_odd_films_end_in_words(self) -> None:
        make_film(self.film)
        whole = self.film.read_bytes()
        self.written("sound.mkv", "libx264", "yuv420p", ("aac", "deu"))
        cases: dict[str, bytes] = {
            "empty.mp4": b"",
            "text.mp4": b"no film",
            "cut.mp4": whole[:1000],
            "half.mp4": whole[: len(whole) // 2],
            "zeros.mp4": whole[:200] + bytes(len(whole)),
            "playlist.mp4": b"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n",
            "wild.avi": b"RIFF\xff\xff\xff\xffAVI LIST" + bytes(range(256)) * 8,
            "wild.mkv": b"\x1aE\xdf\xa3" + bytes(range(256)) * 8,
            "wild.ts": b"G" + b"\xff" * 187 * 20,
            "picture.mov": b"\x89PNG\r\n\x1a\n" + bytes(50),
        }
        for name, data in cases.items():
            self.film = self.folder / name
            self.film.write_bytes(data)
            with self.subTest(name):
                self.assertRaises(click.ClickException, self.copy_to, "copy.mp4")
        self.film = self.folder
        self.assertRaises(click.ClickException, self.copy_to, "copy.mp4")

    def test_frames_of_a_size_that_changes_are_refused(self) -> None:
        make_film(self.film)
        segments = Segments(self.folder / ".parts", {})
        segments.open(resume=False)
        with Film(self.film) as film, closing(FilmCopy(self.result, film, segments)) as copy:
            first, second, *_ = film.frames()
            copy.look_at(first)
            copy.write(first.png(), first.pts)
            for size in ((20, 20, 3), (1, 1, 3)):
                png = encode(np.zeros(size, np.uint8), Metadata())
                self.assertRaises(click.ClickException, copy.write, png, second.pts)
        segments.close()


class UprightTests(FilmTestCase):
    def test_frames_are_turned_as_players_do(self) -> None:
        make_film(self.film, rotation=90)
        with Film(self.film) as film:
            frame = next(iter(film.frames()))
            pixels = frame.picture.to_ndarray(format="rgb24")
        self.assertTrue(np.array_equal(turned(pixels, frame.matrix), np.rot90(pixels)))

    def test_every_quarter_and_mirror(self) -> None:
        pixels, one = np.arange(6).reshape(2, 3), 0x10000
        for a, b, c, d, expected in (
            (1, 0, 0, 1, pixels),
            (-1, 0, 0, -1, np.rot90(pixels, 2)),
            (0, 1, -1, 0, np.rot90(pixels, -1)),
            (0, -1, 1, 0, np.rot90(pixels)),
            (-1, 0, 0, 1, pixels[:, ::-1]),
            (1, 0, 0, -1, pixels[::-1]),
            (0, 1, 1, 0, pixels.T),
        ):
            matrix = (a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30)
            self.assertTrue(np.array_equal(turned(pixels, matrix), expected), (a, b, c, d))
