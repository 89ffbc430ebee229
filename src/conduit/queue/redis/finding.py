"""find and queues: questions over many jobs.

The queue keeps no index for them, which would cost every job memory: what is asked for is read and
filtered here. A history of millions belongs in a database.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from conduit.core.model import FINISHED, Job, JobStatus, QueueInfo, WorkerInfo
from conduit.queue.base import JobFilter, JobPage
from conduit.queue.redis import records
from conduit.queue.redis.connection import Server
from conduit.queue.redis.packing import long

_CURSOR = "n"  # a cursor is this letter and the last job's number
_CHUNK = 1000

Get = Callable[[Sequence[str]], Awaitable[list[Job | None]]]


async def find(
    server: Server, get: Get, wanted: JobFilter, *, limit: int, cursor: str | None
) -> JobPage:
    """A page of jobs; see `Queue.find`."""
    before = None if cursor is None else _number_of(cursor)
    found: dict[str, int] = {}
    async for stored_id, blob, state in _candidates(server, wanted.statuses):
        if _matches(records.job_from(stored_id, blob, state), wanted):
            found[stored_id] = records.number_of(blob)
    numbers = sorted(
        (number for number in found.values() if before is None or number < before), reverse=True
    )
    page = set(numbers[:limit])
    ids = sorted((i for i, n in found.items() if n in page), key=lambda i: -found[i])
    jobs = [job for job in await get([long(i) for i in ids]) if job is not None]
    more = f"{_CURSOR}{numbers[limit - 1]}" if len(numbers) > limit else None
    return JobPage(jobs, len(found), more)


def _number_of(cursor: str) -> int:
    digits = cursor.removeprefix(_CURSOR)
    if digits == cursor or not digits.isascii() or not digits.isdigit() or len(digits) > 18:
        raise ValueError(f"{cursor!r} isn't a cursor of this queue: pass a page's next_cursor")
    return int(digits)


_INDICES: tuple[tuple[str, frozenset[JobStatus]], ...] = (
    ("leases", frozenset({JobStatus.RUNNING})),
    ("scheduled", frozenset({JobStatus.SCHEDULED})),
    ("finished", FINISHED),
)
"""Sorted sets that hold every job of some statuses."""


async def _candidates(
    server: Server, statuses: Sequence[JobStatus]
) -> AsyncIterator[tuple[str, bytes, bytes]]:
    """Id, blob and state of all jobs that may have one of these statuses, or any."""
    jobs, states = server.keys.name("jobs"), server.keys.name("states")
    async for ids in _ids(server, statuses):
        if not ids:
            continue
        # The states first: of a job that is deleted meanwhile, none would mean that it waits.
        found = await server.commands(("HMGET", states, *ids), ("HMGET", jobs, *ids))
        for stored_id, state, blob in zip(ids, *found, strict=True):
            if blob is not None:
                yield stored_id.decode(), blob, state or b""


async def _ids(server: Server, statuses: Sequence[JobStatus]) -> AsyncIterator[list[bytes]]:
    for name, held in _INDICES:
        if statuses and held.issuperset(statuses):
            ids = await server.command("ZRANGE", server.keys.name(name), 0, -1)
            for start in range(0, len(ids), _CHUNK):
                yield ids[start : start + _CHUNK]
            return
    # HSCAN gives every job that is there from the beginning to the end, some of them twice.
    jobs, position = server.keys.name("jobs"), 0
    while True:
        position, found = await server.command("HSCAN", jobs, position, "COUNT", _CHUNK)
        yield list(found)
        if position == 0:
            return


def _matches(job: Job, wanted: JobFilter) -> bool:
    after, before = wanted.submitted_after, wanted.submitted_before
    return (
        (not wanted.statuses or job.status in wanted.statuses)
        and (not wanted.functions or job.function in wanted.functions)
        and (not wanted.queues or job.queue in wanted.queues)
        and (not wanted.worker_ids or job.worker_id in wanted.worker_ids)
        and wanted.key in (None, job.key)
        and wanted.parent_id in (None, job.parent_id)
        and wanted.root_id in (None, job.root_id)
        and (after is None or job.submitted_at >= after)
        and (before is None or job.submitted_at < before)
    )


async def queues(ask: Callable[[str], Awaitable[Any]]) -> list[QueueInfo]:
    """Every queue; see `Queue.queues`. `ask` runs queues.lua for the slice at a place."""
    place, found, counted, paused, workers = await ask("0")
    oldest: dict[str, int] = {}
    while True:
        for name, at in records.rows_of(found, 2):
            queue = name.decode()
            oldest[queue] = min(at, oldest.get(queue, at))
        if place == b"0":
            break
        place, found = await ask(place.decode())
    return _queue_infos(
        {field.decode(): int(many) for field, many in records.rows_of(counted, 2)},
        {name.decode() for name in paused},
        [records.worker_from(records.worker_record(record)[2]) for record in workers],
        oldest,
    )


def _queue_infos(
    counts: dict[str, int], paused: set[str], workers: Sequence[WorkerInfo], oldest: dict[str, int]
) -> list[QueueInfo]:
    """Queues by name: those that have jobs, are paused, or have a worker."""
    names = {field[2:] for field in counts} | paused
    names.update(queue for worker in workers for queue in worker.queues)
    return [
        QueueInfo(
            name=name,
            paused=name in paused,
            queued=counts.get(f"q:{name}", 0),
            scheduled=counts.get(f"s:{name}", 0),
            running=counts.get(f"r:{name}", 0),
            blocked=counts.get(f"b:{name}", 0),
            oldest_at=oldest.get(name),
        )
        for name in sorted(names)
    ]
