"""Files with metadata made here by hand, and independent readers of results."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import struct
import subprocess
import zlib
from typing import Any

import numpy as np
from PIL import Image, ImageCms
from twisted.trial.unittest import SkipTest

from dpip.filters.metadata import jpeg
from tests.filters.pictures import Array, natural, saved

Value = tuple[int, int, bytes]  # type, count, bytes
PICTURE = natural(60, 80)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def short(*numbers: int) -> Value:
    return 3, len(numbers), struct.pack(f"<{len(numbers)}H", *numbers)


def long(*numbers: int) -> Value:
    return 4, len(numbers), struct.pack(f"<{len(numbers)}I", *numbers)


def fractions(*numbers: int) -> Value:
    return 5, len(numbers) // 2, struct.pack(f"<{len(numbers)}I", *numbers)


def text(words: str) -> Value:
    return 2, len(words) + 1, words.encode() + b"\0"


def raw(data: bytes) -> Value:
    return 7, len(data), data


def directory(entries: dict[int, Value], start: int, following: int = 0) -> bytes:
    """A directory that will lie at ``start``; its longer values follow it."""
    place = start + 2 + 12 * len(entries) + 4
    table = extra = b""
    for tag, (kind, count, value) in sorted(entries.items()):
        if len(value) <= 4:
            table += struct.pack("<HHI", tag, kind, count) + value.ljust(4, b"\0")
        else:
            table += struct.pack("<HHII", tag, kind, count, place + len(extra))
            extra += value + bytes(len(value) % 2)
    return struct.pack("<H", len(entries)) + table + struct.pack("<I", following) + extra


def exif(
    first: dict[int, Value] | None = None,
    photo: dict[int, Value] | None = None,
    thumbnail: bytes = b"",
    gps: bool = True,
) -> bytes:
    """EXIF with a camera, a place, and, if given, a thumbnail."""
    zeroth = {271: text("Maker"), 272: text("Model"), **(first or {})}
    photo = {36867: text("2024:05:06 07:08:09"), **(photo or {})}
    place = {1: text("N"), 2: fractions(48, 1, 12, 1, 30, 1), 3: text("E"), 4: fractions(11, 1, 34, 1, 40, 1)}
    pointers = {34665: long(0)} | ({34853: long(0)} if gps else {})
    at = 8 + len(directory(zeroth | pointers, 8))
    inner = directory(photo, at)
    at_gps = at + len(inner)
    inner += directory(place, at_gps) if gps else b""
    small = at + len(inner)
    pointers = {34665: long(at)} | ({34853: long(at_gps)} if gps else {})
    whole = (
        b"II*\0" + struct.pack("<I", 8) + directory(zeroth | pointers, 8, small if thumbnail else 0) + inner
    )
    if thumbnail:
        tags = {259: short(6), 513: long(0), 514: long(len(thumbnail))}
        tags[513] = long(small + len(directory(tags, small)))
        whole += directory(tags, small) + thumbnail
    return whole


def packet(attributes: str = "", inner: str = "") -> bytes:
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
        f'{attributes}>{inner}</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    ).encode()


def app1_exif(data: bytes) -> bytes:
    return jpeg.segment(0xE1, b"Exif\0\0" + data)


def app1_xmp(data: bytes) -> bytes:
    return jpeg.segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + data)


def extension(packet: bytes, size: int = 65000) -> tuple[str, bytes]:
    """The name and the segments of a second packet."""
    guid = hashlib.md5(packet, usedforsecurity=False).hexdigest().upper()
    head = b"http://ns.adobe.com/xmp/extension/\0" + guid.encode() + struct.pack(">I", len(packet))
    pieces = range(0, len(packet), size)
    return guid, b"".join(
        jpeg.segment(0xE1, head + struct.pack(">I", at) + packet[at : at + size]) for at in pieces
    )


def photograph(*segments: bytes, array: Array = PICTURE, **options: Any) -> bytes:
    """A JPEG with these segments after its start."""
    data = saved(array, "JPEG", **{"quality": 92, **options})
    return data[:2] + b"".join(segments) + data[2:]


def resource(number: int, data: bytes) -> bytes:
    return b"8BIM" + struct.pack(">HHI", number, 0, len(data)) + data + bytes(len(data) % 2)


def data_set(number: int, words: bytes, record: int = 2) -> bytes:
    return struct.pack(">BBBH", 0x1C, record, number, len(words)) + words


def app13(resources: bytes) -> bytes:
    return jpeg.segment(0xED, b"Photoshop 3.0\0" + resources)


GAIN = 'xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0"'


def item(semantic: str, length: int | None = None) -> str:
    more = f' Item:Length="{length}"' if length is not None else ""
    kind = f'<Container:Item Item:Semantic="{semantic}" Item:Mime="image/jpeg"{more}/>'
    return f'<rdf:li rdf:parseType="Resource">{kind}</rdf:li>'


def container(*items: str) -> str:
    return (
        '<Container:Directory xmlns:Container="http://ns.google.com/photos/1.0/container/" '
        'xmlns:Item="http://ns.google.com/photos/1.0/container/item/"><rdf:Seq>'
        f"{''.join(items)}</rdf:Seq></Container:Directory>"
    )


def index(*entries: tuple[int, int, int]) -> bytes:
    """The segment of the multi-picture format; entries are attribute, length, and place from its start."""
    rows = b"".join(struct.pack("<IIIHH", *entry, 0, 0) for entry in entries)
    tags = {0xB000: raw(b"0100"), 0xB001: long(len(entries)), 0xB002: raw(rows)}
    return jpeg.segment(0xE2, b"MPF\0II*\0" + struct.pack("<I", 8) + directory(tags, 8))


def several(first: list[bytes], others: list[bytes], array: Array = PICTURE, kind: int = 0) -> bytes:
    """JPEGs one after the other, with an index."""
    length = len(photograph(*first, index(*[(0, 0, 0)] * (1 + len(others))), array=array))
    base = 2 + sum(map(len, first)) + 8  # places count from "II" on
    places = [length + sum(map(len, others[:number])) - base for number in range(len(others))]
    entries = [(0x20030000, length, 0)]
    entries += [(kind, len(other), place) for other, place in zip(others, places, strict=True)]
    return photograph(*first, index(*entries), array=array) + b"".join(others)


def ultra_hdr(array: Array = PICTURE, gain: Array | None = None, *more: bytes) -> bytes:
    """A photograph with a gain map of a quarter of its size."""
    small = natural(array.shape[0] // 4, array.shape[1] // 4, 1)[..., 0] if gain is None else gain
    gain_map = photograph(app1_xmp(packet(GAIN + ' hdrgm:GainMapMax="2.0"')), array=small)
    said = packet(GAIN, container(item("Primary"), item("GainMap", len(gain_map))))
    return several([*more, app1_xmp(said)], [gain_map], array)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(*chunks: bytes, array: Array = PICTURE) -> bytes:
    data = saved(array, "PNG")
    return data[:33] + b"".join(chunks) + data[33:]


def opened_all(data: bytes) -> list[Array]:
    """The pictures of a multi-picture JPEG, as Pillow reads them."""
    image = Image.open(io.BytesIO(data))
    found = []
    for number in range(getattr(image, "n_frames", 1)):
        image.seek(number)
        found.append(np.asarray(image))
    return found


def said_by_exiftool(data: bytes, suffix: str = ".jpg") -> dict[str, Any]:
    """What exiftool reads, by group and name."""
    program = shutil.which("exiftool")
    if program is None:
        raise SkipTest("exiftool is not installed")
    done = subprocess.run(
        [program, "-j", "-a", "-G1", "-n", "-struct", "-"], input=data, capture_output=True, check=False
    )
    found: dict[str, Any] = json.loads(done.stdout)[0]
    return found
