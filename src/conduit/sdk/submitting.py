"""From a task to its queue: every submit of a program goes this way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Protocol

from conduit import telemetry
from conduit.core.model import NewJob
from conduit.queue import Queue, Source
from conduit.queue.base import Submitted
from conduit.sdk import registry
from conduit.sdk.client import Connection, connect, resolve_url
from conduit.sdk.middleware import around_submits
from conduit.submission import Origin, Passage, SubmitMiddleware

STEP = 5000
"""Jobs that are submitted in one step: other writers of the store wait no longer than for these."""


class Home(Protocol):
    """The worker that a task is declared on, as far as its submits need it."""

    @property
    def queue_url(self) -> str | None:
        """Where its jobs go; None: the settings say."""
        ...

    @property
    def queue(self) -> Queue | None:
        """What was handed over to be used instead."""
        ...

    @property
    def queues(self) -> Mapping[str, int]:
        """The queues that the worker takes jobs from, with their weights."""
        ...

    @property
    def payload_limit(self) -> int:
        """The most that arguments may take, in bytes of JSON."""
        ...

    @property
    def submit_middleware(self) -> Sequence[SubmitMiddleware]:
        """What is around its submits, the first one outermost."""
        ...


def source_of(home: Home) -> Source:
    """Where a task's jobs go. Raises `ConfigurationError`."""
    return resolve_url(home.queue_url) if home.queue is None else home.queue


async def submit(
    home: Home, source: Source, jobs: Sequence[NewJob], origin: Origin = Origin.SDK
) -> list[str]:
    """Keep jobs; the id each runs under, which is another job's where that holds its key.

    `source` is what `source_of` says, which takes a while to find out.
    """
    connection = await connect(source)
    middleware = around_submits(home.submit_middleware)
    if middleware or telemetry.listeners:
        passage = Passage(middleware, _check, home.payload_limit)
        answers = await passage.submit(origin, jobs, partial(_in_steps, connection))
    elif len(jobs) <= STEP:  # the short way of most submits
        answers = await connection.submit(jobs)
    else:
        answers = await _in_steps(connection, jobs)
    return [answer.job_id for answer in answers]


async def _in_steps(connection: Connection, jobs: Sequence[NewJob]) -> list[Submitted]:
    answers: list[Submitted] = []
    for start in range(0, len(jobs), STEP):
        answers += await connection.submit(jobs[start : start + STEP])
    return answers


def _check(job: NewJob) -> None:
    """Check arguments that were changed, where this process has the function."""
    handle = registry.find_handle(job.function)
    if handle is not None:
        handle.__conduit_function__.check_arguments(job)
