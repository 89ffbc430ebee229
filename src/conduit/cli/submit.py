"""`conduit submit`: a job from the command line, by its function's name."""

from __future__ import annotations

import asyncio
import math
import sys

import uuid_utils

from conduit.cli.arguments import parse_array, parse_object, parse_span
from conduit.cli.connect import QueueUrl, existing_queue
from conduit.cli.ids import whole_ids
from conduit.cli.output import emit, print_json, printable, record, say
from conduit.cli.problems import EXIT_FAILURE, UsageError, did_you_mean, show_message
from conduit.core.checks import check_priority, check_seconds, check_text
from conduit.core.codec import DEFAULT_PAYLOAD_LIMIT, encode_value
from conduit.core.errors import ConduitError, InvalidOptionError, UnknownFunctionError
from conduit.core.model import FunctionInfo, Job, JobStatus
from conduit.core.new_jobs import new_job
from conduit.core.validation import bound_arguments
from conduit.queue.base import Queue, Submitted
from conduit.queue.gate import fault_of_headers
from conduit.submission import Origin, by_functions, middleware_in_settings

_POLL_S = 60.0  # a wait returns at once when there is news; this bounds one round of it


async def submit(
    function: str,
    *,
    args: str = "[]",
    kwargs: str = "{}",
    queue: str | None = None,
    delay: str = "0",
    priority: int | None = None,
    key: str | None = None,
    after: tuple[str, ...] = (),
    headers: str = "{}",
    wait: bool = False,
    timeout: float | None = None,
    queue_url: QueueUrl = None,
    json: bool = False,
) -> int:
    """Submit a job; prints its id, or with --wait its result.

    Args:
        function: The function's name, as a worker registered it.
        args: Positional arguments, a JSON array.
        kwargs: Keyword arguments, a JSON object.
        queue: Another queue than the function's own.
        delay: How long before the job may start: seconds, or a duration such as 5m or 2h30m.
        priority: From -100 to 100; higher is sooner.
        key: Names the job: while one of this key is unfinished, its id is answered instead.
        after: The id of a job that has to complete before this one may start, or the id's
            beginning; may be repeated. If that job fails or is cancelled, so is this one.
        headers: What travels with the job, such as a trace's id: a JSON object of text.
        wait: Wait for the end and print the result as JSON.
        timeout: With --wait: stop waiting after so many seconds; the job goes on.
        json: Print a JSON object: job_id and duplicate, or with --wait the finished job.
    """
    if timeout is not None and not wait:
        raise UsageError("--timeout bounds --wait; add --wait or leave it out")
    wait_limit = None
    if timeout is not None:
        wait_limit = check_seconds("--timeout", timeout, InvalidOptionError, zero=True)
    delay_s = parse_span("--delay", delay)
    if priority is not None:
        check_priority(priority, InvalidOptionError, option="--priority")
    for option, text in (("--queue", queue), ("--key", key)):
        if text is not None:
            check_text(option, text, InvalidOptionError)
    positional, named = parse_array("--args", args), parse_object("--kwargs", kwargs)
    middleware_in_settings()
    told = parse_object("--headers", headers)
    if fault := fault_of_headers(told):
        raise UsageError(f"--headers {fault}")
    async with existing_queue(queue_url) as store:
        info = await _find(store, function)
        given = bound_arguments(info, positional, named)
        job = new_job(
            str(uuid_utils.uuid7()),
            info.name,
            info,
            queue=queue,
            args=encode_value(given, path="arguments", limit=DEFAULT_PAYLOAD_LIMIT),
            priority=priority,
            delay_ms=math.ceil(delay_s * 1000),
            key=key,
            headers=told,
            after=tuple(dict.fromkeys(await whole_ids(store, after))),
        )
        (submitted,) = await by_functions([info]).submit(Origin.CLI, [job], store.submit)
        await _tell(store, info, submitted)
        if not wait:
            if json:
                print_json(submitted)
            else:
                emit(submitted.job_id)
            return 0
        sys.stdout.flush()
        finished = await _wait(store, submitted.job_id, wait_limit)
    return _show_end(finished, json=json)


async def _find(queue: Queue, name: str) -> FunctionInfo:
    known = {info.name: info for info in await queue.functions()}
    if name in known:
        return known[name]
    error = UnknownFunctionError(f"no worker has registered a function called {name!r}")
    error.add_note(
        did_you_mean(name, known)
        if known
        else "no worker has run with this queue yet: start one first (conduit run FILE)"
    )
    raise error


async def _tell(queue: Queue, info: FunctionInfo, submitted: Submitted) -> None:
    """Mention what the job's id alone doesn't say."""
    if submitted.duplicate:
        say("another job holds this key; this is its id, and nothing was added")
    if all(worker.name != info.worker for worker in await queue.workers()):
        say(f"note: worker {info.worker!r}, which runs {info.name!r}, isn't running now")


async def _wait(queue: Queue, job_id: str, timeout: float | None) -> Job:
    say(f"waiting for {job_id}")
    try:
        async with asyncio.timeout(timeout):
            while True:
                finished = await queue.wait_finished([job_id], _POLL_S)
                if finished:
                    return finished[0]
    except TimeoutError as error:
        raise ConduitError(
            f"job {job_id} hasn't finished within {timeout:g} s; it goes on: see "
            f"conduit jobs show {job_id}"
        ) from error


def _show_end(job: Job, *, json: bool) -> int:
    completed = job.status is JobStatus.COMPLETED
    if json:
        print_json(record(job))
    elif completed:
        emit((job.result or b"null").decode())
    if completed:
        return 0
    if job.error is not None:
        message = f"{job.error.type}: {job.error.message}"
        if job.error.traceback:
            say(printable(job.error.traceback.rstrip()))
    else:
        message = job.reason or job.status.value
    show_message(f"job {job.status}", f"{job.function} ({job.id}): {message}")
    return EXIT_FAILURE
