"""multipart/form-data (RFC 7578), parsed as it arrives: files go on at once, fields are kept, bounded.

A part ends where the delimiter, a line break before the boundary, is followed by a line break or by ``--``.
What may turn out to be the beginning of one is held back; everything before it is handed on, and a piece in
which there is none without being copied.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Protocol

from attrs import define, field
from werkzeug.http import parse_options_header

from dpip.api.limits import Limits
from dpip.api.text import lenient
from dpip.errors import Malformed, TooLarge

#: RFC 2046 allows 70; some clients take more.
_MAX_BOUNDARY = 200
_MAX_PART_HEADERS = 16
_MAX_PART_HEADERS_SIZE = 4 * 1024
_PLAIN_ENCODINGS = {"", "binary", "7bit", "8bit"}

_LINE, _BLANK_LINE, _DASHES = b"\r\n", b"\r\n\r\n", b"--"

#: A header value whose options need no unescaping, which is what nearly all are: werkzeug takes 60 µs for it.
_PLAIN_VALUE = re.compile(r"""[\w/.+-]+(?:; ?\w+=(?:"[^"\\%]*"|[\w'()+,./:=?-]+))*""", re.ASCII)
_PLAIN_OPTION = re.compile(r"""; ?(\w+)=(?:"([^"]*)"|([^";]+))""", re.ASCII)


class FileSink(Protocol):
    def write(self, data: bytes) -> None: ...


#: Called with the client's file name, or None, at the beginning of each part that carries a file.
OpenFile = Callable[[str | None], FileSink]


@define
class MultipartReader:
    """Feed it with :meth:`write`, then :meth:`end`; ``fields`` holds ``(name, value)`` in body order.

    Raises Malformed and TooLarge, and whatever the files raise.
    """

    boundary: bytes
    open_file: OpenFile
    limits: Limits
    fields: list[tuple[str, bytes]] = field(factory=list, init=False)
    _delimiter: bytes = field(init=False)
    _step: Callable[[MultipartReader], bool] | None = field(init=False)  # None behind the last boundary
    _rest: bytes = field(default=b"", init=False)  # has arrived, and what it is cannot be said yet
    _files: int = field(default=0, init=False)
    _field_bytes: int = field(default=0, init=False)
    _headers: dict[str, str] = field(factory=dict, init=False)
    _field_name: str = field(default="", init=False)
    _value: bytearray = field(factory=bytearray, init=False)
    _file: FileSink | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._delimiter = _LINE + _DASHES + self.boundary
        self._step = MultipartReader._begin

    def write(self, data: bytes) -> None:
        self._rest = self._rest + data if self._rest else data
        while self._step is not None and self._step(self):
            pass

    def end(self) -> None:
        """No more bytes will come."""
        if self._step is not None:
            raise Malformed("The multipart body ends before its last boundary: it was cut short.")

    # Steps: each takes its part off ``_rest`` and says whether it could

    def _begin(self) -> bool:
        """The first boundary has no line break before it, or one."""
        arrived = self._rest
        boundary = self._delimiter[len(_LINE) :] if arrived[:1] != _LINE[:1] else self._delimiter
        if arrived[: len(boundary)] != boundary[: len(arrived)]:
            raise Malformed("The multipart body does not begin with its boundary.")
        if len(arrived) < len(boundary) + len(_DASHES):
            return False
        if not self._ends_part(len(boundary)):
            raise Malformed("The multipart body does not begin with its boundary.")
        return True

    def _ends_part(self, end: int) -> bool:
        """Is it a delimiter that ends there? Then on with what follows it."""
        follows = self._rest[end : end + len(_DASHES)]
        if follows == _LINE:
            self._rest, self._step = self._rest[end:], MultipartReader._part_headers
        elif follows == _DASHES:
            self._rest, self._step = b"", None
        else:
            return False
        return True

    def _part_headers(self) -> bool:
        """They begin with the line break that ends the boundary's line."""
        end = self._rest.find(_BLANK_LINE, 0, _MAX_PART_HEADERS_SIZE)
        if end < 0 and len(self._rest) < _MAX_PART_HEADERS_SIZE:
            return False
        lines = self._rest[:end].split(_LINE)[1:]
        if end < 0 or len(lines) > _MAX_PART_HEADERS:
            raise Malformed("A part of the multipart body has too many headers, or too long ones.")
        self._headers = {}
        for line in lines:
            name, colon, value = line.partition(b":")
            if not colon:
                raise Malformed("A part of the multipart body has a header without a colon.")
            self._headers[name.decode("latin-1").strip().lower()] = lenient(value).strip(" \t")
        self._rest, self._step = self._rest[end + len(_BLANK_LINE) :], MultipartReader._content
        self._content_begins()
        return True

    def _content(self) -> bool:
        arrived, delimiter = self._rest, self._delimiter
        found = arrived.find(delimiter)
        while found >= 0:
            end = found + len(delimiter)
            if len(arrived) < end + len(_DASHES):
                break
            if self._ends_part(end):
                self._take(arrived[:found])
                self._part_ends()
                return True
            found = arrived.find(delimiter, found + 1)
        if found < 0:
            found = self._perhaps_delimiter(arrived)
        self._rest = arrived[found:]
        self._take(arrived[:found])
        return False

    def _perhaps_delimiter(self, data: bytes) -> int:
        """Where the beginning of a delimiter stands at the end of the data; the data's length if nowhere."""
        place = max(0, len(data) - len(self._delimiter) + 1)
        while (place := data.find(_LINE[:1], place)) >= 0:
            if self._delimiter.startswith(data[place:]):
                return place
            place += 1
        return len(data)

    # What parts are

    def _content_begins(self) -> None:
        self._file, self._value = None, bytearray()
        disposition, options = options_of(self._headers.get("content-disposition"))
        if disposition.lower() != "form-data" or "name" not in options:
            raise Malformed('Each part of the body needs a Content-Disposition: form-data; name="…" header.')
        encoding = self._headers.get("content-transfer-encoding", "").lower()
        if encoding not in _PLAIN_ENCODINGS:
            raise Malformed(f"A part has the transfer encoding {encoding[:40]!r}: send the plain bytes.")
        self._field_name = options["name"]
        if self._is_file(options):
            self._files += 1
            if self._files > self.limits.files:
                raise TooLarge(f"One request takes at most {self.limits.files} files: send more requests.")
            self._file = self.open_file(options.get("filename") or None)
        elif len(self.fields) >= self.limits.fields:
            raise TooLarge(f"One request takes at most {self.limits.fields} fields.")

    def _is_file(self, options: dict[str, str]) -> bool:
        """Any part with a file name, any that says it is a picture, and ``data``, whatever it says."""
        content_type = self._headers.get("content-type", "").lower()
        return (
            "filename" in options
            or options["name"] == "data"
            or content_type.startswith("image/")
            or content_type == "application/octet-stream"
        )

    def _take(self, data: bytes) -> None:
        if not data:
            return
        if self._file is not None:
            self._file.write(data)
            return
        self._field_bytes += len(data)
        if len(self._value) + len(data) > self.limits.field_size:
            raise TooLarge(
                f"The field {self._field_name[:60]!r} is longer than {self.limits.field_size} bytes."
            )
        if self._field_bytes > self.limits.fields_size:
            raise TooLarge(f"The fields have more than {self.limits.fields_size} bytes together.")
        self._value += data

    def _part_ends(self) -> None:
        if self._file is None:
            self.fields.append((self._field_name, bytes(self._value)))
        self._file = None


def options_of(value: str | None) -> tuple[str, dict[str, str]]:
    """``kind; name="value"; …`` as its kind and its options."""
    if value is None or _PLAIN_VALUE.fullmatch(value) is None:
        return parse_options_header(value)
    kind, _, _ = value.partition(";")
    return kind, {name.lower(): quoted or plain for name, quoted, plain in _PLAIN_OPTION.findall(value)}


def boundary_of(content_type: str | None) -> bytes | None:
    """The boundary, if this is a multipart/form-data type; None if it is anything else. Raises Malformed."""
    kind, options = options_of(content_type)
    if kind.lower() != "multipart/form-data":
        return None
    boundary = options.get("boundary", "")
    if not 0 < len(boundary) <= _MAX_BOUNDARY or not boundary.isascii():
        raise Malformed("The multipart Content-Type has no usable boundary.")
    return boundary.encode()
