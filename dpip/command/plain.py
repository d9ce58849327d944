"""Words of strangers on our own terminal."""

from __future__ import annotations

_LEFT_AND_RIGHT = (*range(0x202A, 0x202F), *range(0x2066, 0x206A))  # they turn what follows around
_CONTROLS = (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029, *_LEFT_AND_RIGHT)
_ESCAPED = {code: ascii(chr(code))[1:-1] for code in _CONTROLS}


def plain(text: str) -> str:
    """On one line, and without what a terminal would obey: names of files and workloads may hold anything."""
    return text.translate(_ESCAPED)
