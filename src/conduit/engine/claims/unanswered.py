"""Leases that this worker was given and never heard of: the answer to their claim was lost."""

from __future__ import annotations

from collections.abc import Callable

from conduit.core.model import JobStatus, Lease
from conduit.core.transitions import OutcomeKind
from conduit.queue.base import JobFilter, Outcome, Queue

PAGE = 500


async def release_orphans(
    queue: Queue, worker_id: str, known: Callable[[Lease], bool], *, running: int = 0
) -> None:
    """Release the leases of this worker that aren't known here, at no cost for their jobs.

    `running` is how many jobs it says that it runs.
    """
    await queue.heartbeat(worker_id, running)  # by its answer, the claim is through
    wanted = JobFilter(statuses=(JobStatus.RUNNING,), worker_ids=(worker_id,))
    cursor: str | None = None
    while True:
        page = await queue.find(wanted, limit=PAGE, cursor=cursor)
        leases = [Lease(job.id, job.token or "") for job in page.items]
        await queue.finish(
            [Outcome(lease=each, kind=OutcomeKind.RELEASE) for each in leases if not known(each)]
        )
        cursor = page.next_cursor
        if cursor is None:
            return
