"""A function's parameters as data: what each takes, for whoever submits by name without the code.

A worker describes each parameter by a JSON Schema of its annotation. The command line and the HTTP
API check what they were given against that before they make a job. A type with a JSON form of its
own, such as a pydantic model, takes anything here: the worker has the last word.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from inspect import Parameter
from pathlib import PurePath
from typing import Any, Final, cast
from uuid import UUID

import msgspec
from msgspec import Raw, structs

from conduit.core.annotations import classes_in, shown
from conduit.core.errors import ConduitError
from conduit.core.model import ANYTHING, NOTHING, ParameterInfo, ParameterKind
from conduit.core.values import encode_value

MAX_BYTES: Final = 8 * 1024
"""Schemas beyond this sum are left out: they are stored and read with each function."""

Schema = dict[str, Any]

_LEFT_OUT: Final = frozenset(
    {"title", "description", "default", "examples", "uniqueItems", "pattern"}
)
"""Keywords that check nothing, or what a worker doesn't: a set takes a value twice, and others read
a pattern of Python's otherwise."""
FORMATS: Final[dict[str, type[Any]]] = {
    "date-time": datetime,
    "date": date,
    "time": time,
    "duration": timedelta,
    "uuid": UUID,
    "decimal": Decimal,
}
"""Those that a worker checks, and as what; any other is for people."""


def plain_info(parameter: Parameter) -> ParameterInfo:
    """How a parameter may be given, without what it takes."""
    variadic = parameter.kind in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
    return ParameterInfo(
        name=parameter.name,
        kind=ParameterKind(parameter.kind.name.lower()),
        required=parameter.default is Parameter.empty and not variadic,
    )


def describe(parameters: Iterable[tuple[Parameter, Any]]) -> tuple[ParameterInfo, ...]:
    """Describe parameters, each beside the type of its value in the stored arguments."""
    told: list[ParameterInfo] = []
    room = MAX_BYTES
    for parameter, type_ in parameters:
        schema = _schema_of(type_)
        if len(schema) > room:
            schema = bytes(ANYTHING)
        room -= len(schema)
        told.append(
            structs.replace(
                plain_info(parameter),
                annotation="" if parameter.annotation is Any else shown(parameter.annotation),
                schema=Raw(schema),
                default=_default_of(parameter),
            )
        )
    return tuple(told)


def _default_of(parameter: Parameter) -> Raw:
    if parameter.default is Parameter.empty:
        return NOTHING
    try:
        return Raw(encode_value(parameter.default, path="default", limit=MAX_BYTES))
    except ConduitError:
        return NOTHING


def _schema_of(type_: Any) -> bytes:
    if any(issubclass(each, Enum) and "_missing_" in vars(each) for each in classes_in(type_)):
        return bytes(ANYTHING)  # it takes more than its members' values
    try:
        (schema,), parts = msgspec.json.schema_components(
            [type_], schema_hook=_custom, ref_template="#/$defs/{name}"
        )
    except Exception:  # an annotation without one, or a field whose default has no JSON form
        return bytes(ANYTHING)
    if parts:
        schema["$defs"] = parts
    return msgspec.json.encode(_checked_by_workers(schema))


def _custom(type_: type[Any]) -> Schema:
    return {"type": "string"} if issubclass(type_, PurePath) else {}


def _checked_by_workers(schema: Any) -> Any:
    """The schema without what a worker doesn't check. Names and values aren't keywords."""
    if isinstance(schema, list):
        return [_checked_by_workers(each) for each in cast("list[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    kept: Schema = {}
    for keyword, value in cast("Schema", schema).items():
        if keyword in ("properties", "$defs"):
            kept[keyword] = {name: _checked_by_workers(each) for name, each in value.items()}
        elif keyword not in _LEFT_OUT and not (keyword == "format" and value not in FORMATS):
            kept[keyword] = value if keyword in ("enum", "const") else _checked_by_workers(value)
    if "required" in kept:  # a tag: it may be left out where there is nothing to tell apart
        fields = kept.get("properties", {})
        kept["required"] = [
            name for name in kept["required"] if len(fields.get(name, {}).get("enum", ())) != 1
        ]
    if kept.get("format") == "decimal":
        kept["type"] = ["string", "number"]  # a worker reads either
    return kept
