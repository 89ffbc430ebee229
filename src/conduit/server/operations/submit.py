"""From a request to jobs: by the function's name, as its worker registered it."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import uuid_utils

from conduit.core import new_jobs
from conduit.core.codec import DEFAULT_PAYLOAD_LIMIT, encode_value
from conduit.core.model import CronInfo, FunctionInfo, NewJob
from conduit.core.patterns import matches
from conduit.core.validation import bound_arguments
from conduit.queue.base import Submitted
from conduit.server.http.problems import ProblemError, invalid
from conduit.server.models.acting import SubmitRequest
from conduit.server.operations.queue_connection import PATIENT_S, QueueLink
from conduit.submission import Origin, by_functions

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


async def send(
    link: QueueLink, jobs: Sequence[NewJob], functions: Iterable[FunctionInfo]
) -> list[Submitted]:
    """Submit jobs through the settings' middleware, whose time isn't the queue's."""

    async def ask(jobs: Sequence[NewJob]) -> list[Submitted]:
        return await link.ask(lambda queue: queue.submit(jobs), patience_s=PATIENT_S)

    return await by_functions(functions).submit(Origin.HTTP, jobs, ask) if jobs else []


def new_job(wanted: SubmitRequest, functions: Iterable[FunctionInfo]) -> NewJob:
    """The job that was asked for. Raises `ProblemError`, or `ArgumentError` and its kin."""
    info = _find(wanted.function, functions)
    if wanted.delay and wanted.at is not None:
        raise invalid("body.at", "says when to start, as delay does: give one of them")
    said = {name: getattr(wanted, name) for name in _SAID_ALIKE}
    said |= {
        "queue": _text("body.queue", wanted.queue),
        "key": _text("body.key", wanted.key),
        "metadata": encode_value(wanted.metadata, path="metadata", limit=DEFAULT_PAYLOAD_LIMIT),
        "after": tuple(dict.fromkeys(wanted.after)),
        "args": _arguments(info, wanted.args, wanted.kwargs),
    }
    return new_jobs.new_job(
        wanted.job_id or new_id(),
        info.name,
        info,
        **said,
        delay_ms=math.ceil(wanted.delay * 1000),
        run_at=None if wanted.at is None else milliseconds(wanted.at),
        expires_ms=_span(wanted.expires),
        unique_ms=_span(wanted.unique_for),
        timeout_ms=_span(wanted.timeout),
    )


_SAID_ALIKE = set(SubmitRequest.__struct_fields__) & set(NewJob.__struct_fields__) - {"function"}
"""What a request says as a new job does."""


def event_jobs(
    name: str, arguments: dict[str, Any], functions: Iterable[FunctionInfo]
) -> list[NewJob]:
    """A job for each function that handles an event of this name. Raises `ArgumentError`."""
    told = encode_value({"event": name})
    return [
        new_jobs.new_job(
            new_id(), info.name, info, args=_arguments(info, [], arguments), metadata=told
        )
        for info in functions
        if info.event is not None and matches(info.event, name)
    ]


def cron_job(cron: CronInfo) -> NewJob:
    """A schedule's job, out of turn."""
    return new_jobs.new_job(new_id(), cron.function, cron)


def new_id() -> str:
    """An id for a job: those of later ones sort behind."""
    return str(uuid_utils.uuid7())


def milliseconds(moment: datetime) -> int:
    """Since the epoch; a time without a zone is UTC."""
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def _find(name: str, functions: Iterable[FunctionInfo]) -> FunctionInfo:
    known = {info.name: info for info in functions}
    if name in known:
        return known[name]
    close: Sequence[str] = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else "; GET /functions lists those that are"
    raise ProblemError(
        422,
        "unknown-function",
        "No such function",
        f"no worker has registered a function called {name!r}{hint}",
    )


def _arguments(info: FunctionInfo, args: list[Any], kwargs: dict[str, Any]) -> bytes:
    bound = bound_arguments(info, args, kwargs)
    return encode_value(bound, path="arguments", limit=DEFAULT_PAYLOAD_LIMIT)


def _text(where: str, text: str | None) -> str | None:
    if text is not None and not (text.isprintable() and text.strip()):
        raise invalid(where, "must be printable characters")
    return text


def _span(seconds: float | None) -> int | None:
    return None if seconds is None else math.ceil(seconds * 1000)
