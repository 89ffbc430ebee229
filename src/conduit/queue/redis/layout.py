"""How a job lies in Redis: the lines of `Terms` and `Job`, as scripts and this package write them.

A job is a *blob*, fixed at submission, and a *state*. The blob has its number, when it was
submitted, priority, lane and arguments, then its *terms*: JSON of the rest, in the order of their
lines. What a job has nothing of is cut off their end; whatever a default stands for is stored. The
state is the MessagePack array that scripts rewrite; a job that has only ever waited has none.

Scripts name all this: `st.attempt`, `JOB.metadata`, `NEWS.worker_id`. For states they get functions
between the array and a table of names (`lua_states`). Other names stand for a place or a letter,
and `inlined` puts that in, so that a name costs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Annotated, Any, Final, get_origin

import msgspec
from msgspec import NODEFAULT, Meta, Struct, field
from msgspec.structs import astuple

from conduit.core.events import KIND_NUMBERS
from conduit.core.layout import Field, Room, fields_of
from conduit.core.model import Job, JobError, JobStatus, Terms
from conduit.queue.base import DEFAULT_LEASE_MS
from conduit.queue.redis.packing import long, short, to_json

STATUS_LETTERS: Final = {
    JobStatus.BLOCKED: "b",
    JobStatus.SCHEDULED: "s",
    JobStatus.QUEUED: "q",
    JobStatus.RUNNING: "r",
    JobStatus.COMPLETED: "c",
    JobStatus.FAILED: "f",
    JobStatus.CANCELLED: "x",
}
STATUSES: Final = {letter: status for status, letter in STATUS_LETTERS.items()}

BLOB_HEAD: Final = ">I6I6BI2c0"
"""As Lua's struct has it: number, when it was submitted, priority above the lowest, lane."""

# --- terms ----------------------------------------------------------------------------------------

_IN_THE_HEAD: Final = ("function", "queue", "priority")
TERMS: Final = [line for line in fields_of(Terms) if line.name not in _IN_THE_HEAD]
"""The places of a job's terms, in their order."""


def _nothing(term: Field) -> Any:
    """What stands for nothing; it is what a job has of a term that was cut off."""
    if term.optional:
        return None
    return term.type() if get_origin(term.type) in (tuple, dict) else NODEFAULT


_NOTHING: Final = tuple(map(_nothing, TERMS))
_NOTHING_MORE: Final = _NOTHING[1:]
_AFTER_AT: Final = [term.name for term in TERMS].index("after")
_first_of = attrgetter(TERMS[0].name)
_more_of = attrgetter(*(term.name for term in TERMS[1:]))


def _array_of(lines: Sequence[Field], nothings: Sequence[Any]) -> Any:
    """What is stored of some fields, as a type of array."""
    fields: list[Any] = []
    for line, nothing in zip(lines, nothings, strict=True):
        kind = str if line.type in (JobStatus, JobError, bytes) else line.type
        fields.append((line.name, kind | None if line.optional else kind, nothing))
    return msgspec.defstruct("Stored", fields, array_like=True, frozen=True, gc=False)


_terms_from = msgspec.json.Decoder(_array_of(TERMS, _NOTHING)).decode


def terms_text(job: Terms) -> str:
    """A job's terms as they are stored."""
    more = _more_of(job)
    if more == _NOTHING_MORE:
        return f"[{_first_of(job)}]"
    kept = [_first_of(job), *more]
    kept[_AFTER_AT] = tuple(map(short, job.after))
    while kept[-1] == _NOTHING[len(kept) - 1]:
        kept.pop()
    return to_json(kept)


def terms_from(text: bytes | str) -> tuple[Any, ...]:
    """The values of `TERMS`; of jobs that are alike they are the same, never changed."""
    return _few_terms_from(text) if len(text) < _FEW else _all_terms_from(text)


def _all_terms_from(text: bytes | str) -> tuple[Any, ...]:
    values: tuple[Any, ...] = astuple(_terms_from(text))
    if after := values[_AFTER_AT]:
        return (*values[:_AFTER_AT], tuple(map(long, after)), *values[_AFTER_AT + 1 :])
    return values


_FEW: Final = 16
_few_terms_from = lru_cache(maxsize=256)(_all_terms_from)


# --- states ---------------------------------------------------------------------------------------


class _Own(Struct):
    """What scripts keep in a state beside the job's own fields."""

    queue: str | None = None
    """While it is unfinished, unless it has no state at all."""
    term: int | None = None
    """Of its lease; below zero once half a term was granted."""
    key: str | None = None
    unique_until: int | None = None
    parts: int = 0
    """Which keys there are of this job alone, as bits: see `PARTS`."""
    waits_for: int | None = None
    """How many jobs it waits for, if it ever waited."""
    awaited: bool = False
    """Whether others wait for it."""
    ended_by: str | None = None
    """How one that it waited for has ended, as a letter, and that one's id."""


PARTS: Final = {"METADATA": 1, "CHECKPOINT": 2, "STEPS": 4, "LOGS": 8, "ARTIFACTS": 16}

_HEAD: Final = ("status", "run_at")
_MOVED: Final = (Room.COUNTED, Room.LEASED, Room.ENDED)
_MOVING: Final = [line for line in fields_of(Job) if line.room in _MOVED and line.name not in _HEAD]
STATE: Final = [
    Field("status", JobStatus, False, JobStatus.QUEUED, Room.COUNTED),
    Field("run_at", int, True, None, Room.COUNTED),  # none: when it was submitted
    *_MOVING,
    *fields_of(_Own),
]
"""The places of a state: two of a job's fields, then what a job has in this order, then our own."""

OF_A_JOB: Final = slice(len(_HEAD), len(_HEAD) + len(_MOVING))
_state_from = msgspec.msgpack.Decoder(_array_of(STATE, [NODEFAULT] * len(STATE))).decode


def state_from(packed: bytes) -> tuple[Any, ...]:
    """The values of `STATE`: a status, an error and a result are text."""
    return _small_state_from(packed) if len(packed) < _SMALL else _any_state_from(packed)


def _any_state_from(packed: bytes) -> tuple[Any, ...]:
    return astuple(_state_from(packed))


_SMALL: Final = 256
# The states of a batch are mostly alike: each is decoded once.
_small_state_from = lru_cache(maxsize=64)(_any_state_from)


FRESH: Final[Mapping[str, Any]] = {
    line.name: STATUS_LETTERS[line.default] if line.type is JobStatus else line.default
    for line in STATE
}
"""The state of a job that has only ever waited."""


def place_of(name: str) -> int:
    """Where a state has a field."""
    return [line.name for line in STATE].index(name)


# --- events ---------------------------------------------------------------------------------------


class News(Struct, frozen=True, gc=False):
    """What an event has beside its counters, under letters."""

    lane: str = field(default="", name="L")
    args: str = field(default="{}", name="A")
    terms: str = field(default="", name="T")
    priority: int = field(default=0, name="P")
    run_at: int | None = field(default=None, name="R")
    expires_at: int | None = field(default=None, name="x")
    metadata: str | None = field(default=None, name="M")
    worker_id: str | None = field(default=None, name="w")
    began_ms_ago: int | None = field(default=None, name="b")
    reason: str | None = field(default=None, name="y")
    ended_by: str | None = field(default=None, name="i")
    error: str | None = field(default=None, name="e")
    result: str | None = field(default=None, name="o")
    progress: float | None = field(default=None, name="p")
    progress_message: str | None = field(default=None, name="m")
    checkpoint: str | None = field(default=None, name="C")
    steps: str | None = field(default=None, name="S")
    logs: tuple[int, list[str]] | None = field(default=None, name="l")
    """The number of the first line, and lines as JSON."""
    artifact: str | None = field(default=None, name="F")


LETTERS: Final = {each.name: each.encode_name for each in msgspec.structs.fields(News)}


class EventRow(Struct, frozen=True, array_like=True, gc=False):
    """An event in an entry of the stream: its number, the job, what the state says, the news."""

    kind: Annotated[int, Meta(ge=1, le=max(KIND_NUMBERS.values()))]
    job_id: str
    seq: int
    attempt: int
    status: str
    generation: int
    fence: int
    failures: int
    rescues: int
    news: News = News()


_TOLD: Final = EventRow.__struct_fields__[2:-1]
"""What every event tells of the state."""
FRESH_TOLD: Final = tuple(FRESH[name] for name in _TOLD)


# --- what scripts are given -----------------------------------------------------------------------


class JobRow(Struct, frozen=True, array_like=True, gc=False):
    """A new job."""

    id: str
    queue: str
    function: str
    args: str
    terms: str
    priority: int
    delay_ms: int
    run_at: int | None
    expires_ms: int | None
    key: str | None
    unique_ms: int | None
    metadata: list[str] | None
    """JSON names and values in turn, if it has any."""
    after: tuple[str, ...] | None
    """Each once, if there are any."""


class OutcomeRow(Struct, frozen=True, array_like=True, gc=False):
    """How an attempt ended."""

    id: str
    token: str
    kind: str
    result: str | None
    error: str | None
    reason: str | None
    delay_ms: int
    began_ms_ago: int | None


class NoteRow(Struct, frozen=True, array_like=True, gc=False):
    """News of a running job; `metadata` and `steps` are JSON names and values in turn."""

    id: str
    token: str
    progress: float | None
    progress_message: str | None
    metadata: list[str] | None
    checkpoint: str | None
    steps: list[str] | None
    logs: list[str] | None
    """Lines as JSON."""
    artifact: tuple[str, str, int] | None
    """Its name, its description as JSON, and the place of its bytes: 1 is ARGV[3]."""
    began_ms_ago: int | None


class LeaseRow(Struct, frozen=True, array_like=True, gc=False):
    """A lease to be extended."""

    id: str
    token: str
    began_ms_ago: int | None


class TickRow(Struct, frozen=True, array_like=True, gc=False):
    """A tick of a schedule; without a job where it is skipped."""

    cron: str
    fingerprint: str
    at: int
    job: JobRow | None
    job_id: str | None
    passed: int


# --- what scripts are made with -------------------------------------------------------------------


def lua_states() -> str:
    """Functions between a state's array and a table of its fields, and the state of a fresh job."""
    named = ", ".join(f"{line.name} = a[{place}]" for place, line in enumerate(STATE, 1))
    listed = ", ".join(
        f"st.{line.name} or cjson.null" if line.optional else f"st.{line.name}" for line in STATE
    )
    required = [(place, line) for place, line in enumerate(STATE, 1) if not line.optional]
    sound = " and ".join(f"type(a[{place}]) == '{_lua_type(line)}'" for place, line in required)
    fresh = ", ".join(
        f"{name} = {_literal(value)}" for name, value in FRESH.items() if value is not None
    )
    return (
        f"local FRESH = {{ {fresh} }}\n"
        f"local function is_sound(a) return type(a) == 'table' and {sound} end\n"
        f"local function named(a) return {{ {named} }} end\n"
        f"local function packed(st) return cmsgpack.pack({{ {listed} }}) end\n"
    )


def lua_events() -> str:
    """The function that makes an event's row."""
    told = ", ".join(f"st.{name}" for name in _TOLD)
    return f"local function event_row(kind, id, st, news) return {{ kind, id, {told}, news }} end\n"


def _lua_type(line: Field) -> str:
    return {int: "number", bool: "boolean"}.get(line.type, "string")


def _literal(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else f"'{value}'"


def _places(names: tuple[str, ...]) -> dict[str, int]:
    return {name: place for place, name in enumerate(names, 1)}


_NAMES: Final[Mapping[str, Mapping[str, object]]] = {
    "E": {kind.name: number for kind, number in KIND_NUMBERS.items()},
    "S": {status.name: letter for status, letter in STATUS_LETTERS.items()},
    "NEWS": LETTERS,
    "TERM": _places(tuple(term.name for term in TERMS)),
    "JOB": _places(JobRow.__struct_fields__),
    "OUTCOME": _places(OutcomeRow.__struct_fields__),
    "NOTE": _places(NoteRow.__struct_fields__),
    "LEASE": _places(LeaseRow.__struct_fields__),
    "TICK": _places(TickRow.__struct_fields__),
    "PART": PARTS | {"SHOWN": PARTS["METADATA"] | PARTS["CHECKPOINT"] | PARTS["STEPS"]},
    "BLOB": {"HEAD": BLOB_HEAD, "WHOLE": f"{BLOB_HEAD}I4c0", "ARGS": ">I4"},
    "DEFAULT": {"LEASE_MS": DEFAULT_LEASE_MS},
}
_NAME = re.compile(rf"\b({'|'.join(_NAMES)})\.(\w+)")


def inlined(script: str) -> str:
    """A script with literals in the place of names. Raises `KeyError` for one that isn't known."""
    return _NAME.sub(lambda found: _literal(_NAMES[found[1]][found[2]]), script)
