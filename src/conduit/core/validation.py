"""Checks a call by name, of JSON arguments, against what a worker told of its function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from typing import Any, Final, NamedTuple

import jsonschema_rs
import msgspec
from jsonschema_rs import ValidationError, ValidationErrorKind, Validator

from conduit.core.binding import Binder
from conduit.core.errors import ArgumentError
from conduit.core.model import FunctionInfo, ParameterInfo
from conduit.core.parameters import FORMATS

MAX_WORDS: Final = 200
"""A longer reason is cut in its middle: it repeats the value."""


class Misfit(NamedTuple):
    """A value that a parameter doesn't take: where in the arguments, and why."""

    path: str
    reason: str


def bound_arguments(
    info: FunctionInfo, args: Sequence[object], kwargs: Mapping[str, object]
) -> dict[str, object]:
    """JSON arguments by parameter name, checked as far as the worker told what they take.

    Raises `ArgumentError` that names the parameter.
    """
    bound = Binder(_what(info), info.signature, info.parameters).bind(args, kwargs)
    _check_values(info, bound)
    return bound


def check_bound(info: FunctionInfo, bound: Mapping[str, object]) -> None:
    """Check JSON arguments that have one value per parameter already.

    Raises `ArgumentError` that names the parameter.
    """
    known = {parameter.name: parameter for parameter in info.parameters}
    for name in bound:
        if name not in known:
            raise ArgumentError(f"{_what(info)} has no parameter {name!r}: {info.signature}")
    for name, parameter in known.items():
        if parameter.required and name not in bound:
            raise ArgumentError(f"{_what(info)} needs argument {name!r}: {info.signature}")
    _check_values(info, bound)


def _check_values(info: FunctionInfo, bound: Mapping[str, object]) -> None:
    for parameter in info.parameters:
        if parameter.name not in bound:
            continue
        misfit = find_misfit(parameter, bound[parameter.name])
        if misfit is not None:
            place = "" if misfit.path == parameter.name else f"at {misfit.path}: "
            raise ArgumentError(
                f"argument {parameter.name!r} of {_what(info)}: {place}{misfit.reason}; its "
                f"signature is {info.signature}"
            )


def _what(info: FunctionInfo) -> str:
    return f"function {info.name!r}"


def find_misfit(parameter: ParameterInfo, value: object) -> Misfit | None:
    """What of a JSON value doesn't fit the parameter's schema, if anything.

    A schema that can't be read, such as another version's, takes anything.
    """
    validator = _validator(bytes(parameter.schema))
    if validator is None:
        return None
    try:
        error = next(validator.iter_errors(value), None)
    except ValueError:  # nested so deep that it is refused for that
        return None
    return None if error is None else _misfit(parameter, error)


@lru_cache(maxsize=1000)
def _validator(schema: bytes) -> Validator | None:
    try:
        return jsonschema_rs.Draft202012Validator(
            msgspec.json.decode(schema),
            validate_formats=True,
            formats={name: partial(_is_of, type_) for name, type_ in FORMATS.items()},
            retriever=_fetch_nothing,
        )
    except Exception:  # not JSON, or not a schema
        return None


def _fetch_nothing(uri: str) -> Any:
    raise ValueError(f"a schema may not refer to {uri}")


def _misfit(parameter: ParameterInfo, error: ValidationError) -> Misfit:
    within = _innermost(error)
    path = parameter.name + "".join(map(_step, within.instance_path))
    if path == parameter.name and parameter.annotation and isinstance(within.kind, _OF_TYPE):
        return Misfit(path, f"expected {parameter.annotation}, got {_shown(within.instance)}")
    return Misfit(path, _cut(within.message.replace('"', "'")))


_OF_TYPE: Final = (
    ValidationErrorKind.Type,
    ValidationErrorKind.AnyOf,
    ValidationErrorKind.Enum,
    ValidationErrorKind.Constant,
    ValidationErrorKind.Format,
)


def _innermost(error: ValidationError) -> ValidationError:
    """Where one of several choices was of the right kind, what is wrong inside of it."""
    if not isinstance(error.kind, ValidationErrorKind.AnyOf):
        return error
    depth = len(error.instance_path)
    inner = [
        errors[0]
        for errors in error.kind.context
        if len(errors[0].instance_path) > depth or not isinstance(errors[0].kind, _OF_TYPE)
    ]
    return _innermost(inner[0]) if len(inner) == 1 else error


def _step(part: str | int) -> str:
    return f"[{part}]" if isinstance(part, int) else f".{part}"


def _shown(value: object) -> str:
    return _cut(msgspec.json.encode(value).decode().replace('"', "'"))


def _cut(words: str) -> str:
    if len(words) <= MAX_WORDS:
        return words
    return f"{words[: MAX_WORDS // 2]} … {words[-MAX_WORDS // 2 :]}"


def _is_of(type_: type[Any], text: str) -> bool:
    try:
        msgspec.convert(text, type_)
    except msgspec.ValidationError:
        return False
    return True
