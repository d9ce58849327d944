"""Fields of a request, the same whether they came as JSON object, urlencoded, multipart or in the query.

Values of a JSON body have their types; those of a form are text. The getters take both.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from attrs import frozen
from werkzeug.http import parse_options_header

from dpip.api.http.limits import HttpLimits
from dpip.api.http.multipart import FileSink, MultipartReader, boundary_of
from dpip.api.http.problems import UnsupportedBody
from dpip.errors import BadParameter, Malformed

_LAST_TIME = datetime.max.replace(tzinfo=UTC).timestamp()

MAX_INTEGER = 2**62  # what the database takes, and more than any of our numbers
Choice = TypeVar("Choice", bound=StrEnum)
Structure = TypeVar("Structure", dict[str, Any], list[Any])


@frozen
class Fields:
    """The fields of one request, with getters that all raise BadParameter for what is not acceptable.

    ``given`` is False when the request had neither a body nor a query.
    """

    values: dict[str, Any]
    given: bool = True

    def text(self, name: str) -> str | None:
        value = self.values.get(name)
        if value is None:
            return None
        if not isinstance(value, str):
            raise BadParameter(f"{name} must be given once, as text.", parameter=name)
        return value

    def required(self, name: str) -> str:
        value = self.text(name)
        if not value:
            raise BadParameter(f"{name} is missing.", parameter=name)
        return value

    def integer(self, name: str, low: int, high: int = MAX_INTEGER) -> int | None:
        value = self.values.get(name)
        if value is None:
            return None
        number = _whole_number(value)
        if number is None or not low <= number <= high:
            raise BadParameter(f"{name} must be a whole number from {low} to {high}.", parameter=name)
        return number

    def time(self, name: str) -> float | None:
        """Return a time, given by RFC 3339 or as seconds since the epoch, in seconds since the epoch."""
        text = self.text(name)
        if text is None:
            return None
        with suppress(ValueError, OverflowError):
            seconds = _seconds(text)
            if abs(seconds) <= _LAST_TIME:  # which neither infinity nor what is no number is
                return seconds
        raise BadParameter(f"{name} must be a time such as 2026-01-31T12:00:00Z.", parameter=name)

    def choices(self, name: str, kind: type[Choice]) -> tuple[Choice, ...]:
        """Return several of them, given as :meth:`words`; none when the field is not given."""
        return tuple(_one_of(name, kind, word) for word in self.words(name))

    def choice(self, name: str, kind: type[Choice]) -> Choice | None:
        value = self.text(name)
        return None if value is None else _one_of(name, kind, value)

    def boolean(self, name: str) -> bool:
        """Return whether it is given and true."""
        value = self.values.get(name, False)
        if value in (True, "true", "1"):
            return True
        if value in (False, "false", "0", "", None):
            return False
        raise BadParameter(f"{name} must be true or false.", parameter=name)

    def object(self, name: str) -> dict[str, Any]:
        """Return a JSON object, which a form holds as text; an empty one when it is not given."""
        return self._structure(name, dict, 'a JSON object such as {"sigma": 3}')

    def array(self, name: str) -> list[Any]:
        """Return a JSON array, which a form holds as text; an empty one when it is not given."""
        return self._structure(name, list, 'a JSON list such as [{"name": "blur"}]')

    def words(self, name: str) -> list[str]:
        """Return a JSON list of texts. A form holds it as text, words with commas, or several fields."""
        value = self.values.get(name)
        if isinstance(value, str):
            value = _json(value, name) if value.startswith("[") else [w.strip() for w in value.split(",")]
            value = [] if value == [""] else value
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
            raise BadParameter(f'{name} must be a list of words such as ["gpu"].', parameter=name)
        return value

    def only(self, *known: str, passed_over: Collection[str] = ()) -> None:
        """Refuse fields that are not known, by name: a misspelt one must not be lost in silence."""
        unknown = sorted(set(self.values) - {*known, *passed_over})
        if unknown:
            shown = ", ".join(repr(name[:60]) for name in unknown[:10])
            raise BadParameter(f"Not known here: {shown}. Known: {', '.join(known)}.", unknown=unknown[:10])

    def _structure(self, name: str, kind: type[Structure], what: str) -> Structure:
        value = self.values.get(name)
        value = _json(value, name) if isinstance(value, str) and value else value
        if value is None or value == "":
            return kind()
        if not isinstance(value, kind):
            raise BadParameter(f"{name} must be {what}.", parameter=name)
        return value


def _seconds(text: str) -> float:
    """Raises ValueError, OverflowError."""
    try:
        return float(text)
    except ValueError:
        when = datetime.fromisoformat(text)
    return (when if when.tzinfo is not None else when.replace(tzinfo=UTC)).timestamp()


def _one_of(name: str, kind: type[Choice], value: str) -> Choice:
    try:
        return kind(value)
    except ValueError:
        known = ", ".join(kind)
        raise BadParameter(f"{name} must be one of {known}.", parameter=name) from None


def read_fields(query: bytes, body: bytes, content_type: str | None, limits: HttpLimits) -> Fields:
    """Return the fields of query and body; the body's win. Raises Malformed, UnsupportedBody, TooLarge."""
    values = {} if not query else _urlencoded(query, limits)
    if body:
        values.update(_body_values(body, content_type, limits))
    return Fields(values, given=bool(query or body))


def texts(fields: Iterable[tuple[str, bytes]]) -> dict[str, Any]:
    """Return a multipart body's fields as texts. Raises Malformed when one is not UTF-8."""
    try:
        return _collected((name, value.decode()) for name, value in fields)
    except UnicodeDecodeError:
        raise Malformed("A field's value is not UTF-8 text.") from None


def check_type(content_type: str | None) -> None:
    """Refuse a body that no route takes. Raises UnsupportedBody, Malformed."""
    kind = _kind(content_type)
    if not (_is_json(kind) or kind == _FORM or boundary_of(content_type) is not None):
        raise UnsupportedBody(
            f"The Content-Type is {kind[:60]!r}. Send application/json, application/x-www-form-urlencoded "
            "or multipart/form-data."
        )


def _body_values(body: bytes, content_type: str | None, limits: HttpLimits) -> dict[str, Any]:
    check_type(content_type)
    kind, boundary = _kind(content_type), boundary_of(content_type)
    if boundary is None:
        return _json_object(body) if _is_json(kind) else _urlencoded(body, limits)
    reader = MultipartReader(boundary, _no_files, limits)
    reader.write(body)
    reader.end()
    return texts(reader.fields)


_FORM = "application/x-www-form-urlencoded"


def _kind(content_type: str | None) -> str:
    return parse_options_header(content_type)[0].lower()


def _is_json(kind: str) -> bool:
    return kind in ("application/json", "text/json") or kind.endswith("+json")


def _no_files(_name: str | None) -> FileSink:
    raise Malformed("A file is not expected here: files go to POST /images.")


def _json_object(body: bytes) -> dict[str, Any]:
    value = _loads(body)
    if not isinstance(value, dict):
        raise Malformed("The JSON body must be an object, in braces.")
    return {name: member for name, member in value.items() if member is not None}


def _loads(text: str | bytes) -> Any:
    """Read JSON as the RFC has it: no NaN, and no half of a surrogate pair, which no database could hold."""
    try:
        value = json.loads(text, parse_constant=_no_constant)
        json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise Malformed("The JSON is nested too deeply.") from None
    except ValueError as problem:  # also of a number of 5000 digits, and of bytes that are not UTF-8
        raise Malformed(f"The JSON is malformed: {str(problem)[:100]}.") from None
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _json(text: str, name: str) -> Any:
    try:
        return _loads(text)
    except Malformed as problem:
        raise BadParameter(f"{name}: {problem.detail}", parameter=name) from None


def _urlencoded(data: bytes, limits: HttpLimits) -> dict[str, Any]:
    try:
        pairs = parse_qsl(
            data.decode("utf-8"), keep_blank_values=True, errors="strict", max_num_fields=limits.fields
        )
    except ValueError:
        raise Malformed(
            f"The form or query is not urlencoded UTF-8 text with at most {limits.fields} fields."
        ) from None
    return _collected(pairs)


def _collected(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Return the fields; one that comes several times is a list of its values, which most getters refuse."""
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        known = values.setdefault(name, [])
        if value not in known:
            known.append(value)
    return {name: several[0] if len(several) == 1 else several for name, several in values.items()}


def _whole_number(value: Any) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.isascii() and value.removeprefix("-").isdigit() and len(value) < 20:
        return int(value)
    return None
