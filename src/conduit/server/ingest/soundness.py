"""Which events and jobs the tables can hold: what can't be is refused, small blemishes are mended.

Everything here came over a wire that others can write to. An event that isn't sound is never
applied in part: it goes to the dead letters, and its job's row is taken from the queue.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, cast

import msgspec

from conduit.core.api_requests import REPORT_KIND, ApiRequests
from conduit.core.events import Event, EventKind, Report
from conduit.core.model import FINISHED, JobStatus, Terms
from conduit.core.transitions import TABLE

MAX_ID = 500
"""Characters of a job's id at most. PostgreSQL indexes values of up to 2,704 bytes."""
_MAX_INDEXED = 500
_INT32, _INT64 = 2**31, 2**63
_NEWS = (
    EventKind.BEGUN,
    EventKind.PROGRESS,
    EventKind.METADATA,
    EventKind.CHECKPOINT,
    EventKind.LOG,
    EventKind.ARTIFACT,
)
_LEGAL = frozenset(
    {(move.event, move.target) for move in TABLE}
    | {(kind, JobStatus.RUNNING) for kind in _NEWS}
    | {(EventKind.DELETED, status) for status in FINISHED}
)

_from_json = msgspec.json.Decoder().decode
_to_json = msgspec.json.Encoder().encode
_requests_from = msgspec.json.Decoder(ApiRequests).decode


# --- mending ------------------------------------------------------------------------------------


def text(value: str | None) -> str | None:
    """Text without NUL, which PostgreSQL can't store and a job's own words may hold."""
    return value.replace("\0", "\ufffd") if value and "\0" in value else value


def name(value: str | None) -> str | None:
    """Text that is short enough for an index."""
    if value and len(value) > _MAX_INDEXED:
        value = value[: _MAX_INDEXED - 1] + "…"
    return text(value)


def terms(job: Terms) -> dict[str, Any]:
    """A job's terms by name."""
    return {each: _term(getattr(job, each)) for each in Terms.__struct_fields__}


def _term(value: Any) -> Any:
    if isinstance(value, str):
        return name(value)
    if isinstance(value, tuple):
        return tuple(map(text, cast("tuple[str, ...]", value)))
    if isinstance(value, dict):
        told = cast("dict[str, str]", value)
        return {text(each): text(words) for each, words in told.items()}
    return value


def payload(value: bytes) -> str:
    """JSON as text; what isn't JSON as the JSON string of its bytes."""
    if _json_fault(value) is None:
        return value.decode()
    return _to_json(value.decode(errors="backslashreplace")).decode()


def finite(value: float | None) -> float | None:
    """A number that JSON can carry, or none."""
    return value if value is not None and math.isfinite(value) else None


# --- refusing -----------------------------------------------------------------------------------


def fault_of_id(job_id: str) -> str | None:
    """What keeps an id from being stored."""
    if not job_id or "\0" in job_id or len(job_id) > MAX_ID:
        return f"a job's id has 1 to {MAX_ID} characters and no NUL"
    return None


def fault_of(event: Event) -> str | None:
    """Why an event can't be applied, whatever came before it; None when it can be."""
    if (event.kind, event.status) not in _LEGAL:
        return f"{event.kind} can't lead to {event.status}"
    if (event.kind is EventKind.SUBMITTED) != (event.submission is not None):
        return "a submission belongs to job.submitted alone"
    if (event.kind is EventKind.SUBMITTED) != (event.seq == 1):
        return "seq 1 belongs to job.submitted alone"
    if event.progress is not None and not math.isfinite(event.progress):
        return "progress isn't a number"
    return (
        fault_of_id(event.job_id)
        or _fault_of_counters(event)
        or _fault_of_payloads(event)
        or (_fault_of_parts(event) if event.submission or event.logs or event.artifact else None)
    )


def _fault_of_counters(event: Event) -> str | None:
    counters = (event.attempt, event.fence, event.failures, event.rescues)
    if not (0 < event.seq < _INT32 and 0 < event.generation < _INT32):
        return "seq or generation is out of range"
    if min(counters) < 0 or max(counters) >= _INT32:
        return "a counter is out of range"
    return _fault_of_times((event.at, event.run_at, event.started_at))


def _fault_of_times(values: Iterable[int | None]) -> str | None:
    if all(value is None or -_INT64 <= value < _INT64 for value in values):
        return None
    return "a number is out of range"


def _fault_of_payloads(event: Event) -> str | None:
    for raw in (event.result, event.metadata, event.checkpoint, event.steps):
        if raw and (fault := _json_fault(bytes(raw))):
            return fault
    return None


def _fault_of_parts(event: Event) -> str | None:
    submission, artifact = event.submission, event.artifact
    if submission is not None:
        return (
            _json_fault(bytes(submission.args))
            or (_json_fault(bytes(submission.metadata)) if submission.metadata else None)
            or next(filter(None, map(fault_of_id, submission.after)), None)
            or (None if abs(submission.priority) < _INT32 else "priority is out of range")
            or _fault_of_times(
                (
                    submission.retries,
                    submission.timeout_ms,
                    submission.max_deliveries,
                    submission.expires_at,
                )
            )
        )
    if artifact is not None:
        if not artifact.name or len(artifact.name) > MAX_ID or len(artifact.sha256) > 64:
            return "an artifact's name or checksum is too long"
        return _fault_of_times((artifact.size,))
    if any(not 0 < line.number < _INT32 for line in event.logs):
        return "a log line's number is out of range"
    if any(not 0 <= line.attempt < _INT32 for line in event.logs):
        return "a log line's attempt is out of range"
    return _fault_of_times(line.at for line in event.logs)


def fault_of_report(report: Report) -> str | None:
    """Why a report can't be kept; None when it can be."""
    if len(report.kind) > 32 or not report.kind.partition(".")[0] or "\0" in report.kind:
        return "a report's kind has 1 to 32 characters and no NUL"
    return _fault_of_times((report.at,)) or (
        _fault_of_requests(report)
        if report.kind == REPORT_KIND
        else _json_fault(bytes(report.data))
        if report.data
        else None
    )


def _fault_of_requests(report: Report) -> str | None:
    try:
        told = _requests_from(report.data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return f"these aren't counts of requests: {error}"
    if "\0" in told.instance or any("\0" in each.method for each in told.routes):
        return "an instance or a method has a NUL"
    return None


def _json_fault(value: bytes) -> str | None:
    if value in (b"null", b"{}"):
        return None
    try:
        _from_json(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return f"{value[:40].decode(errors='backslashreplace')!r} isn't JSON: {error}"
    return None
