"""What a function's parameters take, told to those who submit it by name without having its code.

A worker describes its parameters by a small part of JSON Schema; who submits by name (the command
line, the HTTP API) checks its JSON against that before it makes a job.

    description = describe({"order_id": str, "cents": int | None})
    # {"properties":{"order_id":{"type":"string"},"cents":{"anyOf":[...]}}}
    find_misfit(description, {"order_id": "a", "cents": "b"})  # ("cents", "expected int | None, …")

What can't be described (a type with a JSON form of its own, such as a pydantic model) takes
anything here: the worker has the last word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import PurePath
from typing import Any, Final, NamedTuple, cast
from uuid import UUID

import msgspec

MAX_BYTES: Final = 8 * 1024
"""A longer description is left out: it is stored and read with each function."""

_KEPT: Final = frozenset(
    {
        "type",
        "format",
        "enum",
        "anyOf",
        "$ref",
        "items",
        "prefixItems",
        "minItems",
        "maxItems",
        "properties",
        "required",
        "additionalProperties",
    }
)
"""The keywords that are told; titles, documentation and defaults aren't."""

Schema = dict[str, Any]


class Misfit(NamedTuple):
    """A value that a parameter doesn't take: where in the arguments, and why."""

    path: str
    reason: str


# --- describing ------------------------------------------------------------------------------


def describe(types: Mapping[str, Any]) -> str:
    """Describe parameters by their annotations, as JSON; empty where there is nothing to tell."""
    names = [name for name, type_ in types.items() if _has_schema(type_)]
    schemas, parts = _schemas_of(types[name] for name in names)
    told = {name: _trimmed(each) for name, each in zip(names, schemas, strict=True)}
    properties = {name: schema for name, schema in told.items() if schema}
    if not properties:
        return ""
    description: Schema = {"properties": properties}
    if parts:
        description["$defs"] = {part: _trimmed(each) for part, each in parts.items()}
    written = msgspec.json.encode(description)
    return written.decode() if len(written) <= MAX_BYTES else ""


def _has_schema(type_: Any) -> bool:
    try:
        _schemas_of([type_])
    except Exception:  # an annotation without one, or a field whose default has no JSON form
        return False
    return True


def _schemas_of(types: Iterable[Any]) -> tuple[tuple[Schema, ...], Schema]:
    return msgspec.json.schema_components(types, schema_hook=_custom, ref_template="{name}")


def _custom(type_: type[Any]) -> Schema:
    if issubclass(type_, PurePath):
        return {"type": "string"}
    return {"title": type_.__name__}


def _trimmed(schema: Any) -> Any:
    """The schema without what isn't checked. Names of properties aren't keywords."""
    if isinstance(schema, list):
        return [_trimmed(each) for each in cast("list[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    kept: Schema = {}
    for keyword, value in cast("Schema", schema).items():
        if keyword == "properties":
            kept[keyword] = {name: _trimmed(each) for name, each in value.items()}
        elif keyword in _KEPT:
            kept[keyword] = value if keyword in ("enum", "required") else _trimmed(value)
    return kept


# --- checking --------------------------------------------------------------------------------


def find_misfit(description: str, arguments: Mapping[str, object]) -> Misfit | None:
    """The first of the arguments, JSON values by parameter, that doesn't fit the description.

    What isn't described fits. Raises nothing for a description of another version.
    """
    try:
        described = msgspec.json.decode(description or "{}", type=dict[str, Schema])
    except msgspec.DecodeError:
        return None
    check = _Check(described.get("$defs", {}))
    try:
        misfits = (
            check(schema, arguments[name], name)
            for name, schema in described.get("properties", {}).items()
            if name in arguments
        )
        return next((misfit for misfit in misfits if misfit is not None), None)
    except RecursionError:  # nested so deep that it is refused for that
        return None


class _Check:
    def __init__(self, definitions: Schema) -> None:
        self._definitions = definitions

    def __call__(self, schema: Schema, value: object, path: str) -> Misfit | None:
        if "$ref" in schema:
            return self(self._definitions.get(schema["$ref"], {}), value, path)
        if "anyOf" in schema:
            return self._any(schema, value, path)
        if "enum" in schema:
            allowed: list[object] = schema["enum"]
            if any(type(value) is type(each) and value == each for each in allowed):
                return None
            return Misfit(path, f"expected one of {_listed(allowed)}, got {_kind(value)}")
        if not _is_of(schema, value):
            return Misfit(path, f"expected {self._name(schema)}, got {_kind(value)}")
        if isinstance(value, list):
            return self._items(schema, cast("list[object]", value), path)
        if isinstance(value, dict):
            return self._fields(schema, cast("dict[str, object]", value), path)
        return None

    def _any(self, schema: Schema, value: object, path: str) -> Misfit | None:
        choices: list[Schema] = schema["anyOf"]
        misfits = [self(choice, value, path) for choice in choices]
        if None in misfits:
            return None
        inner = [each for each in misfits if each is not None and each.path != path]
        if len(inner) == 1:  # one choice was of the right kind: what is wrong is inside
            return inner[0]
        return Misfit(path, f"expected {self._name(schema)}, got {_kind(value)}")

    def _items(self, schema: Schema, value: list[object], path: str) -> Misfit | None:
        least, most = schema.get("minItems", 0), schema.get("maxItems", len(value))
        if not least <= len(value) <= most:
            count = str(least) if least == most else f"{least} to {most}"
            return Misfit(path, f"expected {count} items, got {len(value)}")
        first: list[Schema] = schema.get("prefixItems", [])
        others: Schema = schema.get("items") or {}
        for index, item in enumerate(value):
            inner = first[index] if index < len(first) else others
            if misfit := self(inner, item, f"{path}[{index}]"):
                return misfit
        return None

    def _fields(self, schema: Schema, value: dict[str, object], path: str) -> Misfit | None:
        missing = [name for name in schema.get("required", ()) if name not in value]
        if missing:
            return Misfit(path, f"{missing[0]!r} is missing")
        known: dict[str, Schema] = schema.get("properties", {})
        others = schema.get("additionalProperties", {})
        for name, item in value.items():
            if name not in known and others is False:
                return Misfit(path, f"there is no field {name!r}")
            if misfit := self(known.get(name, others or {}), item, f"{path}.{name}"):
                return misfit
        return None

    def _name(self, schema: Schema) -> str:
        """A schema in the words of an annotation."""
        if "$ref" in schema:
            return str(schema["$ref"]).rpartition(".")[2]
        if "anyOf" in schema:
            return " | ".join(self._name(choice) for choice in schema["anyOf"])
        if "enum" in schema:
            return f"one of {_listed(schema['enum'])}"
        if schema.get("format") in _FORMATS:
            return _FORMATS[schema["format"]].__name__
        return _NAMES.get(schema.get("type", ""), "any")


def _is_of(schema: Schema, value: object) -> bool:
    format_ = schema.get("format", "")
    if format_ in _FORMATS:
        try:
            msgspec.convert(value, _FORMATS[format_])
        except msgspec.ValidationError:
            return False
        return True
    is_type = _TYPES.get(schema.get("type", ""))
    return is_type is None or is_type(value)


_FORMATS: Final[dict[str, type[Any]]] = {
    "date-time": datetime,
    "date": date,
    "time": time,
    "duration": timedelta,
    "uuid": UUID,
    "decimal": Decimal,
}
_TYPES: Final[dict[str, Callable[[object], bool]]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    "string": lambda value: isinstance(value, str),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}
_NAMES: Final = {
    "null": "None",
    "boolean": "bool",
    "integer": "int",
    "number": "float",
    "string": "str",
    "array": "list",
    "object": "dict",
}


def _kind(value: object) -> str:
    if isinstance(value, str):
        return f"str {value!r}" if len(value) <= 40 else "str"
    return "None" if value is None else type(value).__name__


def _listed(values: list[object]) -> str:
    return ", ".join(repr(each) for each in values)
