"""Colour profiles, and gray ones for results of a filter that turns colour into gray.

Source: ICC.1:2022 (profile version 4.4).
"""

from __future__ import annotations

import struct


def fitting(profile: bytes | None, channels: int) -> bytes | None:
    """Return the profile for a result with ``channels``: this one, a gray one that looks alike, or None."""
    if profile is None or len(profile) < 132:
        return None
    space = profile[16:20]
    if channels <= 2:
        return profile if space == b"GRAY" else _gray(profile) if space == b"RGB " else None
    return profile if space == b"RGB " else None


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
    parts = {b"kTRC": curve, b"wtpt": white, b"desc": tags.get(b"desc"), b"cprt": tags.get(b"cprt")}
    parts[b"chad"] = tags.get(b"chad")
    kept = {name: body + b"\0" * (-len(body) % 4) for name, body in parts.items() if body is not None}
    offset = 132 + 12 * len(kept)
    table = struct.pack(">I", len(kept))
    for name, body in kept.items():
        table += struct.pack(">4sII", name, offset, len(body))
        offset += len(body)
    # The profile's id is a checksum of what has changed; zeros mean "not calculated".
    header = (
        struct.pack(">I", offset) + profile[4:16] + b"GRAY" + profile[20:84] + bytes(16) + profile[100:128]
    )
    return header + table + b"".join(kept.values())


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
