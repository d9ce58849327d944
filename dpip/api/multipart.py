"""multipart/form-data (RFC 7578), parsed as it arrives: files go on at once, fields are kept, bounded."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Protocol

from attrs import define, field
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser
from werkzeug.http import parse_options_header

from dpip.api.limits import Limits
from dpip.api.text import lenient
from dpip.errors import Malformed, TooLarge

#: RFC 2046 allows 70; some clients take more.
_MAX_BOUNDARY = 200
_MAX_PART_HEADERS = 16
_MAX_PART_HEADER = 4 * 1024
_PLAIN_ENCODINGS = {"", "binary", "7bit", "8bit"}

#: The parser would write a line to stderr for each malformed body: we answer the client instead.
_SILENT = logging.Logger("dpip.multipart", logging.CRITICAL + 1)


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
    _parser: MultipartParser = field(init=False)
    _files: int = field(default=0, init=False)
    _field_bytes: int = field(default=0, init=False)
    _headers: dict[str, str] = field(factory=dict, init=False)
    _header_name: bytearray = field(factory=bytearray, init=False)
    _header_value: bytearray = field(factory=bytearray, init=False)
    _field_name: str = field(default="", init=False)
    _value: bytearray = field(factory=bytearray, init=False)
    _file: FileSink | None = field(default=None, init=False)
    _ended: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        callbacks: Any = {
            "on_part_begin": self._part_begins,
            "on_header_field": lambda data, start, end: self._header_name.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._header_value.extend(data[start:end]),
            "on_header_end": self._header_ends,
            "on_headers_finished": self._content_begins,
            "on_part_data": self._content,
            "on_part_end": self._part_ends,
            "on_end": self._body_ends,
        }
        self._parser = MultipartParser(
            self.boundary, callbacks, max_header_count=_MAX_PART_HEADERS, max_header_size=_MAX_PART_HEADER
        )
        self._parser.logger = _SILENT

    def write(self, data: bytes) -> None:
        try:
            self._parser.write(data)
        except FormParserError as problem:
            raise Malformed(f"The multipart body is malformed: {problem}.") from None

    def end(self) -> None:
        """No more bytes will come."""
        if not self._ended:
            raise Malformed("The multipart body ends before its last boundary: it was cut short.")

    def _part_begins(self) -> None:
        self._headers = {}
        self._file = None
        self._value = bytearray()

    def _header_ends(self) -> None:
        name = self._header_name.decode("latin-1").strip().lower()
        self._headers[name] = lenient(bytes(self._header_value)).strip(" \t")
        self._header_name = bytearray()
        self._header_value = bytearray()

    def _content_begins(self) -> None:
        disposition, options = parse_options_header(self._headers.get("content-disposition"))
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

    def _content(self, data: bytes, start: int, end: int) -> None:
        if self._file is not None:
            self._file.write(data[start:end])
            return
        self._field_bytes += end - start
        if len(self._value) + end - start > self.limits.field_size:
            raise TooLarge(
                f"The field {self._field_name[:60]!r} is longer than {self.limits.field_size} bytes."
            )
        if self._field_bytes > self.limits.fields_size:
            raise TooLarge(f"The fields have more than {self.limits.fields_size} bytes together.")
        self._value += data[start:end]

    def _part_ends(self) -> None:
        if self._file is None:
            self.fields.append((self._field_name, bytes(self._value)))
        self._file = None

    def _body_ends(self) -> None:
        self._ended = True


def boundary_of(content_type: str | None) -> bytes | None:
    """The boundary, if this is a multipart/form-data type; None if it is anything else. Raises Malformed."""
    kind, options = parse_options_header(content_type)
    if kind.lower() != "multipart/form-data":
        return None
    boundary = options.get("boundary", "")
    if not 0 < len(boundary) <= _MAX_BOUNDARY or not boundary.isascii():
        raise Malformed("The multipart Content-Type has no usable boundary.")
    return boundary.encode()
