"""From `--args` and `--kwargs` to the JSON object that a job's arguments are stored as."""

from __future__ import annotations

import ast
import json
import re
from typing import NoReturn, cast

from conduit.cli.problems import UsageError
from conduit.core.errors import ArgumentError
from conduit.core.model import FunctionInfo
from conduit.core.parameters import find_misfit


def parse_array(option: str, text: str) -> list[object]:
    """The JSON array given for an option. Raises `UsageError`."""
    value = _parse(option, text)
    if not isinstance(value, list):
        raise UsageError(f"{option} must be a JSON array such as '[1, \"two\"]', got {text}")
    return cast("list[object]", value)


def parse_object(option: str, text: str) -> dict[str, object]:
    """The JSON object given for an option. Raises `UsageError`."""
    value = _parse(option, text)
    if not isinstance(value, dict):
        raise UsageError(f"{option} must be a JSON object such as '{{\"name\": 1}}', got {text}")
    return cast("dict[str, object]", value)


def _parse(option: str, text: str) -> object:
    def refuse(constant: str) -> NoReturn:
        raise UsageError(f"{option}: {constant} is not a JSON value; use null or a string")

    try:
        return json.loads(text, parse_constant=refuse)
    except json.JSONDecodeError as error:
        excerpt = text[max(0, error.pos - 20) : error.pos + 20]
        place = f"line {error.lineno}, column {error.colno}"
        usage = UsageError(f"{option} is not JSON: {error.msg} at {place}, near {excerpt!r}")
        usage.add_note("put single quotes around it for the shell: --args '[\"text\", 1, true]'")
        raise usage from error
    except ValueError as error:  # Python reads no integers of thousands of digits
        raise UsageError(f"{option} has a number that is too long: pass it as a string") from error
    except RecursionError as error:
        raise UsageError(f"{option} is nested too deep") from error


def bind(info: FunctionInfo, args: list[object], kwargs: dict[str, object]) -> dict[str, object]:
    """Arguments by parameter name, as Python would bind them, checked as far as the worker told.

    Raises `ArgumentError` that names the parameter.
    """
    bound = _bind_by_name(info, args, kwargs)
    misfit = find_misfit(info.parameters, bound)
    if misfit is not None:
        name = re.split(r"[.\[]", misfit.path, maxsplit=1)[0]
        place = "" if misfit.path == name else f"at {misfit.path}: "
        raise ArgumentError(
            f"argument {name!r} of function {info.name!r}: {place}{misfit.reason}; its signature "
            f"is {info.signature}"
        )
    return bound


def _bind_by_name(
    info: FunctionInfo, args: list[object], kwargs: dict[str, object]
) -> dict[str, object]:
    declared = _parameters(info.signature)
    if declared is None:
        if args:
            _refuse(info, "has a signature that can't be read here: give its arguments by --kwargs")
        return kwargs
    positional = [each.arg for each in (*declared.posonlyargs, *declared.args)]
    given = dict(zip(positional, args, strict=False))
    if len(args) > len(positional):
        if declared.vararg is None:
            count = f"{len(positional)} argument{'' if len(positional) == 1 else 's'}"
            _refuse(info, f"takes {count} by position, got {len(args)}")
        given[declared.vararg.arg] = args[len(positional) :]
    by_keyword = {each.arg for each in (*declared.args, *declared.kwonlyargs)}
    extra: dict[str, object] = {}
    for name, value in kwargs.items():
        if name in given:
            _refuse(info, f"got argument {name!r} twice, by --args and by --kwargs")
        if name in by_keyword:
            given[name] = value
        elif declared.kwarg is not None:
            extra[name] = value
        else:
            _refuse(info, f"has no parameter {name!r} that --kwargs could give")
    if extra and declared.kwarg is not None:
        given[declared.kwarg.arg] = extra
    missing = [name for name in _required(declared) if name not in given]
    if missing:
        plural = "s" if len(missing) > 1 else ""
        _refuse(info, f"is missing argument{plural} {', '.join(map(repr, missing))}")
    return given


def _parameters(signature: str) -> ast.arguments | None:
    """The parameters of `charge(order: Order, cents: int = 100)`; None if it isn't Python.

    A default whose repr isn't an expression (`<object>`) makes it so.
    """
    try:
        (statement,) = ast.parse(f"def {signature}: ...").body
    except SyntaxError:
        return None
    assert isinstance(statement, ast.FunctionDef)
    return statement.args


def _required(declared: ast.arguments) -> list[str]:
    positional = [each.arg for each in (*declared.posonlyargs, *declared.args)]
    without_default = positional[: len(positional) - len(declared.defaults)]
    keyword = [
        each.arg
        for each, default in zip(declared.kwonlyargs, declared.kw_defaults, strict=True)
        if default is None
    ]
    return without_default + keyword


def _refuse(info: FunctionInfo, what: str) -> NoReturn:
    raise ArgumentError(f"function {info.name!r} {what}; its signature is {info.signature}")
