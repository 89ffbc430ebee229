"""A job's layout: where each of its fields is kept, in the words of its own class.

`Terms` and `Job` in `model.py` are the table: a line there has a field's name, its type, its
default and the room that it is kept in. What stores and shows jobs is derived from these lines:
Redis' states and terms, SQLite's columns, the event of a submission, the history's row. See "A
job's layout" in docs/architecture.md.
"""

from __future__ import annotations

from enum import Enum
from functools import cache
from types import NoneType
from typing import Annotated, Any, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from msgspec import NODEFAULT, Struct


class Room(Enum):
    """Where a field of a job is kept."""

    FIXED = "fixed"
    """With what never changes: written once, at the submission."""
    COUNTED = "counted"
    """With what each step changes."""
    LEASED = "leased"
    """With what belongs to the attempt under way, or to the last one."""
    ENDED = "ended"
    """With what its end leaves behind."""
    NOTED = "noted"
    """Apart, because it may be large: what its function notes as it goes."""


T = TypeVar("T")
Fixed = Annotated[T, Room.FIXED]
Counted = Annotated[T, Room.COUNTED]
Leased = Annotated[T, Room.LEASED]
Ended = Annotated[T, Room.ENDED]
Noted = Annotated[T, Room.NOTED]


class Field(NamedTuple):
    """A line of the table."""

    name: str
    type: Any
    """Without the None of an optional field."""
    optional: bool
    default: Any
    """`msgspec.NODEFAULT` where it has to be given."""
    room: Room | None

    @property
    def required(self) -> bool:
        """Whether it has to be given."""
        return self.default is NODEFAULT


@cache
def fields_of(record: type[Struct]) -> tuple[Field, ...]:
    """The fields of a record of jobs, in its own order."""
    hints = get_type_hints(record, include_extras=True)
    return tuple(_field(each, hints[each.name]) for each in msgspec.structs.fields(record))


def _field(info: msgspec.structs.FieldInfo, hint: Any) -> Field:
    room = None
    if get_origin(hint) is Annotated:
        hint, *notes = get_args(hint)
        room = next((note for note in notes if isinstance(note, Room)), None)
    choices = get_args(hint)
    optional = NoneType in choices
    if optional:
        (hint,) = (choice for choice in choices if choice is not NoneType)
    default = info.default
    if info.default_factory is not NODEFAULT:
        default = info.default_factory()
    return Field(info.name, hint, optional, default, room)
