"""Arguments bound by what a worker told of the parameters, as by the function itself."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from conduit.core.codec import Signature
from conduit.core.errors import ArgumentError
from conduit.core.model import FunctionInfo
from conduit.core.validation import bound_arguments


def _info(fn: Callable[..., Any]) -> FunctionInfo:
    signature = Signature.of(fn, name="f")
    return FunctionInfo(
        name="f", worker="w", signature=str(signature), parameters=signature.parameters()
    )


def _plain(a: Any, b: Any = 2) -> None: ...
def _position(a: list[int], /, b: Any = None) -> None: ...
def _rest(*rest: int) -> None: ...
def _everything(a: Any, *, b: Any, **more: Any) -> Any: ...
def _keyword(*, a: Any) -> None: ...
def _two(a: Any, b: Any) -> None: ...


@pytest.mark.parametrize(
    ("fn", "args", "kwargs", "bound"),
    [
        (lambda: None, [], {}, {}),
        (_plain, [1], {}, {"a": 1}),
        (_position, [[1]], {"b": 3}, {"a": [1], "b": 3}),
        (_rest, [1, 2], {}, {"rest": [1, 2]}),
        (_everything, [1], {"b": 2, "c": 3}, {"a": 1, "b": 2, "more": {"c": 3}}),
    ],
)
def test_arguments_are_bound_as_python_would(
    fn: Callable[..., Any], args: list[Any], kwargs: dict[str, Any], bound: dict[str, Any]
) -> None:
    assert bound_arguments(_info(fn), args, kwargs) == bound


@pytest.mark.parametrize(
    ("fn", "args", "kwargs", "words"),
    [
        (_two, [], {}, "is missing arguments 'a', 'b'"),
        (_keyword, [], {}, "is missing argument 'a'"),
        (_keyword, [1], {}, "takes no arguments by position, got 1"),
        (_position, [], {"a": [1]}, "takes argument 'a' by position only"),
        (_plain, [1], {"a": 1}, "got argument 'a' twice, by position and by keyword"),
        (_plain, [1], {"bb": 1}, r"has no argument 'bb' \(did you mean 'b'\?\)"),
    ],
)
def test_what_cannot_be_bound_is_named(
    fn: Callable[..., Any], args: list[Any], kwargs: dict[str, Any], words: str
) -> None:
    with pytest.raises(ArgumentError, match=f"function 'f' {words}; its signature is .*"):
        bound_arguments(_info(fn), args, kwargs)
    with pytest.raises(ArgumentError, match=f"task 'f' {words}; its signature is .*"):
        Signature.of(fn, name="f").encode(tuple(args), kwargs)


class Colour(enum.Enum):
    RED = "red"


class Right(enum.Flag):
    READ = 1
    WRITE = 2


@dataclass
class Order:
    id: int


class Loud:
    def __repr__(self) -> str:
        raise RuntimeError("no words for it")


class Crooked:
    def __repr__(self) -> str:
        return "1, b=2"


@pytest.mark.parametrize(
    ("default", "written"),
    [
        (Colour.RED, "Colour.RED"),
        (Right.READ | Right.WRITE, "Right.READ | Right.WRITE"),
        (Order(1), "Order(id=1)"),
        (Path("/srv"), "PosixPath('/srv')"),
        (datetime(2026, 1, 2), "datetime.datetime(2026, 1, 2, 0, 0)"),  # noqa: DTZ001
        (Decimal("1.5"), "Decimal('1.5')"),
        (..., "Ellipsis"),
        (Right(0), "..."),
        (object(), "..."),
        (len, "..."),
        (Loud(), "..."),
        (Crooked(), "..."),
        ("a, b=2", "'a, b=2'"),
    ],
)
def test_arguments_are_bound_by_position_whatever_a_default_is(default: Any, written: str) -> None:
    def f(a: int, b: Any = default) -> None: ...

    info = _info(f)
    assert info.signature == f"f(a: int, b: Any = {written}) -> None"
    assert bound_arguments(info, [1, 2], {}) == {"a": 1, "b": 2}
    assert bound_arguments(info, [1], {}) == {"a": 1}
    with pytest.raises(ArgumentError, match="missing argument 'a'"):
        bound_arguments(info, [], {})
