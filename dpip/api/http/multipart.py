"""A reader of multipart/form-data (RFC 7578): files are handed on as they arrive, fields are kept.

The package ``multipart`` finds the parts; this module bounds them and says what they are. Its parser keeps no
more than what may be the beginning of a delimiter or of a header line. A piece in which there is no delimiter
is handed on without being copied.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Protocol

from attrs import define, field
from multipart import MultipartError, MultipartSegment, ParserError, ParserLimitReached, PushMultipartParser
from werkzeug.http import parse_options_header

from dpip.api.http.limits import HttpLimits
from dpip.api.http.text import lenient
from dpip.errors import Malformed, TooLarge

#: RFC 2046 allows 70; some clients take more.
_MAX_BOUNDARY = 200
_MAX_PART_HEADERS = 16
_MAX_PART_HEADERS_SIZE = 4 * 1024  # bytes of one part's header lines
_PLAIN_ENCODINGS = {b"", b"binary", b"7bit", b"8bit"}

#: A header value whose options need no unescaping, which is what nearly all are: werkzeug takes 60 µs for it.
_PLAIN_VALUE = re.compile(r"""[\w/.+-]+(?:; ?\w+=(?:"[^"\\%]*"|[\w'()+,./:=?-]+))*""", re.ASCII)
_PLAIN_OPTION = re.compile(r"""; ?(\w+)=(?:"([^"]*)"|([^";]+))""", re.ASCII)


class FileSink(Protocol):
    def write(self, data: bytes) -> None: ...


#: Called with the client's file name, or None, at the beginning of each part that carries a file.
OpenFile = Callable[[str | None], FileSink]


class _Parser(PushMultipartParser):
    """The package's parser, which leaves what a part's headers say to the reader.

    The package's own answer to them depends on where the body is cut into pieces, it refuses names that are
    not UTF-8 and a wrong Content-Length, which RFC 7578 wants ignored, and it bounds each line by itself.
    """

    def __init__(self, boundary: bytes) -> None:
        # The bound of an incomplete line, of whose line break the first half may have arrived.
        super().__init__(boundary, max_header_size=_MAX_PART_HEADERS_SIZE + 1)
        self._headers: list[bytes] = []
        self._headers_size = 0

    def _on_segment_headerline(self, line: bytes) -> None:
        self._headers.append(line)
        self._headers_size += len(line)
        if self._headers_size > _MAX_PART_HEADERS_SIZE or len(self._headers) > _MAX_PART_HEADERS:
            raise ParserLimitReached("A part has too many headers, or too long ones")
        if b":" not in line or b"\n" in line or line[0] in b" \t":
            raise ParserError("A part has a header that is folded, has no colon or has a bare line feed")

    def _create_segment(self, _headerlist: object) -> MultipartSegment:
        part = MultipartSegment([])
        part.headerlist = self._headers
        self._headers, self._headers_size = [], 0
        return part


@define
class MultipartReader:
    """The reader of one body, fed with :meth:`write`, then :meth:`end`.

    ``fields`` holds ``(name, value)`` in body order.

    Raises Malformed and TooLarge, and whatever the files raise.
    """

    boundary: bytes
    open_file: OpenFile
    limits: HttpLimits
    fields: list[tuple[str, bytes]] = field(factory=list, init=False)
    _parser: PushMultipartParser = field(init=False)
    _first_bytes: bytes | None = field(default=b"", init=False)  # until there are enough to judge them
    _files: int = field(default=0, init=False)
    _field_bytes: int = field(default=0, init=False)
    _field_name: str = field(default="", init=False)
    _value: bytearray = field(factory=bytearray, init=False)
    _file: FileSink | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._parser = _Parser(self.boundary)

    def write(self, data: bytes) -> None:
        if self._first_bytes is not None:
            data = self._begin(self._first_bytes + data)
        if not data:  # to the parser, that would be the end
            return
        try:
            for event in self._parser.parse(data):
                if event is None:
                    self._part_ends()
                elif isinstance(event, bytes):
                    self._take_data(event)
                else:
                    self._part_begins(event.headerlist)
        except ParserLimitReached:
            raise Malformed("A part of the multipart body has too many headers, or too long ones.") from None
        except MultipartError as problem:
            raise Malformed(f"The multipart body cannot be read: {problem}.") from None

    def end(self) -> None:
        """Note that no more bytes will come. Raises Malformed when the body is not complete."""
        try:
            self._parser.close()
        except ParserError:
            raise Malformed("The multipart body ends before its last boundary: it was cut short.") from None

    def _begin(self, arrived: bytes) -> bytes:
        """Return what the parser may see: nothing before a boundary, since it takes any text there."""
        delimiter = b"\r\n--" + self.boundary
        if len(arrived) < len(delimiter):
            self._first_bytes = arrived
            return b""
        if not arrived.startswith((delimiter, delimiter[2:])):
            raise Malformed("The multipart body does not begin with its boundary.")
        self._first_bytes = None
        return arrived

    def _part_begins(self, lines: list[bytes]) -> None:
        self._file, self._value = None, bytearray()
        headers = _headers_of(lines)
        disposition, options = options_of(lenient(headers.get(b"content-disposition", b"")))
        if disposition.lower() != "form-data" or "name" not in options:
            raise Malformed('Each part of the body needs a Content-Disposition: form-data; name="…" header.')
        encoding = headers.get(b"content-transfer-encoding", b"").lower()
        if encoding not in _PLAIN_ENCODINGS:
            raise Malformed(
                f"A part has the transfer encoding {lenient(encoding)[:40]!r}: send the plain bytes."
            )
        self._field_name = options["name"]
        if _is_file(options, headers.get(b"content-type", b"").lower()):
            self._files += 1
            if self._files > self.limits.files:
                raise TooLarge(f"One request takes at most {self.limits.files} files: send more requests.")
            self._file = self.open_file(options.get("filename") or None)
        elif len(self.fields) >= self.limits.fields:
            raise TooLarge(f"One request takes at most {self.limits.fields} fields.")

    def _take_data(self, data: bytes) -> None:
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


def _headers_of(lines: list[bytes]) -> dict[bytes, bytes]:
    """Return a part's headers by their names in lower case."""
    headers = {}
    for line in lines:
        name, _, value = line.partition(b":")
        headers[name.strip().lower()] = value.strip(b" \t")
    return headers


def _is_file(options: dict[str, str], content_type: bytes) -> bool:
    """Say whether it is a file: it has a file name, or says that it is a picture, or is called ``data``."""
    return (
        "filename" in options
        or options["name"] == "data"
        or content_type.startswith(b"image/")
        or content_type == b"application/octet-stream"
    )


def options_of(value: str | None) -> tuple[str, dict[str, str]]:
    """Return kind and options of ``kind; name="value"; …``."""
    if value is None or _PLAIN_VALUE.fullmatch(value) is None:
        return parse_options_header(value)
    kind, _, _ = value.partition(";")
    return kind, {name.lower(): quoted or plain for name, quoted, plain in _PLAIN_OPTION.findall(value)}


def boundary_of(content_type: str | None) -> bytes | None:
    """Return the boundary of a multipart/form-data type, None for any other type. Raises Malformed."""
    kind, options = options_of(content_type)
    if kind.lower() != "multipart/form-data":
        return None
    boundary = options.get("boundary", "")
    if not 0 < len(boundary) <= _MAX_BOUNDARY or not (boundary.isascii() and boundary.isprintable()):
        raise Malformed("The multipart Content-Type has no usable boundary.")
    return boundary.encode()
