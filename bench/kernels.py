"""How fast are the filters and the codecs, beside OpenCV and Pillow on the same pictures in the same run?

    python -m bench.kernels [--film FILM.mp4] [--rounds N] [--shrink N] [SECTION ...]

Prints, for each row, both times, the ratio (above 1 we are faster) and the ratio that DPIP holds itself to.
Sections: grayscale, blur, large, jpeg, png, webp, more, newer. Without a film the "film frame" is drawn.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from bench.timing import seconds, together
from dpip.filters import apply, process
from dpip.filters.codec import encode
from dpip.filters.codec.picture import Frame, Picture
from dpip.filters.fingerprint import fingerprint
from dpip.filters.registry import validate_output
from dpip.filters.warmup import warm_up

Array = npt.NDArray[Any]
SIZES = {"VGA": (640, 480), "720p": (1280, 720), "1080p": (1920, 1080), "12 MP": (4000, 3000)}
Draw = Callable[[str], Array]  # from the name of a size
#: Row, theirs, ours, the ratio to reach.
Row = tuple[str, Callable[[], object], Callable[[], object], float]


def drawn(width: int, height: int) -> Array:
    """Something between a photograph and a film frame: soft shapes, hard edges, a little noise."""
    rng = np.random.default_rng(7)
    picture = np.full((height, width, 3), 120, np.float32)
    for octave in range(9):
        cells = 2 ** (octave + 1)
        grid = rng.standard_normal((max(2, cells * height // width), cells, 3)).astype(np.float32)
        picture += 60 * 0.6**octave * cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
    for _ in range(30):
        colour = tuple(float(value) for value in rng.uniform(0, 255, 3))
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        cv2.circle(picture, centre, int(rng.integers(width // 60, width // 12)), colour, -1, cv2.LINE_AA)
    picture += rng.standard_normal(picture.shape).astype(np.float32)
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def film_frame(path: str) -> Array:
    film = cv2.VideoCapture(path)
    film.set(cv2.CAP_PROP_POS_FRAMES, 60)
    found, frame = film.read()
    if not found:
        raise SystemExit(f"No frame could be read from {path}.")
    return cv2.cvtColor(cv2.resize(frame, (1280, 720)), cv2.COLOR_BGR2RGB)


def saved(array: Array, format: str, **options: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(array).save(out, format, **options)
    return out.getvalue()


def encoded(array: Array, format: str) -> bytes:
    frame = Frame(array)
    return encode(Picture(format, (frame,)), (frame,), validate_output({}))[0]


def grayscale(film: Array, draw: Draw) -> Iterator[Row]:
    for name in SIZES:
        picture = draw(name)
        yield (
            f"grayscale {name} | OpenCV",
            lambda p=picture: cv2.cvtColor(p, cv2.COLOR_RGB2GRAY),
            lambda p=picture: apply("grayscale", p),
            1.0,
        )


def blur(film: Array, draw: Draw) -> Iterator[Row]:
    for name in ("720p", "1080p", "12 MP"):
        picture = draw(name)
        for sigma, goal in ((2, 2.0), (5, 6.0), (10, 15.0), (25, 50.0)):
            if name == "12 MP" and sigma > 10:
                continue  # four seconds a turn for OpenCV
            yield (
                f"blur {sigma} {name} | OpenCV",
                lambda p=picture, s=sigma: cv2.GaussianBlur(p, (0, 0), s, borderType=cv2.BORDER_REPLICATE),
                lambda p=picture, s=sigma: apply("blur", p, sigma=s),
                goal,
            )


def large(film: Array, draw: Draw) -> Iterator[Row]:
    picture = draw("12 MP")
    for sigma in (2, 5, 25):
        yield (
            f"blur {sigma} 12 MP, 2 cores | 1 core",
            lambda s=sigma: apply("blur", picture, sigma=s),
            lambda s=sigma: apply("blur", picture, sigma=s, threads=2),
            1.7,
        )
        # What two cores are worth on this machine just now: virtual ones may share a real one.
        one = lambda s=sigma: apply("blur", picture, sigma=s)  # noqa: E731
        yield f"blur {sigma} 12 MP, 2 at once | 1 by 1", partial(_twice, one), together(one, 2, calls=1), 0.0


def _twice(call: Callable[[], object]) -> None:
    call()
    call()


def jpeg(film: Array, draw: Draw) -> Iterator[Row]:
    data = saved(draw("1080p"), "JPEG", quality=90)
    buffer = np.frombuffer(data, np.uint8)
    options = [cv2.IMWRITE_JPEG_QUALITY, 90]

    def opencv_blur() -> object:
        return cv2.imencode(
            ".jpg", cv2.GaussianBlur(cv2.imdecode(buffer, cv2.IMREAD_COLOR), (0, 0), 5), options
        )

    def opencv_gray() -> object:
        return cv2.imencode(
            ".jpg", cv2.cvtColor(cv2.imdecode(buffer, cv2.IMREAD_COLOR), cv2.COLOR_BGR2GRAY), options
        )

    def ours(name: str) -> Callable[[], object]:
        return together(lambda: process(data, name), 2)

    yield "JPEG 1080p job, blur 5, 2 threads | OpenCV", together(opencv_blur, 2), ours("blur"), 1.8
    yield "JPEG 1080p job, gray, 2 threads | OpenCV", together(opencv_gray, 2), ours("grayscale"), 1.0


def png(film: Array, draw: Draw) -> Iterator[Row]:
    data = saved(film, "PNG")
    buffer = np.frombuffer(data, np.uint8)
    size, theirs, opencvs = len(encoded(film, "PNG")), len(data), len(cv2.imencode(".png", film)[1])
    print(
        f"  PNG bytes: ours {size:,}, Pillow {theirs:,} (ours {size / theirs:.3f} of it), OpenCV {opencvs:,}"
    )
    yield "PNG 720p encode | Pillow", lambda: saved(film, "PNG"), lambda: encoded(film, "PNG"), 15.0
    yield "PNG 720p encode | OpenCV", lambda: cv2.imencode(".png", film), lambda: encoded(film, "PNG"), 3.0

    def pillow(change: Callable[[Image.Image], Image.Image]) -> Callable[[], object]:
        return lambda: change(Image.open(io.BytesIO(data))).save(io.BytesIO(), "PNG")

    def opencv(change: Callable[[Any], Any]) -> Callable[[], object]:
        return lambda: cv2.imencode(".png", change(cv2.imdecode(buffer, cv2.IMREAD_COLOR)))

    gray, soft = (lambda: process(data, "grayscale")), (lambda: process(data, "blur"))
    yield "PNG 720p job, gray | Pillow", pillow(lambda image: image.convert("L")), gray, 6.0
    yield (
        "PNG 720p job, blur 5 | Pillow",
        pillow(lambda image: image.filter(ImageFilter.GaussianBlur(5))),
        soft,
        6.0,
    )
    yield (
        "PNG 720p job, gray | OpenCV",
        opencv(lambda image: cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)),
        gray,
        2.0,
    )
    yield "PNG 720p job, blur 5 | OpenCV", opencv(lambda image: cv2.GaussianBlur(image, (0, 0), 5)), soft, 2.0


def webp(film: Array, draw: Draw) -> Iterator[Row]:
    data = saved(draw("1080p"), "WEBP", quality=80)

    def pillow() -> None:
        image = Image.open(io.BytesIO(data)).filter(ImageFilter.GaussianBlur(5))
        image.save(io.BytesIO(), "WEBP", quality=80)

    yield "WebP 1080p job, blur 5 | Pillow", pillow, lambda: process(data, "blur"), 1.5


def more(film: Array, draw: Draw) -> Iterator[Row]:
    """No goals but to be no slower than what users have."""
    gray = cv2.cvtColor(film, cv2.COLOR_RGB2GRAY)
    image = Image.fromarray(film)
    curve = np.arange(256, dtype=np.uint8)[::-1].copy()
    brown = np.array([[0.393, 0.769, 0.189], [0.349, 0.686, 0.168], [0.272, 0.534, 0.131]], np.float32)

    def sobel() -> object:
        across = cv2.Sobel(cv2.cvtColor(film, cv2.COLOR_RGB2GRAY), cv2.CV_32F, 1, 0)
        down = cv2.Sobel(cv2.cvtColor(film, cv2.COLOR_RGB2GRAY), cv2.CV_32F, 0, 1)
        return cv2.convertScaleAbs(cv2.magnitude(across, down))

    def unsharp() -> object:
        return cv2.addWeighted(film, 2, cv2.GaussianBlur(film, (0, 0), 2), -1, 0)

    rows: list[tuple[str, Callable[[], object], str, dict[str, Any]]] = [
        ("box_blur 8 | OpenCV", lambda: cv2.blur(film, (17, 17)), "box_blur", {"radius": 8}),
        ("sharpen | OpenCV", unsharp, "sharpen", {}),
        ("edges | OpenCV", sobel, "edges", {}),
        ("median 1 | OpenCV", lambda: cv2.medianBlur(film, 3), "median", {"radius": 1}),
        ("median 3 | OpenCV", lambda: cv2.medianBlur(film, 7), "median", {"radius": 3}),
        ("median 3 | Pillow", lambda: image.filter(ImageFilter.MedianFilter(7)), "median", {"radius": 3}),
        ("invert | OpenCV", lambda: cv2.bitwise_not(film), "invert", {}),
        ("sepia | OpenCV", lambda: cv2.transform(film, brown), "sepia", {}),
        (
            "brightness_contrast | OpenCV",
            lambda: cv2.LUT(film, curve),
            "brightness_contrast",
            {"contrast": 20},
        ),
        ("gamma | OpenCV", lambda: cv2.LUT(film, curve), "gamma", {"gamma": 2}),
        (
            "threshold otsu | OpenCV",
            lambda: cv2.threshold(gray, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU),
            "threshold",
            {},
        ),
        (
            "resize to 640 | Pillow",
            lambda: image.resize((640, 360), Image.Resampling.LANCZOS),
            "resize",
            {"width": 640},
        ),
        ("thumbnail | Pillow", lambda: image.resize((256, 144), Image.Resampling.LANCZOS), "thumbnail", {}),
    ]
    for title, theirs, name, params in rows:
        yield f"720p {title}", theirs, lambda n=name, p=params: apply(n, film, **p), 0.0


def newer(film: Array, draw: Draw) -> Iterator[Row]:
    """Crops, turns, tones, noise and marks; no slower than what users have."""
    height, width = film.shape[:2]
    image, gray = Image.fromarray(film), cv2.cvtColor(film, cv2.COLOR_RGB2GRAY)
    gray_image = Image.fromarray(gray)
    tiles = cv2.createCLAHE(2.0, (8, 8))
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), -10, 1)
    mark = Image.fromarray(apply("watermark", np.zeros((*film.shape[:2], 4), np.uint8), text="DPIP"))

    def clahe() -> object:
        parts = cv2.cvtColor(film, cv2.COLOR_RGB2YCrCb)
        parts[..., 0] = tiles.apply(parts[..., 0])
        return cv2.cvtColor(parts, cv2.COLOR_YCrCb2RGB)

    def gray_world() -> object:
        means = cv2.mean(film)[:3]
        return cv2.multiply(film, (*(sum(means) / 3 / mean for mean in means), 1))

    def marked() -> object:
        picture = image.copy()
        picture.paste(mark, (0, 0), mark)
        return np.asarray(picture)

    def pillow(change: Callable[[Image.Image], Image.Image], of: Array = film) -> Callable[[], object]:
        return lambda: np.asarray(change(Image.fromarray(of)))

    bicubic, quarter = Image.Resampling.BICUBIC, Image.Transpose.ROTATE_270
    mirror, part = Image.Transpose.FLIP_LEFT_RIGHT, (width // 4, height // 4, width // 2, height // 2)
    border = (60, 60, 60, 60)
    rows: list[tuple[str, Callable[[], object], str, dict[str, Any]]] = [
        (
            "crop | Pillow",
            pillow(lambda p: p.crop(part)),
            "crop",
            {"width": width // 4, "height": height // 4},
        ),
        ("rotate 90 | Pillow", pillow(lambda p: p.transpose(quarter)), "rotate", {"angle": 90}),
        ("rotate 90 | OpenCV", lambda: cv2.rotate(film, cv2.ROTATE_90_CLOCKWISE), "rotate", {"angle": 90}),
        (
            "rotate 10 | Pillow",
            pillow(lambda p: p.rotate(-10, bicubic)),
            "rotate",
            {"angle": 10, "expand": False},
        ),
        (
            "rotate 10 | OpenCV",
            lambda: cv2.warpAffine(film, turn, (width, height), flags=cv2.INTER_CUBIC),
            "rotate",
            {"angle": 10, "expand": False},
        ),
        ("flip | Pillow", pillow(lambda p: p.transpose(mirror)), "flip", {}),
        ("flip | OpenCV", lambda: cv2.flip(film, 1), "flip", {}),
        (
            "pad | OpenCV",
            lambda: cv2.copyMakeBorder(film, *border, cv2.BORDER_CONSTANT),
            "pad",
            {"border": 60},
        ),
        (
            "auto_contrast | Pillow",
            pillow(lambda p: ImageOps.autocontrast(p, 0.5, preserve_tone=True)),
            "auto_contrast",
            {},
        ),
        ("levels | OpenCV", lambda: cv2.LUT(film, np.arange(256, dtype=np.uint8)), "levels", {"black": 5}),
        ("clahe | OpenCV", clahe, "clahe", {}),
        ("saturation | Pillow", pillow(lambda p: ImageEnhance.Color(p).enhance(1.3)), "saturation", {}),
        ("white_balance | OpenCV", gray_world, "white_balance", {}),
        (
            "denoise | OpenCV's non-local means",
            lambda: cv2.fastNlMeansDenoisingColored(film, None, 8, 8, 5, 11),
            "denoise",
            {},
        ),
        ("watermark | Pillow", marked, "watermark", {"text": "DPIP"}),
    ]
    for title, theirs, name, params in rows:
        yield f"720p {title}", theirs, lambda n=name, p=params: apply(n, film, **p), 0.0
    yield (
        "720p dither gray | Pillow",
        lambda: np.asarray(gray_image.convert("1")),
        lambda: apply("dither", gray),
        0.0,
    )


SECTIONS = {section.__name__: section for section in (grayscale, blur, large, jpeg, png, webp, more, newer)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--film", help="take the film frame from this file")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--shrink", type=int, default=1, help="draw pictures this many times smaller")
    chosen = parser.parse_args()
    cv2.setNumThreads(1)
    warm_up(print)
    print(fingerprint())
    print(f"{'what | against':48} {'theirs':>10} {'ours':>10} {'ratio':>7} {'goal':>6}")

    def draw(name: str) -> Array:
        width, height = SIZES[name]
        return drawn(width // chosen.shrink, height // chosen.shrink)

    film = film_frame(chosen.film) if chosen.film else draw("720p")
    for name in chosen.sections or SECTIONS:
        for row, theirs, ours, goal in SECTIONS[name](film, draw):
            taken = seconds({"theirs": theirs, "ours": ours}, chosen.rounds)
            ratio = taken["theirs"] / taken["ours"]
            times = f"{taken['theirs'] * 1e3:7.2f} ms {taken['ours'] * 1e3:7.2f} ms"
            print(
                f"{row:48} {times} {ratio:7.2f} {goal:6.1f} {'' if ratio >= goal else '  below'}", flush=True
            )


if __name__ == "__main__":
    main()
