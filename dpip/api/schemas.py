"""JSON Schema (2020-12, which is OpenAPI 3.1's), and JSON objects that are described where they are made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, TypeVar

from attrs import frozen

Json = dict[str, Any]
Schema = dict[str, Any]
T = TypeVar("T")

STRING: Final[Schema] = {"type": "string"}
INTEGER: Final[Schema] = {"type": "integer"}
NUMBER: Final[Schema] = {"type": "number"}
BOOLEAN: Final[Schema] = {"type": "boolean"}
ANYTHING: Final[Schema] = {"type": "object"}
TIME: Final[Schema] = {"type": "string", "format": "date-time"}
FILE: Final[Schema] = {"type": "string", "format": "binary"}


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def array(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def choice(kind: Any) -> Schema:
    return {"type": "string", "enum": [one.value for one in kind]}


def members(optional: tuple[str, ...] = (), /, **properties: Schema) -> Schema:
    """Return the schema of an object that has all these members, except perhaps the optional ones."""
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required}


@frozen
class View(Generic[T]):
    """A view shows a thing as a JSON object: of each member it has the schema, and what gives its value."""

    members: Mapping[str, tuple[Schema, Callable[[T], object]]]

    def __call__(self, thing: T) -> Json:
        return {name: value_of(thing) for name, (_, value_of) in self.members.items()}

    @property
    def properties(self) -> dict[str, Schema]:
        return {name: schema for name, (schema, _) in self.members.items()}

    @property
    def schema(self) -> Schema:
        return members(**self.properties)
