"""What jobs carry: arguments and results survive JSON, and what can't is refused by its path."""

from __future__ import annotations

import enum
import functools
import json
import math
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    NamedTuple,
    NewType,
    NotRequired,
    TypedDict,
)
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conduit.core.codec import (
    DEFAULT_PAYLOAD_LIMIT,
    Arguments,
    Signature,
    decode_value,
    decode_value_as,
    encode_value,
)
from conduit.core.errors import (
    ArgumentError,
    InvalidTaskError,
    PayloadError,
    PayloadTooLargeError,
    SerializationError,
)

if TYPE_CHECKING:
    from fractions import Fraction as OnlyForTypeCheckers


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Mixed(enum.Enum):
    NUMBER = 1
    TEXT = "one"


@dataclass
class Item:
    sku: str
    count: int = 1


@dataclass
class Order:
    id: UUID
    when: datetime
    items: list[Item] = field(default_factory=list[Item])
    note: str | None = None


@dataclass
class SameOrder(Order):
    pass


@dataclass
class RushOrder(Order):
    courier: str = "bike"


@dataclass
class Even:
    number: int

    def __post_init__(self) -> None:
        if self.number % 2:
            raise ValueError(f"{self.number} is odd")


@dataclass
class Loose:
    when: Any


@dataclass
class Tree:
    name: str
    children: list[Tree] = field(default_factory=list["Tree"])


@dataclass
class LabelledTree(Tree):
    label: str = ""


class Point(NamedTuple):
    x: float
    y: float = 0.0


class Address(TypedDict):
    street: str
    zip: NotRequired[str]


class Circle(msgspec.Struct, tag=True):
    radius: float


class Square(msgspec.Struct, tag=True):
    side: float


class Customer(pydantic.BaseModel):
    name: str
    born: date
    home: Path | None = None


class Member(Customer):
    number: int


class Account(pydantic.BaseModel):
    owner: Customer | None = None
    password: pydantic.SecretStr | None = None
    note: str = pydantic.Field(default="", exclude=True)
    since: datetime | None = None


class Hidden(pydantic.BaseModel):
    name: str = pydantic.Field(exclude=True)


class Disc(Circle, tag="Circle"):
    colour: str = "red"


class StrictCustomer(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True)
    born: date = pydantic.Field(alias="dateOfBirth")

    @pydantic.computed_field
    def year(self) -> int:
        return self.born.year


class Unfriendly:
    """A class that JSON knows nothing of."""


OrderId = NewType("OrderId", str)
WHEN = datetime(2026, 3, 29, 2, 30, 0, 123456, tzinfo=UTC)
ORDER = Order(UUID(int=7), WHEN, [Item("a"), Item("b", 2)])


def taking(annotation: object, returning: object = Any) -> Signature:
    """Return the signature of a task with one parameter, `value`, annotated as given."""

    def task(value: object) -> object:
        return value

    task.__annotations__ = {"value": annotation, "return": returning}
    return Signature.of(task, name="task")


def untyped(*args: Any, **kwargs: Any) -> Any: ...


def path_of_failure(fn: Callable[..., object], *args: object, **kwargs: object) -> str:
    """Return the path that the refusal of these arguments names, once in `path` and in words."""
    with pytest.raises(SerializationError) as caught:
        Signature.of(fn, name="task").encode(args, kwargs)
    assert caught.value.path in str(caught.value)
    return caught.value.path


# --- values come back as what they were ------------------------------------------------------

ROUND_TRIPS: list[tuple[object, object]] = [
    (str, "grüezi 🎈 \0 \u2028"),
    (OrderId, "o-1"),
    (int, 2**53 + 1),
    (int, 2**63),
    (int, -(2**63) - 1),
    (int, 10**100),
    (float, 0.1),
    (float, 1e300),
    (float, 5e-324),
    (bool, True),
    (None, None),
    (list[int], [1, 2]),
    (Sequence[str], ["a"]),
    (dict[str, list[int]], {"a": [1]}),
    (Mapping[str, int], {"a": 1}),
    (dict[int, str], {1: "a", 2**70: "b"}),
    (dict[UUID, int], {UUID(int=1): 1}),
    (dict[date, int], {date(2026, 1, 1): 1}),
    (dict[Colour, int], {Colour.RED: 1}),
    (dict[Level, int], {Level.HIGH: 1}),
    (dict[Path, int], {Path("a/b"): 1}),
    (dict[Decimal, int], {Decimal("1.10"): 1}),
    (dict[float, int], {0.5: 1}),
    (dict[str, object], {"a": [None, {"b": 1.5}]}),
    (tuple[int, str], (1, "a")),
    (tuple[int, ...], (1, 2, 3)),
    (tuple[()], ()),
    (set[int], {1, 2}),
    (set[tuple[int, int]], {(1, 2)}),
    (frozenset[str], frozenset({"a"})),
    (datetime, WHEN),
    (datetime, WHEN.astimezone(timezone(timedelta(hours=-9, minutes=-30)))),
    (datetime, WHEN.replace(tzinfo=None)),
    (datetime, datetime.max.replace(tzinfo=UTC)),
    (date, date(1, 1, 1)),
    (time, time(23, 59, 59, 999999)),
    (time, time(1, tzinfo=UTC)),
    (timedelta, timedelta(days=-1, microseconds=3)),
    (timedelta, timedelta(days=4000, seconds=1)),
    (UUID, UUID(int=2**128 - 1)),
    (Decimal, Decimal("0.1000000000000000000000000000000000000001")),
    (Decimal, Decimal("1E+30")),
    (Colour, Colour.BLUE),
    (Level, Level.LOW),
    (Path, Path("/var/a b/ü.txt")),
    (PurePosixPath, PurePosixPath("x/y")),
    (Path | None, Path("x")),
    (Path | None, None),
    (list[Path], [Path("x")]),
    (bytes, b"\x00\xff\xfe"),
    (bytes, b""),
    (bytearray, bytearray(b"\xff")),
    (Order, ORDER),
    (list[Order], [ORDER, ORDER]),
    (Order | None, ORDER),
    (Order | str, "o-1"),
    (Tree, Tree("a", [Tree("b", [Tree("c")])])),
    (Point, Point(1.5, 2.5)),
    (dict[str, list[Point]], {"a": [Point(1.0)]}),
    (Address, {"street": "x"}),
    (Address, {"street": "x", "zip": "8000"}),
    (list[Circle | Square], [Square(1.0), Circle(2.0)]),
    (Customer, Customer(name="a", born=date(2000, 1, 1), home=Path("/h"))),
    (Customer | None, None),
    (dict[str, list[Customer]], {"a": [Customer(name="a", born=date(2000, 1, 1))]}),
    (StrictCustomer, StrictCustomer(dateOfBirth=date(2000, 1, 1))),
    (int | str | None, "a"),
    (int | float, 3),
    (UUID | int, UUID(int=1)),
    (Colour | int, 3),
    (Literal["a", 1, None], 1),
    (Annotated[int, "a note"], 1),
    (Annotated[list[Annotated[int, msgspec.Meta(ge=0)]], "nested"], [0, 1]),
    (Any, {"a": [1, 2.5, None, True, "x", {}, []]}),
    (object, [1]),
]


@pytest.mark.parametrize(("annotation", "value"), ROUND_TRIPS, ids=repr)
def test_a_value_of_an_annotated_type_comes_back_as_itself(
    annotation: object, value: object
) -> None:
    signature = taking(annotation, annotation)

    args, kwargs = signature.decode(signature.encode((value,), {}))
    assert (args, kwargs) == ((), {"value": value})
    assert type(kwargs["value"]) is type(value)

    result = signature.decode_result(signature.encode_result(value))
    assert result == value
    assert type(result) is type(value)

    assert decode_value_as(encode_value(value), annotation) == value


def test_negative_zero_keeps_its_sign() -> None:
    signature = taking(float)
    zero = signature.decode(signature.encode((-0.0,), {})).kwargs["value"]
    assert math.copysign(1, zero) == -1


def test_a_naive_datetime_stays_naive_and_an_aware_one_keeps_its_offset() -> None:
    aware = WHEN.astimezone(timezone(timedelta(hours=2)))
    first, second = decode_value_as(
        encode_value([WHEN.replace(tzinfo=None), aware]), list[datetime]
    )
    assert first.tzinfo is None
    assert second.utcoffset() == timedelta(hours=2)


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=40,
)


@given(PLAIN)
def test_any_plain_value_comes_back_as_itself(value: object) -> None:
    assert decode_value(encode_value(value)) == value
    signature = Signature.of(untyped, name="task")
    args, kwargs = signature.decode(signature.encode((value,), {"name": value}))
    assert args == (value,)
    assert kwargs == {"name": value}


@given(
    st.dictionaries(
        st.integers(),
        st.lists(st.tuples(st.datetimes(), st.decimals(allow_nan=False), st.binary()), max_size=3),
        max_size=3,
    )
)
def test_nested_rich_values_come_back_as_themselves(
    value: dict[int, list[tuple[datetime, Decimal, bytes]]],
) -> None:
    signature = taking(dict[int, list[tuple[datetime, Decimal, bytes]]])
    assert signature.decode(signature.encode((value,), {})).kwargs["value"] == value


def test_without_an_annotation_rich_values_arrive_in_their_json_form() -> None:
    def task(value): ...

    signature = Signature.of(task, name="task")
    given = {1: (WHEN, UUID(int=1)), "raw": b"hi", "item": Item("a"), "colour": Colour.RED}
    assert signature.decode(signature.encode((given,), {})).kwargs["value"] == {
        "1": ["2026-03-29T02:30:00.123456Z", "00000000-0000-0000-0000-000000000001"],
        "raw": "aGk=",
        "item": {"sku": "a", "count": 1},
        "colour": "red",
    }


@pytest.mark.parametrize(
    ("annotation", "given", "arrives"),
    [
        (float, 3, 3.0),
        (Decimal, 3, Decimal(3)),
        (list[int], (1, 2), [1, 2]),
        (set[int], [1, 1], {1}),
        (tuple[int, ...], [1], (1,)),
        (Item, {"sku": "a"}, Item("a")),
        (Customer, {"name": "a", "born": "2000-01-01"}, Customer(name="a", born=date(2000, 1, 1))),
        (Path, "x/y", Path("x/y")),
        (str, Path("x/y"), "x/y"),
        (datetime, "2026-03-29T02:30:00.123456Z", WHEN),
        (Colour, "red", Colour.RED),
        (Order, SameOrder(UUID(int=7), WHEN), Order(UUID(int=7), WHEN)),
    ],
    ids=repr,
)
def test_a_value_that_fits_arrives_as_the_annotation_says(
    annotation: object, given: object, arrives: object
) -> None:
    signature = taking(annotation)
    value = signature.decode(signature.encode((given,), {})).kwargs["value"]
    assert value == arrives
    assert type(value) is type(arrives)


class Text(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "something else"


class Label(str):
    __slots__ = ()


class Count(int): ...


class Ratio(float): ...


class Moment(datetime): ...


@pytest.mark.parametrize(
    ("annotation", "given", "arrives"),
    [
        (str, Text("a"), "a"),
        (int, Count(2), 2),
        (float, Ratio(0.5), 0.5),
        (datetime, Moment(2026, 1, 2, 3, tzinfo=UTC), datetime(2026, 1, 2, 3, tzinfo=UTC)),
        (dict[str, int], {Label("a"): Count(1)}, {"a": 1}),
    ],
    ids=repr,
)
def test_instances_of_subclasses_of_built_in_types_are_taken(
    annotation: object, given: object, arrives: object
) -> None:
    signature = taking(annotation)
    assert signature.decode(signature.encode((given,), {})).kwargs["value"] == arrives


# --- binding as Python does ------------------------------------------------------------------


def charge(order_id: str, cents: int = 100, *, currency: str = "CHF") -> None: ...


def every_kind(
    first: int, /, second: int = 2, *rest: int, only: int = 0, **extra: int
) -> tuple[object, ...]:
    return first, second, rest, only, extra


def test_arguments_are_one_object_keyed_by_parameter() -> None:
    signature = Signature.of(charge, name="charge")
    assert json.loads(signature.encode(("o-1", 5), {"currency": "EUR"})) == {
        "order_id": "o-1",
        "cents": 5,
        "currency": "EUR",
    }


def test_defaults_that_the_caller_leaves_out_are_not_stored() -> None:
    signature = Signature.of(charge, name="charge")
    payload = signature.encode(("o-1",), {})
    assert payload == b'{"order_id":"o-1"}'
    assert signature.decode(payload) == Arguments((), {"order_id": "o-1"})


def test_a_call_without_arguments_is_an_empty_object() -> None:
    def nothing() -> None: ...

    signature = Signature.of(nothing, name="nothing")
    assert signature.encode((), {}) == b"{}"
    assert signature.decode(b"{}") == Arguments((), {})
    assert Signature.of(untyped, name="untyped").encode((), {}) == b"{}"


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((1,), {}),
        ((1, 5), {}),
        ((1,), {"second": 5}),
        ((1, 5, 6, 7), {}),
        ((1, 5, 6), {"only": 8, "more": 9}),
        ((1,), {"first": 3, "rest": 4, "extra": 5}),
    ],
    ids=repr,
)
def test_every_kind_of_parameter_receives_what_a_direct_call_would_give_it(
    args: tuple[int, ...], kwargs: dict[str, int]
) -> None:
    signature = Signature.of(every_kind, name="every_kind")
    args_back, kwargs_back = signature.decode(signature.encode(args, kwargs))
    assert every_kind(*args_back, **kwargs_back) == every_kind(*args, **kwargs)


@pytest.mark.parametrize(
    ("payload", "outcome"),
    [
        (b'{"first": 1}', (1, 2, (), 0, {})),
        (b'{"first": 1, "rest": [7, 8]}', (1, 2, (7, 8), 0, {})),
        (b'{"first": 1, "extra": {"a": 1}, "only": 3}', (1, 2, (), 3, {"a": 1})),
    ],
)
def test_any_language_can_submit_every_kind_of_parameter_by_name(
    payload: bytes, outcome: tuple[object, ...]
) -> None:
    args, kwargs = Signature.of(every_kind, name="every_kind").decode(payload)
    assert every_kind(*args, **kwargs) == outcome


def test_bound_methods_and_awkward_parameter_names_are_ordinary() -> None:
    class Shop:
        def sell(self, ctx: int, type: str, _hidden: int = 0) -> None: ...

    bound = Signature.of(Shop().sell, name="sell")
    assert bound.encode((1, "a"), {"_hidden": 2}) == b'{"ctx":1,"type":"a","_hidden":2}'
    assert bound.decode(b'{"ctx":1,"type":"a"}').kwargs == {"ctx": 1, "type": "a"}

    unbound = Signature.of(Shop.sell, name="sell")
    assert unbound.encode(("me", 1, "a"), {}) == b'{"self":"me","ctx":1,"type":"a"}'


def test_async_functions_and_wrapped_ones_keep_their_signature() -> None:
    def wrapping(fn: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(fn)
        def inner(*args: object, **kwargs: object) -> object:
            return fn(*args, **kwargs)

        return inner

    @wrapping
    async def fetch(when: datetime) -> Item: ...

    signature = Signature.of(fetch, name="fetch")
    assert signature.decode(signature.encode((WHEN,), {})).kwargs == {"when": WHEN}
    assert signature.decode_result(signature.encode_result(Item("a"))) == Item("a")
    assert str(signature) == "fetch(when: datetime) -> Item"


def test_none_is_taken_where_it_is_the_default() -> None:
    def task(count: int = None) -> None: ...  # noqa: RUF013

    signature = Signature.of(task, name="task")
    assert signature.decode(signature.encode((None,), {})).kwargs == {"count": None}


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((), {}, "task 'charge' is missing argument 'order_id'"),
        (("a", 1, "CHF"), {}, "task 'charge' takes 2 arguments by position, got 3"),
        (("a",), {"cent": 1}, "task 'charge' has no argument 'cent' (did you mean 'cents'?)"),
        (("a",), {"order_id": "b"}, "got argument 'order_id' twice, by position and by keyword"),
        (("a",), {"zzz": 1}, "task 'charge' has no argument 'zzz'; its signature is charge("),
    ],
    ids=repr,
)
def test_wrong_arguments_are_refused_with_the_signature(
    args: tuple[object, ...], kwargs: dict[str, object], message: str
) -> None:
    with pytest.raises(ArgumentError) as caught:
        Signature.of(charge, name="charge").encode(args, kwargs)
    assert message in str(caught.value)
    assert str(caught.value).endswith(
        "its signature is charge(order_id: str, cents: int = 100, *, currency: str = 'CHF') -> None"
    )


def test_a_positional_only_parameter_is_refused_by_keyword() -> None:
    def task(first: int, /) -> None: ...

    with pytest.raises(ArgumentError, match="takes argument 'first' by position only"):
        Signature.of(task, name="task").encode((), {"first": 1})


def test_all_missing_arguments_are_named() -> None:
    def task(a: int, b: int, *, c: int) -> None: ...

    with pytest.raises(ArgumentError, match="is missing arguments 'a', 'b', 'c'"):
        Signature.of(task, name="task").encode((), {})


# --- wrong types -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotation", "value", "reason"),
    [
        (int, "5", "expected int, got str"),
        (int, True, "expected int, got bool"),
        (int, 1.0, "expected int, got float"),
        (int, None, "expected int, got None"),
        (bool, 1, "expected bool, got int"),
        (str, 1, "expected str, got int"),
        (str, WHEN, "expected str, got datetime"),
        (str, UUID(int=1), "expected str, got UUID"),
        (str, b"raw", "expected str, got bytes"),
        (bytes, "text", "expected bytes, got str"),
        (datetime, date(2026, 1, 1), "expected datetime, got date"),
        (datetime, "tomorrow", "invalid RFC3339 encoded datetime"),
        (timedelta, 5, "expected timedelta, got int"),
        (UUID, "x", "invalid UUID"),
        (Path, 5, "expected Path, got int"),
        (Path | None, 5, "expected Path | None, got int"),
        (Order, 5, "expected Order, got int"),
        (list[int], {"a": 1}, "expected list[int], got dict"),
        (int | None, "a", "expected int | None, got str"),
        (Colour, "green", "invalid enum value 'green'"),
        (Literal["a", "b"], "c", "invalid enum value 'c'"),
        (Annotated[int, msgspec.Meta(ge=1)], 0, "expected int >= 1"),
        (list[int], [1, "x"], "at args[0][1]: expected int, got str"),
        (dict[str, int], {1: 1}, "a key: expected str, got int"),
        (Order, {"id": "x", "when": WHEN}, "at args[0].id: invalid UUID"),
        (Order, {"when": WHEN}, "missing required field id"),
        (
            Order,
            Order(UUID(int=1), WHEN, [Item("a", "2")]),
            "at args[0].items[0].count: expected int, got str",
        ),
        (Order, Order("id", WHEN), "at args[0].id: invalid UUID"),
        (Even, {"number": 3}, "3 is odd"),
        (Customer, {"name": "a", "born": "x"}, "born: Input should be a valid date"),
        (set[tuple[int]], [[1, 2]], "at args[0][0]: expected list of length 1, got 2"),
    ],
    ids=repr,
)
def test_a_value_of_a_wrong_type_is_refused_naming_the_parameter(
    annotation: object, value: object, reason: str
) -> None:
    with pytest.raises(ArgumentError) as caught:
        taking(annotation).encode((value,), {})
    assert str(caught.value).startswith("argument 'value' of task 'task': ")
    assert reason in str(caught.value)


def test_a_wrong_type_is_named_by_the_way_the_caller_passed_it() -> None:
    signature = Signature.of(every_kind, name="every_kind")

    def refusal(*args: object, **kwargs: object) -> str:
        with pytest.raises(ArgumentError) as caught:
            signature.encode(args, kwargs)
        return str(caught.value)

    wrong = "of task 'every_kind': expected int, got str"
    assert refusal("a") == f"argument 'first' {wrong}"
    assert refusal(1, 2, 3, "a") == f"argument 'rest' {wrong}"
    assert refusal(1, only="a") == f"argument 'only' {wrong}"
    assert refusal(1, surplus="a") == f"argument 'surplus' {wrong}"

    with pytest.raises(ArgumentError, match=r"at kwargs\.value\[0\]\.sku: expected str, got int"):
        taking(list[Item]).encode((), {"value": [{"sku": 1}]})


# --- what JSON can't carry -------------------------------------------------------------------


def test_an_unserialisable_value_is_named_by_its_path() -> None:
    bad = Unfriendly()
    assert path_of_failure(untyped, Loose(bad)) == "args[0].when"
    assert path_of_failure(untyped, 1, [{"x": [0, bad]}]) == "args[1][0].x[1]"
    assert path_of_failure(untyped, order=Loose(bad)) == "kwargs.order.when"
    assert path_of_failure(untyped, x=[1, 2, Loose(bad)]) == "kwargs.x[2].when"
    assert path_of_failure(untyped, Point(1, bad)) == "args[0].y"
    assert path_of_failure(untyped, Circle(bad)) == "args[0].radius"
    assert path_of_failure(charge, bad) == "args[0]"
    assert path_of_failure(charge, order_id=bad) == "kwargs.order_id"
    assert path_of_failure(charge, "a", currency=bad) == "kwargs.currency"


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_nan_and_infinity_are_refused_by_their_path(number: float) -> None:
    assert path_of_failure(untyped, [None, 1.0, {"a": number}]) == "args[0][2].a"
    assert path_of_failure(untyped, None, ratio=number) == "kwargs.ratio"
    with pytest.raises(SerializationError, match=r"args\[0\] is NaN or infinite"):
        taking(float).encode((number,), {})
    with pytest.raises(SerializationError, match=r"args\[0\] is NaN or infinite"):
        taking(float | None).encode((number,), {})
    with pytest.raises(SerializationError, match=r"result\.y is NaN or infinite"):
        taking(Any, Point).encode_result(Point(1.0, number))


def test_none_beside_finite_numbers_is_not_taken_for_nan() -> None:
    assert decode_value(encode_value([None, 1.5, "null"])) == [None, 1.5, "null"]


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb"])
def test_lone_surrogates_are_refused_by_their_path(text: str) -> None:
    assert path_of_failure(untyped, ["ok", text]) == "args[0][1]"
    assert path_of_failure(charge, order_id=text) == "kwargs.order_id"
    assert path_of_failure(untyped, [{text: 1}]) == "args[0][0]"
    assert path_of_failure(untyped, Path(f"x/{text}")) == "args[0]"


@pytest.mark.parametrize("key", [None, True, (1, 2), frozenset({1})], ids=repr)
def test_a_key_that_json_has_no_form_for_is_refused_by_its_path(key: object) -> None:
    with pytest.raises(SerializationError) as caught:
        encode_value([{"fine": 1}, {key: 1}])
    assert caught.value.path == "value[1]"
    assert f"value[1] has the key {key!r}" in str(caught.value)


def test_an_integer_too_long_for_python_to_print_is_refused() -> None:
    assert path_of_failure(untyped, [10**5000]) == "args[0][0]"


@pytest.mark.parametrize(
    ("annotation", "given", "path", "lost"),
    [
        (Order, RushOrder(UUID(int=7), WHEN), "args[0]", "courier"),
        (dict[str, list[Order]], {"a": [RushOrder(UUID(int=7), WHEN)]}, "args[0].a[0]", "courier"),
        (Order | None, RushOrder(UUID(int=7), WHEN), "args[0]", "courier"),
        (Tree, Tree("a", [LabelledTree("b")]), "args[0].children[0]", "label"),
        (Circle | Square, Disc(1.0), "args[0]", "colour"),
        (Customer, Member(name="a", born=date(2000, 1, 1), number=7), "args[0]", "number"),
        (Any, Account(owner=Member(name="a", born=date(2000, 1, 1), number=7)), None, "number"),
        (Account, Account(password=pydantic.SecretStr("hush")), "args[0].password", "Secret"),
        (Any, [Account(password=pydantic.SecretStr("hush"))], "args[0][0].password", "Secret"),
        (Account, Account(note="hidden"), "args[0].note", "would arrive as ''"),
        (Hidden, Hidden(name="a"), "args[0].name", "exclude=True"),
    ],
    ids=str,
)
def test_what_would_not_arrive_whole_is_refused_by_its_path(
    annotation: object, given: object, path: str | None, lost: str
) -> None:
    with pytest.raises(SerializationError, match=lost) as caught:
        taking(annotation).encode((given,), {})
    assert caught.value.path == (path or "args[0].owner")
    assert "hush" not in str(caught.value)
    with pytest.raises(SerializationError, match=lost) as caught:
        taking(Any, annotation).encode_result(given)
    assert caught.value.path == (path or "args[0].owner").replace("args[0]", "result")


def test_the_values_of_variadic_parameters_arrive_whole_too() -> None:
    def task(*orders: Order, **more: Order) -> None: ...

    rush = RushOrder(UUID(int=7), WHEN)
    assert path_of_failure(task, ORDER, rush) == "args[1]"
    assert path_of_failure(task, first=ORDER, second=rush) == "kwargs.second"


@pytest.mark.parametrize("kind", [Account, Any])
def test_a_model_that_loses_nothing_is_carried(kind: object) -> None:
    twice = datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Zurich"))
    account = Account(owner=Customer(name="a", born=date(2000, 1, 1)), since=twice)
    signature = taking(kind)
    arrives = signature.decode(signature.encode((account,), {})).kwargs["value"]
    since = (
        arrives.since if isinstance(arrives, Account) else datetime.fromisoformat(arrives["since"])
    )
    assert since.timestamp() == twice.timestamp()


def test_an_offset_from_utc_with_seconds_is_refused_instead_of_rounded() -> None:
    odd = timezone(timedelta(minutes=34, seconds=8))
    moment = datetime(1900, 1, 1, tzinfo=odd)
    assert path_of_failure(untyped, [{"when": moment}]) == "args[0][0].when"
    assert path_of_failure(untyped, {moment: 1}) == "args[0]"
    for kind, value in ((datetime, moment), (time, moment.timetz())):
        with pytest.raises(SerializationError, match=r"args\[0\] is 0:34:08 from UTC.*astimezone"):
            taking(kind).encode((value,), {})
    whole = datetime(1900, 1, 1, tzinfo=timezone(timedelta(minutes=34)))
    assert taking(datetime).encode((whole,), {}) == b'{"value":"1900-01-01T00:00:00+00:34"}'


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


@pytest.mark.parametrize("levels", [65, 66, 500, 100_000])
def test_nesting_beyond_64_levels_is_refused(levels: int) -> None:
    deep = nested(levels)
    assert path_of_failure(untyped, 1, deep) == "args[1]"
    assert path_of_failure(untyped, deep=deep) == "kwargs.deep"
    with pytest.raises(SerializationError, match="result is nested deeper than 64 levels"):
        taking(Any).encode_result(deep)


def test_64_levels_are_carried_as_are_many_shallow_containers() -> None:
    signature = Signature.of(untyped, name="task")
    deep, wide = nested(64), [[{}] for _ in range(1000)]
    assert signature.decode(signature.encode((deep, wide), {"also": deep})) == (
        (deep, wide),
        {"also": deep},
    )


def test_circular_references_are_refused_where_they_close() -> None:
    ring: list[Any] = [1]
    ring.append({"again": ring})
    assert path_of_failure(untyped, ring) == "args[0][1].again"

    tree = Tree("root")
    tree.children.append(tree)
    assert path_of_failure(untyped, tree=tree) == "kwargs.tree.children[0]"
    with pytest.raises(SerializationError, match="refers back to what holds it"):
        taking(Tree).encode((tree,), {})


def test_the_same_value_twice_is_not_a_circle() -> None:
    shared = [1]
    assert decode_value(encode_value([shared, shared])) == [[1], [1]]


def test_a_pydantic_model_that_cannot_be_written_is_named_by_its_path() -> None:
    class Model(pydantic.BaseModel):
        payload: Any

    assert path_of_failure(untyped, [Model(payload=[Unfriendly()])]) == "args[0][0].payload[0]"


def test_arguments_over_the_limit_are_refused_with_both_sizes() -> None:
    signature = taking(str)
    payload = signature.encode(("a" * 50,), {})
    assert signature.encode(("a" * 50,), {}, limit=len(payload)) == payload
    with pytest.raises(PayloadTooLargeError, match="arguments of task 'task': 62 bytes") as caught:
        signature.encode(("a" * 50,), {}, limit=len(payload) - 1)
    assert (caught.value.size, caught.value.limit) == (62, 61)


def test_the_default_limit_is_one_mebibyte() -> None:
    assert DEFAULT_PAYLOAD_LIMIT == 2**20
    signature = taking(str)
    with pytest.raises(PayloadTooLargeError, match="over the limit of 1,048,576"):
        signature.encode(("a" * 2**20,), {})
    with pytest.raises(PayloadTooLargeError, match="result of task 'task'"):
        signature.encode_result("a" * 2**20)
    assert len(encode_value("a" * 2**20)) == 2**20 + 2
    with pytest.raises(PayloadTooLargeError, match="checkpoint: 12 bytes"):
        encode_value("a" * 10, path="checkpoint", limit=11)


# --- results ---------------------------------------------------------------------------------


@pytest.mark.parametrize("annotation", [None, Any, Order | None], ids=repr)
def test_none_is_a_result_like_any_other(annotation: object) -> None:
    signature = taking(Any, annotation)
    assert signature.encode_result(None) == b"null"
    assert signature.decode_result(b"null") is None


def test_an_unserialisable_result_is_named_by_its_path() -> None:
    with pytest.raises(SerializationError) as caught:
        taking(Any).encode_result([Loose(Unfriendly())])
    assert caught.value.path == "result[0].when"
    assert str(caught.value) == (
        "result of task 'task': result[0].when is of type Unfriendly, which JSON can't carry"
    )


@pytest.mark.parametrize(
    ("annotation", "value", "path", "reason"),
    [
        (int, "5", "result", "expected int, got str"),
        (None, 5, "result", "expected None, got int"),
        (list[Item], [Item("a"), {"sku": 1}], "result[1].sku", "expected str, got int"),
    ],
    ids=repr,
)
def test_a_result_that_could_not_be_read_back_is_refused_when_it_is_written(
    annotation: object, value: object, path: str, reason: str
) -> None:
    with pytest.raises(SerializationError, match="isn't what its annotation says") as caught:
        taking(Any, annotation).encode_result(value)
    assert caught.value.path == path
    assert f"{path}: {reason}" in str(caught.value)


# --- stored payloads -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "truncated"),
        (b"{", "truncated"),
        (b"\xff", "malformed"),
        (b'{"order_id": "\xff"}', "can't decode byte"),
        (b"[1]", "expected dict, got list"),
        (b"{}", "missing required field order_id"),
        (b'{"order_id": "a", "cents": "1"}', "cents: expected int, got str"),
        (b'{"order_id": "a", "cents": null}', "cents: expected int, got None"),
        (b'{"order_id": "a", "zzz": 1}', "unknown field zzz"),
        (b'{"order_id": ' + b"[" * 100_000, "order_id: expected str, got list"),
        (b'{"order_id": "a", "cents": 1e400}', "number out of range"),
    ],
)
def test_a_stored_payload_that_does_not_fit_is_refused(payload: bytes, reason: str) -> None:
    with pytest.raises(PayloadError) as caught:
        Signature.of(charge, name="charge").decode(payload)
    assert str(caught.value).startswith("stored arguments of task 'charge' don't fit charge(")
    assert reason in str(caught.value)


def test_a_stored_payload_cannot_pass_a_parameter_twice() -> None:
    with pytest.raises(PayloadError, match="extra holds 'only', a parameter of its own"):
        Signature.of(every_kind, name="every_kind").decode(
            b'{"first": 1, "only": 1, "extra": {"only": 2}}'
        )


def test_a_stored_value_that_its_class_refuses_is_a_payload_error() -> None:
    with pytest.raises(PayloadError, match="value: 3 is odd"):
        taking(Even).decode(b'{"value": {"number": 3}}')
    with pytest.raises(PayloadError, match="name: Field required"):
        taking(Customer).decode(b'{"value": {"born": "2000-01-01"}}')


def test_a_stored_result_or_value_that_does_not_fit_is_refused() -> None:
    with pytest.raises(
        PayloadError, match=r"result of task 'task': result\[0\]\.sku: expected str"
    ):
        taking(Any, list[Item]).decode_result(b'[{"sku": 1}]')
    with pytest.raises(PayloadError, match="result of task 'task': Input data was truncated"):
        taking(Any, int).decode_result(b"")
    with pytest.raises(PayloadError, match="stored JSON: RecursionError"):
        decode_value(b"[" * 100_000)
    with pytest.raises(PayloadError, match=r"stored JSON: value\.when: expected str, got int"):
        decode_value_as(b'{"when": 1}', StoredWhen)


@dataclass
class StoredWhen:
    when: str


# --- registration ----------------------------------------------------------------------------


def test_annotations_may_name_types_of_the_function_around_the_task() -> None:
    @dataclass
    class Local:
        when: datetime

    def task(local: Local, many: list[Local] | None = None) -> Local: ...

    class Shop:
        @dataclass
        class Ticket:
            number: int

        def sell(self, ticket: Ticket, local: Local) -> None: ...

        signature = Signature.of(sell, name="sell")

    signature = Signature.of(task, name="task")
    value = Local(WHEN)
    args, kwargs = signature.decode(signature.encode((value, [value]), {}))
    assert (args, kwargs) == ((), {"local": value, "many": [value]})

    sold = Shop.signature.decode(Shop.signature.encode((1, Shop.Ticket(3), value), {}))
    assert sold.kwargs == {"self": 1, "ticket": Shop.Ticket(3), "local": value}


def test_a_name_that_cannot_be_resolved_is_named_with_its_parameter() -> None:
    def task(fine: int, ratio: OnlyForTypeCheckers) -> None: ...

    with pytest.raises(InvalidTaskError) as caught:
        Signature.of(task, name="task")
    assert "task 'task': the annotation of parameter 'ratio' names 'OnlyForTypeCheckers'" in str(
        caught.value
    )

    def report() -> OnlyForTypeCheckers: ...

    with pytest.raises(InvalidTaskError, match="the annotation of the return value names"):
        Signature.of(report, name="report")


def test_an_annotation_that_is_not_an_expression_is_refused() -> None:
    def task(value: object) -> None: ...

    task.__annotations__["value"] = "list["
    with pytest.raises(InvalidTaskError, match="annotations of task 'task' can't be evaluated"):
        Signature.of(task, name="task")


@dataclass
class Outer:
    inner: Missing  # noqa: F821


def test_an_unresolvable_field_of_an_argument_class_is_named() -> None:
    with pytest.raises(
        InvalidTaskError, match=r"parameter 'value' .* a field of it names 'Missing'"
    ):
        taking(Outer)


@pytest.mark.parametrize(
    "annotation",
    [
        datetime | str,
        str | Path,
        bytes | str,
        int | Path,
        Order | Item,
        Order | dict[str, int],
        list[int] | set[int],
        list[dict[str, datetime | str]],
        Customer | int,
    ],
    ids=str,
)
def test_a_union_that_json_cannot_tell_apart_is_refused(annotation: object) -> None:
    with pytest.raises(InvalidTaskError, match="tagged msgspec Structs") as caught:
        taking(annotation)
    assert str(caught.value).startswith("task 'task': parameter 'value' is annotated ")


@pytest.mark.parametrize(
    "annotation",
    [
        Unfriendly,
        list[Unfriendly],
        dict[str, Unfriendly | None],
        complex,
        range,
        type,
        Callable[[int], int],
        Iterator[int],
        Mixed,
        dict[tuple[int, int], str],
        dict[Item, str],
        dict[bool, str],
        dict[int | str, str],
    ],
    ids=str,
)
def test_a_type_that_json_cannot_carry_is_refused(annotation: object) -> None:
    with pytest.raises(InvalidTaskError, match=r"task 'task': parameter 'value' is annotated .*"):
        taking(annotation)


def test_a_return_type_that_json_cannot_carry_is_refused() -> None:
    with pytest.raises(InvalidTaskError, match="the return value is annotated Unfriendly"):
        taking(Any, Unfriendly)


def test_only_functions_and_methods_with_one_result_can_be_tasks() -> None:
    def numbers() -> Iterator[int]:
        yield 1

    async def stream() -> AsyncIterator[int]:
        yield 1

    class Job:
        def __call__(self) -> None: ...

    for fn, reason in (
        (functools.partial(charge, "a"), "task 'x' is a functools.partial"),
        (numbers, "task 'x' is a generator"),
        (stream, "task 'x' is a generator"),
        (Job(), "task 'x' is a Job: only a function or a method"),
        (Item, "task 'x' is a type: only a function or a method"),
    ):
        with pytest.raises(InvalidTaskError, match=reason):
            Signature.of(fn, name="x")


def test_pydantic_stays_optional() -> None:
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from conduit.core.codec import Signature\n"
        "def task(path: Path, more: dict[str, object]) -> Path: ...\n"
        "signature = Signature.of(task, name='task')\n"
        "signature.decode(signature.encode((Path('a'),), {'more': {'b': Path('c')}}))\n"
        "assert 'pydantic' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
