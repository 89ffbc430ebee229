"""Deleting jobs: from the queue, and in the same moment from the history.

Also those that only the history has, because the queue has forgotten them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from msgspec import Struct

from conduit.core.events import EventKind
from conduit.core.model import Job
from conduit.queue.base import Acted, Action, Queue
from conduit.server.db.database import Database
from conduit.server.ingest import soundness
from conduit.server.ingest.apply import Change, LoadedHistory, load, save, take_turn
from conduit.server.models.jobs import as_job


class Deleted(Struct, frozen=True, kw_only=True):
    """What became of each job, in their order; those that are gone as they were; what changed."""

    actions: list[Action]
    gone: dict[str, Job]
    changes: list[Change]


class Answer(Struct, frozen=True):
    """What the queue did to each job, and the job as it was."""

    actions: list[Action]
    jobs: list[Job | None]


async def ask(queue: Queue, job_ids: Sequence[str]) -> Answer:
    """Let the queue delete those of some jobs that are finished."""
    jobs = await queue.get(job_ids)
    # One that runs is left alone, though it may end in between: what is answered is what was.
    chosen = [job_id for job_id, job in zip(job_ids, jobs, strict=True) if _may_go(job)]
    done = dict(zip(chosen, await queue.delete(chosen) if chosen else [], strict=True))
    actions = [
        done.get(job_id) or Action(Acted.REFUSED, None if job is None else job.status)
        for job_id, job in zip(job_ids, jobs, strict=True)
    ]
    return Answer(actions, jobs)


def _may_go(job: Job | None) -> bool:
    return job is None or job.status.finished


async def delete(
    database: Database,
    job_ids: Sequence[str],
    now: int,
    ask_queue: Callable[[Sequence[str]], Awaitable[Answer]],
) -> Deleted:
    """Delete those of some jobs that are finished, and all that belongs to them.

    The queue is asked while the history waits: of several servers that delete a job, one does.
    Raises `DatabaseUnavailableError`, and what `ask_queue` does, which then leaves the history be.
    """
    async with database.begin() as connection:
        await take_turn(connection)
        answer = await ask_queue(job_ids)
        sound = [job_id for job_id in job_ids if soundness.fault_of_id(job_id) is None]
        histories = await load(connection, sound, now)
        actions: list[Action] = []
        gone: dict[str, Job] = {}
        for job_id, action, job in zip(job_ids, answer.actions, answer.jobs, strict=True):
            taken, last = _settle(histories.get(job_id), action, job)
            actions.append(taken)
            if last is not None:
                gone[job_id] = last
        ended = [history for history in histories.values() if history.wiped]
        changes = await save(connection, ended, now, kind=EventKind.DELETED)
    return Deleted(actions=actions, gone=gone, changes=changes)


def _settle(
    history: LoadedHistory | None, action: Action, job: Job | None
) -> tuple[Action, Job | None]:
    """What became of one job, and the job as it was where it is gone."""
    if action.acted is Acted.DONE and job is not None:
        if history is not None:
            history.end(job)
        return action, job
    if action.acted is not Acted.UNKNOWN or history is None or history.row is None:
        return action, None
    row = history.row
    if not history.forget():
        return Action(Acted.REFUSED, row.status), None
    return Action(Acted.DONE, row.status), as_job(row)
