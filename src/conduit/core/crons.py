"""What the queue keeps of a schedule, and what becomes of its ticks. Pure: every store follows it.

Workers that run side by side may carry different *definitions* of one schedule: a canary, a rolling
deploy, a rollback. One of them is in force: the newest that a worker carries which isn't lost. A
definition is as old as the first of its carriers in an unbroken line, so that one that comes back
after its last carrier went is new again. Where nobody carries any, the last one stays in force.

A tick is settled by moving the schedule's mark to it in the step that makes its job. The mark is
the schedule's, not a definition's: no tick happens twice, whoever is in force.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct, structs

from conduit.core.model import CronInfo, NewJob
from conduit.core.schedule import Overlap, parse_schedule

AHEAD_MS = 60_000
"""How far ahead of the store's clock a mark may be. Up to here it is waited for; beyond that, the
clock was wrong when the mark was set."""


class Heard(Struct, frozen=True):
    """A worker that the store knows: its name, when it was last heard of, whether it is lost."""

    name: str
    at: int
    lost: bool = False


Roll = Mapping[str, Heard]
"""The workers that a store knows, by id."""


class Definition(Struct, frozen=True):
    """What some workers say of a schedule; of two, the newer one has the higher version."""

    version: int
    info: CronInfo


class CronRecord(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A schedule as a store keeps it. Times are the store's, in milliseconds.

    `definitions` are by fingerprint, and `carriers` maps workers' ids to that of what they carry.
    Ticks up to `mark` are settled. Those of the definition in force count from `since`; those up to
    `since` are of the one `before`. `skipped` counts ticks in a row that became no job, because
    `last_job`, that of the last tick that did, is unfinished.
    """

    definitions: dict[str, Definition]
    in_force: str
    mark: int
    since: int
    carriers: dict[str, str] = {}
    before: str = ""
    paused: bool = False
    last_job: str = ""
    skipped: int = 0


class Tick(Struct, frozen=True):
    """One due tick of a schedule, with the job it is to become. `at` is the tick's own time.

    `passed` ticks before it are let pass; without a job it is let pass as well.
    """

    cron: str
    fingerprint: str
    at: int
    job: NewJob | None
    passed: int = 0


class TickOutcome(StrEnum):
    """What became of a tick."""

    SUBMITTED = "submitted"
    SKIPPED = "skipped"
    """No job was made of it, nor will be."""
    PAUSED = "paused"
    """The schedule is paused, and the tick passes."""
    WAITS = "waits"
    """The last tick's job is unfinished. Send this tick, or a later one, when that has ended."""
    REFUSED = "refused"
    """It was someone else's, or its definition isn't in force, or nobody knows the schedule."""


class Ticked(Struct, frozen=True):
    """Answer to one tick.

    `skipped` is how many ticks in a row became no job because of an unfinished one: with the tick
    that was skipped, or up to the one that was submitted. `last_job` is the id of that job.
    """

    outcome: TickOutcome
    skipped: int = 0
    last_job: str = ""


REFUSED = Ticked(TickOutcome.REFUSED)


# --- who carries what ----------------------------------------------------------------------------


def carry(
    record: CronRecord | None, worker_id: str, info: CronInfo, roll: Roll, now: int
) -> CronRecord:
    """A schedule once a worker, which the roll names already, has registered it."""
    mine = info.fingerprint
    if record is None:
        definitions = {mine: Definition(1, info)}
        return CronRecord(
            definitions=definitions, in_force=mine, carriers={worker_id: mine}, mark=now, since=now
        )
    if mine in followed(record, roll):
        definition = record.definitions[mine]
    else:
        definition = Definition(1 + max(d.version for d in record.definitions.values()), info)
    carried = structs.replace(
        record,
        carriers=record.carriers | {worker_id: mine},
        definitions=record.definitions | {mine: definition},
    )
    return settle(carried, roll, now)


def put_down(record: CronRecord, worker_id: str, roll: Roll, now: int) -> CronRecord | None:
    """A schedule that a worker doesn't have, or no longer; None where nobody has it any more."""
    carriers = {worker: each for worker, each in record.carriers.items() if worker != worker_id}
    left = settle(structs.replace(record, carriers=carriers), roll, now)
    return None if is_dropped(left, roll) else left


def rival(
    record: CronRecord, info: CronInfo, worker: str, roll: Roll, alive_since: int
) -> str | None:
    """The name of another live worker that has another schedule of this name, if there is one."""
    for carrier, fingerprint in record.carriers.items():
        heard, theirs = roll.get(carrier), record.definitions[fingerprint].info
        differs = (theirs.rhythm, theirs.function) != (info.rhythm, info.function)
        if differs and heard and heard.name != worker and heard.at > alive_since:
            return heard.name
    return None


def followed(record: CronRecord, roll: Roll) -> set[str]:
    """Fingerprints of what workers carry that aren't lost."""
    carriers = record.carriers.items()
    return {each for worker, each in carriers if worker in roll and not roll[worker].lost}


def settle(record: CronRecord, roll: Roll, now: int) -> CronRecord:
    """A schedule without carriers that are gone, and with the definition in force that is to be.

    One of another rhythm has no ticks from before it came in force: it was registered now, or
    takes over from one whose workers were last heard of some time ago.
    """
    carriers = {worker: each for worker, each in record.carriers.items() if worker in roll}
    candidates = followed(record, roll)
    newest = max(candidates, key=lambda each: record.definitions[each].version, default="")
    in_force, since, before = newest or record.in_force, record.since, record.before
    old, new = record.definitions[record.in_force], record.definitions[in_force]
    if old.info.rhythm != new.info.rhythm:
        heard = [roll[worker].at for worker, each in carriers.items() if each == record.in_force]
        since = max(heard, default=now) if old.version > new.version else now
        before = record.in_force
    names = [roll[worker].name for worker, each in carriers.items() if each == in_force]
    if names and new.info.worker not in names:
        new = Definition(new.version, structs.replace(new.info, worker=min(names)))
    kept = {each: record.definitions[each] for each in {*carriers.values()}} | {in_force: new}
    return structs.replace(
        record,
        carriers=carriers,
        definitions=kept,
        in_force=in_force,
        since=since,
        before=before,
    )


def is_dropped(record: CronRecord, roll: Roll) -> bool:
    """Whether nobody has the schedule any more, while its worker runs without it."""
    owner = record.definitions[record.in_force].info.worker
    lives = any(heard.name == owner and not heard.lost for heard in roll.values())
    return lives and not followed(record, roll)


def shown(record: CronRecord, roll: Roll, now: int, alive_since: int) -> CronInfo | None:
    """What the queue says of a schedule; None where it is dropped."""
    record = settle(record, roll, now)
    if is_dropped(record, roll):
        return None
    carriers = (worker for worker, each in record.carriers.items() if each == record.in_force)
    return structs.replace(
        record.definitions[record.in_force].info,
        last_tick=max(record.mark, record.since),
        paused=record.paused,
        alive=any(roll[worker].at > alive_since for worker in carriers),
        last_job=record.last_job or None,
        skipped=record.skipped,
    )


# --- ticks ---------------------------------------------------------------------------------------


def accepts(record: CronRecord, tick: Tick) -> bool:
    """Whether a tick is still to be settled, and this definition's to settle."""
    if tick.fingerprint == record.in_force:
        return tick.at > max(record.mark, record.since)
    late = record.mark < tick.at <= record.since
    return tick.fingerprint == record.before and late and tick.fingerprint in record.definitions


def settle_tick(record: CronRecord, tick: Tick, *, unfinished: bool) -> tuple[CronRecord, Ticked]:
    """A schedule after a tick that it accepts. `unfinished`: the last tick's job isn't over."""
    overlap = record.definitions[tick.fingerprint].info.overlap
    if record.paused:
        return structs.replace(record, mark=tick.at), Ticked(TickOutcome.PAUSED)
    if tick.job is None:
        return structs.replace(record, mark=tick.at), Ticked(TickOutcome.SKIPPED)
    if unfinished and overlap == Overlap.QUEUE:
        return record, Ticked(TickOutcome.WAITS, 0, record.last_job)
    if unfinished and overlap == Overlap.SKIP:
        skipped = record.skipped + 1
        after = structs.replace(record, mark=tick.at, skipped=skipped)
        return after, Ticked(TickOutcome.SKIPPED, skipped, record.last_job)
    after = structs.replace(record, mark=tick.at, skipped=0, last_job=tick.job.id)
    return after, Ticked(TickOutcome.SUBMITTED, record.skipped, record.last_job)


def said(tick: Tick, ticked: Ticked) -> list[tuple[str, Mapping[str, int | str]]]:
    """What is reported of a tick that was settled: kinds, and what goes with them."""
    reports: list[tuple[str, Mapping[str, int | str]]] = []
    if ticked.outcome is TickOutcome.SUBMITTED:
        resumed = {"skipped": ticked.skipped} if ticked.skipped else {}
        reports.append(("cron.ticked", {"tick": tick.at} | resumed))
        if tick.passed:
            reports.append(("cron.skipped", {"tick": tick.at, "ticks": tick.passed}))
    elif ticked.outcome is TickOutcome.SKIPPED and ticked.skipped <= 1:
        job = {"job": ticked.last_job} if ticked.skipped else {}
        reports.append(("cron.skipped", {"tick": tick.at, "ticks": tick.passed + 1, **job}))
    return reports


def rewound(record: CronRecord, now: int) -> CronRecord | None:
    """A schedule whose mark is set back to now; None where it isn't that far ahead of it."""
    if max(record.mark, record.since) <= now + AHEAD_MS:
        return None
    return structs.replace(record, mark=min(record.mark, now), since=min(record.since, now))


def with_pause(record: CronRecord, now: int, *, paused: bool) -> CronRecord:
    """A schedule that is paused or resumed: no tick up to the resume is made up for."""
    if paused or not record.paused:
        return structs.replace(record, paused=paused)
    return structs.replace(record, paused=False, mark=max(record.mark, now))


def next_tick(info: CronInfo, now: int) -> int | None:
    """When a schedule ticks next; None while it is paused or nobody runs it."""
    if info.paused or not info.alive:
        return None
    settled = info.last_tick if info.last_tick <= now + AHEAD_MS else now
    return parse_schedule(info.schedule, info.timezone).next_after(max(now, settled))
