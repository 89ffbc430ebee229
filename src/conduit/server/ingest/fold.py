"""What an event does to the history of its job: pure, without a clock, a database or a queue.

A job's row is the fold of its events in the order of `seq`, without a gap. Events may come twice,
too early, or from several servers at once: `JobHistory.apply` ignores what was applied, parks what
came too early, and folds the rest. `JobHistory.heal` puts the queue's own word in the place of
events that won't come any more.

An id can live twice: its job is deleted, or forgotten by the queue, and submitted again. Lives are
told apart by `submitted_at`; `barrier` is the time up to which events belong to a life that is
over. Within one life, times are never compared: clocks jump.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
from msgspec import structs

from conduit.core.events import Event, EventKind
from conduit.core.model import Artifact, Job, JobError, JobStatus, LogLine
from conduit.server.db.rows import ArtifactRow, AttemptRow, JobRow, LogRow
from conduit.server.ingest import soundness

DATA_LOST = "queue_data_lost"
"""The reason of a job that was unfinished and that its queue no longer has."""

_RUNNING = JobStatus.RUNNING
_ENDS = frozenset(
    {
        EventKind.COMPLETED,
        EventKind.FAILED,
        EventKind.RETRYING,
        EventKind.RELEASED,
        EventKind.RESCUED,
    }
)
"""What only a running job can come to. A cancel ends an attempt only if there was one."""
_AFTER_THE_END = frozenset({EventKind.REQUEUED, EventKind.DELETED})

_Changes = dict[str, Any]
_to_json = msgspec.json.Encoder().encode


def fold(row: JobRow, event: Event) -> JobRow:
    """The row of a job after its next event."""
    changes = _CHANGES[event.kind](row, event)
    if event.started_at is not None:
        changes["started_at"] = event.started_at
    if is_lost(row):  # it isn't, after all
        changes = {"finished_at": None, "reason": None} | changes
    return structs.replace(
        row,
        status=event.status,
        seq=event.seq,
        generation=event.generation,
        attempt=event.attempt,
        fence=event.fence,
        failures=event.failures,
        rescues=event.rescues,
        **changes,
    )


def is_lost(row: JobRow) -> bool:
    """Whether the job was given up because its queue no longer had it."""
    return row.status is JobStatus.FAILED and row.reason == DATA_LOST


# --- what each kind of event changes, beside the counters -----------------------------------------


def _started(_row: JobRow, event: Event) -> _Changes:
    return {
        "worker_id": soundness.name(event.worker_id),
        "claimed_at": event.at,
        "started_at": None,
        "reason": None,
        "progress": None,
        "progress_message": None,
    }


def _progress(_row: JobRow, event: Event) -> _Changes:
    return {
        "progress": event.progress,
        "progress_message": soundness.text(event.progress_message),
    }


def _metadata(row: JobRow, event: Event) -> _Changes:
    return {"metadata": _json(event.metadata) or row.metadata}


def _checkpoint(row: JobRow, event: Event) -> _Changes:
    return {
        "checkpoint": _json(event.checkpoint) or row.checkpoint,
        "steps": _json(event.steps) or row.steps,
    }


def _unblocked(row: JobRow, event: Event) -> _Changes:
    return {"run_at": row.run_at if event.run_at is None else event.run_at}


def _back(row: JobRow, event: Event) -> _Changes:
    """Back to its queue: for another attempt, or handed back or rescued from this one."""
    return {"run_at": event.at if event.run_at is None else event.run_at, **_words(row, event)}


def _completed(_row: JobRow, event: Event) -> _Changes:
    return {
        "finished_at": event.at,
        "result": _json(event.result),
        "reason": None,
        "error": None,
        "cancel_requested": False,
    }


def _ended(row: JobRow, event: Event) -> _Changes:
    return {"finished_at": event.at, **_words(row, event)}


def _words(row: JobRow, event: Event) -> _Changes:
    reason = row.reason if event.reason is None else soundness.text(event.reason)
    error = row.error if event.error is None else error_json(event.error)
    return {"reason": reason, "error": error}


def _cancel_requested(_row: JobRow, event: Event) -> _Changes:
    return {"cancel_requested": True, "reason": soundness.text(event.reason)}


def _requeued(_row: JobRow, event: Event) -> _Changes:
    return {
        "run_at": event.at if event.run_at is None else event.run_at,
        "expires_at": None,
        "claimed_at": None,
        "started_at": None,
        "finished_at": None,
        "cancel_requested": False,
        "reason": None,
        "error": None,
        "result": None,
        "progress": None,
        "progress_message": None,
    }


def _nothing(_row: JobRow, _event: Event) -> _Changes:
    return {}


_CHANGES: Mapping[EventKind, Callable[[JobRow, Event], _Changes]] = {
    EventKind.UNBLOCKED: _unblocked,
    EventKind.QUEUED: _nothing,
    EventKind.STARTED: _started,
    EventKind.BEGUN: _nothing,
    EventKind.PROGRESS: _progress,
    EventKind.METADATA: _metadata,
    EventKind.CHECKPOINT: _checkpoint,
    EventKind.LOG: _nothing,
    EventKind.ARTIFACT: _nothing,
    EventKind.RETRYING: _back,
    EventKind.RELEASED: _back,
    EventKind.RESCUED: _back,
    EventKind.COMPLETED: _completed,
    EventKind.FAILED: _ended,
    EventKind.CANCEL_REQUESTED: _cancel_requested,
    EventKind.CANCELLED: _ended,
    EventKind.REQUEUED: _requeued,
    EventKind.DELETED: _nothing,
}


# --- rows out of events and jobs ------------------------------------------------------------------


def submitted_row(event: Event, now: int) -> JobRow:
    """The row of a job that was just submitted."""
    new = event.submission
    assert new is not None
    return JobRow(
        **soundness.terms(new),
        id=event.job_id,
        status=event.status,
        args=_json(new.args) or "{}",
        submitted_at=event.at,
        run_at=event.at if event.run_at is None else event.run_at,
        expires_at=new.expires_at,
        generation=event.generation,
        attempt=event.attempt,
        failures=event.failures,
        rescues=event.rescues,
        fence=event.fence,
        seq=event.seq,
        metadata=_json(new.metadata) or "{}",
        applied_at=now,
    )


def row_of(job: Job, now: int) -> JobRow:
    """The row of a job as the queue has it now."""
    return JobRow(
        **soundness.terms(job),
        id=job.id,
        status=job.status,
        args=soundness.payload(job.args),
        submitted_at=job.submitted_at,
        run_at=job.run_at,
        expires_at=job.expires_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        generation=job.generation,
        attempt=job.attempt,
        failures=job.failures,
        rescues=job.rescues,
        fence=job.fence,
        seq=job.seq,
        worker_id=soundness.name(job.worker_id),
        cancel_requested=job.cancel_requested,
        reason=soundness.text(job.reason),
        error=error_json(job.error),
        result=None if job.result is None else soundness.payload(job.result),
        progress=soundness.finite(job.progress),
        progress_message=soundness.text(job.progress_message),
        metadata=soundness.payload(job.metadata),
        checkpoint=None if job.checkpoint is None else soundness.payload(job.checkpoint),
        steps=soundness.payload(job.steps),
        applied_at=now,
        claimed_at=job.claimed_at,
    )


def error_json(error: JobError | None) -> str | None:
    """An error as it is stored."""
    return None if error is None else _to_json(error).decode()


def log_row(job_id: str, line: LogLine) -> LogRow:
    """A log line as it is stored."""
    return LogRow(
        job_id=job_id,
        number=line.number,
        at=line.at,
        attempt=line.attempt,
        level=line.level.value,
        logger=soundness.text(line.logger) or "",
        message=soundness.text(line.message) or "",
    )


def artifact_row(job_id: str, artifact: Artifact, at: int) -> ArtifactRow:
    """An artifact's description as it is stored."""
    return ArtifactRow(
        job_id=job_id,
        name=soundness.text(artifact.name) or "",
        content_type=soundness.text(artifact.content_type) or "",
        size=artifact.size,
        sha256=soundness.text(artifact.sha256) or "",
        at=at,
    )


def _json(raw: msgspec.Raw) -> str | None:
    return bytes(raw).decode() if raw else None


# --- one job --------------------------------------------------------------------------------------


class JobHistory:
    """The history of one job, as it was loaded and as events change it; then it is written back.

    `attempts`, `logs` and `artifacts` hold what is to be written, not all there is; `wiped` says
    that what was stored of them before has to go first. `applied` are the events folded.
    """

    def __init__(
        self,
        job_id: str,
        now: int,
        row: JobRow | None = None,
        *,
        barrier: int | None = None,
        parked: Iterable[Event] = (),
    ) -> None:
        self.job_id = job_id
        self.row = row
        self.barrier = barrier
        self.parked = {event.seq: event for event in parked}
        self.attempts: dict[int, AttemptRow] = {}
        self.logs: dict[int, LogRow] = {}
        self.artifacts: dict[str, ArtifactRow] = {}
        self.wiped = False
        self.applied: list[Event] = []
        self._now = now

    def apply(self, event: Event) -> None:
        """Take in an event, whenever it comes and however often."""
        if self._is_foretold(event):
            del self.parked[event.seq]
            self._end_life(event.at)
            return
        if self._is_of_the_past(event):
            return
        if self._is_next(event):
            self._step(event)
            self._drain()
        elif self._is_early(event):
            self.parked.setdefault(event.seq, event)

    def _is_of_the_past(self, event: Event) -> bool:
        return self.barrier is not None and event.at <= self.barrier

    def _is_next(self, event: Event) -> bool:
        row = self.row
        if event.kind is EventKind.SUBMITTED:
            return row is None or (row.status.finished and event.at > row.submitted_at)
        if row is None or event.seq != row.seq + 1:
            return False
        return not row.status.finished or event.kind in _AFTER_THE_END or is_lost(row)

    def _is_foretold(self, event: Event) -> bool:
        """Whether `end` has made of an event what there is to make of it, before it came."""
        known = self.parked.get(event.seq)
        return (
            self.row is None
            and event.kind is EventKind.DELETED
            and known is not None
            and known.kind is EventKind.DELETED
            and self._is_of_the_past(known)  # no event that came by itself and waits is
        )

    def _is_early(self, event: Event) -> bool:
        """Whether an event that isn't next may be it later: in this life or in one to come."""
        row = self.row
        if row is None:
            return True
        if event.kind is EventKind.SUBMITTED:
            return event.at > row.submitted_at
        if event.seq > row.seq:
            return True
        return row.finished_at is not None and event.at > row.finished_at

    def _drain(self) -> None:
        """Fold parked events for as long as the next one is there."""
        while self.parked:
            row = self.row
            event = None if row is None else self.parked.get(row.seq + 1)
            if event is None or not self._is_next(event):
                event = self.parked.get(1)
            if event is None or not self._is_next(event):
                break
            del self.parked[event.seq]
            self._step(event)
        if self.parked:
            self._drop_parked(lambda event: not self._is_early(event))

    def _drop_parked(self, unwanted: Callable[[Event], bool]) -> None:
        self.parked = {seq: event for seq, event in self.parked.items() if not unwanted(event)}

    def _step(self, event: Event) -> None:
        self.applied.append(event)
        if event.kind is EventKind.SUBMITTED:
            if self.row is not None or any(map(self._is_of_the_past, self.parked.values())):
                self._end_life(event.at - 1)  # a deletion foretold that was overtaken is past then
            self.row = submitted_row(event, self._now)
        elif event.kind is EventKind.DELETED:
            # Its submission must never be taken for a new one's, though the clock was set back.
            self._end_life(max(event.at, self.row.submitted_at if self.row else event.at))
        else:
            assert self.row is not None
            self._keep_parts(self.row, event)
            self.row = structs.replace(fold(self.row, event), applied_at=self._now)

    def _end_life(self, until: int) -> None:
        """The job is gone, and nothing that happened up to a time concerns what comes."""
        self.row = None
        self.wiped = True
        self.attempts, self.logs, self.artifacts = {}, {}, {}
        self.barrier = until if self.barrier is None else max(until, self.barrier)
        self._drop_parked(self._is_of_the_past)

    def _keep_parts(self, before: JobRow, event: Event) -> None:
        if event.kind is EventKind.STARTED:
            self._start_attempt(event)
        elif event.kind in _ENDS or (
            event.kind is EventKind.CANCELLED and before.status is _RUNNING
        ):
            self._end_attempt(before, event)
        elif event.started_at is not None:
            self.attempts[event.fence] = self._attempt(before, event)
        for line in event.logs:
            self.logs[line.number] = log_row(self.job_id, line)
        if event.artifact is not None:
            kept = artifact_row(self.job_id, event.artifact, event.at)
            self.artifacts[kept.name] = kept

    def _start_attempt(self, event: Event) -> None:
        self.attempts[event.fence] = AttemptRow(
            job_id=self.job_id,
            fence=event.fence,
            generation=event.generation,
            attempt=event.attempt,
            worker_id=soundness.name(event.worker_id),
            claimed_at=event.at,
        )

    def _attempt(self, before: JobRow, event: Event) -> AttemptRow:
        """The attempt as an event finds it, with what that tells of its begin."""
        known = before.fence == event.fence and before.claimed_at is not None
        return AttemptRow(
            job_id=self.job_id,
            fence=event.fence,
            generation=event.generation,
            attempt=event.attempt,
            worker_id=before.worker_id if known else soundness.name(event.worker_id),
            claimed_at=before.claimed_at if known and before.claimed_at else event.at,
            started_at=event.started_at,
        )

    def _end_attempt(self, before: JobRow, event: Event) -> None:
        self.attempts[event.fence] = structs.replace(
            self._attempt(before, event),
            ended_at=event.at,
            outcome=event.kind.removeprefix("job."),
            reason=soundness.text(event.reason),
            error=error_json(event.error),
        )

    def end(self, job: Job) -> None:
        """Take in that the queue has deleted a job, of which this was the last it knew.

        Earlier events that are still on their way change nothing any more. The event of the
        deletion itself is foretold among the parked ones: by its number, as its time isn't known.
        """
        until = max(job.submitted_at, job.claimed_at or 0, job.finished_at or 0)
        row = self.row
        if row is None and self.barrier is not None and self.barrier >= until:
            return  # the event was here first
        if row is not None and row.submitted_at > job.submitted_at:
            return  # the id lives again
        self._end_life(until)
        told = self.parked.get(job.seq + 1)
        if told is not None and told.kind is EventKind.DELETED:
            self._end_life(told.at)
            return
        self.parked[job.seq + 1] = Event(
            kind=EventKind.DELETED,
            job_id=self.job_id,
            seq=job.seq + 1,
            attempt=job.attempt,
            at=until,
            status=job.status,
            generation=job.generation,
            fence=job.fence,
        )

    def forget(self) -> bool:
        """Let go of a finished job, which nothing more happens to: False where there is none."""
        row = self.row
        if row is None or not row.status.finished:
            return False
        self._end_life(max(row.finished_at or 0, row.submitted_at))
        return True

    # --- healing --------------------------------------------------------------------------------

    def heal(
        self, job: Job, logs: Iterable[LogLine] = (), artifacts: Iterable[Artifact] = ()
    ) -> bool:
        """Take the queue's word for a job: False if nothing was wrong.

        `job` must have been read after this history was: then whatever they differ in has happened
        since, or is lost. The parked events tell what they can of the way there.
        """
        truth = row_of(job, self._now)
        before = self.row
        self._drop_parked(self._is_of_the_past)  # a deletion foretold, of an earlier life
        if before is not None and before.submitted_at != job.submitted_at:
            self._end_life(job.submitted_at - 1)
        if self.barrier is not None and self.barrier >= job.submitted_at:
            self.barrier = None  # the clock was set back in between
        if self.row is None:
            self.row = _before_everything(truth)
        self._fold_leftovers(job.seq)
        wrong = before is None or structs.replace(before, applied_at=self._now) != truth
        if wrong:
            for line in logs:
                self.logs[line.number] = log_row(self.job_id, line)
            for artifact in artifacts:
                kept = artifact_row(self.job_id, artifact, job.started_at or job.submitted_at)
                self.artifacts.setdefault(kept.name, kept)
            if before is None or before.fence != truth.fence or before.status is _RUNNING:
                self._tell_attempt(truth)
        self.row = truth
        self._drain()
        return wrong

    def _fold_leftovers(self, until: int) -> None:
        """Fold parked events up to a seq over the gaps between them; what they bear is whole."""
        for seq in sorted(seq for seq in self.parked if seq <= until):
            event = self.parked.pop(seq, None)
            if event is None or self.row is None:
                continue
            if event.kind is EventKind.SUBMITTED:
                if event.at > self.row.submitted_at:
                    self._step(event)
            elif seq > self.row.seq:
                self._step(event)

    def _tell_attempt(self, row: JobRow) -> None:
        """Make sure of the latest attempt, of which the row itself tells."""
        if row.claimed_at is None:
            return
        known = self.attempts.get(row.fence)
        if known is not None and known.ended_at is not None:
            self.attempts[row.fence] = structs.replace(
                known,
                worker_id=row.worker_id,
                claimed_at=row.claimed_at,
                started_at=row.started_at,
            )
            return
        ended_at = None
        if row.status is not _RUNNING:
            ended_at = row.finished_at or min(row.run_at, self._now)
        self.attempts[row.fence] = AttemptRow(
            job_id=self.job_id,
            fence=row.fence,
            generation=row.generation,
            attempt=row.attempt,
            worker_id=row.worker_id,
            claimed_at=row.claimed_at,
            started_at=row.started_at,
            ended_at=ended_at,
            outcome=row.status.value if row.finished_at else None,
            reason=None if ended_at is None else row.reason,
            error=None if ended_at is None else row.error,
        )

    def give_up(self, at: int) -> bool:
        """Take in that the queue no longer has the job: False if nothing was wrong.

        What parked events still tell is told; a job that is unfinished even so has failed.
        """
        leftovers = list(self.parked.values())
        self._fold_leftovers(max(self.parked, default=0))
        row = self.row
        if row is None:
            # Nothing is known of what it was, only that it is gone.
            for event in leftovers:
                if event.kind is EventKind.DELETED:
                    self._end_life(event.at)
            return bool(leftovers)
        if row.status.finished:
            return bool(leftovers)
        if row.status is _RUNNING:
            self._tell_attempt(
                structs.replace(
                    row, status=JobStatus.FAILED, finished_at=at, reason=DATA_LOST, error=None
                )
            )
        self.row = structs.replace(
            row, status=JobStatus.FAILED, reason=DATA_LOST, finished_at=at, applied_at=self._now
        )
        return True


def _before_everything(truth: JobRow) -> JobRow:
    """What a job was like before its first event, as far as that is still to be seen."""
    return structs.replace(
        truth,
        status=JobStatus.QUEUED,
        seq=0,
        fence=0,
        worker_id=None,
        claimed_at=None,
        started_at=None,
        finished_at=None,
        reason=None,
        error=None,
    )
