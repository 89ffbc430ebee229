"""A job's arguments by parameter name, bound by the signature that a worker told of its function.

Who submits by name (the command line, the HTTP API) doesn't have the function's code.
"""

from __future__ import annotations

import ast
import re
from typing import NoReturn

from conduit.core.errors import ArgumentError
from conduit.core.model import FunctionInfo
from conduit.core.parameters import find_misfit


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
            _refuse(info, "has a signature that can't be read here: give its arguments by kwargs")
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
            _refuse(info, f"got argument {name!r} twice, by args and by kwargs")
        if name in by_keyword:
            given[name] = value
        elif declared.kwarg is not None:
            extra[name] = value
        else:
            _refuse(info, f"has no parameter {name!r} that kwargs could give")
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
