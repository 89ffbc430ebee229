"""Between what lies in Redis and the records of the protocol.

A job is a *blob*, fixed at submission, and a *state*. The blob has its number, when it was
submitted, priority, lane and arguments, then JSON of the rest that has no default. The state is
MessagePack that scripts rewrite; a job that has only ever waited has none.
"""

from __future__ import annotations

import binascii
import re
import struct
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from msgspec import Raw, Struct, field

from conduit.core.crons import Tick
from conduit.core.errors import QueueCorruptError, QueueError
from conduit.core.events import EventKind
from conduit.core.model import (
    DEFAULT_MAX_DELIVERIES,
    MIN_PRIORITY,
    Artifact,
    Job,
    JobError,
    JobStatus,
    LogLine,
    NewJob,
    WorkerInfo,
)
from conduit.core.transitions import dependency_reason
from conduit.queue.base import DEFAULT_LEASE_MS, Note, Outcome
from conduit.queue.salvage import UNDECODABLE

STATUS_LETTERS = {
    JobStatus.BLOCKED: "b",
    JobStatus.SCHEDULED: "s",
    JobStatus.QUEUED: "q",
    JobStatus.RUNNING: "r",
    JobStatus.COMPLETED: "c",
    JobStatus.FAILED: "f",
    JobStatus.CANCELLED: "x",
}
STATUSES = {letter: status for status, letter in STATUS_LETTERS.items()}
KINDS = list(EventKind)  # an event's kind is its place here, counted from 1 as Lua does

_pack = msgspec.msgpack.Encoder().encode
_json_encode = msgspec.json.Encoder().encode
_members = msgspec.json.Decoder(dict[str, Raw]).decode
error_from = msgspec.json.Decoder(JobError).decode


def lua_constants() -> str:
    """The constants that scripts and this module share, as Lua."""
    events = ", ".join(f"{kind.name} = {place}" for place, kind in enumerate(KINDS, 1))
    statuses = ", ".join(f"{status.name} = '{x}'" for status, x in STATUS_LETTERS.items())
    return (
        f"local E = {{ {events} }}\nlocal S = {{ {statuses} }}\n"
        f"local LEASE_MS, MAX_DELIVERIES = {DEFAULT_LEASE_MS}, {DEFAULT_MAX_DELIVERIES}\n"
    )


def pack(value: object) -> bytes:
    """MessagePack for scripts, which know no `bytes` in it: all that they are told is text."""
    try:
        return _pack(value)
    except UnicodeEncodeError as error:
        raise _not_text(error) from None


def to_json(value: object) -> str:
    """JSON for scripts, which pass it on as text. Raises `QueueError` for text that isn't."""
    try:
        return _json_encode(value).decode()
    except UnicodeEncodeError as error:
        raise _not_text(error) from None


def _not_text(error: UnicodeEncodeError) -> QueueError:
    return QueueError(f"{error.object[:40]!r} holds a lone surrogate, which UTF-8 can't carry")


# --- ids ----------------------------------------------------------------------------------------

_UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch


def short(job_id: str) -> str:
    """An id as it is stored: a UUID in 22 characters instead of 36, any other after a colon."""
    if _UUID(job_id) is None:
        return ":" + job_id
    return binascii.b2a_base64(bytes.fromhex(job_id.replace("-", "")), newline=False)[:22].decode()


def long(stored: str) -> str:
    """The id that `short` made this of."""
    if stored[0] == ":":
        return stored[1:]
    digits = binascii.a2b_base64(stored + "==").hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


# --- JSON ---------------------------------------------------------------------------------------


def members_of(value: bytes) -> list[str]:
    """A JSON object as JSON names and values in turn; they are merged by name, never re-encoded."""
    flat: list[str] = []
    for name, raw in _members(value).items():
        flat += (to_json(name), bytes(raw).decode())
    return flat


def object_of(flat: Sequence[str]) -> bytes:
    """The JSON object of names and values in turn."""
    pairs = ",".join(f"{flat[i]}:{flat[i + 1]}" for i in range(0, len(flat), 2))
    return f"{{{pairs}}}".encode()


# --- submitting ---------------------------------------------------------------------------------


class Rest(Struct, frozen=True, omit_defaults=True):
    """What scripts needn't know of a job."""

    key: str | None = field(default=None, name="k")
    parent_id: str | None = field(default=None, name="p")
    root_id: str | None = field(default=None, name="o")
    retries: int | None = field(default=None, name="r")
    timeout_ms: int | None = field(default=None, name="t")
    after: tuple[str, ...] = field(default=(), name="a")


NO_REST = Rest()
_PLAIN_ID = struct.Struct(">H")
_PLAIN_HEAD = struct.Struct(">IBH")  # the body's length, then its priority and its lane's length
_PLAIN_LENGTH = struct.Struct(">I")
rest_from = msgspec.json.Decoder(Rest).decode


def new_job_row(job: NewJob) -> tuple[Any, ...]:
    """A new job as keep.lua takes it."""
    after = tuple(map(short, job.after)) if job.after else ()
    plain = job.key is job.parent_id is job.root_id is job.retries is job.timeout_ms is None
    rest = (
        ""
        if plain and not after
        else to_json(Rest(job.key, job.parent_id, job.root_id, job.retries, job.timeout_ms, after))
    )
    return (
        short(job.id),
        job.queue,
        job.function,
        job.args.decode(),
        rest,
        job.priority,
        job.delay_ms,
        job.run_at,
        job.expires_ms,
        job.key,
        job.unique_ms,
        job.max_deliveries,
        None if job.metadata == b"{}" else members_of(job.metadata),
        tuple(dict.fromkeys(after)) if after else None,
    )


def tick_row(tick: Tick) -> tuple[Any, ...]:
    """A tick as tick.lua takes it."""
    job = tick.job
    row, job_id = (None, None) if job is None else (new_job_row(job), job.id)
    return tick.cron, tick.fingerprint, tick.at, row, job_id, tick.passed


_SUBMITTED = KINDS.index(EventKind.SUBMITTED) + 1
_QUEUED = STATUS_LETTERS[JobStatus.QUEUED]


def plain_part(job: NewJob, row: tuple[Any, ...]) -> bytes | None:
    """A job as submit_plain.lua takes it; None if it isn't plain. `row` is `new_job_row` of it.

    Id, lane, body and event, each after its length. The body is the blob without number and time;
    the event is its row in an entry of the stream, packed as lib.lua would.
    """
    stored_id, queue, function, args, rest, priority, delay_ms, run_at, expires_ms, *others = row
    key, unique_ms, max_deliveries, metadata, after = others
    if (
        not (run_at is expires_ms is key is unique_ms is metadata is after is None)
        or priority != 0
        or delay_ms != 0
        or max_deliveries != DEFAULT_MAX_DELIVERIES
    ):
        return None
    lane = f"{len(queue.encode())}:{queue}:{function}"
    extra = {"L": lane, "A": args, "j": rest} if rest else {"L": lane, "A": args}
    event = pack((_SUBMITTED, stored_id, 1, 0, _QUEUED, 1, 0, 0, 0, extra))
    id_, lane_, rest_ = stored_id.encode(), lane.encode(), rest.encode()
    body_length = 7 + len(lane_) + len(job.args) + len(rest_)
    return b"".join(
        (
            _PLAIN_ID.pack(len(id_)),
            id_,
            _PLAIN_ID.pack(len(lane_)),
            lane_,
            _PLAIN_HEAD.pack(body_length, -MIN_PRIORITY, len(lane_)),
            lane_,
            _PLAIN_LENGTH.pack(len(job.args)),
            job.args,
            rest_,
            _PLAIN_LENGTH.pack(len(event)),
            event,
        )
    )


# --- jobs ---------------------------------------------------------------------------------------


class State(Struct, gc=False):
    """What changes of a job, under the letters that scripts use."""

    status: str = field(name="s")
    seq: int = field(name="q")
    attempt: int = field(default=0, name="a")
    failures: int = field(default=0, name="f")
    rescues: int = field(default=0, name="r")
    fence: int = field(default=0, name="n")
    generation: int = field(default=1, name="g")
    token: str | None = field(default=None, name="t")
    worker_id: str | None = field(default=None, name="w")
    claimed_at: int | None = field(default=None, name="h")
    started_at: int | None = field(default=None, name="b")
    finished_at: int | None = field(default=None, name="z")
    run_at: int | None = field(default=None, name="R")
    expires_at: int | None = field(default=None, name="x")
    cancel_requested: int = field(default=0, name="c")
    reason: str | None = field(default=None, name="y")
    ended: str | None = field(default=None, name="i")
    error: str | None = field(default=None, name="e")
    result: str | None = field(default=None, name="o")
    progress: float | None = field(default=None, name="p")
    progress_message: str | None = field(default=None, name="m")
    max_deliveries: int = field(default=DEFAULT_MAX_DELIVERIES, name="D")


_state_from = msgspec.msgpack.Decoder(State).decode
_extra_from = msgspec.msgpack.Decoder(tuple[list[str], str, list[str]]).decode
_LENGTHS = struct.Struct(">HII")
_FRESH = State(STATUS_LETTERS[JobStatus.QUEUED], 1)


def split_lane(lane: bytes) -> tuple[str, str]:
    """The queue and the function of a lane, which is `length:queue:function`."""
    length, _, names = lane.partition(b":")
    return names[: int(length)].decode(), names[int(length) + 1 :].decode()


def reason_of(reason: str | None, ended: str | None) -> str | None:
    """A job's reason. `ended` is how one that it waited for has ended, and that one's id."""
    if ended is None:
        return reason
    return dependency_reason(long(ended[1:]), STATUSES[ended[0]])


def ids_of(after: tuple[str, ...]) -> tuple[str, ...]:
    """What a job was submitted to wait for, out of its `Rest`."""
    return tuple(map(long, after)) if after else ()


def number_of(blob: bytes) -> int:
    """A job's number: it rises with each submission."""
    return int.from_bytes(blob[:6], "big")


def job_from(stored_id: str, blob: bytes, state: bytes, extra: bytes = b"") -> Job:
    """A job out of its parts, as look.lua gives them. Raises `QueueCorruptError`."""
    try:
        return _job_from(stored_id, blob, state, extra)
    except UNDECODABLE as error:
        raise QueueCorruptError(
            f"job {long(stored_id)} is damaged, or isn't Conduit's: {error}"
        ) from error


def _job_from(stored_id: str, blob: bytes, state: bytes, extra: bytes) -> Job:
    submitted_at = int.from_bytes(blob[6:12], "big")
    args_at = 15 + int.from_bytes(blob[13:15], "big")
    queue, function = split_lane(blob[15:args_at])
    rest_at = args_at + 4 + int.from_bytes(blob[args_at : args_at + 4], "big")
    rest = rest_from(blob[rest_at:]) if len(blob) > rest_at else NO_REST
    st = _state_from(state) if state else _FRESH
    metadata, checkpoint, steps = _extra_from(extra) if extra else ((), "", ())
    return Job(
        long(stored_id),
        function,
        queue,
        STATUSES[st.status],
        blob[args_at + 4 : rest_at],
        submitted_at,
        submitted_at if st.run_at is None else st.run_at,
        blob[12] - 100,
        rest.key,
        rest.parent_id,
        rest.root_id,
        rest.retries,
        rest.timeout_ms,
        st.max_deliveries,
        st.expires_at,
        st.claimed_at,
        st.started_at,
        st.finished_at,
        st.generation,
        st.attempt,
        st.failures,
        st.rescues,
        st.fence,
        st.seq,
        st.token,
        st.worker_id,
        bool(st.cancel_requested),
        reason_of(st.reason, st.ended),
        None if st.error is None else error_from(st.error),
        None if st.result is None else st.result.encode(),
        st.progress,
        st.progress_message,
        object_of(metadata),
        checkpoint.encode() or None,
        object_of(steps),
        ids_of(rest.after),
    )


def ended_from(message: bytes) -> tuple[str, Job | None]:
    """The id and the job that ending.lua tells of; without the job where it was too large."""
    id_length, blob_length, state_length = _LENGTHS.unpack_from(message)
    blob_at = _LENGTHS.size + id_length
    state_at = blob_at + blob_length
    extra_at = state_at + state_length
    stored_id = message[_LENGTHS.size : blob_at].decode()
    if not blob_length:
        return stored_id, None
    parts = message[blob_at:state_at], message[state_at:extra_at], message[extra_at:]
    return stored_id, job_from(stored_id, *parts)


def rows_of(flat: Sequence[Any], width: int) -> Iterator[tuple[Any, ...]]:
    """A flat reply as rows of `width` values."""
    values = iter(flat)
    return zip(*(values,) * width, strict=True)


worker_from = msgspec.json.Decoder(WorkerInfo).decode
worker_record = msgspec.msgpack.Decoder(tuple[str, int, str]).decode


# --- what workers report ------------------------------------------------------------------------


def outcome_row(outcome: Outcome) -> tuple[Any, ...]:
    """An outcome as finish.lua takes it."""
    lease, result = outcome.lease, outcome.result
    return (
        short(lease.job_id),
        lease.token,
        outcome.kind.value,
        None if result is None else result.decode(),
        None if outcome.error is None else to_json(outcome.error),
        outcome.reason,
        outcome.delay_ms,
        outcome.began_ms_ago,
    )


def note_row(note: Note, files: list[bytes]) -> tuple[Any, ...]:
    """A note as record.lua takes it; the bytes of its artifact go to `files`."""
    kept = note.artifact
    if kept is not None:
        files.append(note.data or b"")
    return (
        short(note.lease.job_id),
        note.lease.token,
        note.progress,
        note.progress_message,
        None if note.metadata is None else members_of(note.metadata),
        None if note.checkpoint is None else note.checkpoint.decode(),
        None if note.steps is None else members_of(note.steps),
        [to_json(line) for line in note.logs] or None,
        None if kept is None else (kept.name, to_json(kept), len(files)),
        note.began_ms_ago,
    )


line_from = msgspec.json.Decoder(LogLine).decode
artifact_from = msgspec.json.Decoder(Artifact).decode


def log_line(stored: bytes, number: int) -> LogLine:
    """A stored line: the attempt, a blank, the line's JSON."""
    attempt, _, line = stored.partition(b" ")
    return msgspec.structs.replace(line_from(line), attempt=int(attempt), number=number)
