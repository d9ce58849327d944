"""The tags of a TIFF's pages: which of them a result keeps. Sources: TIFF 6.0, EXIF 2.32."""

from __future__ import annotations

from dpip.filters.metadata import exif as exif_tags
from dpip.filters.metadata import photoshop
from dpip.filters.metadata.directories import EXIF as EXIF
from dpip.filters.metadata.directories import GPS as GPS
from dpip.filters.metadata.directories import Directory, Layout
from dpip.filters.metadata.directories import Tag as Tag
from dpip.filters.metadata.directories import only as only
from dpip.filters.metadata.directories import read as read
from dpip.filters.metadata.directories import table as table

SUBFILE, WIDTH, HEIGHT, PHOTOMETRIC, DESCRIPTION = 254, 256, 257, 262, 270
XMP, PROFILE, SUB_DIRECTORIES = 700, 34675, 330
X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT = 282, 283, 296
IPTC, PHOTOSHOP, _LAYERS = 33723, 34377, 37724

_NOT_EXIF = {XMP, PROFILE, IPTC, PHOTOSHOP, RESOLUTION_UNIT, X_RESOLUTION, Y_RESOLUTION}

#: Tags on how a page is stored and what its pixels are. All others describe the picture and are kept.
STRUCTURE = frozenset(
    {
        *(*range(254, 260), *range(262, 267), 273, 274, *range(277, 282), 284, *range(288, 294), 301),
        *(*range(317, 326), 330, 332, 334, *range(336, 344), 347, *range(512, 516), *range(517, 522)),
        *(*range(529, 533), *range(32995, 32999), *range(33628, 33632), 34412, _LAYERS, *range(65420, 65481)),
    }
)


def described(directory: Directory) -> Directory:
    """Return the tags that a result keeps: all that describe the picture and are still true of it."""
    return {tag: entry for tag, entry in directory.items() if tag not in STRUCTURE}


def has_layers(directory: Directory) -> bool:
    """Tell whether the page has Photoshop's layers, which are the picture once more, as it was."""
    return _LAYERS in directory


def exif(directory: Directory, layout: Layout, notices: list[str]) -> bytes | None:
    """Return the tags as EXIF, which other formats hold: a small TIFF without pixels."""
    small = Layout(layout.order)
    kept = {
        tag: entry
        for tag, entry in directory.items()
        if tag not in STRUCTURE | _NOT_EXIF and entry.kind not in (16, 17, 18)
    }
    return exif_tags.written(kept, small, notices)


def of_exif(data: bytes | None) -> tuple[Directory, Layout]:
    """Return the tags of EXIF, and how their numbers are written."""
    directory, layout = exif_tags.parsed(data)
    return described(directory), layout


def resources(directory: Directory) -> bytes | None:
    """Return Photoshop's image resources; made of IPTC if the page has that alone."""
    if PHOTOSHOP in directory:
        return directory[PHOTOSHOP].value
    return photoshop.of_iptc(directory[IPTC].value) if IPTC in directory else None
