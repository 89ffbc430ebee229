"""The gate in front of every store: what comes in is checked here, once, for all of them.

A store may rely on it: names are text of bounded length, numbers are whole and fit a double, as Lua
has no others, payloads are JSON that can be read back, metadata and steps are objects. A batch of
new jobs is refused as a whole. A result that isn't JSON fails its own job.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from functools import partial
from math import isfinite
from typing import Final

import msgspec
from msgspec import structs

from conduit.core.crons import Tick, Ticked
from conduit.core.errors import RefusedError
from conduit.core.events import Report
from conduit.core.model import (
    MAX_AFTER,
    MAX_HEADERS,
    MAX_PRIORITY,
    MIN_PRIORITY,
    Job,
    JobError,
    NewJob,
    Reason,
)
from conduit.core.transitions import OutcomeKind
from conduit.queue.base import Finished, Note, Outcome, Submitted

MAX_NAME: Final = 1000
"""Characters of an id, a queue's or a function's name at most."""
MOST: Final = 2**53
"""The size of a number at most: whole ones are exact in a double up to here."""

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode
_headers_from = partial(msgspec.convert, type=dict[str, str])
_NOT_JSON = object()


class Gated(ABC):
    """The verbs of a backend through which something new comes in; it implements the inner ones."""

    async def submit(self, jobs: Sequence[NewJob]) -> list[Submitted]:
        """See `Queue.submit`."""
        check_jobs(jobs)
        return await self._submit(jobs) if jobs else []

    async def start(self, job: NewJob, worker_id: str, lease_ms: int) -> Job:
        """See `Queue.start`."""
        check_jobs([job])
        if job.after:
            raise RefusedError(
                f"job {job.id} can't be started at once: it waits for others with `after`"
            )
        now = structs.replace(
            job, key=None, unique_ms=None, delay_ms=0, run_at=None, expires_ms=None
        )
        return await self._start(now, worker_id, lease_ms)

    async def finish(self, outcomes: Sequence[Outcome]) -> list[Finished]:
        """See `Queue.finish`."""
        return await self._finish([_storable(each) for each in outcomes]) if outcomes else []

    async def record(self, notes: Sequence[Note]) -> list[bool]:
        """See `Queue.record`."""
        for note in notes:
            _check_note(note)
        return await self._record(notes) if notes else []

    async def tick(self, ticks: Sequence[Tick]) -> list[Ticked]:
        """See `Queue.tick`."""
        check_jobs(tick.job for tick in ticks if tick.job is not None)
        for tick in ticks:
            _check_names("a tick", tick.cron)
            _check_counts(f"a tick of {tick.cron!r}", tick.at, tick.passed)
        return await self._tick(ticks) if ticks else []

    async def report(self, reports: Sequence[Report]) -> None:
        """See `Queue.report`."""
        for report in reports:
            _check_names("a report", report.kind, report.subject)
            if report.data:
                _check_json("a report's data", bytes(report.data))
        if reports:
            await self._report(reports)

    @abstractmethod
    async def _submit(self, jobs: Sequence[NewJob]) -> list[Submitted]: ...

    @abstractmethod
    async def _start(self, job: NewJob, worker_id: str, lease_ms: int) -> Job: ...

    @abstractmethod
    async def _finish(self, outcomes: Sequence[Outcome]) -> list[Finished]: ...

    @abstractmethod
    async def _record(self, notes: Sequence[Note]) -> list[bool]: ...

    @abstractmethod
    async def _tick(self, ticks: Sequence[Tick]) -> list[Ticked]: ...

    @abstractmethod
    async def _report(self, reports: Sequence[Report]) -> None: ...


def check_jobs(jobs: Iterable[NewJob]) -> None:
    """Refuse new jobs that couldn't be kept. Raises `RefusedError`."""
    for job in jobs:
        what = f"job {job.id[:40]!r}"
        _check_names(what, job.id, job.queue, job.function, job.parent_id, job.root_id)
        if job.key is not None:
            _check_text(what, job.key)
        _check_names(what, *job.after)
        if not MIN_PRIORITY <= job.priority <= MAX_PRIORITY:
            raise RefusedError(
                f"{what}: priority {job.priority} isn't within {MIN_PRIORITY} and {MAX_PRIORITY}"
            )
        if len(job.after) > MAX_AFTER:
            raise RefusedError(f"{what}: it can wait for {MAX_AFTER:,} jobs at most")
        _check_counts(what, job.retries, job.timeout_ms, job.max_deliveries, job.delay_ms)
        _check_counts(what, job.expires_ms, job.unique_ms, job.run_at)
        _check_json(f"{what}: its arguments", job.args)
        _check_object(f"{what}: its metadata", job.metadata)
        if job.headers and (fault := fault_of_headers(job.headers)):
            raise RefusedError(f"{what}: its headers {fault}")


def fault_of_headers(headers: object) -> str | None:
    """Why these can't travel with a job, as the rest of a sentence; None where they can."""
    try:
        encoded = _encode(_headers_from(headers))
    except (msgspec.ValidationError, UnicodeEncodeError):
        return "must be a dict of text by names that are text, and whole Unicode"
    if len(encoded) > MAX_HEADERS:
        return f"take {len(encoded):,} bytes as JSON; they may take {MAX_HEADERS:,}"
    return None


def _storable(outcome: Outcome) -> Outcome:
    """The outcome, or a failure in its place where its result isn't JSON."""
    _check_counts(f"job {outcome.lease.job_id[:40]!r}", outcome.delay_ms, outcome.began_ms_ago)
    if outcome.result is None or _is_json(outcome.result):
        return outcome
    return structs.replace(
        outcome,
        kind=OutcomeKind.FAIL,
        result=None,
        reason=Reason.BAD_RESULT,
        error=JobError(type="QueueError", message="the result isn't JSON"),
    )


def _check_note(note: Note) -> None:
    what = f"job {note.lease.job_id[:40]!r}"
    _check_object(f"{what}: its metadata", note.metadata)
    _check_object(f"{what}: its steps", note.steps)
    _check_json(f"{what}: its checkpoint", note.checkpoint)
    if note.progress is not None and not isfinite(note.progress):
        raise RefusedError(f"{what}: the progress {note.progress} is no number")
    _check_counts(what, note.began_ms_ago, *(line.at for line in note.logs))


def _check_names(what: str, *names: str | None) -> None:
    for name in names:
        if name is None:
            continue
        if len(name) > MAX_NAME:
            raise RefusedError(
                f"{what}: {name[:40]!r}… is too long: a name has at most {MAX_NAME} characters"
            )
        _check_text(what, name)


def _check_text(what: str, text: str) -> None:
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError:
        raise RefusedError(
            f"{what}: {text[:40]!r} holds a lone surrogate, which UTF-8 can't carry"
        ) from None


def _check_counts(what: str, *values: int | None) -> None:
    for value in values:
        if value is not None and not 0 <= value <= MOST:
            raise RefusedError(f"{what}: the number {value} isn't within 0 and 2**53")


def _check_json(what: str, value: bytes | None) -> None:
    if value is not None and not _is_json(value):
        raise RefusedError(f"{what}, {value[:40]!r}, isn't JSON, and has to be")


def _check_object(what: str, value: bytes | None) -> None:
    if value is None or value == b"{}":
        return
    if not isinstance(_read(value), dict):
        raise RefusedError(f"{what}, {value[:40]!r}, isn't a JSON object, and has to be")


def _is_json(value: bytes) -> bool:
    """Whether bytes are JSON; the event stream could never be read past an event that isn't."""
    return value in (b"null", b"{}") or _read(value) is not _NOT_JSON


def _read(value: bytes) -> object:
    try:
        return _decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _NOT_JSON
