"""What parameters take, as told to those who submit by name; checked against the real decoder."""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
import pydantic
import pytest
from msgspec import Raw

from conduit.core.codec import Signature
from conduit.core.errors import PayloadError
from conduit.core.model import ParameterInfo
from conduit.core.parameters import MAX_BYTES
from conduit.core.validation import Misfit, find_misfit


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


class Tagged(msgspec.Struct, tag=True):
    x: int


class Forgiving(enum.Enum):
    ON = "on"

    @classmethod
    def _missing_(cls, value: object) -> Forgiving:
        return cls(str(value).lower())


class Model(pydantic.BaseModel):
    x: int


NO_JSON = object()

CASES: list[tuple[Any, list[Any], list[tuple[Any, str, str]]]] = [
    (int, [1, -(10**30)], [("1", "a", "expected int, got '1'"), (True, "a", "got true")]),
    (float, [1, 1.5], [("x", "a", "expected float, got 'x'"), (None, "a", "got null")]),
    (str, ["", "x" * 50], [(1, "a", "expected str, got 1")]),
    (bool, [True], [(1, "a", "expected bool, got 1")]),
    (None, [None], [(0, "a", "expected None, got 0")]),
    (int | None, [1, None], [("1", "a", "expected int | None, got '1'")]),
    (
        list[int],
        [[], [1]],
        [
            ([1, "2"], "a[1]", "'2' is not of type 'integer'"),
            ({}, "a", "expected list[int], got {}"),
        ],
    ),
    (
        dict[str, list[int]],
        [{"k": [1]}],
        [({"k": [None]}, "a.k[0]", "null is not of type 'integer'")],
    ),
    (tuple[int, str], [[1, "b"]], [([1], "a", "[1] has less than 2 items")]),
    (tuple[int, ...], [[], [1, 2]], [(["b"], "a[0]", "not of type 'integer'")]),
    (set[str], [["a"]], [([1], "a[0]", "not of type 'string'")]),
    (Colour, ["red"], [("green", "a", "expected Colour, got 'green'")]),
    (Size, [1], [(2, "a", "expected Size, got 2")]),
    (Literal["a", 1], ["a", 1], [("b", "a", "got 'b'"), (True, "a", "got true")]),
    (date, ["2024-02-29"], [("2024-02-30", "a", "expected date"), (5, "a", "expected date")]),
    (UUID, ["0" * 32], [("zz", "a", "expected UUID, got 'zz'")]),
    (timedelta, ["PT90S"], [("90s", "a", "expected timedelta, got '90s'")]),
    (Decimal, [1, 1.5, "1.50"], [("lots", "a", "expected Decimal, got 'lots'")]),
    (Path, ["/tmp"], [(5, "a", "expected Path, got 5")]),
    (
        Order,
        [{"id": "1"}],
        [({}, "a", "'id' is a required property"), (5, "a", "expected Order, got 5")],
    ),
    (Order | None, [None], [({"id": 5}, "a.id", "5 is not of type 'string'")]),
    (
        list[Order],
        [[{"id": "1", "parts": [{"id": "2", "when": None}]}]],
        [([{"id": "1", "parts": [{"id": 2}]}], "a[0].parts[0].id", "not of type 'string'")],
    ),
    (Strict, [{"orderId": 1}], [({"orderId": 1, "x": 1}, "a", "'x' was unexpected")]),
    (
        Annotated[int, msgspec.Meta(ge=1, le=5)],
        [1, 5],
        [(6, "a", "6 is greater than the maximum of 5")],
    ),
    # What others than a worker would refuse, or read otherwise, is left to the worker.
    (Annotated[str, msgspec.Meta(pattern=r"^\w+$")], ["Zürich"], []),
    (Annotated[str, msgspec.Meta(extra_json_schema={"format": "email"})], ["anyone"], []),
    (set[int], [[1, 1]], []),
    (Tagged, [{"x": 1}, {"type": "Tagged", "x": 1}], [({}, "a", "'x' is a required property")]),
    (Forgiving, ["on", "ON"], []),
    (Any, [1, None, {"x": []}], []),
    (object, [1, {"x": []}], []),
    (Model, [{"x": 1}], []),
]


def _signature(annotation: Any) -> Signature:
    def task(a: Any) -> None: ...

    task.__annotations__["a"] = annotation
    return Signature.of(task, name="task")


def _misfit(parameters: tuple[ParameterInfo, ...], **values: Any) -> Misfit | None:
    misfits = (find_misfit(each, values[each.name]) for each in parameters if each.name in values)
    return next((misfit for misfit in misfits if misfit is not None), None)


@pytest.mark.parametrize(("annotation", "good", "bad"), CASES, ids=lambda case: str(case)[:30])
def test_what_is_told_agrees_with_what_the_worker_takes(
    annotation: Any, good: list[Any], bad: list[tuple[Any, str, str]]
) -> None:
    signature = _signature(annotation)
    parameters = signature.parameters()
    for value in good:
        assert _misfit(parameters, a=value) is None
        signature.decode(json.dumps({"a": value}).encode())
    for value, path, reason in bad:
        misfit = _misfit(parameters, a=value)
        assert misfit is not None
        assert misfit.path == path
        assert reason in misfit.reason
        with pytest.raises(PayloadError):
            signature.decode(json.dumps({"a": value}).encode())


def test_parameters_are_told_as_data() -> None:
    def task(
        a: int, /, b: Colour = Colour.RED, *rest: int, c: Any = NO_JSON, **more: str
    ) -> None: ...

    told = Signature.of(task, name="task").parameters()
    assert [(each.name, each.kind, each.required, each.annotation) for each in told] == [
        ("a", "positional_only", True, "int"),
        ("b", "positional_or_keyword", False, "Colour"),
        ("rest", "var_positional", False, "int"),
        ("c", "keyword_only", False, ""),
        ("more", "var_keyword", False, "str"),
    ]
    assert [bytes(each.default) for each in told] == [b"", b'"red"', b"", b"", b""]
    assert json.loads(bytes(told[0].schema)) == {"type": "integer"}


def test_the_values_of_variadic_parameters_are_checked_one_by_one() -> None:
    def task(*rest: int, **labels: str) -> None: ...

    told = Signature.of(task, name="task").parameters()
    assert _misfit(told, rest=[1], labels={"x": "y"}) is None
    assert _misfit(told, rest=[1, "2"]) == ("rest[1]", "'2' is not of type 'integer'")
    assert _misfit(told, labels={"x": 1}) == ("labels.x", "1 is not of type 'string'")


def test_a_long_value_is_told_in_part() -> None:
    misfit = _misfit(_signature(int).parameters(), a="x" * 100_000)
    assert misfit is not None
    assert len(misfit.reason) < 300


def test_schemas_that_would_be_long_are_left_out() -> None:
    many = Literal[tuple(f"choice_{number}" for number in range(1000))]

    def task(a: Any, b: int) -> None: ...

    task.__annotations__["a"] = many
    a, b = Signature.of(task, name="task").parameters()
    assert len(bytes(a.schema)) < MAX_BYTES
    assert find_misfit(a, "no choice") is None
    assert find_misfit(b, "no int") is not None


@pytest.mark.parametrize(
    "schema",
    [
        b"not JSON",
        b"[]",
        b'{"new":1}',
        b'{"type":"new"}',
        b'{"$ref":"http://127.0.0.1:9/schema"}',
    ],
)
def test_a_schema_that_cannot_be_read_takes_anything(schema: bytes) -> None:
    assert find_misfit(ParameterInfo(name="a", schema=Raw(schema)), 1) is None


def test_what_is_nested_too_deep_to_look_at_is_left_to_the_worker() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert _misfit(_signature(list[Any]).parameters(), a=deep) is None
