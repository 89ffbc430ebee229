"""Deleting jobs: from the queue, and right after it from the history.

Also those that only the history has, because the queue has forgotten them.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from conduit.core.events import EventKind
from conduit.core.model import Job
from conduit.queue.base import Acted, Action, Queue
from conduit.server.db.database import Database, DatabaseUnavailableError
from conduit.server.ingest import soundness
from conduit.server.ingest.apply import Change, LoadedHistory, load, save, take_turn
from conduit.server.models.jobs import as_job


class Deleted(Struct, frozen=True, kw_only=True):
    """What became of each job, in their order; those that are gone as they were; what changed."""

    actions: list[Action]
    gone: dict[str, Job]
    changes: list[Change]


class Answer(Struct, frozen=True):
    """What the queue did to each job, and the job as it was, in their order."""

    actions: list[Action]
    jobs: list[Job | None]


async def ask(queue: Queue, job_ids: Sequence[str]) -> Answer:
    """Let the queue delete those of some jobs that are finished."""
    jobs = await queue.get(job_ids)
    # One that runs is left alone, though it may end in between: what is answered is what was.
    chosen = [job.id for job in jobs if job is not None and job.status.finished]
    done = dict(zip(chosen, await queue.delete(chosen), strict=True))
    return Answer([_action(job, done) for job in jobs], jobs)


def _action(job: Job | None, done: dict[str, Action]) -> Action:
    if job is None:
        return Action(Acted.UNKNOWN)
    return done.get(job.id) or Action(Acted.REFUSED, job.status)


async def settle(database: Database, job_ids: Sequence[str], answer: Answer, now: int) -> Deleted:
    """Delete from the history what the queue has deleted, and finished jobs that it didn't have.

    The queue was asked before, so that nobody waits for it in here: the event of a deletion may
    have come already, or is still to come. Raises `DatabaseUnavailableError`; not where all that is
    missing is that the history shows what its events will tell.
    """
    asked = list(zip(job_ids, answer.actions, answer.jobs, strict=True))
    try:
        return await _settle(database, asked, now)
    except DatabaseUnavailableError:
        if any(job is None for job in answer.jobs):
            raise
        gone = {job_id: job for job_id, action, job in asked if job and _is_done(action)}
        return Deleted(actions=answer.actions, gone=gone, changes=[])


def _is_done(action: Action) -> bool:
    return action.acted is Acted.DONE


async def _settle(
    database: Database, asked: Sequence[tuple[str, Action, Job | None]], now: int
) -> Deleted:
    sound = [job_id for job_id, _, _ in asked if soundness.fault_of_id(job_id) is None]
    actions: list[Action] = []
    gone: dict[str, Job] = {}
    async with database.begin() as connection:
        await take_turn(connection)
        histories = await load(connection, sound, now)
        for job_id, action, job in asked:
            taken, last = _settle_one(histories.get(job_id), action, job)
            actions.append(taken)
            if last is not None:
                gone[job_id] = last
        ended = [history for history in histories.values() if history.wiped]
        changes = await save(connection, ended, now, kind=EventKind.DELETED)
    return Deleted(actions=actions, gone=gone, changes=changes)


def _settle_one(
    history: LoadedHistory | None, action: Action, job: Job | None
) -> tuple[Action, Job | None]:
    """What became of one job, and the job as it was where it is gone."""
    if job is not None:
        if not _is_done(action):  # it is unfinished, or another caller was quicker
            return action, None
        if history is not None:
            history.end(job)
        return action, job
    if history is None or history.row is None:
        return action, None
    row = history.row
    if not history.forget():
        return Action(Acted.REFUSED, row.status), None
    return Action(Acted.DONE, row.status), as_job(row)
