"""The laboratory's checker: it is content with a good run, and finds whatever is wrong with one.

Each case takes the evidence of a small run in which all went well, and spoils one thing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from msgspec import Raw, json, structs

from conduit.core.events import Event, EventKind, Submission
from conduit.core.model import FINISHED, Job, JobError, JobStatus, Level, LogLine, QueueInfo, Reason
from conduit.core.transitions import dependency_reason
from conduit.server.db.rows import AttemptRow
from conduit.server.ingest.fold import DATA_LOST, row_of
from tests.faults.lab.checker import CHECKS, CHECKS_OF_A_LOSS, attempts_of, check
from tests.faults.lab.evidence import Evidence, Totals
from tests.faults.lab.faults import Strike
from tests.faults.lab.figures import figures_of
from tests.faults.lab.journal import Line, Told, What
from tests.faults.lab.listener import Heard, News
from tests.faults.lab.store_faults import STEP_MS
from tests.faults.lab.system import Exit

_K = EventKind
_S = JobStatus
_STATUS_AFTER = {
    _K.SUBMITTED: _S.QUEUED,
    _K.QUEUED: _S.QUEUED,
    _K.STARTED: _S.RUNNING,
    _K.PROGRESS: _S.RUNNING,
    _K.METADATA: _S.RUNNING,
    _K.CHECKPOINT: _S.RUNNING,
    _K.LOG: _S.RUNNING,
    _K.CANCEL_REQUESTED: _S.RUNNING,
    _K.RETRYING: _S.SCHEDULED,
    _K.RELEASED: _S.QUEUED,
    _K.RESCUED: _S.QUEUED,
    _K.COMPLETED: _S.COMPLETED,
    _K.FAILED: _S.FAILED,
    _K.CANCELLED: _S.CANCELLED,
    _K.REQUEUED: _S.QUEUED,
    _K.DELETED: _S.COMPLETED,
}
_OF_AN_ATTEMPT = (_K.COMPLETED, _K.FAILED, _K.RETRYING)


class Tale:
    """Tells of jobs as the queue, the journal and the history would."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.lines: list[Line] = []
        self.jobs: dict[str, Job] = {}
        self._at = 1_000_000

    def job(
        self,
        job_id: str,
        *kinds: EventKind,
        function: str = "work",
        label: str | None = None,
        key: str | None = None,
        parent: str | None = None,
        after: tuple[str, ...] = (),
        reason: str | None = None,
    ) -> None:
        """A job to which this happens once it was submitted; what it writes bears its fence.

        Where it is cancelled for a `reason`, it was blocked.
        """
        label = label or f"label of {job_id}"
        cron = job_id.startswith("cron:")
        args = b"{}" if cron else json.encode({"label": label, "seconds": 0})
        if not cron:
            self.line(What.CALL, label=label, after=after)
            self.line(What.OK, label=label, job_id=job_id)
        claimed_at = None
        seq, attempt, fence, failures, rescues, generation = 1, 0, 0, 0, 0, 1
        event = Event(
            kind=_K.SUBMITTED,
            job_id=job_id,
            seq=1,
            attempt=0,
            at=self._tick(),
            status=_S.QUEUED if reason is None else _S.BLOCKED,
            submission=Submission(
                function=function,
                queue="default",
                priority=0,
                args=Raw(args),
                key=key,
                parent_id=parent,
                root_id=parent,
                max_deliveries=3,
                after=after,
            ),
        )
        submitted_at = event.at
        self.events.append(event)
        for kind in kinds:
            seq += 1
            failures += kind in (_K.RETRYING, _K.FAILED)
            rescues += kind is _K.RESCUED
            if kind is _K.STARTED:
                fence += 1
                attempt = failures + rescues + 1
                claimed_at = self._at + 1
            if kind is _K.REQUEUED:
                generation, failures, rescues = generation + 1, 0, 0
            if kind in _OF_AN_ATTEMPT:
                self.line(What.END, job_id=job_id, attempt=attempt, fence=fence)
            event = Event(
                kind=kind,
                job_id=job_id,
                seq=seq,
                attempt=attempt,
                at=self._tick(),
                status=_STATUS_AFTER[kind],
                generation=generation,
                fence=fence,
                failures=failures,
                rescues=rescues,
                worker_id="lab-host-7-abc" if kind is _K.STARTED else None,
                **({} if reason is None else {"reason": reason}),
                **_written(kind, fence),
            )
            self.events.append(event)
            if kind is _K.STARTED:
                self.line(What.BEGIN, label=label, job_id=job_id, attempt=attempt, fence=fence)
        ended = event.status in FINISHED
        self.jobs[job_id] = Job(
            id=job_id,
            function=function,
            queue="default",
            priority=0,
            max_deliveries=3,
            status=event.status,
            args=args,
            submitted_at=submitted_at,
            run_at=submitted_at,
            key=key,
            parent_id=parent,
            root_id=parent,
            after=after,
            claimed_at=claimed_at,
            finished_at=event.at if ended else None,
            generation=generation,
            attempt=attempt,
            failures=failures,
            rescues=rescues,
            fence=fence,
            seq=seq,
            worker_id="lab-host-7-abc",
            reason=event.reason,
            error=event.error,
            result=bytes(event.result) if event.result else None,
        )
        if event.kind is _K.DELETED:
            del self.jobs[job_id]

    def over_http(
        self, asked: What, answered: What, job_id: str, told: Told, *, number: int = 0
    ) -> None:
        """An act over HTTP and its answer."""
        self.line(asked, job_id=job_id)
        self.line(answered, job_id=job_id, told=told, number=number)

    def tick(self, name: str, at: int, *, version: str = "abc") -> None:
        """The job of a tick, which has run."""
        self.job(f"cron:{name}:{version}:{at}", _K.STARTED, _K.COMPLETED, function=name)

    def line(self, what: What, **fields: Any) -> None:
        """A line of the journal."""
        self.lines.append(Line(**({"what": what, "at": self._tick(), "pid": 7} | fields)))

    def evidence(self) -> Evidence:
        """What this leaves behind, where the history is right."""
        by_job: dict[str, list[Event]] = {}
        for event in self.events:
            by_job.setdefault(event.job_id, []).append(event)
        statuses = [job.status.value for job in self.jobs.values()]
        news = [
            News(number, "job", x.kind, x.job_id, {"status": x.status.value, "seq": x.seq})
            for number, x in enumerate(self.events, start=1)
        ]
        return Evidence(
            lines=self.lines,
            jobs=self.jobs,
            events=self.events,
            rows={job.id: row_of(job, 0) for job in self.jobs.values()},
            attempts=[
                AttemptRow(**dict(zip(_ATTEMPT, told, strict=True)), job_id=job_id, error=None)
                for job_id, events in by_job.items()
                if job_id in self.jobs
                for told in attempts_of(events)
            ],
            totals=Totals(
                jobs=len(statuses),
                by_status={status.value: statuses.count(status.value) for status in JobStatus},
            ),
            leftovers={"leases": 0},
            queues=[QueueInfo(name="default")],
            heard=Heard(told=news, last_id=len(news), resumed=1),
            changes={each.id: f"{each.kind} of {each.subject}" for each in news},
            strikes=_a_kill(),
            exits=[
                Exit("guest", 6, 20_500, 0, 15),
                Exit("worker-0", 7, 0, -9, 9),
                Exit("submitter-0", 8, 0, 0, None),
            ],
        )

    def _tick(self) -> int:
        self._at += 1
        return self._at


def _a_kill() -> list[Strike]:
    return [Strike(fault="member-kill", at=1, target="a member", pid=9)]


_ATTEMPT = (
    *("fence", "generation", "attempt", "worker_id", "claimed_at"),
    *("started_at", "ended_at", "outcome", "reason"),
)


def _written(kind: EventKind, fence: int) -> dict[str, Any]:
    """What `service.py` has its jobs write."""
    step = Raw(json.encode({"fence": fence, "step": 0}))
    boom = JobError(type="BoomError", message=str(fence))
    told: dict[EventKind, dict[str, Any]] = {
        _K.COMPLETED: {"result": Raw(b"%d" % fence)},
        _K.RETRYING: {"error": boom},
        _K.FAILED: {"error": boom, "reason": Reason.ERROR.value},
        _K.PROGRESS: {"progress": 0.5, "progress_message": str(fence)},
        _K.METADATA: {"metadata": step},
        _K.CHECKPOINT: {"checkpoint": step},
        _K.LOG: {"logs": (LogLine(0, Level.INFO, "job", f"step 0 under {fence}"),)},
    }
    return told.get(kind, {})


def _add_families(tale: Tale) -> None:
    """Jobs in processes, and those that fork."""
    tale.job("in-process-1", _K.STARTED, _K.COMPLETED, function="crunch_in_time")
    tale.job("in-process-2", _K.STARTED, _K.COMPLETED, function="crunch_in_time")
    tale.line(What.MEMBER, label="f.0.1", detail="fork", pid=8)
    tale.line(What.LEFT, label="f.0.1", pid=8)
    tale.line(What.MEMBER, label="f.0.2", detail="fork", pid=9)


def _add_ticks(tale: Tale) -> None:
    """Schedules."""
    for second in (1, 2, 3):
        tale.tick("tick", second * 1000)
        tale.tick("slow_or_skip", second * 1000)
        tale.tick("slow_in_turn", second * 1000)
        tale.tick("rest", second * 1000)
    tale.line(What.PAUSE, label="rest", at=3_500)
    tale.line(What.PAUSED, label="rest", at=3_600)
    tale.line(What.UNPAUSE, label="rest", at=6_400)
    tale.line(What.UNPAUSED, label="rest", at=6_500)
    tale.tick("rest", 7_000)
    for second in range(9, 16):
        tale.tick("visit_all", second * 1000)
    tale.tick("visit_last", 12_000)
    tale.tick("steady", 20_000, version="old")
    tale.tick("steady", 21_000, version="new")
    tale.tick("steady", 22_000, version="old")


def a_good_run() -> Tale:
    """One in which there is something for each check to look at."""
    tale = Tale()
    tale.job("plain", _K.STARTED, _K.COMPLETED)
    tale.job("rescued", _K.STARTED, _K.RESCUED, _K.STARTED, _K.COMPLETED)
    again = (_K.STARTED, _K.RETRYING, _K.QUEUED)
    tale.job("failed", *again, *again, _K.STARTED, _K.FAILED, function="fail")
    tale.job("keyed-1", _K.STARTED, _K.COMPLETED, function="keyed", key="k")
    tale.job("keyed-2", _K.STARTED, _K.COMPLETED, function="keyed", key="k")
    news = (_K.PROGRESS, _K.METADATA, _K.LOG, _K.CHECKPOINT)
    tale.job(
        "saga", _K.STARTED, *news, _K.RESCUED, _K.STARTED, *news, _K.COMPLETED, function="saga"
    )
    tale.line(What.SAVED, job_id="saga", fence=1, number=0)
    tale.line(What.RESUMED, job_id="saga", fence=2, number=0)
    tale.job("cancelled", _K.CANCELLED)
    tale.line(What.CANCEL, job_id="cancelled")
    tale.line(What.CANCELLED, job_id="cancelled", number=1)
    tale.job("parent", _K.STARTED, _K.COMPLETED, function="parent", label="p")
    tale.job("child", _K.STARTED, _K.COMPLETED, label="p/1.0", parent="parent")
    tale.job("waited", _K.STARTED, _K.COMPLETED, after=("plain", "rescued"))
    reason = dependency_reason("failed", _S.FAILED)
    tale.job("in-vain", _K.CANCELLED, after=("plain", "failed"), reason=reason)
    tale.line(What.CALL, label="orphan", after=("unknown",))
    tale.line(What.ORPHANED, label="orphan", job_id="unknown")
    tale.job("asked", _K.STARTED, _K.CANCEL_REQUESTED, _K.CANCELLED)
    tale.over_http(What.CANCEL, What.CANCELLED, "asked", Told("running", 1, 3), number=1)
    tale.over_http(What.DELETE, What.DELETED, "asked", Told("running", why="job-state"))
    tale.line(What.BULK, among=("asked", "plain"), number=1)
    tale.job("again", _K.CANCELLED, _K.REQUEUED, _K.STARTED, _K.COMPLETED)
    tale.over_http(What.CANCEL, What.CANCELLED, "again", Told("cancelled", 1, 2), number=1)
    tale.over_http(What.RETRY, What.RETRIED, "again", Told("queued", 2, 3), number=1)
    tale.over_http(What.RETRY, What.RETRIED, "again", Told("completed", why="job-state"))
    tale.job("deleted", _K.STARTED, _K.COMPLETED, _K.DELETED)
    tale.over_http(What.DELETE, What.DELETED, "deleted", Told("completed", 1, 3), number=1)
    tale.over_http(What.CANCEL, What.CANCELLED, "deleted", Told(why="job-not-found"))
    _add_families(tale)
    _add_ticks(tale)
    return tale


# --- spoiling ------------------------------------------------------------------------------------


def with_job(evidence: Evidence, job_id: str, **changes: Any) -> Evidence:
    """The evidence with another state of a job, in the queue and in the history."""
    job = structs.replace(evidence.jobs[job_id], **changes)
    return structs.replace(
        evidence,
        jobs={**evidence.jobs, job_id: job},
        rows={**evidence.rows, job_id: row_of(job, 0)},
    )


def without_job(evidence: Evidence, job_id: str) -> Evidence:
    """The evidence without a job."""
    return structs.replace(
        evidence,
        jobs={key: job for key, job in evidence.jobs.items() if key != job_id},
        rows={key: row for key, row in evidence.rows.items() if key != job_id},
    )


def with_row(evidence: Evidence, job_id: str, **changes: Any) -> Evidence:
    """The evidence with another row of a job."""
    row = structs.replace(evidence.rows[job_id], **changes)
    return structs.replace(evidence, rows={**evidence.rows, job_id: row})


def with_event(
    evidence: Evidence, job_id: str, kind: EventKind, which: int = 0, /, **changes: Any
) -> Evidence:
    """The evidence with one event of a job changed: the `which`th of that kind."""
    found = [e for e in evidence.events if (e.job_id, e.kind) == (job_id, kind)][which]
    changed = structs.replace(found, **changes)
    return structs.replace(
        evidence, events=[changed if event is found else event for event in evidence.events]
    )


def without_event(evidence: Evidence, job_id: str, kind: EventKind, which: int = 0) -> Evidence:
    """The evidence without one event of a job."""
    found = [e for e in evidence.events if (e.job_id, e.kind) == (job_id, kind)][which]
    return structs.replace(
        evidence, events=[event for event in evidence.events if event is not found]
    )


def with_line(evidence: Evidence, what: What, job_id: str, /, **changes: Any) -> Evidence:
    """The evidence with the last line of a kind about a job changed."""
    found = [line for line in evidence.lines if (line.what, line.job_id) == (what, job_id)][-1]
    changed = structs.replace(found, **changes)
    return structs.replace(
        evidence, lines=[changed if line is found else line for line in evidence.lines]
    )


def without_line(evidence: Evidence, what: What, job_id: str) -> Evidence:
    """The evidence without the lines of a kind about a job."""
    kept = [line for line in evidence.lines if (line.what, line.job_id) != (what, job_id)]
    return structs.replace(evidence, lines=kept)


def plus_line(evidence: Evidence, what: What, **fields: Any) -> Evidence:
    """The evidence with one more line."""
    fields = {"at": 2_000_000, "pid": 7} | fields
    return structs.replace(evidence, lines=[*evidence.lines, Line(what=what, **fields)])


def doubled(evidence: Evidence, job_id: str) -> Evidence:
    """The evidence with a second job of one submit."""
    job = structs.replace(evidence.jobs[job_id], id="twin")
    return structs.replace(evidence, jobs={**evidence.jobs, "twin": job})


def _refused(evidence: Evidence) -> Evidence:
    return plus_line(without_line(evidence, What.OK, "plain"), What.REFUSED, label="label of plain")


def _rescued_as_a_clock_leapt(evidence: Evidence) -> Evidence:
    at = next(each.at for each in evidence.events if each.kind is _K.RESCUED)
    leap = Strike(fault="clock-store", at=at - STEP_MS - 200, target="valkey")
    return structs.replace(evidence, strikes=[leap])


def _a_tick_of_its_own(evidence: Evidence) -> Evidence:
    job = structs.replace(evidence.jobs["cron:tick:abc:3000"], id="cron:tick:abc:3500")
    return structs.replace(evidence, jobs={**evidence.jobs, job.id: job})


def _ticked_again(evidence: Evidence, at: int) -> Evidence:
    """The evidence with the tick of a newer version at a time that the older one has ticked at."""
    job = structs.replace(evidence.jobs["cron:steady:new:21000"], id=f"cron:steady:old:{at}")
    return structs.replace(evidence, jobs={**evidence.jobs, job.id: job})


def _a_tick_of_the_pause(evidence: Evidence) -> Evidence:
    job = structs.replace(evidence.jobs["cron:rest:abc:3000"], id="cron:rest:abc:5000")
    return structs.replace(evidence, jobs={**evidence.jobs, job.id: job})


def _made_up_at_once(evidence: Evidence) -> Evidence:
    last = evidence.jobs["cron:visit_last:abc:12000"]
    missed = structs.replace(last, id="cron:visit_last:abc:8000")
    return structs.replace(evidence, jobs={**evidence.jobs, missed.id: missed})


def _end_of(evidence: Evidence, job_id: str, fence: int) -> Evidence:
    """The evidence with an attempt that went on until long after its successor's start."""
    line = Line(what=What.END, at=3_000_000, pid=7, job_id=job_id, fence=fence)
    others = [
        each
        for each in evidence.lines
        if (each.what, each.job_id, each.fence) != (What.END, job_id, fence)
    ]
    return structs.replace(evidence, lines=[*others, line])


def _with_heard(evidence: Evidence, told: Sequence[News], **changes: Any) -> Evidence:
    assert evidence.heard is not None
    heard = structs.replace(evidence.heard, told=told, **changes)
    return structs.replace(evidence, heard=heard)


def _heard(evidence: Evidence) -> Sequence[News]:
    assert evidence.heard is not None
    return evidence.heard.told


def _told(evidence: Evidence, what: What, job_id: str, told: Told, number: int = 1) -> Evidence:
    """The evidence with one more answer over HTTP."""
    return plus_line(evidence, what, job_id=job_id, told=told, number=number)


Spoil = Callable[[Evidence], Evidence]

BAD: list[tuple[str, str, Spoil]] = [
    ("accepted_jobs_are_kept", "plain", lambda e: without_job(e, "plain")),
    ("no_job_vanishes", "plain", lambda e: without_job(e, "plain")),
    ("every_job_has_ended", "plain", lambda e: with_job(e, "plain", status=_S.RUNNING)),
    ("submits_make_one_job", "twin", lambda e: doubled(e, "plain")),
    ("submits_make_one_job", "plain", _refused),
    ("submits_make_one_job", "plain", lambda e: with_job(e, "plain", args=b'{"label":"?"}')),
    (
        "jobs_end_as_they_should",
        "plain",
        lambda e: with_job(e, "plain", status=_S.FAILED, reason="error"),
    ),
    (
        "jobs_end_as_they_should",
        "failed",
        lambda e: with_job(e, "failed", reason=Reason.MAX_DELIVERIES.value),
    ),
    (
        "jobs_end_as_they_should",
        "cancelled",
        lambda e: without_line(e, What.CANCEL, "cancelled"),
    ),
    ("jobs_end_as_they_should", "in-vain", lambda e: with_job(e, "in-vain", reason=None)),
    (
        "jobs_end_as_they_should",
        "in-vain",
        lambda e: with_job(e, "in-vain", reason=dependency_reason("plain", _S.FAILED)),
    ),
    (
        "jobs_end_as_they_should",
        "in-vain",
        lambda e: with_job(e, "in-vain", reason=dependency_reason("failed", _S.CANCELLED)),
    ),
    ("every_job_has_ended", "in-vain", lambda e: with_job(e, "in-vain", status=_S.BLOCKED)),
    (
        "jobs_wait_for_what_they_name",
        "waited",
        lambda e: with_job(e, "waited", after=("plain",)),
    ),
    ("jobs_wait_for_what_they_name", "plain", lambda e: with_job(e, "plain", after=("saga",))),
    (
        "jobs_begin_after_those_they_wait_for",
        "before rescued had",
        lambda e: without_event(e, "rescued", _K.COMPLETED),
    ),
    (
        "jobs_begin_after_those_they_wait_for",
        "before rescued had",
        lambda e: _begun_first(e, "waited"),
    ),
    (
        "jobs_begin_after_those_they_wait_for",
        "earlier than rescued",
        lambda e: with_event(e, "rescued", _K.COMPLETED, at=9_000_000),
    ),
    (
        "jobs_begin_after_those_they_wait_for",
        "while rescued was at work",
        lambda e: _end_of(e, "rescued", 2),
    ),
    (
        "only_what_is_missing_is_not_found",
        "job plain",
        lambda e: plus_line(e, What.ORPHANED, label="orphan", job_id="plain"),
    ),
    (
        "submits_make_one_job",
        "plain",
        lambda e: plus_line(e, What.ORPHANED, label="label of plain", job_id="unknown"),
    ),
    ("events_obey_the_table", "plain", lambda e: without_event(e, "plain", _K.STARTED)),
    ("events_obey_the_table", "plain", lambda e: without_event(e, "plain", _K.COMPLETED)),
    ("events_obey_the_table", "plain", lambda e: with_event(e, "plain", _K.COMPLETED, fence=2)),
    ("events_obey_the_table", "plain", lambda e: with_event(e, "plain", _K.COMPLETED, seq=4)),
    ("events_obey_the_table", "rescued", lambda e: with_event(e, "rescued", _K.RESCUED, rescues=0)),
    (
        "events_obey_the_table",
        "rescued",
        lambda e: with_event(e, "rescued", _K.STARTED, 1, attempt=1),
    ),
    (
        "events_obey_the_table",
        "plain",
        lambda e: structs.replace(e, events=[*e.events, e.events[2]]),
    ),
    (
        "events_obey_the_table",
        "keyed-2",
        lambda e: without_event(e, "keyed-1", _K.COMPLETED),
    ),
    (
        "events_obey_the_table",
        "plain",
        lambda e: structs.replace(e, events=[x for x in e.events if x.job_id != "plain"]),
    ),
    ("events_obey_the_table", "plain", lambda e: with_job(e, "plain", seq=9)),
    ("failures_are_counted", "failed", lambda e: with_job(e, "failed", failures=2)),
    (
        "effects_belong_to_starts",
        "plain",
        lambda e: plus_line(e, What.BEGIN, job_id="plain", attempt=1, fence=1),
    ),
    (
        "effects_belong_to_starts",
        "plain",
        lambda e: plus_line(e, What.BEGIN, job_id="plain", attempt=1, fence=2),
    ),
    (
        "effects_belong_to_starts",
        "rescued",
        lambda e: with_line(e, What.BEGIN, "rescued", attempt=1),
    ),
    (
        "effects_belong_to_starts",
        "rescued",
        lambda e: with_line(e, What.BEGIN, "rescued", pid=8),
    ),
    (
        "completed_jobs_had_their_effect",
        "plain",
        lambda e: without_line(e, What.END, "plain"),
    ),
    ("completed_jobs_had_their_effect", "rescued", lambda e: _end_of_first_alone(e, "rescued")),
    ("effects_overlap_only_where_a_lease_was_lost", "failed", lambda e: _end_of(e, "failed", 1)),
    ("keyed_jobs_take_turns", "keyed-2", lambda e: _end_of(e, "keyed-1", 1)),
    (
        "what_is_written_bears_the_fence",
        "rescued",
        lambda e: with_event(e, "rescued", _K.COMPLETED, result=Raw(b"1")),
    ),
    (
        "what_is_written_bears_the_fence",
        "failed",
        lambda e: with_event(e, "failed", _K.RETRYING, error=JobError("BoomError", "2")),
    ),
    *(
        (
            "what_is_written_bears_the_fence",
            "saga",
            lambda e, kind=kind: with_event(e, "saga", kind, 1, **_written(kind, 1)),
        )
        for kind in (_K.PROGRESS, _K.METADATA, _K.CHECKPOINT, _K.LOG)
    ),
    ("checkpoints_are_durable", "saga", lambda e: with_line(e, What.RESUMED, "saga", number=-1)),
    (
        "cancels_tell_the_truth",
        "plain",
        lambda e: plus_line(e, What.CANCELLED, job_id="plain", number=1),
    ),
    (
        "cancels_tell_the_truth",
        "cancelled",
        lambda e: without_event(
            with_line(e, What.CANCELLED, "cancelled", number=0), "cancelled", _K.CANCELLED
        ),
    ),
    (
        "cancelled_jobs_stay_so",
        "rescued",
        lambda e: with_event(e, "rescued", _K.RESCUED, kind=_K.CANCEL_REQUESTED),
    ),
    (
        "retries_by_hand_happen_once",
        "plain",
        lambda e: plus_line(
            plus_line(e, What.RETRY, job_id="plain"), What.RETRIED, job_id="plain", number=1
        ),
    ),
    (
        "retries_by_hand_happen_once",
        "rescued",
        lambda e: with_event(e, "rescued", _K.RESCUED, kind=_K.REQUEUED),
    ),
    (
        "answers_are_what_the_queue_did",
        "plain was cancelled",
        lambda e: _told(e, What.CANCELLED, "plain", Told("completed", 1, 3)),
    ),
    (
        "answers_are_what_the_queue_did",
        "plain was retried",
        lambda e: _told(e, What.RETRIED, "plain", Told("completed", 1, 3)),
    ),
    (
        "answers_are_what_the_queue_did",
        "asked was told to be",
        lambda e: _told(e, What.CANCELLED, "asked", Told("cancelled", 1, 3)),
    ),
    (
        "answers_are_what_the_queue_did",
        "asked was told to be",
        lambda e: _told(e, What.CANCELLED, "asked", Told("cancelled", 1, 9)),
    ),
    (
        "cancelled_jobs_stay_so",
        "rescued",
        lambda e: with_event(e, "rescued", _K.STARTED, kind=_K.CANCEL_REQUESTED),
    ),
    (
        "refusals_name_the_status",
        "plain: cancelled was refused",
        lambda e: _told(e, What.CANCELLED, "plain", Told("failed", why="job-state"), 0),
    ),
    (
        "refusals_name_the_status",
        "failed: retried was refused",
        lambda e: _told(e, What.RETRIED, "failed", Told("failed", why="job-state"), 0),
    ),
    (
        "refusals_name_the_status",
        "plain is unknown",
        lambda e: _told(e, What.CANCELLED, "plain", Told(why="job-not-found"), 0),
    ),
    (
        "bulk_cancels_tell_the_truth",
        "2 of asked, plain",
        lambda e: plus_line(e, What.BULK, among=("asked", "plain"), number=2),
    ),
    (
        "deletions_tell_the_truth",
        "plain was deleted, HTTP said",
        lambda e: _told(e, What.DELETED, "plain", Told("completed", 1, 3)),
    ),
    (
        "deletions_tell_the_truth",
        "nobody asked",
        lambda e: without_line(e, What.DELETE, "deleted"),
    ),
    (
        "servers_answer_as_documented",
        "500",
        lambda e: plus_line(e, What.ODD, detail="POST jobs/plain/cancel: 500"),
    ),
    (
        "the_stream_tells_all_that_changed",
        "change 2, job.started of plain, was never told",
        lambda e: _with_heard(e, [x for x in _heard(e) if x.id != 2]),
    ),
    (
        "the_stream_tells_all_that_changed",
        "change 3, job.completed of plain, was never told",
        lambda e: _with_heard(e, [x for x in _heard(e) if x.id != 3], resets=[(4, 5)]),
    ),
    (
        "the_stream_tells_all_that_changed",
        "change 1, job.submitted of plain, came after",
        lambda e: _with_heard(e, [*_heard(e), _heard(e)[0]]),
    ),
    (
        "the_stream_tells_how_jobs_ended",
        "job plain is completed (3), and the stream told ('running', 2) last",
        lambda e: _with_heard(e, [x for x in _heard(e) if x.id != 3]),
    ),
    (
        "the_history_equals_the_queue",
        "attempts of job deleted",
        lambda e: structs.replace(
            e, attempts=[*e.attempts, structs.replace(e.attempts[0], job_id="deleted")]
        ),
    ),
    ("no_tick_is_missing", "1000 and 3000", lambda e: without_job(e, "cron:tick:abc:2000")),
    ("no_tick_is_missing", "3000 and 7000", lambda e: without_line(e, What.PAUSE, "")),
    ("no_tick_is_missing", "last at 3000", lambda e: structs.replace(e, ended_at=60_000)),
    ("ticks_happen_once_each", "3500", _a_tick_of_its_own),
    ("ticks_happen_once_each", "twice at 21000", lambda e: _ticked_again(e, 21_000)),
    (
        "slow_jobs_keep_their_overlap",
        "slow_or_skip",
        lambda e: without_event(e, "cron:slow_or_skip:abc:1000", _K.COMPLETED),
    ),
    (
        "slow_jobs_keep_their_overlap",
        "slow_in_turn",
        lambda e: without_event(
            without_event(e, "cron:slow_in_turn:abc:1000", _K.COMPLETED),
            "cron:slow_in_turn:abc:2000",
            _K.COMPLETED,
        ),
    ),
    ("a_pause_lets_its_ticks_pass", "cron:rest:abc:5000", _a_tick_of_the_pause),
    (
        "the_last_missed_tick_runs",
        "its tick at 12000",
        lambda e: without_job(e, "cron:visit_last:abc:12000"),
    ),
    ("the_last_missed_tick_runs", "two ticks at once", _made_up_at_once),
    (
        "a_rolled_back_rhythm_is_in_force",
        "ended at 20500",
        lambda e: structs.replace(without_job(e, "cron:steady:old:22000"), ended_at=40_000),
    ),
    (
        "no_tick_comes_early",
        "1 ms before",
        lambda e: with_job(e, "cron:tick:abc:2000", submitted_at=1999),
    ),
    ("a_clock_that_leaps_takes_no_leases", "rescued 200 ms", _rescued_as_a_clock_leapt),
    ("children_know_their_parents", "child", lambda e: with_job(e, "child", parent_id=None)),
    ("children_know_their_parents", "plain", lambda e: with_job(e, "plain", parent_id="parent")),
    ("nothing_is_left_behind", "1 leases", lambda e: structs.replace(e, leftovers={"leases": 1})),
    (
        "nothing_is_left_behind",
        "default",
        lambda e: structs.replace(e, queues=[QueueInfo(name="default", running=1)]),
    ),
    ("the_history_equals_the_queue", "plain", lambda e: with_row(e, "plain", attempt=2)),
    ("the_history_equals_the_queue", "plain", lambda e: with_row(e, "plain", result="7")),
    ("the_history_equals_the_queue", "failed", lambda e: with_row(e, "failed", error=None)),
    (
        "the_history_equals_the_queue",
        "plain",
        lambda e: with_row(e, "plain", status=_S.RUNNING),
    ),
    ("the_history_equals_the_queue", "waited", lambda e: with_row(e, "waited", after=None)),
    (
        "the_history_equals_the_queue",
        "waited",
        lambda e: with_row(e, "waited", after='["rescued","plain"]'),
    ),
    ("the_history_equals_the_queue", "plain", lambda e: structs.replace(e, rows={})),
    (
        "the_history_equals_the_queue",
        "ghost",
        lambda e: structs.replace(e, rows={**e.rows, "ghost": e.rows["plain"]}),
    ),
    (
        "the_history_has_every_attempt",
        "rescued",
        lambda e: structs.replace(
            e, attempts=[a for a in e.attempts if (a.job_id, a.fence) != ("rescued", 1)]
        ),
    ),
    (
        "the_history_has_every_attempt",
        "plain",
        lambda e: structs.replace(
            e, attempts=[structs.replace(a, outcome="released") for a in e.attempts]
        ),
    ),
    (
        "the_history_came_of_events",
        "2 rows",
        lambda e: structs.replace(e, healed=2, heals=False),
    ),
    ("totals_are_exact", "7 jobs", lambda e: _with_totals(e, jobs=7)),
    ("totals_are_exact", "9 jobs as failed", lambda e: _with_totals(e, by_status={"failed": 9})),
    ("totals_are_exact", "no server", lambda e: structs.replace(e, totals=None)),
    (
        "dead_letters_are_those_planted",
        "a reason",
        lambda e: structs.replace(e, dead_letters=["a reason"]),
    ),
    ("dead_letters_are_those_planted", "1 dead", lambda e: structs.replace(e, planted=1)),
    ("dead_letters_are_those_planted", "3 events", lambda e: structs.replace(e, parked=3)),
    *(
        (
            "processes_end_as_they_are_told",
            each.name,
            lambda e, each=each: structs.replace(e, exits=[each]),
        )
        for each in (
            Exit("worker-3", 7, 0, 1, None),
            Exit("worker-3", 7, 0, -9, 15),
            Exit("worker-3", 7, 0, -15, 15),
            Exit("server-3", 7, 0, 86, None),
            Exit("worker-3", 7, 0, 0, None),
            Exit("worker-3", 7, 0, -1, 1),
            Exit("submitter-3", 7, 0, 1, None),
            Exit("forker-3", 7, 0, 1, None),
        )
    ),
    (
        "the_stores_are_whole",
        "malformed",
        lambda e: structs.replace(e, damage="queue.db: malformed"),
    ),
    (
        "families_come_to_their_end",
        "f.0.1 (pid 8)",
        lambda e: structs.replace(
            e, lines=[line for line in e.lines if (line.what, line.pid) != (What.LEFT, 8)]
        ),
    ),
    ("families_come_to_their_end", "f.0.2 (pid 9)", lambda e: structs.replace(e, strikes=[])),
    (
        "processes_time_out_what_they_run",
        "in-process-2 ran out of time",
        lambda e: without_line(_out_of_time(e, "in-process-2"), What.BEGIN, "in-process-2"),
    ),
    ("jobs_end_as_they_should", "in-process-2", lambda e: _out_of_time(e, "in-process-2")),
    *(
        (
            "workers_end_in_time",
            f"took {each.took_ms} ms",
            lambda e, each=each: structs.replace(e, exits=[each]),
        )
        for each in (
            Exit("worker-3", 7, 0, 0, 15, took_ms=18_000),
            Exit("worker-3", 7, 0, 0, 1, took_ms=19_000),
        )
    ),
    ("starts_are_told_truly", "before its claim", lambda e: _started(e, "plain", _K.STARTED, -1)),
    ("starts_are_told_truly", "after its end", lambda e: _started(e, "plain", _K.COMPLETED, 1)),
    (
        "starts_are_told_truly",
        "before the one before it",
        lambda e: _claimed_early(e, "in-process-2"),
    ),
]


def _out_of_time(evidence: Evidence, job_id: str) -> Evidence:
    """The evidence with a job that is said to have run out of time."""
    changes: dict[str, Any] = {"status": _S.FAILED, "reason": Reason.TIMEOUT.value}
    spoilt = with_job(evidence, job_id, **changes)
    return with_event(spoilt, job_id, _K.COMPLETED, kind=_K.FAILED, **changes)


def _started(evidence: Evidence, job_id: str, kind: EventKind, later: int) -> Evidence:
    """The evidence with a job that was started so much later than one of its events."""
    (event,) = [x for x in evidence.events if (x.job_id, x.kind) == (job_id, kind)]
    return with_job(evidence, job_id, started_at=event.at + later)


def _claimed_early(evidence: Evidence, job_id: str) -> Evidence:
    """The evidence with a job that was claimed long before it began, and says it began then."""
    spoilt = with_event(evidence, job_id, _K.STARTED, at=900_000)
    return with_job(spoilt, job_id, started_at=900_001)


def _end_of_first_alone(evidence: Evidence, job_id: str) -> Evidence:
    return with_line(evidence, What.END, job_id, fence=1)


def _begun_first(evidence: Evidence, job_id: str) -> Evidence:
    """The evidence with a job whose events come before all others."""
    its = [event for event in evidence.events if event.job_id == job_id]
    others = [event for event in evidence.events if event.job_id != job_id]
    return structs.replace(evidence, events=[*its, *others])


def _with_totals(evidence: Evidence, **changes: Any) -> Evidence:
    assert evidence.totals is not None
    return structs.replace(evidence, totals=structs.replace(evidence.totals, **changes))


# --- tests ---------------------------------------------------------------------------------------


def _a_loss() -> Evidence:
    """A run whose queue lost `forgotten`, of which the history knows, before all the others."""
    tale = Tale()
    tale.job("forgotten", _K.STARTED)
    lost_at = tale.events[-1].at
    tale.job("later", _K.STARTED, _K.COMPLETED)
    evidence = tale.evidence()
    row = structs.replace(
        evidence.rows["forgotten"], status=_S.FAILED, reason=DATA_LOST, finished_at=lost_at + 9
    )
    return structs.replace(
        evidence,
        jobs={"later": evidence.jobs["later"]},
        events=[event for event in evidence.events if event.job_id == "later"],
        rows={**evidence.rows, "forgotten": row},
        losses=[lost_at],
    )


BAD_LOSSES: list[tuple[str, str, Spoil]] = [
    (
        "lost_jobs_are_given_up",
        "running",
        lambda e: with_row(e, "forgotten", status=_S.RUNNING, reason=None),
    ),
    ("lost_jobs_are_given_up", "after", lambda e: with_row(e, "forgotten", submitted_at=9**9)),
    (
        "new_jobs_are_kept",
        "later",
        lambda e: structs.replace(without_job(e, "later"), losses=[1]),
    ),
    (
        "no_attempt_happens_twice",
        "forgotten",
        lambda e: structs.replace(e, lines=[*e.lines, *e.lines]),
    ),
    ("the_history_has_what_the_queue_has", "later", lambda e: with_row(e, "later", attempt=2)),
]


def test_a_loss_is_not_complained_of() -> None:
    assert check(_a_loss()) == []


@pytest.mark.parametrize(("name", "about", "spoil"), BAD_LOSSES)
def test_what_is_wrong_after_a_loss_is_found(name: str, about: str, spoil: Spoil) -> None:
    complaints = check(spoil(_a_loss()))
    assert any(each.check == name and about in each.text for each in complaints), complaints


def test_every_check_of_a_loss_has_a_run_that_it_finds_wrong() -> None:
    found = {name for name, *_ in (*BAD, *BAD_LOSSES)}
    assert {each.__name__ for each in CHECKS_OF_A_LOSS} <= found


def test_a_good_run_is_not_complained_of() -> None:
    assert check(a_good_run().evidence()) == []


@pytest.mark.parametrize(
    ("name", "about", "spoil"),
    BAD,
    ids=[f"{name}-{number}" for number, (name, *_) in enumerate(BAD)],
)
def test_what_is_wrong_with_a_run_is_found(name: str, about: str, spoil: Spoil) -> None:
    complaints = check(spoil(a_good_run().evidence()))
    assert any(each.check == name and about in each.text for each in complaints), complaints


def test_every_check_has_a_run_that_it_finds_wrong() -> None:
    assert {name for name, *_ in BAD} == {each.__name__ for each in CHECKS}


def test_what_a_killed_store_may_forget_is_excused_just_then() -> None:
    evidence = without_job(a_good_run().evidence(), "plain")
    (accepted,) = [line for line in evidence.lines if (line.what, line.job_id) == ("ok", "plain")]
    excused = structs.replace(evidence, rewinds=[(accepted.at, accepted.at)])
    assert "accepted_jobs_are_kept" in {each.check for each in check(evidence)}
    assert "accepted_jobs_are_kept" not in {each.check for each in check(excused)}


def test_a_job_that_is_named_twice_is_waited_for_once() -> None:
    evidence = a_good_run().evidence()
    twice = [structs.replace(line, after=line.after * 2) for line in evidence.lines]
    assert check(structs.replace(evidence, lines=twice)) == []


def test_a_server_may_find_no_history_as_long_as_a_fault_is_felt() -> None:
    cut = Strike(fault="history-lose-replies", at=1_000, target="the network", until=50_000)
    ended = [Exit("server-0", 7, at, 4, None) for at in (109_000, 111_000)]
    evidence = structs.replace(a_good_run().evidence(), strikes=[*_a_kill(), cut], exits=ended)
    assert [each.text for each in check(evidence)] == ["server-0 (pid 7) ended with 4, sent None"]


def test_only_what_starts_may_end_of_another_password() -> None:
    changed = Strike(fault="queue-password", at=31_000, target="valkey", until=33_000)
    ended = [Exit("worker-0", 7, 33_500, 3, None, born=born) for born in (1_000, 30_000)]
    evidence = structs.replace(a_good_run().evidence(), strikes=[*_a_kill(), changed], exits=ended)
    assert [each.text for each in check(evidence)] == ["worker-0 (pid 7) ended with 3, sent None"]


def test_what_the_stream_says_that_it_left_out_is_excused() -> None:
    evidence = a_good_run().evidence()
    gap = _with_heard(evidence, [x for x in _heard(evidence) if x.id > 3], resets=[(0, 3)])
    assert check(gap) == []


@pytest.mark.parametrize(("function", "complaints"), [("block", 0), ("work", 1)])
def test_only_a_thread_may_go_on_once_its_job_was_handed_back(
    function: str, complaints: int
) -> None:
    tale = a_good_run()
    tale.job("released", _K.STARTED, _K.RELEASED, _K.STARTED, _K.COMPLETED, function=function)
    found = check(_end_of(tale.evidence(), "released", 1))
    assert [each.check for each in found] == (
        ["effects_overlap_only_where_a_lease_was_lost"] * complaints
    )


def test_figures_count_what_happened() -> None:
    evidence = _end_of(a_good_run().evidence(), "rescued", 1)
    rescued = [event for event in evidence.events if event.job_id == "rescued"]
    kill = Strike(fault="worker-kill", at=rescued[1].at, target="worker-0", pid=7)
    vain = Strike(fault="history-lose-replies", at=kill.at, target="the network", in_vain=True)
    figures = figures_of(structs.replace(evidence, strikes=[kill, vain]))

    assert (figures.rescues, figures.stale, figures.attempts) == (2, 1, 42)
    assert (figures.freed, figures.abandoned, figures.refused) == (0, 1, 1)
    assert (figures.acted, figures.declined) == (5, 3)
    assert figures.strikes == {"worker-kill": 1}
    assert figures.recoveries == ((rescued[3].at - kill.at) / 1000,)
    assert figures.shortfalls({"stale": 1, "worker-kill": 1}) == []
    assert figures.shortfalls({"stale": 2, "worker-freeze": 1}) == [
        "stale: 1, and at least 2 are needed",
        "worker-freeze: 0, and at least 1 are needed",
    ]
