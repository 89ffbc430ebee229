"""What must hold whatever jobs and submitters do to their processes, and to those beside them."""

from __future__ import annotations

import signal
from collections import defaultdict
from collections.abc import Iterator

from conduit.core.events import EventKind
from conduit.core.model import Reason
from tests.faults.lab.case import Case
from tests.faults.lab.journal import What
from tests.faults.lab.service import CRUNCH_TIMEOUT_S, SHUTDOWN_S

IN_TIME = "crunch_in_time"
CRUNCHES = ("crunch", IN_TIME)
"""Functions that run in processes."""
_RAN_MS = round(CRUNCH_TIMEOUT_S * 1000 / 2)
"""Whoever took his whole time has noted his begin so long before, on a machine however busy."""
_ENDS_MS = round((SHUTDOWN_S + 3.0) * 1000)
_BUSY_MS = 10_000
"""By so much a machine that has much else to do may be late."""
_ROUNDED_MS = 5
"""A begin is told as an age, and both clocks are rounded."""


def the_stores_are_whole(case: Case) -> Iterator[str]:
    """The files of a SQLite queue and history are what SQLite takes for sound."""
    if case.evidence.damage:
        yield case.evidence.damage


def families_come_to_their_end(case: Case) -> Iterator[str]:
    """Each process that forks, and each that was forked, is through in the end, unless killed."""
    killed = {strike.pid for strike in case.evidence.strikes}
    left = {line.label for line in case.lines(What.LEFT)}
    for line in case.lines(What.MEMBER):
        if line.label not in left and line.pid not in killed:
            yield (
                f"{line.label} (pid {line.pid}), of a family whose manner is {line.detail}, "
                "hasn't come to its end"
            )


def processes_time_out_what_they_run(case: Case) -> Iterator[str]:
    """A job for a process runs out of time only in its function, never while it waits for one."""
    for story in case.stories.values():
        if case.function(story.job_id) != IN_TIME:
            continue
        begins = {line.fence: line.at for line in story.begins}
        for event in story.of_kind(EventKind.FAILED, EventKind.RETRYING):
            if event.reason == Reason.TIMEOUT and event.fence not in begins:
                yield f"job {story.job_id} ran out of time under fence {event.fence} unbegun"


def has_taken_its_time(case: Case, job_id: str) -> bool:
    """Whether a job that ran out of time has run for long enough to: a machine may be that busy."""
    story = case.story(job_id)
    begins = {line.fence: line.at for line in story.begins}
    return any(
        event.at - begins.get(event.fence, event.at) >= _RAN_MS
        for event in story.of_kind(EventKind.FAILED)
    )


def workers_end_in_time(case: Case) -> Iterator[str]:
    """A worker that was told to end does, whatever its jobs do; being frozen doesn't count."""
    for ended in case.evidence.exits:
        told = ended.asked in (signal.SIGTERM, signal.SIGHUP)
        if ended.name.startswith("worker") and told and ended.took_ms > _ENDS_MS + _BUSY_MS:
            yield f"{ended.name} (pid {ended.pid}) took {ended.took_ms} ms to end"


def starts_are_told_truly(case: Case) -> Iterator[str]:
    """A job was started after it was claimed and before it ended; and, where one process runs them
    one by one, after the one before it had ended.

    Not where the clock was set, and of the last attempt alone: that is what the queue has.
    """
    if case.clock_was_set:
        return
    ended = _ends_by_process(case)
    for job in case.jobs.values():
        starts = [e for e in case.story(job.id).of_kind(EventKind.STARTED) if e.fence == job.fence]
        if job.started_at is None or not starts:
            continue
        if job.started_at < starts[0].at:
            yield f"job {job.id} was started {starts[0].at - job.started_at} ms before its claim"
        if job.finished_at is not None and job.started_at > job.finished_at:
            yield f"job {job.id} was started {job.started_at - job.finished_at} ms after its end"
        if (before := ended.get((job.id, job.fence))) and job.started_at < before - _ROUNDED_MS:
            yield (
                f"job {job.id} was started {before - job.started_at} ms before the one before it "
                "in its process had ended"
            )


def _ends_by_process(case: Case) -> dict[tuple[str, int], int]:
    """Of each attempt in a process of its own: when the one before it there had its effect."""
    lines = defaultdict(list)
    for line in case.evidence.lines:
        if line.what in (What.BEGIN, What.END) and case.function(line.job_id) in CRUNCHES:
            lines[line.pid].append(line)
    before: dict[tuple[str, int], int] = {}
    for its in lines.values():
        end = 0
        for line in its:
            if line.what is What.END:
                end = line.at
            else:
                before[line.job_id, line.fence] = end
    return before
