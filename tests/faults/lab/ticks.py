"""What must hold of schedules: each tick once, those that were missed, of slow jobs, and paused."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise

from conduit.core.events import EventKind
from conduit.core.model import Job
from conduit.engine.ticker import CERTAIN_S, MAX_SLEEP_S
from tests.faults.lab.case import Case
from tests.faults.lab.clockwork import NEWER_MS, PAUSED, STEADY_MS
from tests.faults.lab.journal import What
from tests.faults.lab.process_faults import Visit
from tests.faults.lab.service import TICK
from tests.faults.lab.store_faults import STEP_MS
from tests.faults.lab.visitor import SELDOM_MS

_TICK_MS = round(TICK.total_seconds() * 1000)
LATE_MS = 10_000
"""By so much a tick may be late when stores have been away."""
_UNNOTICED_MS = round((MAX_SLEEP_S + CERTAIN_S) * 1000)
"""And by so much more where the clock was set while a worker slept until the next one."""
_RHYTHMS = {"steady": (STEADY_MS, NEWER_MS), "visit_last": (SELDOM_MS,)}
_AT_ONCE = {"slow_or_skip": 1, "slow_in_turn": 2}
"""How many jobs of a schedule may be unfinished at once: running, and waiting."""
BEFALLS = ROLLBACK, MISSED, SKIPPED, PAUSE = "rollback", "missed ticks", "skipped ticks", "pause"
"""What may befall a schedule."""


def tick_of(job_id: str) -> int:
    """The time of the tick that a job came of."""
    return int(job_id.rpartition(":")[2])


def ticks_of(case: Case) -> dict[str, list[Job]]:
    """The jobs of each schedule, in the order of their ticks."""
    ticks: dict[str, list[Job]] = defaultdict(list)
    for job in case.jobs.values():
        if job.id.startswith("cron:"):
            ticks[job.id.split(":")[1]].append(job)
    for jobs in ticks.values():
        jobs.sort(key=lambda job: tick_of(job.id))
    return ticks


def ticks_happen_once_each(case: Case) -> Iterator[str]:
    """Each tick is one job, whichever version of a schedule it came of, at a time of its rhythm.

    A clock that is set back brings times again.
    """
    for name, jobs in ticks_of(case).items():
        for job in jobs:
            at = tick_of(job.id)
            if all(at % rhythm for rhythm in _RHYTHMS.get(name, (_TICK_MS,))):
                yield f"schedule {name} ticked at {at}, which is no tick of it"
        for earlier, later in pairwise(jobs):
            if tick_of(earlier.id) == tick_of(later.id) and not case.clock_was_set:
                yield f"schedule {name} ticked twice at {tick_of(later.id)}"


def no_tick_is_missing(case: Case) -> Iterator[str]:
    """Of the schedules that make up for all, each tick is there, unless a resume came after it: no
    tick before that is made up for. They go on to the end where somebody lives to run them.

    Where a clock was set, what lies between its last tick and then isn't made up for.
    """
    for name in ("tick", "visit_all", PAUSED):
        pauses = _pauses(case) if name == PAUSED else []
        for job, next_job in pairwise(ticks_of(case)[name]):
            earlier, later = tick_of(job.id), tick_of(next_job.id)
            is_excused = any(begin < later and earlier < end for begin, end in pauses)
            if later - earlier > _TICK_MS and not is_excused and not case.clock_was_set:
                yield f"schedule {name} missed what lies between {earlier} and {later}"
    late_ms = LATE_MS + (_UNNOTICED_MS if case.clock_was_set else 0)
    times = [tick_of(job.id) for job in ticks_of(case)["tick"]]
    if times and times[-1] < case.evidence.ended_at - late_ms:
        yield f"schedule tick ticked last at {times[-1]}, long before {case.evidence.ended_at}"


def no_tick_comes_early(case: Case) -> Iterator[str]:
    """By the queue's clock a tick has come when its job is made.

    Where the clock is set back between the look at it and the submit, a tick is an hour early.
    """
    for jobs in ticks_of(case).values():
        for job in jobs:
            early = tick_of(job.id) - job.submitted_at
            if early > 0 and not (case.clock_was_set and abs(early - STEP_MS) < LATE_MS):
                yield f"job {job.id} was made {early} ms before its time"


def slow_jobs_keep_their_overlap(case: Case) -> Iterator[str]:
    """No tick becomes a job while too many of its schedule's are unfinished."""
    unfinished: dict[str, set[str]] = {name: set() for name in _AT_ONCE}
    for event in case.evidence.events:
        there = unfinished.get(case.function(event.job_id))
        if there is None:
            continue
        if event.kind is EventKind.SUBMITTED:
            there.add(event.job_id)
            if len(there) > _AT_ONCE[case.function(event.job_id)]:
                yield f"job {event.job_id} was made while {sorted(there)} were unfinished"
        elif event.status.finished:
            there.discard(event.job_id)


def a_pause_lets_its_ticks_pass(case: Case) -> Iterator[str]:
    """Between the answer to a pause and the call of the resume no tick is due that ever runs."""
    for job in ticks_of(case)[PAUSED]:
        if _within(tick_of(job.id), _pauses(case, is_certain=True)):
            yield f"job {job.id} is of a tick that came while its schedule was paused"


def _pauses(case: Case, *, is_certain: bool = False) -> list[tuple[int, int]]:
    """When the schedule was paused: for certain, or perhaps, as calls take their time."""
    if case.clock_was_set or PAUSED in case.excused:
        return [] if is_certain else [(0, 1 << 62)]
    first, last = (What.PAUSED, What.UNPAUSE) if is_certain else (What.PAUSE, What.UNPAUSED)
    begins = [line.at for line in case.lines(first)]
    ends = [line.at for line in case.lines(last)]
    return [(begin, min((x for x in ends if x > begin), default=1 << 62)) for begin in begins]


def _within(at: int, spans: list[tuple[int, int]]) -> bool:
    return any(begin < at < end for begin, end in spans)


def the_last_missed_tick_runs(case: Case) -> Iterator[str]:
    """Whoever was away makes up for the last tick that he missed, and for no other.

    That he looked shows in the ticks that he makes up for one by one, which are seen in the same
    look.
    """
    looks = ticks_of(case)["visit_all"]
    made = ticks_of(case)["visit_last"]
    if not looks or case.clock_was_set:
        return
    times = [tick_of(job.id) for job in made]
    for look in looks:
        last = tick_of(look.id) // SELDOM_MS * SELDOM_MS
        is_older = last <= tick_of(looks[0].id)  # than the schedule itself
        if not is_older and not any(last <= at <= look.submitted_at for at in times):
            yield f"schedule visit_last missed its tick at {last}, though {look.id} was made after"
    for earlier, later in pairwise(made):
        if earlier.submitted_at == later.submitted_at:
            yield f"jobs {earlier.id} and {later.id} make up for two ticks at once"


def a_rolled_back_rhythm_is_in_force(case: Case) -> Iterator[str]:
    """Once the newer version has ended, the older one's ticks go on."""
    for ended in _visits(case):
        is_long_ago = ended < case.evidence.ended_at - LATE_MS
        if is_long_ago and not case.clock_was_set and not _ticks_of_old(case, ended):
            yield f"schedule steady is silent, though its newer version ended at {ended}"


def _visits(case: Case) -> list[int]:
    """When newer versions ended, after which none came."""
    ends = [
        each.at
        for each in case.evidence.exits
        if each.name == Visit.who and each.at < case.evidence.ended_at
    ]
    return ends[-1:]


def _ticks_of_old(case: Case, since: int) -> bool:
    times = (tick_of(job.id) for job in ticks_of(case)["steady"])
    return any(at > since and at % NEWER_MS for at in times)


def met(case: Case) -> dict[str, int]:
    """What befell schedules, and how often."""
    looks = ticks_of(case)["visit_all"]
    late = sum(job.submitted_at - tick_of(job.id) > _TICK_MS for job in looks)
    found = {
        ROLLBACK: sum(_ticks_of_old(case, ended) for ended in _visits(case)),
        MISSED: late,
        SKIPPED: sum(report.kind == "cron.skipped" for report in case.evidence.reports),
        PAUSE: len(case.lines(What.PAUSED)),
    }
    return {name: count for name, count in found.items() if count}
