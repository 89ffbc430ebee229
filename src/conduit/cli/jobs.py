"""`conduit jobs`: list, show, cancel, retry and delete jobs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, get_origin

import msgspec
from cyclopts import App, Parameter
from cyclopts.validators import Number
from rich.text import Text

from conduit.cli.acting import CANCEL, CAREFUL, DELETE, RETRY, Care, act
from conduit.cli.connect import QueueUrl, existing_queue
from conduit.cli.ids import ID_HINT, whole_id
from conduit.cli.matching import ANYTHING, Matching
from conduit.cli.output import (
    Cell,
    iso,
    moment,
    print_json,
    printable,
    record,
    records,
    say,
    screen,
    show_pairs,
    show_table,
    span,
    status_cell,
)
from conduit.cli.problems import UsageError, did_you_mean
from conduit.core.errors import ArtifactNotFoundError, ConduitError, JobNotFoundError
from conduit.core.layout import fields_of
from conduit.core.model import Artifact, Job, JobStatus, Level, LogLine
from conduit.queue.base import Queue

app = App(name="jobs", help="List, show, cancel, retry and delete jobs.")

_MOST_AWAITED = 20
_LEVEL_STYLES = {
    Level.DEBUG: "dim",
    Level.INFO: "",
    Level.WARNING: "yellow",
    Level.ERROR: "red",
    Level.CRITICAL: "bold red",
}


@app.command(name="list")
async def list_jobs(
    *,
    matching: Matching = ANYTHING,
    limit: Annotated[int, Parameter(validator=Number(gte=1, lte=500))] = 50,
    cursor: str | None = None,
    queue_url: QueueUrl = None,
    json: bool = False,
) -> None:
    """List jobs, newest first.

    Args:
        limit: How many, from 1 to 500.
        cursor: Go on where an earlier page ended.
        json: Print a JSON object with items, total and next_cursor.
    """
    async with existing_queue(queue_url) as queue:
        try:
            page = await queue.find(matching.filter(), limit=limit, cursor=cursor)
        except ValueError as error:
            raise UsageError(f"--cursor: {error}") from error
        now = await queue.now()
        if not page.items and not json:
            await _mention_unknown(queue, matching)
    if json:
        print_json(record(page) | {"items": records(page.items)})
        return
    show_table(
        ("job", "function", "status", "attempt", "queue", "submitted", "took"),
        [_row(job, now) for job in page.items],
        numbers=("attempt", "took"),
        spare=("attempt", "queue", "took", "submitted"),
    )
    shown = f"{len(page.items)} of {page.total} jobs"
    say(f"{shown}; the next page: --cursor {page.next_cursor}" if page.next_cursor else shown)


async def _mention_unknown(queue: Queue, matching: Matching) -> None:
    """An empty list may be due to a slip in a filter."""
    functions = {info.name for info in await queue.functions()}
    queues = {info.name for info in await queue.queues()}
    for kind, wanted, known in (
        ("function", matching.function, functions),
        ("queue", matching.queue, queues),
    ):
        for name in wanted:
            if name not in known:
                hint = did_you_mean(name, known) if known else "none is known here"
                say(f"note: no {kind} {name!r} is known; {hint}")


def _row(job: Job, now: int) -> tuple[Cell, ...]:
    return (
        job.id,
        job.function,
        status_cell(job.status),
        str(job.attempt),
        job.queue,
        moment(job.submitted_at, now),
        _took(job, now),
    )


def _took(job: Job, now: int) -> str:
    """How long the attempt took or takes: one that waits for its next attempt takes no time."""
    if _is_held(job):
        return "not begun"
    if job.started_at is None or not _is_of_an_attempt(job):
        return ""
    return span((job.finished_at or now) - job.started_at)


def _is_held(job: Job) -> bool:
    """Whether a worker has it and its function hasn't begun, as far as the queue has heard."""
    return job.status is JobStatus.RUNNING and job.started_at is None


def _is_of_an_attempt(job: Job) -> bool:
    """Whether what is kept of a run is that of this attempt, not of one that is over."""
    return job.status is JobStatus.RUNNING or job.status.finished


@app.command
async def show(job_id: str, *, queue_url: QueueUrl = None, json: bool = False) -> None:
    """Show all that the queue knows of one job.

    Args:
        job_id: The job's id, as submit or list prints it; six characters will do if no other
            job's id begins with them.
        json: Print a JSON object, its logs and artifacts included.
    """
    async with existing_queue(queue_url) as queue:
        job_id = await whole_id(queue, job_id)
        (job,) = await queue.get([job_id])
        if job is None:
            raise _no_job(job_id)
        logs, artifacts = await queue.logs(job_id), await queue.artifacts(job_id)
        awaited = await _awaited(queue, job)
        now = await queue.now()
    if json:
        print_json(record(job) | {"logs": records(logs), "artifacts": records(artifacts)})
        return
    show_pairs(_facts(job, now, awaited))
    _show_error(job)
    _show_logs(logs)
    _show_artifacts(artifacts)


def _no_job(job_id: str) -> JobNotFoundError:
    error = JobNotFoundError(job_id)
    error.add_note(ID_HINT)
    return error


async def _awaited(queue: Queue, job: Job) -> list[Text]:
    """The jobs that a job waits for, a line for each, with how they are."""
    shown = job.after[:_MOST_AWAITED]
    found = await queue.get(shown) if shown else []
    lines = [
        Text(f"{job_id} ").append_text(status_cell(each.status) if each else Text("gone", "dim"))
        for job_id, each in zip(shown, found, strict=True)
    ]
    more = len(job.after) - len(shown)
    return [*lines, Text(f"and {more} more")] if more else lines


def _facts(job: Job, now: int, awaited: list[Text]) -> list[tuple[str, Cell]]:
    """What there is to say, in the order of a job's life; what is empty is left out."""
    progress, worker, started = "", "", ""
    if _is_of_an_attempt(job):
        worker, started = job.worker_id or "", moment(job.started_at, now)
        if job.progress is not None:
            progress = f"{job.progress:.0%} {job.progress_message or ''}"
    asked = ", asked to stop" if job.cancel_requested and not job.status.finished else ""
    facts: list[tuple[str, Cell]] = [
        ("job", job.id),
        ("function", job.function),
        ("status", Text.assemble(status_cell(job.status), asked)),
        ("reason", job.reason or ""),
        ("attempt", str(job.attempt) if job.attempt else ""),
        ("queue", job.queue),
        ("priority", str(job.priority) if job.priority else ""),
        ("key", job.key or ""),
        ("parent", job.parent_id or ""),
        ("root", job.root_id or ""),
        ("after", Text("\n").join(awaited)),
        ("worker", worker),
        ("submitted", moment(job.submitted_at, now)),
        ("due", moment(job.run_at, now) if job.status is JobStatus.SCHEDULED else ""),
        ("expires", moment(job.expires_at, now)),
        ("held", f"since {moment(job.claimed_at, now)}" if _is_held(job) else ""),
        ("started", started),
        ("finished", moment(job.finished_at, now)),
        ("took", _took(job, now)),
        ("progress", progress.strip()),
        ("arguments", _json(job.args)),
        *((name, _json(getattr(job, name))) for name in _CONTENTS),
    ]
    return [(name, value) for name, value in facts if value]


_CONTENTS = [
    line.name
    for line in sorted(fields_of(Job), key=lambda line: line.name == "result")
    if line.name != "args" and (line.type is bytes or get_origin(line.type) is dict)
]
"""What else is JSON, the result last."""


def _json(value: bytes | dict[str, str] | None) -> str:
    """A value for reading: short ones on one line, long ones indented; empty ones not at all."""
    payload = msgspec.json.encode(value) if isinstance(value, dict) else value
    if payload is None or payload == b"{}":
        return ""
    indent = 2 if len(payload) > 80 else 0
    return msgspec.json.format(payload, indent=indent).decode()


def _clock(ms: int) -> str:
    return iso(ms)[11:-1]


def _heading(words: str) -> None:
    screen().print(Text(f"\n{words}", style="dim"))


def _show_error(job: Job) -> None:
    if job.error is None:
        return
    _heading("error")
    screen().print(Text(printable(f"{job.error.type}: {job.error.message}"), style="red"))
    if job.error.traceback:
        screen().print(Text(printable(job.error.traceback.rstrip())))


def _show_logs(lines: list[LogLine]) -> None:
    if not lines:
        return
    _heading("log")
    show_table(
        ("at (UTC)", "attempt", "level", "logger", "message"),
        [
            (
                _clock(line.at),
                str(line.attempt),
                Text(line.level.value, style=_LEVEL_STYLES[line.level]),
                line.logger,
                line.message,
            )
            for line in lines
        ],
    )


def _show_artifacts(artifacts: list[Artifact]) -> None:
    if not artifacts:
        return
    _heading("artifacts")
    show_table(
        ("name", "type", "bytes", "sha256"),
        [(each.name, each.content_type, str(each.size), each.sha256) for each in artifacts],
        numbers=("bytes",),
    )


@app.command
async def artifact(
    job_id: str,
    name: str,
    *,
    output: Path | None = None,
    queue_url: QueueUrl = None,
) -> None:
    """Print a file that a job kept, or write it to another.

    Args:
        job_id: The job's id, or its beginning.
        name: The artifact's name, as show lists it.
        output: The file to write; stdout without it.
    """
    async with existing_queue(queue_url) as queue:
        job_id = await whole_id(queue, job_id)
        data = await queue.artifact(job_id, name)
        if data is None:
            raise await _no_artifact(queue, job_id, name)
    if output is not None:
        _write(output, data)
        say(f"{len(data):,} bytes written to {output}")
    elif screen().is_terminal and not _readable(data):
        raise UsageError(f"{name} isn't text: add --output FILE, or send it into a pipe")
    else:
        sys.stdout.buffer.write(data)


async def _no_artifact(queue: Queue, job_id: str, name: str) -> ConduitError:
    (job,) = await queue.get([job_id])
    if job is None:
        return _no_job(job_id)
    known = [each.name for each in await queue.artifacts(job_id)]
    error = ArtifactNotFoundError(f"job {job_id} has no artifact {name!r}")
    error.add_note(did_you_mean(name, known) if known else "it has kept none")
    return error


def _write(file: Path, data: bytes) -> None:
    try:
        file.write_bytes(data)
    except OSError as error:
        raise ConduitError(f"{file} can't be written: {error.strerror}") from error


def _readable(data: bytes) -> bool:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return False
    return printable(text) == text


@app.command
async def cancel(
    *job_ids: str,
    matching: Matching = ANYTHING,
    care: Care = CAREFUL,
    queue_url: QueueUrl = None,
) -> int:
    """Cancel jobs that wait, and ask workers to stop those that run.

    Args:
        job_ids: The jobs' ids, or their beginnings; or give a filter instead.
    """
    return await act(CANCEL, job_ids, matching, care, queue_url)


@app.command
async def retry(
    *job_ids: str,
    matching: Matching = ANYTHING,
    care: Care = CAREFUL,
    queue_url: QueueUrl = None,
) -> int:
    """Run failed or cancelled jobs again, with fresh attempts.

    Args:
        job_ids: The jobs' ids, or their beginnings; or give a filter instead.
    """
    return await act(RETRY, job_ids, matching, care, queue_url)


@app.command
async def delete(
    *job_ids: str,
    matching: Matching = ANYTHING,
    care: Care = CAREFUL,
    queue_url: QueueUrl = None,
) -> int:
    """Forget finished jobs, with their logs and artifacts.

    Args:
        job_ids: The jobs' ids, or their beginnings; or give a filter instead.
    """
    return await act(DELETE, job_ids, matching, care, queue_url)
