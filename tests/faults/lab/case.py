"""What is known of each job: the evidence, sorted for the checks."""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from msgspec.json import decode

from conduit.core.events import Event, EventKind
from conduit.core.model import Job
from tests.faults.lab.evidence import Evidence
from tests.faults.lab.journal import Line, What
from tests.faults.lab.store_faults import SetStoreClock


class Story(Struct):
    """All that is known of one job."""

    job_id: str
    events: list[Event] = []
    begins: list[Line] = []
    ends: list[Line] = []

    def of_kind(self, *kinds: EventKind) -> list[Event]:
        """Its events of some kinds."""
        return [event for event in self.events if event.kind in kinds]


class Case:
    """The evidence, sorted by jobs."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self.jobs = evidence.jobs
        self.arguments: dict[str, dict[str, Any]] = {
            job.id: decode(job.args) for job in self.jobs.values()
        }
        self.excused = {
            name
            for start, end in evidence.rewinds
            for line in evidence.lines
            if start <= line.at <= end
            for name in (line.job_id, line.label)
            if name
        }
        """Jobs of which the store may rightly have forgotten something: it was killed just then."""
        self.deleted = {
            event.job_id for event in evidence.events if event.kind is EventKind.DELETED
        } & {line.job_id for line in evidence.lines if line.what is What.DELETE}
        """Jobs that somebody wanted deleted, and that were."""
        self.clock_was_set = any(strike.fault == SetStoreClock.name for strike in evidence.strikes)
        self.stories: dict[str, Story] = {}
        for event in evidence.events:
            self.story(event.job_id).events.append(event)
        for line in evidence.lines:
            if line.what is What.BEGIN:
                self.story(line.job_id).begins.append(line)
            elif line.what is What.END:
                self.story(line.job_id).ends.append(line)

    def lines(self, what: What) -> list[Line]:
        """The journal's lines of one kind."""
        return [line for line in self.evidence.lines if line.what is what]

    def function(self, job_id: str) -> str:
        """What a job runs, one that is gone as well; empty where nothing is known."""
        first = next(iter(self.story(job_id).events), None)
        return first.submission.function if first and first.submission else ""

    def label(self, job: Job) -> str:
        """What its submitter calls it; empty for ticks."""
        return self.arguments[job.id].get("label", "")

    def story(self, job_id: str) -> Story:
        """What is known of a job, which may be nothing."""
        if job_id not in self.stories:
            self.stories[job_id] = Story(job_id)
        return self.stories[job_id]
