"""cancel, retry, delete: the queue decides, and what it decided is told. One job or many.

Of a job that the queue has forgotten there is only the history, and it can be deleted there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

from msgspec import Struct, structs

from conduit.core.errors import QueueError
from conduit.core.model import FINISHED, Job, JobStatus
from conduit.core.transitions import Verb, allowed
from conduit.queue.base import Acted, Action, JobFilter, Queue
from conduit.server.db import queries
from conduit.server.db.database import Database, DatabaseUnavailableError
from conduit.server.db.queries import JobQuery
from conduit.server.http.dependencies import Parts
from conduit.server.http.problems import ProblemError, invalid, job_not_found
from conduit.server.ingest import deleting
from conduit.server.ingest.apply import wall_clock
from conduit.server.ingest.deleting import Deleted
from conduit.server.models.acting import BulkFilter, BulkRequest, BulkView
from conduit.server.operations.queue_connection import PATIENT_S, QueueLink
from conduit.server.operations.submit import milliseconds

_BATCH = 500
_PAGE = 5000
_BULK_REASON = "cancelled over HTTP"


class Operation(Struct, frozen=True):
    """One of the verbs: what it is called, the statuses that allow it, and how it is asked for."""

    verb: str
    participle: str
    statuses: tuple[JobStatus, ...]
    apply: Callable[[Queue, Sequence[str]], Awaitable[list[Action]]]


def _allowing(verb: Verb) -> tuple[JobStatus, ...]:
    return tuple(status for status in JobStatus if allowed(verb, status))


def cancel(reason: str) -> Operation:
    """Cancel what waits, ask the worker of what runs."""
    return Operation(
        "cancel",
        "cancelled",
        _allowing(Verb.CANCEL),
        lambda queue, job_ids: queue.cancel(job_ids, reason),
    )


RETRY = Operation(
    "retry", "retried", _allowing(Verb.RETRY), lambda queue, job_ids: queue.retry(job_ids)
)
DELETE = Operation(
    "delete",
    "deleted",
    tuple(status for status in JobStatus if status in FINISHED),
    lambda queue, job_ids: queue.delete(job_ids),
)
_OPERATIONS = {"cancel": cancel(_BULK_REASON), "retry": RETRY, "delete": DELETE}


# --- one job ---------------------------------------------------------------------------------


async def act(link: QueueLink, operation: Operation, job_id: str) -> Job:
    """Do it; the job as the queue has it then.

    Raises `ProblemError`: 404 for a job that the queue doesn't have, 409 with its status where
    that forbids it.
    """

    async def do(queue: Queue) -> Job:
        before, (action,), after = (
            await queue.get([job_id]),
            await operation.apply(queue, [job_id]),
            await queue.get([job_id]),
        )
        _check(operation, job_id, action)
        job = after[0] or before[0]
        if job is None:  # it came, was acted on and went between the three questions
            raise _unknown(job_id)
        return job

    return await link.ask(do, patience_s=PATIENT_S)


async def delete(parts: Parts, job_id: str) -> Job:
    """Forget a finished job; the job as it was. Raises as `act` does."""
    done = await _delete(parts, [job_id])
    _check(DELETE, job_id, done.actions[0])
    return done.gone[job_id]


async def _delete(parts: Parts, job_ids: Sequence[str]) -> Deleted:
    answer = await parts.link.ask(lambda queue: deleting.ask(queue, job_ids), patience_s=PATIENT_S)
    done = await deleting.settle(parts.database, job_ids, answer, wall_clock())
    parts.broker.publish(done.changes)
    return done


def _check(operation: Operation, job_id: str, action: Action) -> None:
    """Raise unless the queue did it, or asked the job's worker to."""
    match action.acted:
        case Acted.DONE | Acted.REQUESTED:
            return
        case Acted.UNKNOWN:
            raise _unknown(job_id)
        case Acted.KEY_TAKEN:
            raise _conflict(
                "key-taken",
                "Another job holds the key",
                "another unfinished job holds this job's key: wait for it, or cancel it",
                job_id,
                action.status,
            )
        case Acted.DEPENDENCY:
            raise _conflict(
                "dependency-failed",
                "A job that it waits for has not completed",
                "a job that this one waits for has failed, was cancelled or is gone: retry that "
                "one first",
                job_id,
                action.status,
            )
        case Acted.REFUSED:
            possible = ", ".join(operation.statuses)
            raise _conflict(
                "job-state",
                "The job's status forbids this",
                f"a {action.status} job can't be {operation.participle}: only one that is "
                f"{possible}",
                job_id,
                action.status,
            )


def _unknown(job_id: str) -> ProblemError:
    return job_not_found(
        job_id,
        "the queue has no job of this id: it never was, was deleted, or finished so long ago that "
        "only the history has it, where it can be looked at and deleted",
    )


def _conflict(
    slug: str, title: str, detail: str, job_id: str, status: JobStatus | None
) -> ProblemError:
    now = "unknown" if status is None else status.value
    return ProblemError(409, slug, title, detail, job_id=job_id, job_status=now)


# --- many ------------------------------------------------------------------------------------


async def act_on_many(parts: Parts, wanted: BulkRequest) -> BulkView:
    """Do it to all that match, in batches; what became of them.

    When the queue or the history goes away halfway, the rest counts as failed: it may be asked for
    again.
    """
    operation = _OPERATIONS[wanted.action]
    job_ids = await _matching(parts.link, parts.database, operation, wanted)
    counts: Counter[Acted] = Counter()
    reached = 0
    for start in range(0, len(job_ids), _BATCH):
        batch = job_ids[start : start + _BATCH]
        try:
            counts.update(await _act_on_batch(parts, operation, batch))
        except (QueueError, DatabaseUnavailableError):
            if not reached:
                raise
            break
        reached += len(batch)
    done = counts[Acted.DONE] + counts[Acted.REQUESTED]
    return BulkView(
        matched=len(job_ids),
        done=done,
        requested=counts[Acted.REQUESTED],
        skipped=reached - done,
        failed=len(job_ids) - reached,
    )


async def _act_on_batch(parts: Parts, operation: Operation, batch: list[str]) -> Counter[Acted]:
    if operation is DELETE:
        actions = (await _delete(parts, batch)).actions
    else:
        actions = await parts.link.ask(
            lambda queue: operation.apply(queue, batch), patience_s=PATIENT_S
        )
    return Counter(action.acted for action in actions)


async def _matching(
    link: QueueLink, database: Database, operation: Operation, wanted: BulkRequest
) -> list[str]:
    """The ids of the jobs that were meant. Raises `ProblemError` where that isn't clear."""
    if wanted.ids is not None:
        if wanted.filter is not None or wanted.all:
            raise invalid("body.ids", "give ids, or a filter, or all: they don't combine")
        return list(dict.fromkeys(wanted.ids))
    query = _query(wanted.filter or BulkFilter())
    if query == JobQuery() and not wanted.all:
        raise invalid("body.filter", "is empty, which means every job: say so with all: true")
    for status in query.statuses:
        if status not in operation.statuses:
            possible = ", ".join(operation.statuses)
            raise invalid(
                "body.filter.status",
                f"a {status} job can't be {operation.participle}: only one that is {possible}",
            )
    if not query.statuses:
        query = structs.replace(query, statuses=operation.statuses)
    if query.q is not None:
        return await _find_in_history(database, query)
    found = await _find_in_queue(link, query)
    if operation is DELETE:  # also those that the queue has forgotten
        found = list(dict.fromkeys([*found, *await _find_in_history(database, query)]))
    return found


async def _find_in_queue(link: QueueLink, query: JobQuery) -> list[str]:
    """The ids of all jobs that match now: the history may be behind."""
    fields = structs.asdict(query)
    del fields["q"]
    wanted = JobFilter(**fields)
    job_ids: list[str] = []
    cursor: str | None = None
    while True:
        page = await link.ask(
            lambda queue, cursor=cursor: queue.find(wanted, limit=_PAGE, cursor=cursor),
            patience_s=PATIENT_S,
        )
        job_ids.extend(job.id for job in page.items)
        cursor = page.next_cursor
        if cursor is None:
            return job_ids


async def _find_in_history(database: Database, query: JobQuery) -> list[str]:
    """The ids of all jobs that match, words included, which the queue can't look for."""
    async with database.read() as connection:
        return await queries.job_ids(connection, query)


def _query(wanted: BulkFilter) -> JobQuery:
    after, before = wanted.submitted_after, wanted.submitted_before
    return JobQuery(
        statuses=tuple(wanted.status),
        functions=tuple(wanted.function),
        queues=tuple(wanted.queue),
        worker_ids=tuple(wanted.worker_id),
        key=wanted.key,
        parent_id=wanted.parent_id,
        root_id=wanted.root_id,
        q=wanted.q,
        submitted_after=None if after is None else milliseconds(after),
        submitted_before=None if before is None else milliseconds(before),
    )
