"""Names for what DPIP does not take, by content; some of it are pictures, and then that is a failure."""

from __future__ import annotations

from typing import BinaryIO

import attrs

#: macOS keeps what its file system says of a file in another whose name begins with ``._``.
APPLE_DOUBLE = b"\0\x05\x16\x07"


@attrs.frozen
class ForeignKind:
    """``words`` name it with an article; ``advice`` says what its owner can do."""

    words: str
    picture: bool = False
    advice: str = ""


_RAW = "Develop it first."
_CONVERT = "Convert it first."
_KINDS = {
    APPLE_DOUBLE: ForeignKind("what macOS notes about another file"),
    b"%PDF": ForeignKind("a PDF", advice=_CONVERT),
    b"%!PS": ForeignKind("PostScript", advice=_CONVERT),
    b"\xc5\xd0\xd3\xc6": ForeignKind("PostScript", advice=_CONVERT),
    b"<svg": ForeignKind("an SVG", True, _CONVERT),
    b"<?xml": ForeignKind("XML, perhaps an SVG", advice=_CONVERT),
    b"<!DOCTYPE": ForeignKind("a web page"),
    b"<html": ForeignKind("a web page"),
    b"8BPS": ForeignKind("a Photoshop document", True, _CONVERT),
    b"PK\x03\x04": ForeignKind("a zip archive"),
    b"\x1f\x8b": ForeignKind("a gzip archive"),
    b"Rar!": ForeignKind("a RAR archive"),
    b"7z\xbc\xaf": ForeignKind("a 7-Zip archive"),
    b"II\xbc": ForeignKind("a JPEG XR", True, _CONVERT),
    b"gimp xcf": ForeignKind("a GIMP picture", True, _CONVERT),
    b"v/1\x01": ForeignKind("an OpenEXR picture", True, _CONVERT),
    b"#?RADIANCE": ForeignKind("a Radiance picture", True, _CONVERT),
    b"#?RGBE": ForeignKind("a Radiance picture", True, _CONVERT),
    b"\xd7\xcd\xc6\x9a": ForeignKind("a Windows metafile", True, _CONVERT),
    b"FORM": ForeignKind("an IFF file", advice=_CONVERT),
    b"\x8aMNG": ForeignKind("an MNG film", True, _CONVERT),
    b"\x8bJNG": ForeignKind("a JNG picture", True, _CONVERT),
    b"SIMPLE  =": ForeignKind("a FITS picture (astronomy)", True, _CONVERT),
    b"FOVb": ForeignKind("a raw photograph (Sigma X3F)", True, _RAW),
    b"IIII": ForeignKind("a raw photograph (Phase One IIQ)", True, _RAW),
    b"BPG\xfb": ForeignKind("a BPG picture", True, _CONVERT),
    b"\x0a\x05\x01": ForeignKind("a PCX picture", True, _CONVERT),
    b"\x59\xa6\x6a\x95": ForeignKind("a Sun raster picture", True, _CONVERT),
    b"\x01\xda": ForeignKind("an SGI picture", True, _CONVERT),
}
_AT = {
    128: (b"DICM", ForeignKind("a DICOM picture (medicine)", True, _CONVERT)),
    6: (b"HEAPCCDR", ForeignKind("a raw photograph (Canon CRW)", True, _RAW)),
}
FILM = ForeignKind("a film", advice="dpip run takes its frames, dpip video the film.")
JPEG_LS = ForeignKind("a JPEG-LS picture", True, _CONVERT)
_UNKNOWN = ForeignKind("")


def kind_of(file: BinaryIO) -> ForeignKind:
    """Return what the file looks like; its words are empty if that is not known."""
    file.seek(0)
    start = file.read(136)
    for place, (magic, kind) in _AT.items():
        if start[place:].startswith(magic):
            return kind
    for magic, kind in _KINDS.items():
        if start.lstrip().startswith(magic):
            return kind
    return _UNKNOWN
