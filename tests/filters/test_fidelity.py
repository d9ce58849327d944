"""What must survive the way through a filter, one class for each kind of it, against Pillow or OpenCV."""

from __future__ import annotations

import io
import struct
from typing import Any

import attrs
import cv2
import numpy as np
from PIL import Image, ImageChops, ImageCms, ImageOps, ImageSequence
from twisted.trial.unittest import TestCase

from dpip.errors import PictureError, UnsupportedPicture
from dpip.filters import apply, codec, process
from dpip.filters.codec import gif, png, tiff, webp
from dpip.filters.codec.jpeg import estimate_quality, segments
from dpip.filters.codec.picture import Frame, Metadata, Picture
from dpip.filters.metadata import icc
from tests.filters.pictures import Array, gaussian, natural, opened, saved

PICTURE = natural(45, 62)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def with_exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010E] = "a description"
    exif.get_ifd(0x8769)[0x9003] = "2024:05:06 07:08:09"
    return exif


class Orientation(TestCase):
    def test_all_eight(self) -> None:
        for format in ("JPEG", "PNG", "WEBP", "TIFF"):
            for orientation in range(1, 9):
                options: dict[str, Any] = {"lossless": True} if format == "WEBP" else {}
                data = saved(PICTURE, format, exif=with_exif(orientation), **options)
                wanted = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
                result = process(data, "grayscale", output={"format": "png"})
                image = opened(result.data)
                self.assertEqual(image.size, wanted.size, (format, orientation))
                self.assertEqual((result.width, result.height), wanted.size)
                difference = ImageChops.difference(image.convert("L"), wanted.convert("L"))
                self.assertLessEqual(np.asarray(difference).max(), 2 if format == "JPEG" else 0)

    def test_the_tag_is_reset_and_the_rest_kept(self) -> None:
        for format in ("JPEG", "PNG", "WEBP", "TIFF"):
            data = saved(PICTURE, format, exif=with_exif(6).tobytes())
            image = opened(process(data, "blur").data)
            exif = image.getexif()
            self.assertIn(exif.get(0x0112, 1), (1,), format)
            self.assertEqual(exif[0x010E], "a description", format)
            self.assertEqual(exif.get_ifd(0x8769)[0x9003], "2024:05:06 07:08:09", format)

    def test_all_of_it_goes_into_every_kind_of_tiff(self) -> None:
        exif = with_exif(1)
        exif.get_ifd(0x8825)[2] = (50.0, 12.5, 1.0)
        original = saved(PICTURE, "TIFF", exif=exif.tobytes())
        picture = codec.decode(original, max_pixels=10**6)
        metadata = attrs.evolve(picture.metadata, xmp=b"<x:xmpmeta/>")
        for wide in (False, True):
            pixels = PICTURE.astype(np.uint16) * 257 if wide else PICTURE
            data = tiff.encode([Frame(pixels), Frame(pixels[:10])], metadata, {}, [])
            once = codec.decode(process(data, "invert").data, max_pixels=10**6)
            self.assertEqual(once.metadata.xmp, b"<x:xmpmeta/>")
            again = Image.Exif()
            again.load(once.metadata.exif or b"")
            self.assertEqual(again[0x010E], "a description")
            self.assertEqual(again.get_ifd(0x8769)[0x9003], "2024:05:06 07:08:09")
            self.assertEqual(again.get_ifd(0x8825)[2], (50.0, 12.5, 1.0))
            first, second = once.frames
            np.testing.assert_array_equal(first.pixels, (65535 if wide else 255) - pixels)
            np.testing.assert_array_equal(second.pixels, (65535 if wide else 255) - pixels[:10])

    def test_stripped(self) -> None:
        for format in ("JPEG", "PNG", "WEBP"):
            data = saved(PICTURE, format, exif=with_exif(3), icc_profile=SRGB)
            image = opened(process(data, "blur", output={"metadata": "strip"}).data)
            self.assertEqual(len(image.getexif()), 0)
            self.assertEqual(image.info["icc_profile"], SRGB)


class Profiles(TestCase):
    def test_kept_where_colour_stays_colour(self) -> None:
        for format in ("JPEG", "PNG", "WEBP", "TIFF"):
            image = opened(process(saved(PICTURE, format, icc_profile=SRGB), "blur").data)
            self.assertEqual(image.info["icc_profile"], SRGB, format)

    def test_a_gray_one_that_shows_the_same(self) -> None:
        """Through a colour engine, our gray under the new profile is R = G = B under the old one."""
        for format in ("JPEG", "PNG", "TIFF"):
            image = opened(process(saved(PICTURE, format, icc_profile=SRGB), "grayscale").data)
            self.assertEqual(image.mode, "L")
            profile = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
            self.assertEqual(profile.profile.xcolor_space.strip(), "GRAY")
            ramp = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
            srgb = ImageCms.createProfile("sRGB")
            shown = ImageCms.profileToProfile(ramp, profile, srgb, outputMode="RGB")
            assert shown is not None
            self.assertLessEqual(
                np.abs(np.asarray(shown).astype(int) - np.arange(256)[None, :, None]).max(), 1
            )

    def test_profiles_that_would_lie_are_left_out(self) -> None:
        lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
        self.assertIsNone(icc.fitting(lab, 3))
        self.assertIsNone(icc.fitting(lab, 1))
        self.assertIsNone(icc.fitting(b"short", 3))
        self.assertIsNone(icc.fitting(SRGB[:140], 1))
        gray = icc.fitting(SRGB, 1)
        self.assertEqual(icc.fitting(gray, 2), gray)
        self.assertIsNone(icc.fitting(gray[:140] if gray else None, 3))


class Lab(TestCase):
    def test_it_is_shown_in_srgb(self) -> None:
        known = [ImageCms.createProfile(name) for name in ("sRGB", "LAB")]
        lab = ImageCms.profileToProfile(Image.fromarray(PICTURE), *known, outputMode="LAB")
        assert lab is not None
        out = io.BytesIO()
        lab.save(out, "TIFF")
        inverted = np.asarray(opened(process(out.getvalue(), "invert").data)).astype(int)
        self.assertLessEqual(np.abs(255 - inverted - PICTURE).max(), 12)  # 8 bits of LAB are that coarse
        self.assertLessEqual(np.abs(255 - inverted - PICTURE).mean(), 2)


class Alpha(TestCase):
    def test_grayscale_keeps_it(self) -> None:
        picture = natural(30, 40, 4)
        for format, options in {"PNG": {}, "TIFF": {}, "WEBP": {"lossless": True, "exact": True}}.items():
            data = saved(picture, format, **options)
            image = opened(process(data, "grayscale").data)
            np.testing.assert_array_equal(np.asarray(image)[..., -1], picture[..., 3], format)
            gray = np.asarray(Image.fromarray(picture).convert("L"))
            np.testing.assert_array_equal(np.asarray(image)[..., 0], gray, format)

    def test_colour_keys_become_alpha(self) -> None:
        picture = natural(20, 30)
        picture[5:9] = (1, 2, 3)
        image = opened(process(saved(picture, "PNG", transparency=(1, 2, 3)), "grayscale").data)
        alpha = np.asarray(image)[..., 1]
        self.assertEqual(image.mode, "LA")
        np.testing.assert_array_equal(alpha == 0, (picture == (1, 2, 3)).all(axis=2))


def planar(array: Array, rows: int) -> bytes:
    """A TIFF of 16 bits whose channels lie one behind the other, in strips of so many rows."""
    height, width, samples = array.shape
    strips = [
        array[top : top + rows, :, channel].astype("<u2").tobytes()
        for channel in range(samples)
        for top in range(0, height, rows)
    ]
    data = b"".join(strips)
    places = [8 + sum(map(len, strips[:number])) for number in range(len(strips))]
    lists = [(np.array(values, "<u4")).tobytes() for values in (places, [len(strip) for strip in strips])]
    end = 8 + len(data)
    short = {262: 2 if samples > 2 else 1, 277: samples, 284: 2, 259: 1}
    long = {256: width, 257: height, 278: rows}
    entries = {tag: (3, 1, value) for tag, value in short.items()}
    entries |= {tag: (4, 1, value) for tag, value in long.items()}
    for tag, values in zip((273, 279), lists, strict=True):
        one = len(values) == 4
        entries[tag] = (4, len(values) // 4, int.from_bytes(values, "little") if one else end)
        end += len(values)
    entries[258] = (3, samples, end)
    table = b"".join(struct.pack("<HHII", tag, *entries[tag]) for tag in sorted(entries))
    first = end + 2 * samples
    return b"".join(
        (
            b"II*\0" + struct.pack("<I", first) + data + b"".join(lists) + struct.pack("<H", 16) * samples,
            struct.pack("<H", len(entries)) + table + bytes(4),
        )
    )


class SixteenBits(TestCase):
    def setUp(self) -> None:
        self.rng = np.random.default_rng(8)

    def coded(self, array: Array, format: str, *options: int) -> bytes:
        """By OpenCV, whose colours are BGR."""
        swapped = array[..., [2, 1, 0, 3][: array.shape[2]]] if array.ndim == 3 else array
        return cv2.imencode("." + format.lower(), swapped, list(options))[1].tobytes()

    def decoded(self, data: bytes) -> Array:
        array = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        assert array is not None
        return array[..., [2, 1, 0, 3][: array.shape[2]]] if array.ndim == 3 else array

    def test_blur_is_right_to_one_level(self) -> None:
        for format in ("PNG", "TIFF"):
            for shape in ((40, 50), (40, 50, 3)):
                picture = self.rng.integers(0, 65536, shape, dtype=np.uint16)
                result = process(self.coded(picture, format), "blur", {"sigma": 2})
                got = self.decoded(result.data)
                self.assertEqual((got.dtype, got.shape), (np.uint16, picture.shape))
                self.assertLessEqual(np.abs(got - gaussian(picture, 2)).max(), 1, (format, shape))

    def test_grayscale(self) -> None:
        picture = self.rng.integers(0, 65536, (30, 41, 3), dtype=np.uint16)
        wanted = (picture @ np.array([19595, 38470, 7471]) + 32768) >> 16
        for format in ("PNG", "TIFF"):
            got = self.decoded(process(self.coded(picture, format), "grayscale").data)
            self.assertEqual(got.dtype, np.uint16)
            np.testing.assert_array_equal(got, wanted)

    def test_channels_one_behind_the_other(self) -> None:
        pixels = self.rng.integers(0, 65536, (21, 17, 3)).astype(np.uint16)
        for rows in (4, 7, 21):
            inverted = self.decoded(process(planar(pixels, rows), "invert").data)
            np.testing.assert_array_equal(inverted, 65535 - pixels)

    def test_every_compression_of_tiff(self) -> None:
        picture = self.rng.integers(0, 65536, (37, 29, 3), dtype=np.uint16)
        for compression in (1, 5, 8, 32773, 32946):
            for predictor in (1, 2):
                data = self.coded(
                    picture,
                    "TIFF",
                    cv2.IMWRITE_TIFF_COMPRESSION,
                    compression,
                    cv2.IMWRITE_TIFF_PREDICTOR,
                    predictor,
                )
                result = process(data, "blur", {"sigma": 1}, output={"format": "png"})
                wanted = apply("blur", picture, sigma=1)
                np.testing.assert_array_equal(self.decoded(result.data), wanted, (compression, predictor))

    def test_alpha(self) -> None:
        picture = self.rng.integers(0, 65536, (20, 31, 4), dtype=np.uint16)
        for format in ("PNG", "TIFF"):
            data = self.coded(picture, format)
            got = self.decoded(process(data, "blur", {"sigma": 1}).data)
            np.testing.assert_array_equal(got, apply("blur", picture, sigma=1), format)
            again = process(process(data, "grayscale").data, "grayscale", output={"format": "PNG"})
            self.assertEqual(opened(again.data).size, (31, 20))

    def test_interlaced_png_of_any_size(self) -> None:
        for shape in ((1, 1), (1, 9), (5, 1), (8, 8), (13, 22)):
            for channels in (1, 3):
                picture = self.rng.integers(0, 65536, (*shape, channels), dtype=np.uint16)
                data = interlaced(picture)
                got = self.decoded(process(data, "invert").data)
                np.testing.assert_array_equal(got.reshape(picture.shape), 65535 - picture)


def interlaced(picture: Array) -> bytes:
    """A 16-bit Adam7 PNG, written here with no filter; OpenCV must agree that it is one."""
    import struct
    import zlib

    height, width, channels = picture.shape
    starts = (
        (0, 0, 8, 8),
        (4, 0, 8, 8),
        (0, 4, 4, 8),
        (2, 0, 4, 4),
        (0, 2, 2, 4),
        (1, 0, 2, 2),
        (0, 1, 1, 2),
    )
    raw = b""
    for x, y, across, down in starts:
        part = picture[y::down, x::across].astype(">u2")
        raw += b"".join(b"\0" + row.tobytes() for row in part) if part.size else b""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 16, 0 if channels == 1 else 2, 0, 0, 1)
    data = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(raw))
        + chunk(b"IEND", b"")
    )
    read = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert read is not None
    np.testing.assert_array_equal(read.reshape(height, width, channels)[..., ::-1], picture)
    return data


class Animations(TestCase):
    DURATIONS = (40, 120, 250, 80)

    def frames(self) -> list[Image.Image]:
        """The second and third are alike: writers that drop what does not change would lose one."""
        pictures = [np.roll(natural(24, 36), shift, axis=1) for shift in (0, 9, 9, 20)]
        return [Image.fromarray(picture) for picture in pictures]

    def animated(self, format: str, **options: Any) -> bytes:
        first, *rest = self.frames()
        if format == "GIF":
            first.putpixel((0, 0), (1, 2, 3))
        rest[1].putpixel((3, 3), (9, 250, 9))
        out = io.BytesIO()
        more = {"lossless": True} if format == "WEBP" else {}
        first.save(
            out, format, save_all=True, append_images=rest, duration=list(self.DURATIONS), **more, **options
        )
        return out.getvalue()

    def shown(self, data: bytes) -> list[tuple[Array, float]]:
        image = Image.open(io.BytesIO(data))
        return [
            (np.asarray(frame.convert("RGB")), frame.info.get("duration", 0))
            for frame in ImageSequence.Iterator(image)
        ]

    def test_every_frame_is_filtered_and_timed(self) -> None:
        for format, tolerance in {"GIF": 0, "PNG": 0, "WEBP": 0}.items():
            data = self.animated(format, loop=3)
            before, after = self.shown(data), self.shown(process(data, "grayscale").data)
            self.assertEqual([time for _, time in after], [time for _, time in before], format)
            self.assertEqual([time for _, time in after], list(self.DURATIONS), format)
            for (old, _), (new, _) in zip(before, after, strict=True):
                gray = np.asarray(Image.fromarray(old).convert("L"))
                self.assertLessEqual(np.abs(new[..., 0].astype(int) - gray).max(), tolerance, format)

    def test_loop_and_disposal(self) -> None:
        for format, disposal in {"GIF": 2, "PNG": 1}.items():
            for loop in (0, 3):
                data = self.animated(format, loop=loop, disposal=disposal)
                image = Image.open(io.BytesIO(process(data, "blur").data))
                self.assertEqual(image.info["loop"], loop, format)
                image.seek(1)
                kept = getattr(image, "disposal_method", image.info.get("disposal"))
                self.assertEqual(kept, disposal, format)
        image = Image.open(io.BytesIO(process(self.animated("WEBP", loop=4), "blur").data))
        self.assertEqual((image.info["loop"], image.n_frames), (4, 4))

    def test_frames_that_become_alike_stay(self) -> None:
        flat = [Image.new("RGB", (9, 9), colour) for colour in ("red", "#4c4c4c", "#4d4d4d")]
        for format in ("GIF", "PNG", "WEBP"):
            out = io.BytesIO()
            flat[0].save(out, format, save_all=True, append_images=flat[1:], duration=100, lossless=True)
            result = process(out.getvalue(), "threshold", {"value": 200})
            self.assertEqual(len(self.shown(result.data)), 3, format)

    def test_a_hidden_first_picture_of_apng(self) -> None:
        data = self.animated("PNG", default_image=True)
        before, after = (Image.open(io.BytesIO(each)) for each in (data, process(data, "grayscale").data))
        self.assertTrue(after.info["default_image"])
        self.assertEqual((after.n_frames, after.info["loop"]), (before.n_frames, before.info["loop"]))
        for number in range(before.n_frames):
            before.seek(number)
            after.seek(number)
            np.testing.assert_array_equal(np.asarray(after), np.asarray(before.convert("L")))

    def test_transparency_of_gif(self) -> None:
        pictures = [natural(20, 20, 4, seed) for seed in range(3)]
        for number, picture in enumerate(pictures):
            picture[..., 3] = 255
            picture[: 4 + number, :, 3] = 0
        images = [Image.fromarray(picture) for picture in pictures]
        out = io.BytesIO()
        images[0].save(out, "GIF", save_all=True, append_images=images[1:], duration=70, disposal=2)
        before = Image.open(io.BytesIO(out.getvalue()))
        after = Image.open(io.BytesIO(process(out.getvalue(), "grayscale").data))
        for number in range(3):
            before.seek(number)
            after.seek(number)
            old, new = (np.asarray(image.convert("RGBA"))[..., 3] for image in (before, after))
            np.testing.assert_array_equal(new, old)

    def test_a_frame_holds_what_changes_between_pictures(self) -> None:
        still = natural(90, 120) // 64 * 64  # few enough colours for a GIF to keep them as they are
        pictures = [still.copy() for _ in range(6)]
        for place, picture in enumerate(pictures[1:]):
            picture[11:21, 10 * place + 1 : 10 * place + 11] = (200, 10, 10)
        pictures.append(pictures[-1])
        for arrays in (pictures, [np.asarray(Image.fromarray(picture).convert("L")) for picture in pictures]):
            for format in ("GIF", "PNG", "WEBP"):
                data, single = self.coded(format, arrays), self.coded(format, arrays[:1])
                shown = [frame.pixels for frame in codec.decode(data, max_pixels=10**6).frames]
                for was, now in zip(arrays, shown, strict=True):
                    was, now = (np.asarray(Image.fromarray(array).convert("RGB")) for array in (was, now))
                    np.testing.assert_array_equal(now, was, format)
                self.assertLess(len(data), 3 * len(single), format)

    def coded(self, format: str, arrays: list[Array]) -> bytes:
        """Without loss."""
        frames = [Frame(array, duration=70) for array in arrays]
        picture = Picture(format, frames, len(frames), Metadata(), loop=0)
        if format == "GIF":
            return gif.encode(frames, 0, Metadata())
        if format == "PNG":
            return png.encode_animation(frames, picture, Metadata())
        return webp.encode_animation(frames, picture, Metadata(), {"lossless": True})

    def test_a_gif_of_all_grays_has_none_to_spare(self) -> None:
        ramp = np.tile(np.arange(256, dtype=np.uint8), (4, 1))
        data = gif.encode([Frame(ramp), Frame(255 - ramp), Frame(np.roll(ramp, 1, axis=1))], 0, Metadata())
        shown = [frame.pixels for frame in codec.decode(data, max_pixels=10**6).frames]
        for was, now in zip((ramp, 255 - ramp, np.roll(ramp, 1, axis=1)), shown, strict=True):
            np.testing.assert_array_equal(np.asarray(Image.fromarray(now).convert("L")), was)

    def test_what_becomes_transparent_in_a_gif_is_drawn_whole(self) -> None:
        seen = np.dstack((natural(20, 30) // 128 * 128, np.full((20, 30), 255, np.uint8)))
        seen[0, 0, 3] = 0
        hidden = seen.copy()
        hidden[5:9, 5:9, 3] = 0
        frames = [Frame(seen, disposal=2), Frame(hidden, disposal=2), Frame(seen, disposal=2)]
        shown = [
            frame.pixels for frame in codec.decode(gif.encode(frames, 0, Metadata()), max_pixels=10**6).frames
        ]
        for was, now in zip((seen, hidden, seen), shown, strict=True):
            image = np.asarray(Image.fromarray(now).convert("RGBA"))
            np.testing.assert_array_equal(image[..., 3], was[..., 3])
            np.testing.assert_array_equal(image[was[..., 3] > 0], was[was[..., 3] > 0])

    def test_what_lies_outside_the_first_picture_of_a_gif_is_not_shown(self) -> None:
        small, large = (
            gif.encode([Frame(np.zeros(size, np.uint8))], 0, Metadata()) for size in ((8, 9), (20, 30))
        )
        joined = small[:-1] + large[large.index(b"\x21\xf9") :]
        result = codec.decode(process(joined, "invert").data, max_pixels=10**6)
        self.assertEqual([frame.pixels.shape[:2] for frame in result.frames], [(8, 9)] * 2)

    def test_pages_of_several_sizes_are_no_animation(self) -> None:
        pages = [Image.new("RGB", size) for size in ((8, 6), (5, 6))]
        data = saved(np.asarray(pages[0]), "TIFF", save_all=True, append_images=pages[1:])
        blurred = codec.decode(process(data, "blur").data, max_pixels=10**6)
        self.assertEqual([frame.pixels.shape[1] for frame in blurred.frames], [8, 5])
        for format in ("gif", "png", "webp"):
            with self.assertRaisesRegex(UnsupportedPicture, "8 x 6 and 5 x 6"):
                process(data, "blur", output={"format": format})

    def test_pages_of_tiff(self) -> None:
        pages = [Image.fromarray(natural(20 + 5 * n, 30 + n)) for n in range(3)]
        out = io.BytesIO()
        pages[0].save(out, "TIFF", save_all=True, append_images=pages[1:], compression="tiff_lzw")
        result = Image.open(io.BytesIO(process(out.getvalue(), "grayscale").data))
        self.assertEqual((result.n_frames, result.info["compression"]), (3, "tiff_lzw"))
        for number, page in enumerate(pages):
            result.seek(number)
            np.testing.assert_array_equal(np.asarray(result), np.asarray(page.convert("L")))

    def test_a_format_for_one_picture_refuses_many(self) -> None:
        for format in ("jpeg", "bmp"):
            self.assertRaises(
                UnsupportedPicture, process, self.animated("GIF"), "blur", output={"format": format}
            )


class Jpegs(TestCase):
    def tables(self, data: bytes) -> bytes:
        return b"".join(body for marker, body in segments(data) if marker == 0xDB)

    def test_quality_is_read_from_the_tables(self) -> None:
        for quality in (1, 5, 20, 50, 75, 90, 95, 100):
            self.assertEqual(estimate_quality(self.tables(saved(PICTURE, "JPEG", quality=quality))), quality)

    def test_same_kind_out(self) -> None:
        for subsampling in ("4:4:4", "4:2:2", "4:2:0"):
            for progressive in (False, True):
                for quality in (60, 92):
                    data = saved(
                        PICTURE, "JPEG", quality=quality, subsampling=subsampling, progressive=progressive
                    )
                    result = process(data, "blur", {"sigma": 1})
                    before, after = opened(data), opened(result.data)
                    self.assertEqual(after.layer, before.layer)
                    self.assertEqual(after.quantization, before.quantization)
                    self.assertEqual(bool(after.info.get("progressive")), progressive)

    def test_segments_of_others_are_kept(self) -> None:
        data = saved(PICTURE, "JPEG", comment=b"made by hand", dpi=(300, 200), xmp=b"<x:xmpmeta/>")
        image = opened(process(data, "blur").data)
        self.assertEqual(image.info["comment"], b"made by hand")
        self.assertEqual(image.info["dpi"], (300, 200))
        self.assertEqual(image.info["xmp"], b"<x:xmpmeta/>")

    def test_long_profiles_are_split(self) -> None:
        long = SRGB[:128] + SRGB[128:] + bytes(150_000)
        image = opened(process(saved(PICTURE, "JPEG", icc_profile=long), "blur").data)
        self.assertEqual(image.info["icc_profile"], long)

    def test_rgb_stored_as_rgb(self) -> None:
        data = saved(PICTURE, "JPEG", keep_rgb=True, quality=97)
        got = np.asarray(opened(process(data, "grayscale", output={"format": "png"}).data))
        wanted = np.asarray(opened(data).convert("L"))
        np.testing.assert_array_equal(got, wanted)


class Sizes(TestCase):
    def test_thin_and_long(self) -> None:
        for height, width in ((1, 1), (1, 300), (300, 1), (1, 65_500), (65_500, 1), (2, 65_500)):
            picture = natural(height, width)
            wanted = np.asarray(Image.fromarray(picture).convert("L"))
            for format in ("PNG", "JPEG", "TIFF", "BMP"):
                result = process(
                    saved(picture, format, **({"quality": 90} if format == "JPEG" else {})), "blur"
                )
                self.assertEqual(opened(result.data).size, (width, height))
                self.assertEqual((result.width, result.height), (width, height))
            gray = opened(process(saved(picture, "PNG"), "grayscale").data)
            np.testing.assert_array_equal(np.asarray(gray), wanted)

    def test_longer_than_the_format_goes(self) -> None:
        data = saved(np.zeros((1, 70_000), np.uint8), "PNG")
        for format in ("jpeg", "webp", "gif"):
            self.assertRaises(PictureError, process, data, "blur", output={"format": format})
