"""A queue as simple as it can be said: dictionaries, one job at a time, no batches, no storage.

It is written from the protocol's words, not from `conduit.core.transitions`, so that a slip there
shows. Each verb answers what a backend must answer; `matches` compares a stored job with what it
must have become.

Where the protocol leaves a choice, so does the model: which of several equal jobs a claim takes,
when exactly an expired job is cancelled, which of the jobs that ended in one step is named as the
reason where several are true, and what a repeat of an outcome is told once a later lease was
granted.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from conduit.core.crons import AHEAD_MS, TickOutcome
from conduit.core.model import Job, JobStatus, Lease, NewJob
from conduit.core.transitions import OutcomeKind
from conduit.queue.base import (
    DEFAULT_LEASE_MS,
    Acted,
    Action,
    Finished,
    Held,
    Note,
    Outcome,
    Submitted,
)

_S = JobStatus
WAITING = (_S.BLOCKED, _S.SCHEDULED, _S.QUEUED)


@dataclass
class ModelJob:
    """What the model knows of one job."""

    new: NewJob
    number: int
    submitted_at: int
    status: JobStatus
    run_at: int
    expires_at: int | None
    generation: int = 1
    attempt: int = 0
    failures: int = 0
    rescues: int = 0
    fence: int = 0
    seq: int = 1
    token: str | None = None
    settled_token: str | None = None
    """The token of the last lease, once its holder has reported the outcome."""
    lease_until: int = 0
    granted: bool = False
    """Whether the lease got half a term more since its holder was last heard of."""
    worker_id: str | None = None
    claimed_at: int | None = None
    started_at: int | None = None
    cancel_requested: bool = False
    rescued: bool = False
    """Whether it waits as one whose lease ran out, ahead of the backlog."""
    reason: str | None = None
    true_reasons: set[str] = field(default_factory=set)
    """Of a job that others took with them: what may be told as the reason."""
    outstanding: set[str] = field(default_factory=set)
    """Ids of jobs that it waits for and that haven't completed."""
    result: bytes | None = None
    finished_at: int | None = None
    progress: float | None = None
    checkpoint: bytes | None = None
    metadata: dict[str, Any] = field(default_factory=dict)

    def expired(self, now: int) -> bool:
        """Whether it waits and must not start any more."""
        late = self.expires_at is not None and self.expires_at <= now
        return late and self.status in WAITING

    def unique(self, now: int) -> bool:
        """Whether its key is still kept for the time asked for, finished or not."""
        return self.new.unique_ms is not None and self.submitted_at + self.new.unique_ms > now

    def end(self, status: JobStatus, now: int, reason: str | None) -> None:
        """Become `status`, which is terminal, in one step."""
        self.status, self.finished_at, self.reason = status, now, reason
        self.rescued = False
        self.true_reasons = set()
        self.seq += 1

    def matches(self, stored: Job) -> bool:
        """Whether a stored job is what this one must be; meaningless fields aren't looked at."""
        if stored.reason in self.true_reasons:
            self.reason = stored.reason
        return self._always() == _always(stored) and self._now() == _now(stored)

    def _always(self) -> tuple[object, ...]:
        new = self.new
        return (
            *(new.id, new.function, new.queue, new.args, new.priority, new.key),
            *(self.status, self.submitted_at, self.generation, self.failures, self.rescues),
            *(self.fence, self.seq, self.progress, self.checkpoint, self.metadata),
            *(self.finished_at, self.result, new.after, self.claimed_at, self.started_at),
        )

    def _now(self) -> tuple[object, ...]:
        match self.status:
            case _S.SCHEDULED:
                return (self.run_at,)
            case _S.RUNNING:
                return (self.token, self.worker_id, self.attempt, self.cancel_requested)
            case _S.CANCELLED | _S.FAILED:
                return (self.reason,)
            case _:
                return ()


def _always(job: Job) -> tuple[object, ...]:
    return (
        *(job.id, job.function, job.queue, job.args, job.priority, job.key),
        *(job.status, job.submitted_at, job.generation, job.failures, job.rescues),
        *(job.fence, job.seq, job.progress, job.checkpoint, json.loads(job.metadata)),
        *(job.finished_at, job.result, job.after, job.claimed_at, job.started_at),
    )


def _now(job: Job) -> tuple[object, ...]:
    match job.status:
        case _S.SCHEDULED:
            return (job.run_at,)
        case _S.RUNNING:
            return (job.token, job.worker_id, job.attempt, job.cancel_requested)
        case _S.CANCELLED | _S.FAILED:
            return (job.reason,)
        case _:
            return ()


class Model:
    """All jobs, the keys they hold, paused queues and functions, and one schedule's mark."""

    def __init__(self) -> None:
        self.jobs: dict[str, ModelJob] = {}
        self.keys: dict[str, str] = {}
        self.paused: set[str] = set()
        self.paused_functions: set[str] = set()
        self.last_sweep: int | None = None
        self.last_tick = 0
        self.cron_paused = False
        self.ticked = ""
        self._count = 0

    # --- submitting ---------------------------------------------------------------------------

    def submit(self, new: NewJob, now: int) -> Submitted:
        """Keep a job, unless its id is known or its key is held."""
        if new.id in self.jobs:
            return Submitted(new.id)
        holder = self.holder(new.key, now)
        if holder is not None:
            return Submitted(holder.new.id, duplicate=True)
        run_at = new.run_at if new.run_at is not None else now + new.delay_ms
        self._count += 1
        job = self.jobs[new.id] = ModelJob(
            new=new,
            number=self._count,
            submitted_at=now,
            status=_S.SCHEDULED if run_at > now else _S.QUEUED,
            run_at=run_at,
            expires_at=None if new.expires_ms is None else now + new.expires_ms,
            metadata=json.loads(new.metadata),
        )
        if new.key is not None:
            self.keys[new.key] = new.id
        awaited = [each for each in new.after if self.jobs[each].status is not _S.COMPLETED]
        if awaited:
            job.status, job.outstanding = _S.BLOCKED, set(awaited)
            if any(self.jobs[each].status.finished for each in awaited):
                self._abandon(job, now)
                self._name_reasons([job])
        return Submitted(new.id)

    # --- jobs that wait for others --------------------------------------------------------------

    def lost_dependency(self, new: NewJob, now: int) -> str | None:
        """What a job can't be kept for: the first that it waits for and that isn't there."""
        if new.id in self.jobs or self.holder(new.key, now) is not None:
            return None
        return next((each for each in new.after if each not in self.jobs), None)

    def follow(self, ended: ModelJob, now: int) -> None:
        """Free or cancel those that wait for a job that has just ended."""
        if ended.status is not _S.COMPLETED:
            self._name_reasons(self._abandon_dependants(ended, now))
            return
        for job in self.jobs.values():
            job.outstanding.discard(ended.new.id)
            if job.status is _S.BLOCKED and not job.outstanding:
                job.run_at = max(job.run_at, now)
                job.status = _S.SCHEDULED if job.run_at > now else _S.QUEUED
                job.seq += 1

    def _abandon_dependants(self, ended: ModelJob, now: int) -> list[ModelJob]:
        taken: list[ModelJob] = []
        for job in self.jobs.values():
            if job.status is _S.BLOCKED and ended.new.id in job.outstanding:
                self._abandon(job, now)
                taken += [job, *self._abandon_dependants(job, now)]
        return taken

    def _abandon(self, job: ModelJob, now: int) -> None:
        job.end(_S.CANCELLED, now, None)

    def _name_reasons(self, taken: Iterable[ModelJob]) -> None:
        words = {_S.FAILED: "has failed", _S.CANCELLED: "was cancelled"}
        for job in taken:
            job.true_reasons = {
                f"job {awaited} that it waits for {words[self.jobs[awaited].status]}"
                for awaited in job.outstanding
                if awaited in self.jobs and self.jobs[awaited].status in words
            }

    def holder(self, key: str | None, now: int) -> ModelJob | None:
        """The job that holds a key now."""
        job = None if key is None else self.jobs.get(self.keys.get(key, ""))
        if job is None or (job.status.finished and not job.unique(now)):
            return None
        return job

    # --- running ------------------------------------------------------------------------------

    def promote(self, now: int) -> list[ModelJob]:
        """Queue what is due; expired jobs are left for `note_expiries`."""
        due = [
            job
            for job in self.jobs.values()
            if job.status is _S.SCHEDULED and job.run_at <= now and not job.expired(now)
        ]
        for job in due:
            job.status = _S.QUEUED
            job.seq += 1
        return due

    def claimable(
        self, queues: Sequence[str], functions: Sequence[str], now: int
    ) -> list[ModelJob]:
        """What a claim may take, after promotion."""
        return [
            job
            for job in self.jobs.values()
            if job.status is _S.QUEUED
            and job.new.queue in queues
            and job.new.queue not in self.paused
            and job.new.function in functions
            and job.new.function not in self.paused_functions
            and not job.expired(now)
        ]

    def claimed(self, taken: Job, worker_id: str, now: int, lease_until: int) -> ModelJob:
        """A backend gave this job away; the model's after it."""
        job = self.jobs[taken.id]
        job.status, job.worker_id, job.lease_until = _S.RUNNING, worker_id, lease_until
        job.granted = False
        job.claimed_at, job.started_at = now, None
        job.token, job.settled_token = taken.token, None
        job.attempt = job.failures + job.rescues + 1
        job.fence += 1
        job.seq += 1
        job.rescued, job.progress = False, None
        return job

    def _held(self, lease: Lease) -> ModelJob | None:
        job = self.jobs.get(lease.job_id)
        if job is None or job.status is not _S.RUNNING or job.token != lease.token:
            return None
        return job

    def _begin(self, job: ModelJob, ms_ago: int | None, now: int) -> bool:
        """Take in when a job's function began; whether that was news."""
        if ms_ago is None or job.started_at is not None:
            return False
        job.started_at = max(job.claimed_at or 0, now - ms_ago)
        return True

    def extend(self, lease: Lease, lease_ms: int, began: int | None, now: int) -> Held:
        """Renew a lease."""
        job = self._held(lease)
        if job is None:
            return Held.LOST
        job.lease_until, job.granted = now + lease_ms, False
        job.seq += self._begin(job, began, now)
        return Held.CANCEL if job.cancel_requested else Held.HELD

    def finish(self, outcome: Outcome, now: int) -> set[Finished]:
        """End an attempt; the answers that are right."""
        job = self._held(outcome.lease)
        if job is None:
            known = self.jobs.get(outcome.lease.job_id)
            if known is not None and known.settled_token == outcome.lease.token:
                return {Finished.ALREADY}
            return {Finished.STALE}
        job.settled_token = job.token
        self._begin(job, outcome.began_ms_ago, now)
        kind = outcome.kind
        if kind is OutcomeKind.COMPLETE:
            job.result = outcome.result
            job.end(_S.COMPLETED, now, None)
        elif kind is OutcomeKind.CANCEL or job.cancel_requested:
            own_words = outcome.reason if kind is OutcomeKind.CANCEL else None
            job.end(_S.CANCELLED, now, own_words or job.reason)
        elif kind is OutcomeKind.FAIL:
            job.failures += 1
            job.end(_S.FAILED, now, outcome.reason or "error")
        else:
            later = kind is OutcomeKind.RETRY_LATER
            job.failures += later
            job.status = _S.SCHEDULED if later or outcome.delay_ms > 0 else _S.QUEUED
            job.run_at = now + outcome.delay_ms
            job.seq += 1
        if job.status.finished:
            self.follow(job, now)
        return {Finished.OK}

    def record(self, note: Note, now: int) -> bool:
        """Take news of a running job."""
        job = self._held(note.lease)
        if job is None:
            return False
        if note.progress is not None:
            job.progress = note.progress
        if note.metadata is not None:
            job.metadata = job.metadata | json.loads(note.metadata)
        if note.checkpoint is not None:
            job.checkpoint = note.checkpoint
        news = (note.progress, note.metadata, note.checkpoint)
        begun = self._begin(job, note.began_ms_ago, now)
        job.seq += sum(value is not None for value in news) or begun
        return True

    # --- upkeep -------------------------------------------------------------------------------

    def note_expiries(self, stored: Iterable[Job | None], now: int) -> int:
        """Expired jobs may be cancelled when a claim or a sweep meets them: follow what is stored.

        On the way there they may, or may not, have been promoted first. How many were cancelled.
        """
        ended: list[ModelJob] = []
        for kept in stored:
            job = None if kept is None else self.jobs.get(kept.id)
            if kept is None or job is None or not job.expired(now):
                continue
            if job.status is _S.SCHEDULED and job.run_at <= now and kept.seq > job.seq:
                promoted = kept.status is _S.QUEUED or kept.seq == job.seq + 2
                if promoted:
                    job.status = _S.QUEUED
                    job.seq += 1
            if kept.status is _S.CANCELLED and kept.reason == "expired":
                job.end(_S.CANCELLED, now, "expired")
                ended.append(job)
        for job in ended:
            self.follow(job, now)
        return len(ended)

    def guard(self, now: int) -> int:
        """What a sweep does before it blames anybody; how many leases got half a term more."""
        last, self.last_sweep = self.last_sweep, now
        term = DEFAULT_LEASE_MS
        running = [job for job in self.jobs.values() if job.status is _S.RUNNING]
        for job in running:
            if job.lease_until > now + 2 * term:
                job.lease_until = now + term
        if last is not None and 0 <= now - last <= term // 2:
            return 0
        lapsed = [job for job in running if job.lease_until <= now and not job.granted]
        for job in lapsed:
            job.lease_until, job.granted = now + term // 2, True
        return len(lapsed)

    def rescue(self, now: int) -> tuple[int, int]:
        """Take back what lost its lease: how many run again, how many failed or were cancelled."""
        again = ended = 0
        for job in list(self.jobs.values()):
            if job.status is not _S.RUNNING or job.lease_until > now:
                continue
            job.rescues += 1
            if job.cancel_requested:
                job.end(_S.CANCELLED, now, job.reason)
                ended += 1
            elif job.rescues >= job.new.max_deliveries:
                job.end(_S.FAILED, now, "max_deliveries")
                ended += 1
            else:
                job.status, job.rescued = _S.QUEUED, True
                job.seq += 1
                again += 1
                continue
            self.follow(job, now)
        return again, ended

    def purge(self, now: int, results_ms: int) -> int:
        """Forget what finished long ago; how many."""
        gone = [
            job_id
            for job_id, job in self.jobs.items()
            if job.finished_at is not None
            and job.finished_at <= now - results_ms
            and not job.unique(now)
        ]
        for job_id in gone:
            del self.jobs[job_id]
        return len(gone)

    # --- operating ----------------------------------------------------------------------------

    def cancel(self, job_id: str, reason: str, now: int) -> Action:
        """Cancel a job, or ask for it."""
        job = self.jobs.get(job_id)
        if job is None:
            return Action(Acted.UNKNOWN)
        if job.status in WAITING:
            job.end(_S.CANCELLED, now, reason)
            self.follow(job, now)
            return Action(Acted.DONE, _S.CANCELLED)
        if job.status is not _S.RUNNING:
            return Action(Acted.REFUSED, job.status)
        if not job.cancel_requested:
            job.cancel_requested, job.reason = True, reason
            job.seq += 1
        return Action(Acted.REQUESTED, _S.RUNNING)

    def retry(self, job_id: str, now: int) -> Action:
        """Open a new generation."""
        job = self.jobs.get(job_id)
        if job is None:
            return Action(Acted.UNKNOWN)
        if job.status not in (_S.FAILED, _S.CANCELLED):
            return Action(Acted.REFUSED, job.status)
        awaited = [self.jobs.get(each) for each in job.outstanding]
        if any(each is None or each.status.finished for each in awaited):
            return Action(Acted.DEPENDENCY, job.status)
        holder = self.holder(job.new.key, now)
        if holder is not None and holder is not job:
            return Action(Acted.KEY_TAKEN, job.status)
        if job.new.key is not None:
            self.keys[job.new.key] = job_id
        job.status = _S.BLOCKED if awaited else _S.QUEUED
        job.run_at, job.finished_at, job.expires_at = now, None, None
        job.generation += 1
        job.claimed_at = job.started_at = None
        job.failures = job.rescues = 0
        job.cancel_requested, job.reason, job.progress = False, None, None
        job.seq += 1
        return Action(Acted.DONE, job.status)

    def delete(self, job_id: str) -> Action:
        """Forget a finished job."""
        job = self.jobs.get(job_id)
        if job is None:
            return Action(Acted.UNKNOWN)
        if not job.status.finished:
            return Action(Acted.REFUSED, job.status)
        del self.jobs[job_id]
        return Action(Acted.DONE)

    def tick(self, at: int) -> TickOutcome:
        """What becomes of a tick of the schedule, sent by somebody; it skips what overlaps."""
        if at <= self.last_tick:
            return TickOutcome.REFUSED
        self.last_tick = at
        if self.cron_paused:
            return TickOutcome.PAUSED
        last = self.jobs.get(self.ticked)
        return TickOutcome.SKIPPED if last and not last.status.finished else TickOutcome.SUBMITTED

    def pause_cron(self, now: int, *, paused: bool) -> None:
        """Pause or resume the schedule."""
        if self.cron_paused and not paused:
            self.last_tick = max(self.last_tick, now)
        self.cron_paused = paused

    def rewind_cron(self, now: int) -> bool:
        """Whether the schedule's mark is set back to now."""
        ahead = self.last_tick > now + AHEAD_MS
        self.last_tick = now if ahead else self.last_tick
        return ahead
