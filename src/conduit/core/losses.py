"""Finding what a value would lose on its way through JSON, so that nothing is lost in silence.

JSON takes a value apart by the annotation's fields, or by a pydantic model's own rules. What a
subclass added, what a model excludes from its JSON form and what it masks would be missing at the
other end. `given` is compared with `arrives`, what JSON made of it.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import sys
from collections.abc import Collection, Iterator
from functools import lru_cache
from typing import Any, NamedTuple, cast

import msgspec

_SCALARS = frozenset({str, int, float, bool, bytes, type(None)})


class Loss(NamedTuple):
    """What would be lost: its path from the value's own, and why, as the rest of a sentence."""

    path: str
    reason: str


def is_pydantic_model(type_: type[Any]) -> bool:
    """Tell whether a class is a pydantic model, without importing pydantic."""
    pydantic = sys.modules.get("pydantic")
    return pydantic is not None and issubclass(type_, pydantic.BaseModel)


@lru_cache(maxsize=1024)
def field_names(cls: Any) -> Collection[str]:
    """The fields of a class that JSON takes apart by its fields; none for any other."""
    if issubclass(cls, msgspec.Struct):
        return cls.__struct_fields__
    if issubclass(cls, tuple):  # a NamedTuple has fields, another tuple has not
        return getattr(cast("Any", cls), "_fields", ())
    if dataclasses.is_dataclass(cls):
        return [field.name for field in dataclasses.fields(cls)]
    if is_pydantic_model(cls):
        return cls.model_fields
    return ()


def find_loss(given: object, arrives: object, path: str = "") -> Loss | None:
    """The first thing of `given` that isn't in `arrives`; None where all of it arrives."""
    if type(given) in _SCALARS:
        return None
    added = _added_fields(type(given), type(arrives))
    if added:
        one, names = type(given).__name__, ", ".join(map(repr, added))
        return Loss(
            path,
            f"is of type {one} where the annotation says {type(arrives).__name__}, which has no "
            f"{names}: annotate {one}, or pass what is annotated",
        )
    model = is_pydantic_model(type(given))
    for step, one, other in _pairs(given, arrives):
        if model and _changed(one, other):
            return Loss(path + step, f"would arrive as {other!r}")
        if loss := find_loss(one, other, path + step):
            return loss
    return None


def _added_fields(given: type[Any], arrives: type[Any]) -> list[str]:
    """What a class, such as a subclass, has over the class that its instance arrives as."""
    if given is arrives or issubclass(given, tuple):
        return []
    kept = field_names(arrives)
    return [name for name in field_names(given) if name not in kept] if kept else []


def _pairs(given: object, arrives: object) -> Iterator[tuple[str, object, object]]:
    """The parts of both, side by side, each with its step of the path."""
    whole, cls, arriving = given, type(given), type(arrives)
    if isinstance(given, dict) and isinstance(arrives, dict):
        one, other = cast("dict[object, object]", given), cast("dict[object, object]", arrives)
        for (key, value), arrived in zip(one.items(), other.values(), strict=False):
            yield key_step(key), value, arrived
    elif isinstance(given, (list, tuple)) and isinstance(arrives, (list, tuple)):
        items = zip(cast("list[object]", given), cast("list[object]", arrives), strict=False)
        for index, (value, arrived) in enumerate(items):
            yield f"[{index}]", value, arrived
    elif field_names(cls):
        for name in field_names(arriving):
            yield f".{name}", getattr(whole, name, None), getattr(arrives, name, None)


def key_step(key: object) -> str:
    """The step to a dict's value: like an attribute where the key reads as one."""
    return f".{key}" if isinstance(key, str) and key.isidentifier() else f"[{key!r}]"


def _changed(given: object, arrives: object) -> bool:
    """Whether a field of a model has another value, of the same type: masked, or left out."""
    kind = type(given)
    if kind is not type(arrives):
        return given is not None and arrives is None
    if field_names(kind) or kind in (dict, list, tuple) or kind.__eq__ is object.__eq__:
        return False
    try:
        if isinstance(given, dt.datetime):  # times that a clock shows twice equal no other's
            return given - cast("dt.datetime", arrives) != dt.timedelta()
        return bool(given == given and given != arrives)
    except Exception:  # a comparison that has no answer
        return False
