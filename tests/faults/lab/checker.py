"""The checker: what must hold of the evidence of any run, whatever was done to it.

Each check is a function from the evidence to complaints that name the jobs they are about. It
believes the journal, which jobs and submitters wrote themselves, and nothing else.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from msgspec.json import decode

from conduit.core.events import Entry, Event, EventKind
from conduit.core.model import FINISHED, Job, JobStatus, Reason
from conduit.core.transitions import dependency_reason
from conduit.queue.base import StoredEntry
from conduit.server.db.rows import AttemptRow
from conduit.server.ingest.fold import DATA_LOST
from tests.conformance.history import History
from tests.faults.lab import front_door, impolite, manners, ticks
from tests.faults.lab.case import Case
from tests.faults.lab.evidence import Evidence
from tests.faults.lab.journal import What
from tests.faults.lab.nemesis import UNREACHABLE
from tests.faults.lab.service import BLOCK, LEASE_MS, POISONED
from tests.faults.lab.store_faults import STEP_MS, ChangePassword, FillDisk, SetStoreClock
from tests.faults.lab.workload import FAILURES, TIMEOUT, ending_of

_UNREACHABLE = 4
"""The exit code of what finds no queue or no history as it starts."""
_DENIED = 3
"""That of what is refused by its queue as it starts."""
_STARTED_IN_VAIN_MS = 60_000
"""So long after a fault its store may be missed by what starts: a busy machine takes its time."""
_STARTING_MS = 5_000
_STARTING_UP_MS = 20_000
"""So long a run of several workers may take to start all of them, some of which work by then."""


_UNSTOPPABLE = {BLOCK, *impolite.FUNCTIONS}
"""Functions whose attempts may go on once they were told to stop."""


class Complaint(NamedTuple):
    """What doesn't hold: the check's name, and which jobs show it."""

    check: str
    text: str

    def __str__(self) -> str:
        return f"{self.check}: {self.text}"


def check(evidence: Evidence) -> list[Complaint]:
    """Everything that doesn't hold."""
    case = Case(evidence)
    checks = CHECKS_OF_A_LOSS if evidence.losses else CHECKS
    return [Complaint(each.__name__, text) for each in checks for text in each(case)]


# --- accepted means kept -------------------------------------------------------------------------


def accepted_jobs_are_kept(case: Case) -> Iterator[str]:
    """A submit that was answered made a job, and it is there."""
    excused = case.deleted | (set[str]() if case.evidence.confirmed else case.excused)
    for line in case.lines(What.OK):
        if line.job_id not in case.jobs and line.job_id not in excused:
            yield f"job {line.job_id} of {line.label} was accepted, and is lost"


def every_job_has_ended(case: Case) -> Iterator[str]:
    """Nothing is unfinished once all has settled."""
    for job in case.jobs.values():
        if job.status not in FINISHED:
            yield f"job {job.id} ({job.function}) is still {job.status}"


def submits_make_one_job(case: Case) -> Iterator[str]:
    """One call makes at most one job, one that was refused none, and nobody else makes any."""
    calls = Counter(line.label for line in case.lines(What.CALL))
    refusals = [*case.lines(What.REFUSED), *case.lines(What.ORPHANED)]
    refused = Counter(line.label for line in refusals)
    made: dict[str, list[str]] = defaultdict(list)
    for job in case.jobs.values():
        if not job.id.startswith("cron:"):
            made[case.label(job)].append(job.id)
    for label, job_ids in made.items():
        kept = calls[label] - refused[label]
        if len(job_ids) > kept:
            yield (
                f"{label or 'nobody'} was submitted {calls[label]} times, of which "
                f"{refused[label]} were refused, and became {', '.join(job_ids)}"
            )


def jobs_end_as_they_should(case: Case) -> Iterator[str]:
    """Each job has the one final status that its function leads to, or was cancelled: on demand,
    or as one that it waits for has ended otherwise than completed."""
    asked = {line.job_id for line in case.lines(What.CANCEL)}
    for job in case.jobs.values():
        if job.status not in FINISHED:
            continue
        if job.status is JobStatus.CANCELLED:
            if job.id not in asked and job.reason not in _broken(case, job):
                yield (
                    f"job {job.id} ({job.function}) was cancelled ({job.reason}), and nobody asked "
                    f"for it; it waited for {job.after}"
                )
            continue
        wanted = ending_of(job.function, case.arguments[job.id])
        if job.function == manners.IN_TIME and job.reason == Reason.TIMEOUT:
            wanted = TIMEOUT if manners.has_taken_its_time(case, job.id) else wanted
        if (job.status, job.reason) != wanted:
            status, reason = wanted
            yield (
                f"job {job.id} ({job.function}) is {job.status} ({job.reason}) and should be "
                f"{status} ({reason}); its error: {job.error}"
            )


def _broken(case: Case, job: Job) -> set[str]:
    """For which reasons a job may have been cancelled, by what it waits for."""
    return {
        dependency_reason(awaited, event.status)
        for awaited in job.after
        for event in case.story(awaited).of_kind(EventKind.FAILED, EventKind.CANCELLED)
    }


# --- jobs that wait for others -------------------------------------------------------------------


def jobs_wait_for_what_they_name(case: Case) -> Iterator[str]:
    """A job waits for those that its submitter named, once for each, and for nobody else."""
    named = {line.label: tuple(dict.fromkeys(line.after)) for line in case.lines(What.CALL)}
    for job in case.jobs.values():
        wanted = named.get(case.label(job), ())
        if job.after != wanted:
            yield f"job {job.id} waits for {job.after}, and should for {wanted}"


def jobs_begin_after_those_they_wait_for(case: Case) -> Iterator[str]:
    """By the events and by the journal, each had completed, and had its effect, when it began."""
    places = {id(event): place for place, event in enumerate(case.evidence.events)}
    for job in case.jobs.values():
        story = case.story(job.id)
        starts = story.of_kind(EventKind.STARTED)
        for awaited in job.after if starts else ():
            completed = case.story(awaited).of_kind(EventKind.COMPLETED)
            if not completed or places[id(starts[0])] < places[id(completed[0])]:
                yield f"job {job.id} was started before {awaited} had completed"
                continue
            if starts[0].at < completed[0].at and not case.clock_was_set:
                yield f"job {job.id} was started earlier than {awaited} completed"
            ends = [x.at for x in case.story(awaited).ends if x.fence == completed[0].fence]
            if story.begins and ends and min(x.at for x in story.begins) < ends[0]:
                yield f"job {job.id} began while {awaited} was at work"


def only_what_is_missing_is_not_found(case: Case) -> Iterator[str]:
    """Nobody is refused for want of a job that was accepted before, unless it was deleted."""
    excused = case.deleted | (set[str]() if case.evidence.confirmed else case.excused)
    accepted = {line.job_id: line.at for line in reversed(case.lines(What.OK))}
    for line in case.lines(What.ORPHANED):
        if accepted.get(line.job_id, line.at) < line.at and line.job_id not in excused:
            yield f"{line.label} was refused for want of job {line.job_id}, which was accepted"


# --- events and counters -------------------------------------------------------------------------


def events_obey_the_table(case: Case) -> Iterator[str]:
    """The rules of `tests/conformance/history.py`: no gap in seq, legal moves alone, one end to a
    generation, fences and counters that add up, keys held by one unfinished job at a time."""
    history = History()
    broken: set[str] = set()
    for event in case.evidence.events:
        if event.job_id in broken:
            continue
        try:
            history.feed([StoredEntry("", Entry(events=(event,)))])
        except AssertionError as error:
            broken.add(event.job_id)
            yield f"job {event.job_id}: {error}"
    for job in case.jobs.values():
        if job.id in broken:
            continue
        if job.id not in history.jobs:
            yield f"job {job.id} has no event"
            continue
        try:
            history.check_against([job])
        except AssertionError as error:
            yield f"job {job.id}: {error}"


def no_job_vanishes(case: Case) -> Iterator[str]:
    """What the event stream tells of is there, unless it was deleted."""
    last = {event.job_id: event for event in case.evidence.events}
    for job_id, event in last.items():
        if job_id not in case.jobs and event.kind is not EventKind.DELETED:
            yield f"job {job_id} is gone; its last event: {event}"


def failures_are_counted(case: Case) -> Iterator[str]:
    """A job that fails each time does so exactly as often as its function may."""
    for job in case.jobs.values():
        wanted = FAILURES.get(job.function)
        if wanted is not None and job.status is JobStatus.FAILED and job.failures != wanted:
            yield f"job {job.id} ({job.function}) failed {job.failures} times, not {wanted}"


# --- effects -------------------------------------------------------------------------------------


def effects_belong_to_starts(case: Case) -> Iterator[str]:
    """Each effect belongs to one start, on the worker that it went to, and each start to one.

    Where those of `cruncher` run can't be told: in processes of the workers.
    """
    for story in case.stories.values():
        if story.job_id in case.excused:
            continue
        function = case.function(story.job_id)
        starts = {event.fence: event for event in story.of_kind(EventKind.STARTED)}
        for fence, count in Counter(line.fence for line in story.begins).items():
            if count > 1:
                yield f"job {story.job_id} began {count} times under fence {fence}"
        for line in story.begins:
            if line.fence not in starts:
                yield f"job {story.job_id} began under fence {line.fence}, of which no event tells"
            elif starts[line.fence].attempt != line.attempt:
                yield (
                    f"job {story.job_id} was told attempt {line.attempt} under fence {line.fence}, "
                    f"and its event says {starts[line.fence].attempt}"
                )
            elif function not in manners.CRUNCHES and not _is_of(starts[line.fence], line.pid):
                yield (
                    f"job {story.job_id} began in process {line.pid} under fence {line.fence}, "
                    f"which went to {starts[line.fence].worker_id}"
                )


def _is_of(start: Event, pid: int) -> bool:
    return f"-{pid}-" in (start.worker_id or "")


def completed_jobs_had_their_effect(case: Case) -> Iterator[str]:
    """The attempt that completed a job, or failed it of its own accord, has had its effect."""
    for job in case.jobs.values():
        if job.id in case.excused or job.status not in (JobStatus.COMPLETED, JobStatus.FAILED):
            continue
        if job.reason in (Reason.TIMEOUT, Reason.MAX_DELIVERIES):
            continue
        ends = {line.fence for line in case.story(job.id).ends}
        if job.fence not in ends:
            yield (
                f"job {job.id} ({job.function}) is {job.status} by fence {job.fence}, and only "
                f"fences {sorted(ends)} had their effect"
            )


def effects_overlap_only_where_a_lease_was_lost(case: Case) -> Iterator[str]:
    """Two attempts of a job run at once only where the first one's lease was lost.

    Or given back, where a thread, or what blocks the loop, runs on for as long as its worker takes
    to end: nothing but the end of a process ends a thread.
    """
    for story in case.stories.values():
        ended = {line.fence: line.at for line in story.ends}
        lost = {event.fence for event in story.of_kind(EventKind.RESCUED)}
        if case.function(story.job_id) in _UNSTOPPABLE:
            lost |= {event.fence for event in story.of_kind(EventKind.RELEASED)}
        begins = sorted(story.begins, key=lambda line: line.fence)
        for first, second in pairwise(begins):
            end = ended.get(first.fence)
            if end is not None and second.at < end and first.fence not in lost:
                yield (
                    f"job {story.job_id} began under fence {second.fence} while fence "
                    f"{first.fence} was at work, whose lease was not lost"
                )


def keyed_jobs_take_turns(case: Case) -> Iterator[str]:
    """Of the jobs of one key, no two run at once; attempts whose lease was lost don't count."""
    spans: dict[str, list[tuple[int, int, str]]] = defaultdict(list)
    for job in case.jobs.values():
        if job.key is None:
            continue
        begins = {line.fence: line.at for line in case.story(job.id).begins}
        ends = {line.fence: line.at for line in case.story(job.id).ends}
        if job.fence in begins and job.fence in ends:
            spans[job.key].append((begins[job.fence], ends[job.fence], job.id))
    for key, runs in spans.items():
        for (_, end, first), (begin, _, second) in pairwise(sorted(runs)):
            if begin < end:
                yield f"jobs {first} and {second} ran at once under the key {key!r}"


# --- the fence -----------------------------------------------------------------------------------


def what_is_written_bears_the_fence(case: Case) -> Iterator[str]:
    """What an attempt writes bears its fence, and is only taken while that is the latest."""
    for event in case.evidence.events:
        for name, fence in _fences_in(event):
            if fence != event.fence:
                yield (
                    f"job {event.job_id}: the {name} of {event.kind} (seq {event.seq}) was written "
                    f"under fence {fence}, while fence {event.fence} held the lease"
                )


_BOOM = "BoomError"


def _fences_in(event: Event) -> Iterator[tuple[str, int]]:
    """What the jobs of `service.py` put their fence into."""
    if event.kind is EventKind.COMPLETED and event.result:
        yield "result", int(str(decode(bytes(event.result))).rstrip("."))
    if event.error is not None and event.error.type in (_BOOM, "Fail"):
        yield "error", int(event.error.message)
    if event.kind is EventKind.PROGRESS and event.progress_message:
        yield "progress", int(event.progress_message)
    if event.kind is EventKind.METADATA:
        yield "metadata", decode(bytes(event.metadata))["fence"]
    if event.kind is EventKind.CHECKPOINT:
        yield "checkpoint", decode(bytes(event.checkpoint))["fence"]
    for line in event.logs:
        if line.message.startswith("step "):
            yield "log", int(line.message.rpartition(" ")[2])


def checkpoints_are_durable(case: Case) -> Iterator[str]:
    """An attempt finds the last checkpoint of which an earlier one was told that it is saved."""
    saved: dict[str, dict[int, int]] = defaultdict(dict)
    for line in case.lines(What.SAVED):
        saved[line.job_id][line.fence] = line.number
    for line in case.lines(What.RESUMED):
        before = [step for fence, step in saved[line.job_id].items() if fence < line.fence]
        if line.job_id not in case.excused and line.number < max(before, default=-1):
            yield (
                f"job {line.job_id} resumed under fence {line.fence} after step {line.number}, "
                f"though step {max(before)} was saved"
            )


# --- cancels and retries by hand -----------------------------------------------------------------


def cancels_tell_the_truth(case: Case) -> Iterator[str]:
    """A cancel that says it took effect has, and one that says it came too late did."""
    kinds = (EventKind.CANCELLED, EventKind.CANCEL_REQUESTED)
    for line in case.lines(What.CANCELLED):
        story = case.story(line.job_id)
        if line.job_id in case.excused:
            continue
        if line.number and not story.of_kind(*kinds):
            yield f"job {line.job_id} was cancelled, it was said, and no event tells of it"
        if not line.number and not any(event.status in FINISHED for event in story.events):
            yield f"job {line.job_id} had finished before its cancel, it was said, and hadn't"


_UNLIKE_A_CANCEL = (
    EventKind.STARTED,
    EventKind.RETRYING,
    EventKind.FAILED,
    EventKind.RELEASED,
    EventKind.RESCUED,
)


def cancelled_jobs_stay_so(case: Case) -> Iterator[str]:
    """A cancelled job is completed only if it was running, and never starts afterwards."""
    for story in case.stories.values():
        asked = False
        for event in story.events:
            if event.kind is EventKind.CANCEL_REQUESTED:
                asked = True
            elif event.kind is EventKind.REQUEUED:
                asked = False
            elif asked and event.kind in _UNLIKE_A_CANCEL:
                yield f"job {story.job_id} is {event.kind} (seq {event.seq}) after its cancel"


def retries_by_hand_happen_once(case: Case) -> Iterator[str]:
    """A retry by hand that was answered opened a generation; nobody else opens any."""
    calls = Counter(line.job_id for line in case.lines(What.RETRY))
    done = Counter(line.job_id for line in case.lines(What.RETRIED) if line.number)
    for story in case.stories.values():
        opened = len(story.of_kind(EventKind.REQUEUED))
        if (
            story.job_id not in case.excused
            and not done[story.job_id] <= opened <= calls[story.job_id]
        ):
            yield (
                f"job {story.job_id} has {opened} new generations after {calls[story.job_id]} "
                f"retries by hand, of which {done[story.job_id]} were answered"
            )


# --- parents -------------------------------------------------------------------------------------


def children_know_their_parents(case: Case) -> Iterator[str]:
    """A job that was submitted by a job says so, be that deleted meanwhile, and others don't."""
    by_label = {line.label: line.job_id for line in reversed(case.lines(What.OK))}
    for job in case.jobs.values():
        if "/" not in (label := case.label(job)):
            by_label.setdefault(label, job.id)
    for job in case.jobs.values():
        label = case.label(job)
        wanted = by_label.get(label.partition("/")[0]) if label and "/" in label else None
        if (job.parent_id, job.root_id) != (wanted, wanted):
            yield f"job {job.id} ({label}) has the parent {job.parent_id}, and should have {wanted}"


# --- leases --------------------------------------------------------------------------------------


def nothing_is_left_behind(case: Case) -> Iterator[str]:
    """Where no job is unfinished, there is no lease, and no queue counts one."""
    if any(job.status not in FINISHED for job in case.jobs.values()):
        return  # which is complained of elsewhere
    for name, count in case.evidence.leftovers.items():
        if count:
            yield f"{count} {name} are left of finished jobs"
    for queue in case.evidence.queues:
        if queue.queued or queue.scheduled or queue.running or queue.blocked:
            yield f"the queue {queue.name!r} counts jobs that aren't there: {queue}"


def a_clock_that_leaps_takes_no_leases(case: Case) -> Iterator[str]:
    """Leases that lapse because the clock leapt ahead get half a term more.

    In that time workers that live extend theirs, if they are given any time at all.
    """
    steps = [each.at for each in case.evidence.strikes if each.fault == SetStoreClock.name]
    for step in steps[::2]:  # the others set it back
        ahead = step + STEP_MS
        for event in case.evidence.events:
            after_ms = event.at - ahead
            if event.kind is EventKind.RESCUED and 0 <= after_ms < LEASE_MS // 2:
                yield f"job {event.job_id} was rescued {after_ms} ms after the clock leapt ahead"


# --- the history ---------------------------------------------------------------------------------


_JSON = ("args", "result", "metadata", "checkpoint", "steps")
_SAME = (
    *("function", "queue", "status", "submitted_at", "run_at", "priority", "key", "parent_id"),
    *("root_id", "retries", "timeout_ms", "max_deliveries", "expires_at", "claimed_at"),
    *(
        "started_at",
        "finished_at",
        "generation",
        "attempt",
        "failures",
        "rescues",
        "fence",
        "seq",
        "worker_id",
    ),
    *("cancel_requested", "reason", "progress", "progress_message"),
)


def the_history_equals_the_queue(case: Case) -> Iterator[str]:
    """The history has the queue's jobs, field by field, and no others."""
    for job_id in case.evidence.rows.keys() - case.jobs.keys():
        yield f"job {job_id} is in the history, and not in the queue"
    for job_id in {row.job_id for row in case.evidence.attempts} - case.jobs.keys():
        yield f"attempts of job {job_id} are in the history, and it isn't in the queue"
    yield from the_history_has_what_the_queue_has(case)


def the_history_has_what_the_queue_has(case: Case) -> Iterator[str]:
    """Field by field; what else it has doesn't count."""
    for job in case.jobs.values():
        row = case.evidence.rows.get(job.id)
        if row is None:
            yield f"job {job.id} is in the queue, and not in the history"
            continue
        for name in _SAME:
            if getattr(job, name) != getattr(row, name):
                yield _differing(job.id, name, getattr(job, name), getattr(row, name))
        for name in _JSON:
            kept: bytes | None = getattr(job, name)
            told: str | None = getattr(row, name)
            if kept != (told and told.encode()) and _parsed(kept) != _parsed(told):
                yield _differing(job.id, name, kept, told)
        if job.after != row.after:
            yield _differing(job.id, "after", job.after, row.after)
        error = None if row.error is None else decode(row.error)["message"]
        if (job.error and job.error.message) != error:
            yield _differing(job.id, "error", job.error, error)


def _differing(job_id: str, name: str, kept: object, told: object) -> str:
    return f"job {job_id}: its {name} is {kept!r} in the queue and {told!r} in the history"


def _parsed(value: bytes | str | None) -> Any:
    return None if value is None else decode(value)


_ENDS = {
    EventKind.COMPLETED: "completed",
    EventKind.FAILED: "failed",
    EventKind.RETRYING: "retrying",
    EventKind.RELEASED: "released",
    EventKind.RESCUED: "rescued",
    EventKind.CANCELLED: "cancelled",
}


def attempts_of(events: Sequence[Event]) -> Iterator[tuple[Any, ...]]:
    """The attempts that the events of one job tell of: what a row of `attempts` has to say."""
    start: Event | None = None
    began_at: int | None = None
    for event in events:
        began_at = began_at if event.started_at is None else event.started_at
        if event.kind is EventKind.STARTED:
            start, began_at = event, None
        elif start is not None and event.kind in _ENDS:
            yield (
                *(start.fence, start.generation, start.attempt, start.worker_id, start.at),
                *(began_at, event.at, _ENDS[event.kind], event.reason),
            )
            start = None
    if start is not None:
        head = (start.fence, start.generation, start.attempt, start.worker_id, start.at)
        yield (*head, began_at, None, None, None)


def _told(row: AttemptRow) -> tuple[Any, ...]:
    return (
        *(row.fence, row.generation, row.attempt, row.worker_id, row.claimed_at),
        *(row.started_at, row.ended_at, row.outcome, row.reason),
    )


def the_history_has_every_attempt(case: Case) -> Iterator[str]:
    """The history has a row for each start, with the worker, the times and how it ended."""
    rows: dict[str, list[AttemptRow]] = defaultdict(list)
    for row in case.evidence.attempts:
        rows[row.job_id].append(row)
    for job_id in case.jobs:
        wanted = list(attempts_of(case.story(job_id).events))
        told = [_told(row) for row in sorted(rows.get(job_id, []), key=lambda row: row.fence)]
        if told != wanted:
            yield f"job {job_id}: its attempts are {wanted} and the history has {told}"


def the_history_came_of_events(case: Case) -> Iterator[str]:
    """No row had to be put right, unless the history was cut off from the events for long."""
    if case.evidence.healed and not case.evidence.heals:
        yield f"{case.evidence.healed} rows were put right by the queue: their events were lost"


def totals_are_exact(case: Case) -> Iterator[str]:
    """What the HTTP API counts is what there is."""
    if case.evidence.totals is None:
        yield "no server answered"
        return
    counted: Mapping[str, int] = Counter(job.status.value for job in case.jobs.values())
    if case.evidence.totals.jobs != len(case.jobs):
        yield f"the server counts {case.evidence.totals.jobs} jobs, and there are {len(case.jobs)}"
    for status, total in case.evidence.totals.by_status.items():
        if total != counted.get(status, 0):
            there = counted.get(status, 0)
            yield f"the server counts {total} jobs as {status}, and there are {there}"


def dead_letters_are_those_planted(case: Case) -> Iterator[str]:
    """No event was given up, save for those that the run itself spoilt; none waits for another."""
    letters = case.evidence.dead_letters
    if len(letters) != case.evidence.planted:
        yield f"{case.evidence.planted} dead letters were planted, and there are {letters}"
    if case.evidence.parked:
        yield f"{case.evidence.parked} events wait for those before them"


# --- processes -----------------------------------------------------------------------------------


def processes_end_as_they_are_told(case: Case) -> Iterator[str]:
    """No process of ours ends by itself, save for poison; SIGTERM leads to 0.

    Save where it comes before the interpreter has come to handle it: that ends the process. What
    starts while its store is away, or wants another password, may end of that.
    """
    strikes = case.evidence.strikes
    full = [strike for strike in strikes if strike.fault == FillDisk.name]
    denied = [strike for strike in strikes if strike.fault == ChangePassword.name]
    away = [strike for strike in strikes if strike.fault in UNREACHABLE]
    for ended in case.evidence.exits:
        allowed = {-9} if ended.asked == 9 else {0} if ended.asked else {POISONED}
        if ended.asked:
            allowed.add(POISONED)  # it may have come first
            if ended.lived_ms < _STARTING_MS:
                allowed.add(-ended.asked)
        if ended.name.startswith(("submitter", "operator", "forker")):
            allowed.add(0)
        elif ended.name.startswith("server"):
            allowed.discard(POISONED)
        if any(each.at - _STARTING_UP_MS < ended.born <= each.until for each in denied):
            allowed.add(_DENIED)
        absent = [*full, *away] if ended.name.startswith("server") else full
        if any(each.may_be_felt(ended.at, _STARTED_IN_VAIN_MS) for each in absent):
            allowed.add(_UNREACHABLE)
        if ended.code not in allowed:
            yield f"{ended.name} (pid {ended.pid}) ended with {ended.code}, sent {ended.asked}"


# --- a queue that lost everything ----------------------------------------------------------------

_ANSWERED_MS = 5_000
"""By so much a loss may come after its strike was noted, or an answer be noted after the loss."""


def lost_jobs_are_given_up(case: Case) -> Iterator[str]:
    """Of what the queue lost, the history has nothing unfinished: it failed for that reason."""
    last = max(case.evidence.losses) + _ANSWERED_MS
    for job_id in case.evidence.rows.keys() - case.jobs.keys():
        row = case.evidence.rows[job_id]
        if row.status not in FINISHED:
            yield f"job {job_id} was lost, and is {row.status} in the history"
        elif row.reason == DATA_LOST and row.submitted_at > last:
            yield f"job {job_id} was submitted after the last loss, and counts as lost"


def new_jobs_are_kept(case: Case) -> Iterator[str]:
    """What was accepted after the last loss is there."""
    for line in case.lines(What.OK):
        late = line.at > max(case.evidence.losses) + _ANSWERED_MS
        if late and line.job_id not in case.jobs:
            yield f"job {line.job_id} of {line.label} was accepted after the loss, and isn't there"


def no_attempt_happens_twice(case: Case) -> Iterator[str]:
    """A queue that knows nothing any more begins nothing again, ticks neither."""
    begins = Counter((line.job_id, line.fence) for line in case.lines(What.BEGIN))
    for (job_id, fence), count in begins.items():
        if count > 1:
            yield f"job {job_id} began {count} times under fence {fence}"


CHECKS: tuple[Callable[[Case], Iterator[str]], ...] = (
    accepted_jobs_are_kept,
    every_job_has_ended,
    submits_make_one_job,
    jobs_end_as_they_should,
    jobs_wait_for_what_they_name,
    jobs_begin_after_those_they_wait_for,
    only_what_is_missing_is_not_found,
    events_obey_the_table,
    no_job_vanishes,
    failures_are_counted,
    effects_belong_to_starts,
    completed_jobs_had_their_effect,
    effects_overlap_only_where_a_lease_was_lost,
    keyed_jobs_take_turns,
    what_is_written_bears_the_fence,
    checkpoints_are_durable,
    cancels_tell_the_truth,
    cancelled_jobs_stay_so,
    retries_by_hand_happen_once,
    front_door.answers_are_what_the_queue_did,
    front_door.refusals_name_the_status,
    front_door.bulk_cancels_tell_the_truth,
    front_door.deletions_tell_the_truth,
    front_door.servers_answer_as_documented,
    front_door.the_stream_tells_all_that_changed,
    front_door.the_stream_tells_how_jobs_ended,
    ticks.ticks_happen_once_each,
    ticks.no_tick_is_missing,
    ticks.no_tick_comes_early,
    ticks.slow_jobs_keep_their_overlap,
    ticks.a_pause_lets_its_ticks_pass,
    ticks.the_last_missed_tick_runs,
    ticks.a_rolled_back_rhythm_is_in_force,
    children_know_their_parents,
    nothing_is_left_behind,
    a_clock_that_leaps_takes_no_leases,
    the_history_equals_the_queue,
    the_history_has_every_attempt,
    the_history_came_of_events,
    totals_are_exact,
    dead_letters_are_those_planted,
    processes_end_as_they_are_told,
    manners.the_stores_are_whole,
    manners.families_come_to_their_end,
    manners.processes_time_out_what_they_run,
    manners.workers_end_in_time,
    manners.starts_are_told_truly,
)
"""Every check of a run in which nothing, or next to nothing, may be lost."""

CHECKS_OF_A_LOSS: tuple[Callable[[Case], Iterator[str]], ...] = (
    lost_jobs_are_given_up,
    new_jobs_are_kept,
    no_attempt_happens_twice,
    every_job_has_ended,
    submits_make_one_job,
    jobs_end_as_they_should,
    jobs_wait_for_what_they_name,
    jobs_begin_after_those_they_wait_for,
    events_obey_the_table,
    no_job_vanishes,
    failures_are_counted,
    what_is_written_bears_the_fence,
    cancelled_jobs_stay_so,
    ticks.no_tick_comes_early,
    nothing_is_left_behind,
    the_history_has_what_the_queue_has,
    dead_letters_are_those_planted,
    processes_end_as_they_are_told,
    manners.processes_time_out_what_they_run,
    manners.workers_end_in_time,
)
"""Those that hold even where the queue lost everything."""
