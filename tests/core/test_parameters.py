"""What parameters take, as told to those who submit by name; checked against the real decoder."""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import msgspec
import pydantic
import pytest

from conduit.core.codec import Signature
from conduit.core.errors import PayloadError
from conduit.core.parameters import MAX_BYTES, describe, find_misfit


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Size(enum.IntEnum):
    SMALL = 1


@dataclass
class Order:
    id: str
    when: datetime | None = None
    parts: list[Order] = field(default_factory=list["Order"])


class Strict(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    order_id: int


class Model(pydantic.BaseModel):
    x: int


CASES: list[tuple[Any, list[Any], list[tuple[Any, str, str]]]] = [
    (int, [1, -(10**30)], [("1", "a", "expected int, got str '1'"), (True, "a", "got bool")]),
    (float, [1, 1.5], [("x", "a", "expected float, got str 'x'"), (None, "a", "got None")]),
    (str, ["", "x" * 50], [(1, "a", "expected str, got int")]),
    (bool, [True], [(1, "a", "expected bool, got int")]),
    (None, [None], [(0, "a", "expected None, got int")]),
    (int | None, [1, None], [("1", "a", "expected int | None, got str '1'")]),
    (list[int], [[], [1]], [([1, "2"], "a[1]", "expected int"), ({}, "a", "expected list")]),
    (dict[str, list[int]], [{"k": [1]}], [({"k": [None]}, "a.k[0]", "expected int, got None")]),
    (tuple[int, str], [[1, "b"]], [([1], "a", "expected 2 items, got 1")]),
    (tuple[int, ...], [[], [1, 2]], [(["b"], "a[0]", "expected int")]),
    (set[str], [["a"]], [([1], "a[0]", "expected str")]),
    (Colour, ["red"], [("green", "a", "expected one of 'blue', 'red', got str 'green'")]),
    (Size, [1], [(2, "a", "expected one of 1, got int")]),
    (Literal["a", 1], ["a", 1], [("b", "a", "expected one of 1, 'a'"), (True, "a", "got bool")]),
    (date, ["2024-02-29"], [("2024-02-30", "a", "expected date"), (5, "a", "expected date")]),
    (UUID, ["0" * 32], [("zz", "a", "expected UUID, got str 'zz'")]),
    (Decimal, [1, 1.5, "1.50"], [("lots", "a", "expected Decimal, got str 'lots'")]),
    (Path, ["/tmp"], [(5, "a", "expected str, got int")]),
    (Order, [{"id": "1"}], [({}, "a", "'id' is missing"), (5, "a", "expected dict, got int")]),
    (Order | None, [None], [({"id": 5}, "a.id", "expected str, got int")]),
    (
        list[Order],
        [[{"id": "1", "parts": [{"id": "2", "when": None}]}]],
        [([{"id": "1", "parts": [{"id": 2}]}], "a[0].parts[0].id", "expected str, got int")],
    ),
    (Strict, [{"orderId": 1}], [({"orderId": 1, "x": 1}, "a", "there is no field 'x'")]),
    (Any, [1, None, {"x": []}], []),
    (object, [1, {"x": []}], []),
    (Model, [{"x": 1}], []),
]


def _signature(annotation: Any) -> Signature:
    def task(a: Any) -> None: ...

    task.__annotations__["a"] = annotation
    return Signature.of(task, name="task")


@pytest.mark.parametrize(("annotation", "good", "bad"), CASES, ids=lambda case: str(case)[:30])
def test_what_is_told_agrees_with_what_the_worker_takes(
    annotation: Any, good: list[Any], bad: list[tuple[Any, str, str]]
) -> None:
    signature = _signature(annotation)
    description = signature.parameters()
    for value in good:
        assert find_misfit(description, {"a": value}) is None
        signature.decode(json.dumps({"a": value}).encode())
    for value, path, reason in bad:
        misfit = find_misfit(description, {"a": value})
        assert misfit is not None
        assert misfit.path == path
        assert reason in misfit.reason
        with pytest.raises(PayloadError):
            signature.decode(json.dumps({"a": value}).encode())


def test_the_values_of_variadic_parameters_are_checked_one_by_one() -> None:
    def task(*rest: int, **labels: str) -> None: ...

    description = Signature.of(task, name="task").parameters()
    assert find_misfit(description, {"rest": [1], "labels": {"x": "y"}}) is None
    assert find_misfit(description, {"rest": [1, "2"]}) == ("rest[1]", "expected int, got str '2'")
    assert find_misfit(description, {"labels": {"x": 1}}) == ("labels.x", "expected str, got int")


def test_nothing_is_told_of_parameters_that_take_anything() -> None:
    assert describe({"a": Any}) == describe({}) == ""
    assert find_misfit("", {"a": object()}) is None


def test_a_description_that_would_be_long_is_left_out() -> None:
    assert describe({f"parameter_{number}": int for number in range(MAX_BYTES)}) == ""


@pytest.mark.parametrize("description", ["not JSON", "[]", '{"properties":{"a":{"new":1}}}'])
def test_a_description_of_another_version_refuses_nothing(description: str) -> None:
    assert find_misfit(description, {"a": 1}) is None
