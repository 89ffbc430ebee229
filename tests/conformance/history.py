"""What must hold of any event log, whatever was done to the queue that wrote it.

Feed the entries in order; the first event that could not have happened raises, with the story of
its job. The rules:

* a job's events are numbered from 1 without a gap;
* every step is a row of `transitions.TABLE`, and news comes only from running jobs;
* a generation ends once;
* the fence rises by one with each start, and every other event bears that of the latest start;
* failures and rescues count what happened, attempts follow from them;
* no two unfinished jobs hold one key;
* what waits for others is freed once all of them have completed, starts no sooner, and isn't still
  blocked once all have completed, or one has ended otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable
from uuid import uuid4

from conduit.core.events import Event, EventKind
from conduit.core.model import Job, JobStatus
from conduit.core.transitions import TABLE
from conduit.queue.base import Queue, StoredEntry

_LEGAL = {(move.source, move.event, move.target) for move in TABLE}
_NEWS = {
    EventKind.BEGUN,
    EventKind.PROGRESS,
    EventKind.METADATA,
    EventKind.CHECKPOINT,
    EventKind.LOG,
    EventKind.ARTIFACT,
}
# By how much (failures, rescues) may rise in a step of each kind; others leave them alone.
_COUNTED = {
    EventKind.RETRYING: {(1, 0)},
    EventKind.RESCUED: {(0, 1)},
    EventKind.FAILED: {(1, 0), (0, 1)},
    EventKind.CANCELLED: {(0, 0), (0, 1)},
}


class History:
    """The events of a queue, checked as they come; `jobs` has those of each job's present life."""

    def __init__(self) -> None:
        self.jobs: dict[str, list[Event]] = {}
        self._holders: dict[str, str] = {}
        self._outstanding: dict[str, set[str]] = {}
        """What each job that waits for others still waits for."""
        self._dependants: dict[str, set[str]] = {}

    def feed(self, entries: Iterable[StoredEntry]) -> None:
        """Check further entries. Raises `AssertionError` at the first impossible event."""
        for stored in entries:
            for event in stored.entry.events:
                self._feed(event)

    def check_against(self, jobs: Iterable[Job]) -> None:
        """Check that stored jobs are where their events left them."""
        for job in jobs:
            last = self.jobs[job.id][-1]
            told = (last.seq, last.status, last.generation, last.fence, last.failures, last.rescues)
            kept = (job.seq, job.status, job.generation, job.fence, job.failures, job.rescues)
            self._expect(told == kept, f"the stored job disagrees with its last event: {job}", last)
            if job.status is JobStatus.BLOCKED:
                self._expect(self._waits_rightly(job.id), "blocked, and no longer rightly", last)

    def _feed(self, event: Event) -> None:
        story = self.jobs.get(event.job_id, [])
        if event.kind is EventKind.SUBMITTED:
            gone = not story or story[-1].status.finished
            self._expect(gone, "submitted while it was unfinished", event)
            self.jobs[event.job_id] = [event]
            self._begin(event)
        else:
            self._expect(bool(story), "no job.submitted came before", event)
            self._step(story[-1], event)
            story.append(event)
        self._follow_key(event)
        self._follow_dependencies(event)

    def _begin(self, event: Event) -> None:
        self._expect((None, event.kind, event.status) in _LEGAL, "not a legal start", event)
        self._expect(event.submission is not None, "a submission is missing", event)
        awaited = event.submission.after if event.submission else ()
        for job_id in awaited:
            self._expect(job_id in self.jobs, f"waits for {job_id}, which never was", event)
        outstanding = {job_id for job_id in awaited if not self._completed(job_id)}
        self._outstanding.pop(event.job_id, None)
        if outstanding:
            self._outstanding[event.job_id] = outstanding
        for job_id in outstanding:
            self._dependants.setdefault(job_id, set()).add(event.job_id)
        counters = (event.seq, event.attempt, event.generation, event.fence)
        self._expect(counters == (1, 0, 1, 0), "counters don't start afresh", event)
        self._expect(event.failures == event.rescues == 0, "counters don't start afresh", event)

    def _step(self, last: Event, event: Event) -> None:
        self._expect(event.seq == last.seq + 1, "a gap or a repeat in seq", event)
        kind = event.kind
        if kind in _NEWS:
            self._expect(
                last.status is event.status is JobStatus.RUNNING, "news of no running job", event
            )
        elif kind is EventKind.DELETED:
            self._expect(last.status.finished, "deleted while it was unfinished", event)
        else:
            legal = (last.status, kind, event.status) in _LEGAL
            self._expect(legal, f"an illegal move from {last.status}", event)
        self._count(last, event)

    def _count(self, last: Event, event: Event) -> None:
        started = event.kind is EventKind.STARTED
        self._expect(event.fence == last.fence + started, "not the latest lease's fence", event)
        if event.kind is EventKind.REQUEUED:
            self._expect(event.generation == last.generation + 1, "not the next generation", event)
            self._expect(event.failures == event.rescues == 0, "attempts aren't fresh", event)
            return
        self._expect(event.generation == last.generation, "a change of generation", event)
        rise = (event.failures - last.failures, event.rescues - last.rescues)
        counted = _COUNTED.get(event.kind, {(0, 0)})
        self._expect(rise in counted, "failures or rescues don't add up", event)
        attempt = last.failures + last.rescues + 1 if started else last.attempt
        self._expect(event.attempt == attempt, f"attempt should be {attempt}", event)

    def _follow_key(self, event: Event) -> None:
        submission = self.jobs[event.job_id][0].submission
        key = submission and submission.key
        if key is None:
            return
        if event.status.finished:
            if self._holders.get(key) == event.job_id:
                del self._holders[key]
            return
        holder = self._holders.setdefault(key, event.job_id)
        self._expect(holder == event.job_id, f"key {key!r} is held by {holder}", event)

    def _follow_dependencies(self, event: Event) -> None:
        if event.status is JobStatus.COMPLETED:
            for dependant in self._dependants.pop(event.job_id, ()):
                self._outstanding.get(dependant, set()).discard(event.job_id)
        outstanding = self._outstanding.get(event.job_id)
        if event.status is JobStatus.BLOCKED:
            self._expect(bool(outstanding), "blocked, and waits for nobody", event)
        elif not event.status.finished:
            self._expect(not outstanding, f"goes on, and still waits for {outstanding}", event)

    def _completed(self, job_id: str) -> bool:
        return self.jobs[job_id][-1].status is JobStatus.COMPLETED

    def _waits_rightly(self, job_id: str) -> bool:
        """Whether all that a blocked job still waits for can complete."""
        awaited = [self.jobs[each][-1] for each in self._outstanding.get(job_id, ())]
        return bool(awaited) and not any(event.status.finished for event in awaited)

    def _expect(self, holds: bool, complaint: str, event: Event) -> None:
        if not holds:
            story = "\n  ".join(map(str, self.jobs.get(event.job_id, [])))
            raise AssertionError(f"{complaint}:\n  {event}\nafter\n  {story}")


class Reader:
    """Reads a queue's event log from its start, a bit further with each call, as a new group."""

    def __init__(self) -> None:
        self._group = f"reader-{uuid4()}"

    async def read(self, queue: Queue) -> list[StoredEntry]:
        """Every entry that came since the last call; they are settled at once."""
        entries: list[StoredEntry] = []
        while more := await queue.read_events(self._group, "reader"):
            await queue.ack(self._group, [stored.position for stored in more])
            entries.extend(more)
        return entries


async def events_of(queue: Queue, job_id: str | None = None) -> list[Event]:
    """All events in the log, of one job or of all, in order."""
    entries = await Reader().read(queue)
    events = [event for stored in entries for event in stored.entry.events]
    return [event for event in events if job_id in (None, event.job_id)]


async def kinds_of(queue: Queue, job_id: str) -> list[EventKind]:
    """The kinds of one job's events, in order."""
    return [event.kind for event in await events_of(queue, job_id)]


async def check_history(queue: Queue) -> None:
    """Read the whole event log and hold it, and the stored jobs, to the rules above."""
    history = History()
    history.feed(await Reader().read(queue))
    jobs = await queue.get(list(history.jobs))
    history.check_against(job for job in jobs if job is not None)
