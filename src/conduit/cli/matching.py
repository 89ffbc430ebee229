"""Which jobs a command is about: the filter options, and all ids that match them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter

from conduit.core.model import Job, JobStatus
from conduit.queue.base import JobFilter, Queue

_PAGE = 500


@Parameter(name="*")
@dataclass(frozen=True)
class Matching:
    """Filter options. Several values of one are alternatives; different ones combine by *and*."""

    status: tuple[JobStatus, ...] = ()
    """Only jobs in this status; may be repeated."""
    function: tuple[str, ...] = ()
    """Only jobs of this function; may be repeated."""
    queue: tuple[str, ...] = ()
    """Only jobs of this queue; may be repeated."""
    worker: Annotated[tuple[str, ...], Parameter(name=("--worker", "--worker-id"))] = ()
    """Only jobs that the worker with this id ran last; may be repeated."""
    key: str | None = None
    """Only jobs submitted under this key."""

    def filter(self) -> JobFilter:
        """The same, as the queue takes it."""
        return JobFilter(
            statuses=self.status,
            functions=self.function,
            queues=self.queue,
            worker_ids=self.worker,
            key=self.key,
        )


ANYTHING = Matching()


async def matching_ids(queue: Queue, wanted: JobFilter) -> list[str]:
    """The ids of all jobs that match now, newest first."""
    return [job.id async for job in matching_jobs(queue, wanted)]


async def matching_jobs(queue: Queue, wanted: JobFilter) -> AsyncIterator[Job]:
    """All jobs that match, newest first, read as they are asked for."""
    cursor: str | None = None
    while True:
        page = await queue.find(wanted, limit=_PAGE, cursor=cursor)
        for job in page.items:
            yield job
        cursor = page.next_cursor
        if cursor is None:
            return
