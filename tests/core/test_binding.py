"""Arguments bound by the signature's words alone."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from conduit.core.binding import bind
from conduit.core.codec import Signature
from conduit.core.errors import ArgumentError
from conduit.core.model import FunctionInfo


def _bind(signature: str, *args: Any, **kwargs: Any) -> dict[str, object]:
    return bind(FunctionInfo(name="f", worker="w", signature=signature), [*args], kwargs)


@pytest.mark.parametrize(
    ("signature", "args", "kwargs", "bound"),
    [
        ("f()", [], {}, {}),
        ("f(a, b=2)", [1], {}, {"a": 1}),
        ("f(a: list[int], /, b: 'X' = None)", [1], {"b": 3}, {"a": 1, "b": 3}),
        ("f(*rest: int)", [1, 2], {}, {"rest": [1, 2]}),
        ("f(a, *, b, **more) -> Any", [1], {"b": 2, "c": 3}, {"a": 1, "b": 2, "more": {"c": 3}}),
        ("f(a=<object object at 0x1>)", [], {"a": 1}, {"a": 1}),
    ],
)
def test_arguments_are_bound_as_python_would(
    signature: str, args: list[Any], kwargs: dict[str, Any], bound: dict[str, Any]
) -> None:
    assert _bind(signature, *args, **kwargs) == bound


@pytest.mark.parametrize(
    ("signature", "args", "kwargs", "words"),
    [
        ("f(a, b)", [], {}, "missing arguments 'a', 'b'"),
        ("f(*, a)", [], {}, "missing argument 'a'"),
        ("f(*, a)", [1], {}, "takes 0 arguments by position, got 1"),
        ("f(a, /)", [], {"a": 1}, "no parameter 'a' that kwargs could give"),
        ("f(a=<object object at 0x1>)", [1], {}, "by kwargs"),
    ],
)
def test_what_cannot_be_bound_is_named(
    signature: str, args: list[Any], kwargs: dict[str, Any], words: str
) -> None:
    with pytest.raises(ArgumentError, match=words):
        _bind(signature, *args, **kwargs)


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

    signature = str(Signature.of(f, name="f"))
    assert signature == f"f(a: int, b: Any = {written}) -> None"
    assert _bind(signature, 1, 2) == {"a": 1, "b": 2}
    assert _bind(signature, 1) == {"a": 1}
    with pytest.raises(ArgumentError, match="missing argument 'a'"):
        _bind(signature)
