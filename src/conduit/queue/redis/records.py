"""Between what lies in Redis and the records of the protocol; see layout.py for the forms."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from conduit.core.crons import Tick
from conduit.core.errors import QueueCorruptError
from conduit.core.events import KIND_NUMBERS, EventKind
from conduit.core.model import (
    MIN_PRIORITY,
    Artifact,
    Job,
    JobError,
    LogLine,
    NewJob,
    WorkerInfo,
)
from conduit.core.transitions import dependency_reason
from conduit.queue.base import Note, Outcome
from conduit.queue.redis import layout
from conduit.queue.redis.layout import (
    FRESH,
    LETTERS,
    STATE,
    STATUSES,
    JobRow,
    NoteRow,
    OutcomeRow,
    TickRow,
    terms_from,
    terms_text,
)
from conduit.queue.redis.packing import long, members_of, object_of, pack, short, to_json
from conduit.queue.salvage import UNDECODABLE

error_from = msgspec.json.Decoder(JobError).decode

# --- submitting ---------------------------------------------------------------------------------

_PLAIN_ID = struct.Struct(">H")
_PLAIN_HEAD = struct.Struct(">IBH")  # the body's length, then its priority and its lane's length
_PLAIN_LENGTH = struct.Struct(">I")


def new_job_row(job: NewJob) -> JobRow:
    """A new job as keep.lua takes it."""
    return JobRow(
        short(job.id),
        job.queue,
        job.function,
        job.args.decode(),
        terms_text(job),
        job.priority,
        job.delay_ms,
        job.run_at,
        job.expires_ms,
        job.key,
        job.unique_ms,
        None if job.metadata == b"{}" else members_of(job.metadata),
        tuple(dict.fromkeys(map(short, job.after))) if job.after else None,
    )


def tick_row(tick: Tick) -> TickRow:
    """A tick as tick.lua takes it."""
    job = tick.job
    row, job_id = (None, None) if job is None else (new_job_row(job), job.id)
    return TickRow(tick.cron, tick.fingerprint, tick.at, row, job_id, tick.passed)


_SUBMITTED = KIND_NUMBERS[EventKind.SUBMITTED]
_LANE, _ARGS, _TERMS = map(LETTERS.__getitem__, ("lane", "args", "terms"))


def plain_part(job: NewJob) -> bytes | None:
    """A job as submit_plain.lua takes it; None if it isn't plain.

    Id, lane, body and event, each after its length. The body is the blob without number and time;
    the event is its row in an entry of the stream, packed as lib.lua would.
    """
    if (
        not job.run_at is job.expires_ms is job.key is job.unique_ms is None
        or job.priority != 0
        or job.delay_ms != 0
        or job.metadata != b"{}"
        or job.after
    ):
        return None
    args, terms, stored_id = job.args, terms_text(job), short(job.id)
    lane, lane_ = _lane(job.queue, job.function)
    news = {_LANE: lane, _ARGS: args.decode(), _TERMS: terms}
    event = pack((_SUBMITTED, stored_id, *layout.FRESH_TOLD, news))
    id_, terms_ = stored_id.encode(), terms.encode()
    body_length = 7 + len(lane_) + len(args) + len(terms_)
    return b"".join(
        (
            _PLAIN_ID.pack(len(id_)),
            id_,
            _PLAIN_ID.pack(len(lane_)),
            lane_,
            _PLAIN_HEAD.pack(body_length, -MIN_PRIORITY, len(lane_)),
            lane_,
            _PLAIN_LENGTH.pack(len(args)),
            args,
            terms_,
            _PLAIN_LENGTH.pack(len(event)),
            event,
        )
    )


@lru_cache(maxsize=1024)
def _lane(queue: str, function: str) -> tuple[str, bytes]:
    lane = f"{len(queue.encode())}:{queue}:{function}"
    return lane, lane.encode()


# --- jobs ---------------------------------------------------------------------------------------

_extra_from = msgspec.msgpack.Decoder(tuple[list[str], str, list[str]]).decode
_LENGTHS = struct.Struct(">HII")
_FRESH = tuple(FRESH[line.name] for line in STATE)
_ENDED_BY_AT = layout.place_of("ended_by")
_FIRST = layout.OF_A_JOB.start
_REASON_AT, _ERROR_AT, _RESULT_AT = (
    layout.place_of(name) - _FIRST for name in ("reason", "error", "result")
)


def split_lane(lane: bytes) -> tuple[str, str]:
    """The queue and the function of a lane, which is `length:queue:function`."""
    length, _, names = lane.partition(b":")
    return names[: int(length)].decode(), names[int(length) + 1 :].decode()


def reason_of(reason: str | None, ended_by: str | None) -> str | None:
    """A job's reason. `ended_by` is how one that it waited for has ended, and that one's id."""
    if ended_by is None:
        return reason
    return dependency_reason(long(ended_by[1:]), STATUSES[ended_by[0]])


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


def _job_from(stored_id: str, blob: bytes, packed: bytes, extra: bytes) -> Job:
    submitted_at = int.from_bytes(blob[6:12], "big")
    args_at = 15 + int.from_bytes(blob[13:15], "big")
    queue, function = split_lane(blob[15:args_at])
    terms_at = args_at + 4 + int.from_bytes(blob[args_at : args_at + 4], "big")
    state = layout.state_from(packed) if packed else _FRESH
    status, run_at = state[:_FIRST]
    metadata, checkpoint, steps = _extra_from(extra) if extra else ((), "", ())
    head = function, queue, blob[12] + MIN_PRIORITY
    noted = object_of(metadata), checkpoint.encode() or None, object_of(steps)
    values: tuple[Any, ...] = (*head, *terms_from(blob[terms_at:]), *_moved(state), *noted)
    return Job(
        *values,
        id=long(stored_id),
        args=blob[args_at + 4 : terms_at],
        submitted_at=submitted_at,
        status=STATUSES[status],
        run_at=submitted_at if run_at is None else run_at,
    )


def _moved(state: Sequence[Any]) -> Sequence[Any]:
    """What a state has of a job's fields, in the job's own order."""
    values = state[layout.OF_A_JOB]
    error, result, ended_by = values[_ERROR_AT], values[_RESULT_AT], state[_ENDED_BY_AT]
    if error is result is ended_by is None:
        return values
    revived = list(values)
    revived[_ERROR_AT] = None if error is None else error_from(error)
    revived[_RESULT_AT] = None if result is None else result.encode()
    revived[_REASON_AT] = reason_of(values[_REASON_AT], ended_by)
    return revived


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


def outcome_row(outcome: Outcome) -> OutcomeRow:
    """An outcome as finish.lua takes it."""
    lease, result = outcome.lease, outcome.result
    return OutcomeRow(
        short(lease.job_id),
        lease.token,
        outcome.kind.value,
        None if result is None else result.decode(),
        None if outcome.error is None else to_json(outcome.error),
        outcome.reason,
        outcome.delay_ms,
        outcome.began_ms_ago,
    )


def note_row(note: Note, files: list[bytes]) -> NoteRow:
    """A note as record.lua takes it; the bytes of its artifact go to `files`."""
    kept = note.artifact
    if kept is not None:
        files.append(note.data or b"")
    return NoteRow(
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
