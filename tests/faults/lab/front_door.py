"""What must hold of what servers say over HTTP: acts that were answered, and the live stream.

The checks are of the kind that `checker.py` explains.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from conduit.core.events import Event, EventKind
from conduit.core.model import FINISHED, JobStatus
from tests.faults.lab.case import Case
from tests.faults.lab.journal import Line, Told, What

_CANCELS = (EventKind.CANCELLED, EventKind.CANCEL_REQUESTED)
_LASTING_MS = 5_000
"""So far from the time of a request the queue's may be that answered it: a store may be slow."""
_RETRIABLE = (JobStatus.FAILED, JobStatus.CANCELLED)
_STATE = "job-state"


def answers_are_what_the_queue_did(case: Case) -> Iterator[str]:
    """A 200 tells of a state that the job had, and by then the queue had done what was asked for.

    What becomes of a job that was asked to stop, or that was retried, is looked at with all others.
    """
    for line, told in _answers(case, accepted=True):
        events = case.story(line.job_id).events
        known = [each for each in events if each.seq <= told.seq]
        state = (told.seq, told.status, told.generation)
        if not known or (known[-1].seq, known[-1].status, known[-1].generation) != state:
            yield f"job {line.job_id} was told to be {state}, and its events say {known[-1:]}"
        elif line.what is What.CANCELLED and not _is_cancelled(known, told):
            yield f"job {line.job_id} was cancelled, HTTP said ({told}), and the queue did nothing"
        elif line.what is What.RETRIED and not _is_retried(known, told):
            yield f"job {line.job_id} was retried, HTTP said ({told}), and the queue did nothing"


def _answers(case: Case, *, accepted: bool) -> Iterator[tuple[Line, Told]]:
    for line in case.evidence.lines:
        if line.told is None or line.job_id in case.excused:
            continue
        if bool(line.number) is accepted:
            yield line, line.told


def _is_cancelled(known: Sequence[Event], told: Told) -> bool:
    """Whether a cancel came before, in that generation; or in the last, if it has begun anew."""
    generations = {each.generation for each in known if each.kind in _CANCELS}
    return told.generation in generations or told.generation - 1 in generations


def _is_retried(known: Sequence[Event], told: Told) -> bool:
    opened = [each.generation for each in known if each.kind is EventKind.REQUEUED]
    return told.generation in opened


def refusals_name_the_status(case: Case) -> Iterator[str]:
    """A 409 names the status that the job had then, which forbids it; 404 is for what is gone."""
    asked = {What.CANCELLED: What.CANCEL, What.RETRIED: What.RETRY, What.DELETED: What.DELETE}
    calls = {(line.what, line.pid, line.job_id): line.at for line in case.evidence.lines}
    for line, told in _answers(case, accepted=False):
        events = case.story(line.job_id).events
        if not told.status:
            if not any(each.kind is EventKind.DELETED for each in events):
                yield f"job {line.job_id} is unknown, HTTP said ({line.what}), and it is there"
            continue
        since = min(calls.get((asked[line.what], line.pid, line.job_id), line.at), line.at)
        had = _statuses_of(events, since - _LASTING_MS, line.at + _LASTING_MS)
        if told.status not in had or (told.why == _STATE and not _forbids(line, told)):
            yield f"job {line.job_id}: {line.what} was refused as it is {told}; it was {had}"


def _statuses_of(events: Sequence[Event], since: int, until: int) -> set[str]:
    """What a job was from one moment to another."""
    spans = pairwise([*((each.status, each.at) for each in events), (None, until)])
    return {
        status.value
        for (status, begun), (_, ended) in spans
        if status is not None and begun <= until and ended >= since
    }


def _forbids(line: Line, told: Told) -> bool:
    status = JobStatus(told.status)
    if line.what is What.RETRIED:
        return status not in _RETRIABLE
    return (status in FINISHED) is (line.what is What.CANCELLED)


def bulk_cancels_tell_the_truth(case: Case) -> Iterator[str]:
    """Of the jobs that were to be cancelled together so many were as was said, at least."""
    for line in case.lines(What.BULK):
        done = [job_id for job_id in line.among if case.story(job_id).of_kind(*_CANCELS)]
        if len(done) < line.number and not case.excused & set(line.among):
            yield (
                f"{line.number} of {', '.join(line.among)} were cancelled, HTTP said, and events "
                f"tell of {len(done)}"
            )


def deletions_tell_the_truth(case: Case) -> Iterator[str]:
    """What was deleted is gone for good, and nothing else is."""
    called = {line.job_id for line in case.lines(What.DELETE)}
    for line, _ in _answers(case, accepted=True):
        if line.what is What.DELETED and line.job_id in case.jobs:
            yield f"job {line.job_id} was deleted, HTTP said, and is there"
    for job_id, story in case.stories.items():
        if story.of_kind(EventKind.DELETED) and job_id not in called:
            yield f"job {job_id} was deleted, and nobody asked for it"


def servers_answer_as_documented(case: Case) -> Iterator[str]:
    """An act is answered 200, 404, 409 or 503, whatever is broken."""
    for line in case.lines(What.ODD):
        yield line.detail


def the_stream_tells_all_that_changed(case: Case) -> Iterator[str]:
    """Whoever comes back with the id that it saw last is told all that came after, in its order.

    Unless it is told, in so many words, that something was left out.
    """
    heard = case.evidence.heard
    if heard is None:
        return
    told = {each.id for each in heard.told}
    for number, change in case.evidence.changes.items():
        if number not in told and not heard.missed_rightly(number):
            yield f"change {number}, {change}, was never told"
    for first, second in pairwise(heard.told):
        if second.id <= first.id:
            yield f"change {second.id}, {second.kind} of {second.subject}, came after {first.id}"


def the_stream_tells_how_jobs_ended(case: Case) -> Iterator[str]:
    """Of each job the last that is told is how it stands in the end."""
    heard = case.evidence.heard
    if heard is None:
        return
    last = {each.subject: each for each in heard.told if each.topic == "job"}
    for job in case.jobs.values():
        told = last.get(job.id)
        state = told and (told.data.get("status"), told.data.get("seq"))
        if state != (job.status.value, job.seq) and not heard.resets:
            yield f"job {job.id} is {job.status} ({job.seq}), and the stream told {state} last"
