"""Colour profiles, and gray ones for results of a filter that turns colour into gray.

Source: ICC.1:2022 (profile version 4.4).
"""

from __future__ import annotations

import struct

#: The primaries of sRGB as seen in the light of D50, in 65536ths.
_SRGB_D50 = {b"rXYZ": (28578, 14581, 912), b"gXYZ": (25240, 46981, 6362), b"bXYZ": (9375, 3974, 46799)}


def fitting(profile: bytes | None, channels: int) -> bytes | None:
    """Return the profile for a result with ``channels``: this one, one that looks alike, or None."""
    if profile is None or len(profile) < 132:
        return None
    space = profile[16:20]
    if channels <= 2:
        return profile if space == b"GRAY" else _gray(profile) if space == b"RGB " else None
    return profile if space == b"RGB " else _rgb(profile) if space == b"GRAY" else None


def _gray(profile: bytes) -> bytes | None:
    """Make a gray profile with the tone curve of an RGB one; returns None if it has no curve.

    In a profile of curves and a matrix, equal red, green and blue lie on the neutral axis, at the height that
    the curve gives: so gray with that curve looks as equal RGB did. Profiles made of tables have no such
    curve; most of them are like sRGB, which is what programs assume of gray without a profile.
    """
    tags = _tags(profile)
    curve, white = tags.get(b"gTRC"), tags.get(b"wtpt")
    if curve is None or white is None:
        return None
    named = {name: tags[name] for name in (b"desc", b"cprt", b"chad") if name in tags}
    return _made(profile, b"GRAY", {b"kTRC": curve, b"wtpt": white} | named)


def _rgb(profile: bytes) -> bytes | None:
    """Make an RGB profile in which equal red, green and blue look like the gray of a gray one.

    Its primaries are those of sRGB; no gray depends on them.
    """
    tags = _tags(profile)
    curve, white = tags.get(b"kTRC"), tags.get(b"wtpt")
    if curve is None or white is None:
        return None
    named = {name: tags[name] for name in (b"desc", b"cprt", b"chad") if name in tags}
    curves = dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    colours = {name: b"XYZ \0\0\0\0" + struct.pack(">3i", *xyz) for name, xyz in _SRGB_D50.items()}
    return _made(profile, b"RGB ", curves | colours | {b"wtpt": white} | named)


def _made(profile: bytes, space: bytes, parts: dict[bytes, bytes]) -> bytes:
    """Make a profile of these tags with the header of another; equal tags share their bytes."""
    table, body = struct.pack(">I", len(parts)), b""
    start = 132 + 12 * len(parts)
    places: dict[bytes, int] = {}
    for name, value in parts.items():
        if value not in places:
            places[value] = start + len(body)
            body += value + b"\0" * (-len(value) % 4)
        table += struct.pack(">4sII", name, places[value], len(value))
    # The profile's id is a checksum of what has changed; zeros mean "not calculated".
    size = struct.pack(">I", start + len(body))
    return size + profile[4:16] + space + profile[20:84] + bytes(16) + profile[100:128] + table + body


def _tags(profile: bytes) -> dict[bytes, bytes]:
    (count,) = struct.unpack_from(">I", profile, 128)
    found = {}
    for number in range(min(count, 100)):
        if len(profile) < 144 + 12 * number:
            break
        name, offset, size = struct.unpack_from(">4sII", profile, 132 + 12 * number)
        if offset + size <= len(profile):
            found[name] = profile[offset : offset + size]
    return found
