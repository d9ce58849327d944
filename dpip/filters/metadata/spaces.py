"""Colours without a profile: what numbers in a file say that they mean.

Sources: ITU-T H.273 (coding-independent code points), ITU-R BT.709, BT.2020, BT.2100, SMPTE EG 432-1, PNG 3rd
ed. (W3C), Adobe RGB (1998).
"""

from __future__ import annotations

import struct

import attrs

_D65 = (0.3127, 0.3290)
#: By number of H.273: red, green, blue, white, each x and y.
_PRIMARIES: dict[int, tuple[float, ...]] = {
    1: (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, *_D65),
    4: (0.67, 0.33, 0.21, 0.71, 0.14, 0.08, 0.310, 0.316),
    5: (0.64, 0.33, 0.29, 0.60, 0.15, 0.06, *_D65),
    6: (0.630, 0.340, 0.310, 0.595, 0.155, 0.070, *_D65),
    7: (0.630, 0.340, 0.310, 0.595, 0.155, 0.070, *_D65),
    9: (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, *_D65),
    11: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.314, 0.351),
    12: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, *_D65),
}
_NAMES = {9: "BT.2020", 11: "DCI-P3", 12: "Display P3"}
_GAMMAS = {4: 2.2, 5: 2.8, 8: 1.0}
_CURVE_NAMES = {8: "linear light", 16: "PQ", 18: "HLG"}
_LIKE_SRGB = (0, 1, 2, 6, 13, 14, 15)  # curves that programs show as that of sRGB
_SAME = (0, 1, 2, 5, 6, 7)  # primaries, too
PQ, HLG = 16, 18
SRGB_PRIMARIES = _PRIMARIES[1]


@attrs.frozen
class Space:
    """``primaries`` are x and y of red, green, blue and white; ``gamma`` is the exponent from code to light.

    Instead of a gamma there may be a ``curve``: 16 (PQ), 18 (HLG), or 13 (sRGB). ``code`` has primaries and
    curve by their numbers, if the file says them so.
    """

    primaries: tuple[float, ...] = SRGB_PRIMARIES
    gamma: float | None = None
    curve: int = 13
    code: tuple[int, int] | None = None
    name: str = "not sRGB"

    @property
    def hdr(self) -> bool:
        return self.gamma is None and self.curve in (PQ, HLG)


ADOBE_RGB = Space((0.64, 0.33, 0.21, 0.71, 0.15, 0.06, *_D65), gamma=563 / 256, name="Adobe RGB")
LINEAR = Space(gamma=1.0, name="linear light")


def of_code(primaries: int, curve: int) -> Space | None:
    """Return what two numbers of H.273 mean; None if that is sRGB, or looks like it, or is not known."""
    names = [_NAMES.get(primaries, f"primaries {primaries}")] * (primaries not in _SAME)
    names += [_CURVE_NAMES.get(curve, f"curve {curve}")] * (curve not in _LIKE_SRGB)
    if not names:
        return None
    named = " with ".join(names)
    known = _PRIMARIES.get(primaries, SRGB_PRIMARIES)
    if curve in (PQ, HLG):
        return Space(known, None, curve, (primaries, curve), named)
    return Space(known, _GAMMAS.get(curve), code=(primaries, curve), name=named)


def of_gamma(gamma: bytes | None, chromaticities: bytes | None) -> Space | None:
    """Return what PNG's chunks gAMA and cHRM mean; None if that is sRGB."""
    exponent: float | None = None
    if gamma is not None and len(gamma) == 4 and (number := int.from_bytes(gamma)):
        exponent = 100_000 / number
    if exponent is not None and (abs(exponent - 2.2) < 0.05 or not 0.1 < exponent < 10):
        exponent = None
    primaries = _of_chromaticities(chromaticities)
    if exponent is None and primaries == SRGB_PRIMARIES:
        return None
    return Space(primaries, exponent, name=f"gamma {exponent:.3g}" if exponent else "other primaries")


def _of_chromaticities(body: bytes | None) -> tuple[float, ...]:
    if body is None or len(body) != 32:
        return SRGB_PRIMARIES
    numbers = tuple(number / 100_000 for number in struct.unpack(">8I", body))
    found = (*numbers[2:], *numbers[:2])
    near = all(abs(one - other) < 0.006 for one, other in zip(found, SRGB_PRIMARIES, strict=True))
    # A y of 0, or three colours on a line, cannot be: such numbers say nothing.
    return SRGB_PRIMARIES if near or min(found[1::2]) <= 0.001 or max(found) > 2 or _flat(found) else found


def _flat(primaries: tuple[float, ...]) -> bool:
    rx, ry, gx, gy, bx, by = primaries[:6]
    return abs((gx - rx) * (by - ry) - (bx - rx) * (gy - ry)) < 1e-3
