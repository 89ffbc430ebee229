"""cancel, retry, delete: which jobs, whether that is really meant, and what came of each."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter
from msgspec import structs
from rich.text import Text

from conduit.cli.connect import existing_queue
from conduit.cli.ids import ID_HINT, whole_ids
from conduit.cli.matching import Matching, matching_ids
from conduit.cli.output import emit, messages, say
from conduit.cli.problems import EXIT_FAILURE, UsageError, show_message
from conduit.core.errors import ConduitError
from conduit.core.model import FINISHED, Job, JobStatus
from conduit.core.transitions import Verb, allowed
from conduit.queue.base import Acted, Action, JobFilter, Queue

_BATCH = 500
_WORDS = 200
_CANCEL_REASON = "cancelled from the command line"


@Parameter(name="*")
@dataclass(frozen=True)
class Care:
    """How careful to be with many jobs at once."""

    every: Annotated[bool, Parameter(name="--all")] = False
    """Every job for which this is possible, without a filter."""
    dry_run: bool = False
    """Print the jobs that match, each with its function and error, and change nothing."""
    yes: bool = False
    """Don't ask."""


CAREFUL = Care()


@dataclass(frozen=True)
class Operation:
    """One of the three verbs: what it does, to which jobs, and in which words."""

    verb: str
    participle: str
    done: str
    statuses: tuple[JobStatus, ...]
    apply: Callable[[Queue, Sequence[str]], Awaitable[list[Action]]]
    final: bool = False
    """Nothing brings a job back, so that ids, too, need a confirmation."""


def _allowing(verb: Verb) -> tuple[JobStatus, ...]:
    return tuple(status for status in JobStatus if allowed(verb, status))


CANCEL = Operation(
    "cancel",
    "cancelled",
    "cancelled",
    _allowing(Verb.CANCEL),
    lambda queue, ids: queue.cancel(ids, _CANCEL_REASON),
)
RETRY = Operation(
    "retry", "retried", "queued again", _allowing(Verb.RETRY), lambda queue, ids: queue.retry(ids)
)
DELETE = Operation(
    "delete",
    "deleted",
    "deleted",
    tuple(status for status in JobStatus if status in FINISHED),
    lambda queue, ids: queue.delete(ids),
    final=True,
)


async def act(
    operation: Operation,
    job_ids: tuple[str, ...],
    matching: Matching,
    care: Care,
    queue_url: str | None,
) -> int:
    """Do it, to the ids or to all that match; the exit code is 1 if any job refused."""
    wanted = _bulk_filter(operation, job_ids, matching, care)
    async with existing_queue(queue_url) as queue:
        if wanted is None:
            ids = await whole_ids(queue, job_ids)
        else:
            ids = await matching_ids(queue, wanted)
        if care.dry_run:
            await _show(queue, ids)
            say(f"would {operation.verb} {_count(len(ids))}; nothing was changed")
            return 0
        if ids and (wanted is not None or operation.final) and not care.yes:
            _confirm(operation, len(ids))
        actions: list[Action] = []
        for start in range(0, len(ids), _BATCH):
            batch = ids[start : start + _BATCH]
            answers = await operation.apply(queue, batch)
            _report(operation, batch, answers)
            actions.extend(answers)
    done, asked, refused = _tally(actions)
    if wanted is not None:
        stopping = f", {asked} asked to stop" if asked else ""
        say(f"{_count(done)} {operation.done}{stopping}, {refused} refused")
    return EXIT_FAILURE if refused else 0


async def _show(queue: Queue, ids: Sequence[str]) -> None:
    """Print a line per job, by which one sees whether these are the ones that are meant."""
    for start in range(0, len(ids), _BATCH):
        batch = ids[start : start + _BATCH]
        for job_id, job in zip(batch, await queue.get(batch), strict=True):
            emit(f"{job_id}  no such job" if job is None else f"{job_id}  {_summary(job)}")


def _summary(job: Job) -> str:
    """A job's function and, where there is one, its error: the first line of its words."""
    if job.error is None:
        return f"{job.function}  {job.reason or job.status}"
    words = f"{job.error.type}: {job.error.message}".splitlines()[0]
    return f"{job.function}  {words[:_WORDS]}"


def _tally(actions: Sequence[Action]) -> tuple[int, int, int]:
    """How many were done, were asked for, and were refused."""
    counts = Counter(action.acted for action in actions)
    done, asked = counts[Acted.DONE], counts[Acted.REQUESTED]
    return done, asked, len(actions) - done - asked


def _bulk_filter(
    operation: Operation, job_ids: tuple[str, ...], matching: Matching, care: Care
) -> JobFilter | None:
    """The filter of a bulk action; None when jobs are named by id."""
    wanted = matching.filter()
    filtered = wanted != JobFilter()
    if job_ids:
        if filtered or care.every:
            raise UsageError("give ids, or a filter, or --all: they don't combine")
        return None
    if not filtered and not care.every:
        raise UsageError(
            f"which jobs? Give ids, a filter such as --status {operation.statuses[0]}, or --all"
        )
    if not wanted.statuses:
        return structs.replace(wanted, statuses=operation.statuses)
    for status in wanted.statuses:
        if status not in operation.statuses:
            possible = ", ".join(operation.statuses)
            raise UsageError(
                f"a {status} job can't be {operation.participle}: only one that is {possible}"
            )
    return wanted


def _confirm(operation: Operation, count: int) -> None:
    """Ask, where there is someone to ask; raise unless the answer is yes."""
    question = f"{operation.verb} {_count(count)}?"
    if not (sys.stdin.isatty() and messages().is_terminal):
        error = UsageError(f"{question} Nothing was done")
        error.add_note("add --yes to do it, or --dry-run to see which jobs it would be")
        raise error
    answer = messages().input(Text(f"{question} [y/N] "))
    if answer.strip().lower() not in ("y", "yes"):
        raise ConduitError("nothing was done")


def _report(operation: Operation, ids: Sequence[str], actions: Sequence[Action]) -> None:
    """Say what came of each job."""
    for job_id, action in zip(ids, actions, strict=True):
        match action.acted:
            case Acted.DONE:
                emit(f"{job_id} {operation.done}")
            case Acted.REQUESTED:
                emit(f"{job_id} is running; its worker was asked to stop it")
            case _:
                show_message(f"can't {operation.verb}", f"{job_id}: {_why(operation, action)}")


def _why(operation: Operation, action: Action) -> str:
    if action.acted is Acted.UNKNOWN:
        return (
            "no such job in this queue; finished jobs are forgotten after their retention time; "
            f"{ID_HINT}"
        )
    if action.acted is Acted.KEY_TAKEN:
        return (
            "another job holds this job's key, unfinished or within its unique_for window; let "
            "that one finish or cancel it, or wait for the window to end"
        )
    if action.acted is Acted.DEPENDENCY:
        return "a job that it waits for has failed, was cancelled or is gone; retry that one first"
    return f"it is {action.status}; only {', '.join(operation.statuses)} jobs allow that"


def _count(number: int) -> str:
    return "1 job" if number == 1 else f"{number:,} jobs"
