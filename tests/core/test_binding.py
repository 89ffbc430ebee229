"""Arguments bound by the signature's words alone."""

from __future__ import annotations

from typing import Any

import pytest

from conduit.core.binding import bind
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
