"""What a run amounted to, for people, and whether it had any power to find something."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from itertools import pairwise
from statistics import median

from msgspec import Struct

from conduit.core.events import EventKind
from conduit.core.model import Job, JobStatus
from conduit.server.ingest.fold import DATA_LOST
from tests.faults.lab import forker, impolite, ticks
from tests.faults.lab.case import Case
from tests.faults.lab.evidence import Evidence
from tests.faults.lab.journal import What
from tests.faults.lab.listener import Heard
from tests.faults.lab.process_faults import KillWorker
from tests.faults.lab.store_faults import SetStoreClock

REPLACED = "replaced workers"
KINDS = len(impolite.FUNCTIONS) + len(forker.MANNERS) + len(ticks.BEFALLS) + 1
"""So many kinds of impoliteness there are."""
_COUNTED = (
    *("rescues", "stale", "jobs", "refused", "freed", "abandoned", "acted", "resumed", "lost"),
)
"""What a run may have to amount to, apart from faults."""


class Figures(Struct, frozen=True, kw_only=True):
    """Counts of a run. `recoveries` are seconds from the kill of a worker to the next start of a
    job that it ran."""

    jobs: int
    by_status: Mapping[str, int]
    attempts: int
    effects: int
    rescues: int
    stale: int
    """Attempts that came to their end after their successors had begun: fenced off, or else."""
    unknown: int
    """Submits of which nobody was told whether they were kept."""
    refused: int
    """Submits that failed, of which nothing was kept."""
    freed: int
    """Jobs that waited for others, and went on when these had completed."""
    abandoned: int
    """Jobs that waited for others in vain."""
    acted: int
    """Cancels, retries and deletions over HTTP that were answered 200; in bulk, each job counts."""
    declined: int
    """Those that were answered 404 or 409."""
    heard: int
    """Changes that the live stream told."""
    resumed: int
    """How often it was gone on with, after a server had died or the listener had been away."""
    resets: int
    """How often it said that something was left out."""
    kinds: Mapping[str, int]
    """How often each kind of impolite job began, and each manner of forking was met."""
    lost: int
    """Jobs of the history that the queue lost."""
    strikes: Mapping[str, int]
    """How often each fault was struck, and had something to harm."""
    recoveries: tuple[float, ...]

    def __str__(self) -> str:
        spread = (
            f"median {median(self.recoveries):.2f} s, longest {max(self.recoveries):.2f} s"
            if self.recoveries
            else "none"
        )
        return "\n".join(
            [
                f"jobs       {self.jobs}: {_listed(self.by_status)}",
                f"attempts   {self.attempts}, {self.effects} with their whole effect, "
                f"{self.rescues} rescued, {self.stale} stale",
                f"submits    {self.unknown} of unknown outcome, {self.refused} refused, "
                f"{self.lost} lost",
                f"waited     {self.freed} freed, {self.abandoned} in vain",
                f"over HTTP  {self.acted} done, {self.declined} declined; {self.heard} changes "
                f"heard, {self.resumed} times resumed, {self.resets} resets",
                f"impolite   {_listed(self.kinds)}",
                f"faults     {sum(self.strikes.values())}: {_listed(self.strikes)}",
                f"recoveries {len(self.recoveries)}: {spread}",
            ]
        )

    def shortfalls(self, floors: Mapping[str, int]) -> list[str]:
        """Where this falls short of what a run must amount to; it proves nothing then."""
        values = {name: getattr(self, name) for name in _COUNTED}
        values["kinds"] = len(self.kinds)
        values |= {name: self.strikes.get(name, 0) for name in floors if name not in values}
        return [
            f"{name}: {values[name]}, and at least {floor} are needed"
            for name, floor in floors.items()
            if values[name] < floor
        ]


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))


def figures_of(evidence: Evidence) -> Figures:
    """What the evidence amounts to."""
    lines = Counter(line.what for line in evidence.lines)
    kinds = Counter(event.kind for event in evidence.events)
    heard = evidence.heard or Heard()
    return Figures(
        jobs=len(evidence.jobs),
        by_status=Counter(job.status.value for job in evidence.jobs.values()),
        attempts=kinds[EventKind.STARTED],
        effects=lines[What.END],
        rescues=kinds[EventKind.RESCUED],
        stale=_stale(evidence),
        unknown=lines[What.UNKNOWN],
        refused=lines[What.REFUSED] + lines[What.ORPHANED],
        freed=kinds[EventKind.UNBLOCKED],
        abandoned=sum(bool(job.after) and _in_vain(job) for job in evidence.jobs.values()),
        acted=sum(line.number for line in evidence.lines if line.told or line.what is What.BULK),
        declined=sum(line.told is not None and not line.number for line in evidence.lines),
        heard=len(heard.told),
        resumed=heard.resumed,
        resets=len(heard.resets),
        kinds=_kinds(evidence),
        lost=sum(row.reason == DATA_LOST for row in evidence.rows.values()),
        strikes=Counter(each.fault for each in evidence.strikes if not each.in_vain),
        recoveries=tuple(_recoveries(evidence)),
    )


def _kinds(evidence: Evidence) -> Mapping[str, int]:
    functions = {
        event.job_id: event.submission.function for event in evidence.events if event.submission
    }
    began = Counter(
        functions.get(line.job_id, "") for line in evidence.lines if line.what is What.BEGIN
    )
    manners = Counter(line.detail for line in evidence.lines if line.what is What.MEMBER)
    rude = Counter({name: began[name] for name in impolite.FUNCTIONS})
    worn = {REPLACED: replaced} if (replaced := _replaced(evidence)) else {}
    return {**ticks.met(Case(evidence)), **(manners + rude), **worn}


def _replaced(evidence: Evidence) -> int:
    """How often a worker's process was replaced: by one that is a child of what was started."""
    started = {ended.pid for ended in evidence.exits}
    workers = {event.worker_id for event in evidence.events if event.kind is EventKind.STARTED}
    pids = {int(worker.split("-")[-2]) for worker in workers if worker}
    return max(0, len(pids - started) - 1)


def _in_vain(job: Job) -> bool:
    return job.status is JobStatus.CANCELLED and "that it waits for" in (job.reason or "")


def _stale(evidence: Evidence) -> int:
    begins = {
        (line.job_id, line.fence): line.at for line in evidence.lines if line.what is What.BEGIN
    }
    return sum(
        line.what is What.END and begins.get((line.job_id, line.fence + 1), line.at) < line.at
        for line in evidence.lines
    )


def _recoveries(evidence: Evidence) -> list[float]:
    if any(strike.fault == SetStoreClock.name for strike in evidence.strikes):
        return []  # times of events can't be compared with those of kills
    kills = [strike for strike in evidence.strikes if strike.fault == KillWorker.name]
    starts = defaultdict(list)
    for event in evidence.events:
        if event.kind is EventKind.STARTED:
            starts[event.job_id].append(event)
    rescued = {
        (event.job_id, event.fence) for event in evidence.events if event.kind is EventKind.RESCUED
    }
    return [
        (second.at - kill.at) / 1000
        for kill in kills
        for events in starts.values()
        for first, second in pairwise(events)
        if (first.job_id, first.fence) in rescued
        and f"-{kill.pid}-" in (first.worker_id or "")
        and first.at <= kill.at <= second.at
    ]
