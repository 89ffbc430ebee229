"""Mutants: what proves that the laboratory and the tests can fail.

Each is one deliberate mistake in Conduit's sources: a promise that is no longer kept. It is made in
a copy of `src/`, and whoever is named to notice it has to: a run of the laboratory, or a test. What
notices it is first run on an unspoiled copy, where it has to be content.

    python -m tests.faults.mutants [NAME ...] [--seeds N]
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from tests.faults.impolite_mutants import IMPOLITE
from tests.faults.mutant import SOURCES, SQLITE, VALKEY, Lab, Mutant, Tests

_LEASES = "tests/conformance/test_leases.py"
_DEPENDENCIES = "tests/conformance/test_dependencies.py"
_ACTIONS = "tests/server/http/test_actions.py"
_LIVE = "tests/server/http/test_live.py"
_AWAY = Lab(pair="direct-postgres", scenario="away")

MUTANTS: tuple[Mutant, ...] = (
    # --- the fence -------------------------------------------------------------------------------
    Mutant(
        name="finish-unfenced-redis",
        mistake="finish takes an outcome under any token",
        path="queue/redis/scripts/finish.lua",
        right="if not st or st.token ~= outcome[OUTCOME.token] then",
        wrong="if not st then",
        killers=(VALKEY, Tests(_LEASES, "redis and zombie and finish")),
    ),
    Mutant(
        name="finish-unfenced-sqlite",
        mistake="finish takes an outcome under any token",
        path="queue/sqlite/running.py",
        right="if state is None or state.token != outcome.lease.token:",
        wrong="if state is None:",
        killers=(SQLITE, Tests(_LEASES, "sqlite and zombie and finish")),
    ),
    Mutant(
        name="record-unfenced-redis",
        mistake="news of an attempt is kept under any token",
        path="queue/redis/scripts/record.lua",
        right="st.status == S.RUNNING and st.token == notes[i][NOTE.token] then",
        wrong="st.status == S.RUNNING then",
        killers=(Tests(_LEASES, "redis and zombie_can_record"),),
    ),
    Mutant(
        name="record-unfenced-sqlite",
        mistake="news of an attempt is kept under any token",
        path="queue/sqlite/running.py",
        right="job.status is JobStatus.RUNNING and job.token == note.lease.token",
        wrong="job.status is JobStatus.RUNNING",
        killers=(Tests(_LEASES, "sqlite and zombie_can_record"),),
    ),
    Mutant(
        name="extend-unfenced-redis",
        mistake="a zombie extends its successor's lease",
        path="queue/redis/scripts/extend.lua",
        right="st.status == S.RUNNING and st.token == leases[i][LEASE.token] then",
        wrong="st.status == S.RUNNING then",
        killers=(Tests(_LEASES, "redis and extend"),),
    ),
    Mutant(
        name="extend-unfenced-sqlite",
        mistake="a zombie extends its successor's lease",
        path="queue/sqlite/running.py",
        right="if state is None or not state.held_by(lease):",
        wrong="if state is None or state.status is not JobStatus.RUNNING:",
        killers=(Tests(_LEASES, "sqlite and extend"),),
    ),
    Mutant(
        name="rescue-keeps-token-redis",
        mistake="a rescue leaves the lost lease's token in place",
        path="queue/redis/scripts/sweep.lua",
        right="after.token, after.term = nil, nil",
        wrong="after.term = nil",
        killers=(Tests(_LEASES, "redis and zombie_cannot_finish"),),
    ),
    Mutant(
        name="rescue-of-the-living-redis",
        mistake="leases are taken from workers that live",
        path="queue/redis/scripts/sweep.lua",
        right="'-inf', now, 'LIMIT', 0, limit)\n  load(lapsed)",
        wrong="'-inf', '+inf', 'LIMIT', 0, limit)\n  load(lapsed)",
        killers=(Tests(_LEASES, "redis and extended_lease"),),
    ),
    # --- events within the step ------------------------------------------------------------------
    Mutant(
        name="no-event-of-completion-redis",
        mistake="finish completes a job and appends no event",
        path="queue/redis/scripts/finish.lua",
        right=(
            "  event(E.COMPLETED, id, after[1], {\n"
            "    [NEWS.result] = result, [NEWS.began_ms_ago] = ago(after[1]),\n"
            "  }, #result)\n"
        ),
        wrong="",
        killers=(VALKEY,),
    ),
    Mutant(
        name="no-event-of-rescue-redis",
        mistake="a rescue appends no event",
        path="queue/redis/scripts/sweep.lua",
        right=(
            "    event(E.RESCUED, id, st, "
            "{ [NEWS.worker_id] = st.worker_id, [NEWS.began_ms_ago] = ago(st) })\n"
        ),
        wrong="",
        killers=(VALKEY,),
    ),
    Mutant(
        name="events-beside-the-step-sqlite",
        mistake="events of ended attempts are kept by the process until its next transaction",
        path="queue/sqlite/running.py",
        right="dependencies.settle(db, now, awaited, events)\n"
        "    rows.append(db, now, events)\n    return answers",
        wrong="dependencies.settle(db, now, awaited, events)\n"
        '    late = globals().setdefault("late", [])\n'
        "    rows.append(db, now, late)\n    late[:] = events\n    return answers",
        killers=(SQLITE,),
    ),
    # --- the history -----------------------------------------------------------------------------
    Mutant(
        name="acknowledged-before-the-commit",
        mistake="the server acknowledges what it read, then applies it",
        path="server/ingest/consumer.py",
        right="        failures = await self._apply(pieces, changes)\n",
        wrong="        await self._queue.ack(self._group, [each.position for each in entries])\n"
        "        failures = await self._apply(pieces, changes)\n",
        killers=(_AWAY, Tests("tests/server/ingest/test_consumer.py", "had_only_read")),
    ),
    Mutant(
        name="put-right-too-soon",
        mistake="rows are put right while their events may still be taken over",
        path="server/ingest/reconciler.py",
        right="GRACE_MS = 2 * IDLE_MS",
        wrong="GRACE_MS = 3_000",
        killers=(Tests("tests/server/ingest/test_reconciler.py", "killed_server_had_read"),),
    ),
    Mutant(
        name="never-acknowledged",
        mistake="the server acknowledges nothing that it applied",
        path="server/ingest/consumer.py",
        right="[stored.position for stored in entries if stored.position not in unsettled]",
        wrong="[]",
        killers=(Tests("tests/server/ingest/test_consumer.py", "what_happens_to_a_job or killed"),),
    ),
    Mutant(
        name="applied-without-order",
        mistake="the history takes events in the order in which they come",
        path="server/ingest/fold.py",
        right="if row is None or event.seq != row.seq + 1:",
        wrong="if row is None:",
        killers=(Tests("tests/properties/test_ingest_fold.py", "any_order"),),
    ),
    Mutant(
        name="ordered-by-time",
        mistake="the history compares the times of events, not their numbers",
        path="server/ingest/fold.py",
        right="if row is None or event.seq != row.seq + 1:",
        wrong="if row is None or event.at < max(row.started_at or 0, row.submitted_at):",
        killers=(Tests("tests/properties/test_ingest_fold.py", "any_order"),),
    ),
    Mutant(
        name="group-at-the-end-redis",
        mistake="a new group of readers begins with what comes next, not with what there is",
        path="queue/redis/queue.py",
        right='"XGROUP", "CREATE", events, group, "0", "MKSTREAM"',
        wrong='"XGROUP", "CREATE", events, group, "$", "MKSTREAM"',
        killers=(
            Tests("tests/conformance/test_events.py", "redis and new_group"),
            Tests("tests/redis/test_events.py", "destroyed_group"),
        ),
    ),
    Mutant(
        name="takeover-from-the-beginning-redis",
        mistake="a takeover looks at the first pending entries alone",
        path="queue/redis/scripts/claim_stale.lua",
        right="until cursor == '0-0' or taken >= limit",
        wrong="until true",
        killers=(Tests("tests/redis/test_events.py", "dead_entries_behind"),),
    ),
    Mutant(
        name="trimmed-under-its-readers-redis",
        mistake="old entries are dropped whether or not they were read",
        path="queue/redis/scripts/sweep.lua",
        right="local unneeded = not needed or id_before(entry[1], needed)",
        wrong="local unneeded = true",
        killers=(Tests("tests/conformance/test_events.py", "redis and never_trimmed"),),
    ),
    Mutant(
        name="trimmed-under-its-readers-sqlite",
        mistake="old entries are dropped whether or not they were read",
        path="queue/sqlite/sweeping.py",
        right="    (floor,) = db.execute(_READ_BY_ALL).fetchone()\n",
        wrong="    floor = 1 << 60\n",
        killers=(Tests("tests/conformance/test_events.py", "sqlite and never_trimmed"),),
    ),
    # --- locks, keys, schedules, retention -------------------------------------------------------
    Mutant(
        name="lock-released-by-anyone-redis",
        mistake="a lock is released without its token",
        path="queue/redis/scripts/unlock.lua",
        right="if stored and string.match(stored, '^%d+ (.*)$') == input[2] then",
        wrong="if stored then",
        killers=(Tests("tests/conformance/test_locks.py", "redis and holder"),),
    ),
    Mutant(
        name="ticks-without-a-mark-redis",
        mistake="a tick at or before a schedule's mark counts as new",
        path="queue/redis/scripts/tick.lua",
        right="return at > math.max(record.mark, record.since)",
        wrong="return true",
        killers=(Tests("tests/conformance/test_crons.py", "redis and tick"),),
    ),
    Mutant(
        name="key-never-released-redis",
        mistake="a key stays with a job that has finished",
        path="queue/redis/scripts/holders.lua",
        right="if blobs[id] and (not finished(st) or (st.unique_until or 0) > now) then",
        wrong="if blobs[id] then",
        killers=(Tests("tests/conformance/test_submit.py", "redis and releases_the_key"),),
    ),
    Mutant(
        name="key-released-by-another-redis",
        mistake="a job that is forgotten frees the key that another one holds by now",
        path="queue/redis/scripts/forget.lua",
        right="st.key and (key_holders[st.key] or redis.call('HGET', K.keys, st.key)) == id then",
        wrong="st.key then",
        killers=(Tests("tests/conformance/test_submit.py", "redis and old_holder"),),
    ),
    Mutant(
        name="time-to-live-redis",
        mistake="jobs that wait have a time to live",
        path="queue/redis/scripts/submit_plain.lua",
        right="  redis.call('HSET', K.jobs, unpack(blobs",
        wrong="  redis.call('EXPIRE', K.jobs, 86400)\n  redis.call('HSET', K.jobs, unpack(blobs",
        killers=(Tests("tests/redis/test_retention.py", "no_key_has_a_time_to_live"),),
    ),
    # --- jobs that wait for others ---------------------------------------------------------------
    Mutant(
        name="freed-too-early-redis",
        mistake="a job that waits for two is freed by the first that completes",
        path="queue/redis/scripts/unblock.lua",
        right="if not st.waits_for and st.status == S.BLOCKED then",
        wrong="if st.status == S.BLOCKED then",
        killers=(VALKEY, Tests(_DEPENDENCIES, "redis and waits_for_all")),
    ),
    Mutant(
        name="freed-too-early-sqlite",
        mistake="a job that waits for two is freed by the first that completes",
        path="queue/sqlite/dependencies.py",
        right="  AND NOT EXISTS (SELECT 1 FROM dependencies WHERE dependencies.n = jobs.n)\n",
        wrong="",
        killers=(SQLITE, Tests(_DEPENDENCIES, "sqlite and waits_for_all")),
    ),
    # --- the front door --------------------------------------------------------------------------
    Mutant(
        name="answered-without-asking",
        mistake="a cancel or a retry over HTTP is answered 200, and the queue isn't asked",
        path="server/operations/actions.py",
        right="            await operation.apply(queue, [job_id]),\n",
        wrong="            [Action(Acted.DONE)],\n",
        killers=(SQLITE, Tests(_ACTIONS, "cancelling_a_waiting or failed_job_is_retried")),
    ),
    Mutant(
        name="answered-without-asking-in-bulk",
        mistake="a cancel in bulk counts as done what it never asked the queue for",
        path="server/operations/actions.py",
        right="        actions = await parts.link.ask(\n"
        "            lambda queue: operation.apply(queue, batch), patience_s=PATIENT_S\n"
        "        )\n",
        wrong="        actions = [Action(Acted.DONE) for _ in batch]\n",
        killers=(SQLITE, Tests(_ACTIONS, "cancelled_by_filter")),
    ),
    Mutant(
        name="refused-without-the-status",
        mistake="a 409 doesn't say which status forbids the act",
        path="server/operations/actions.py",
        right="job_id,\n                action.status,\n            )\n\n\ndef _unknown",
        wrong="job_id,\n                None,\n            )\n\n\ndef _unknown",
        killers=(SQLITE, Tests(_ACTIONS, "conflict_that_names")),
    ),
    Mutant(
        name="stream-skips-what-was-missed",
        mistake="a stream that is resumed goes on with what comes next",
        path="server/http/live.py",
        right="position = position if known else start",
        wrong="position = start",
        killers=(SQLITE, Tests(_LIVE, "goes_on_where_it_was")),
    ),
    # --- totals ----------------------------------------------------------------------------------
    Mutant(
        name="total-of-the-page-redis",
        mistake="the total is the number of jobs on the page",
        path="queue/redis/finding.py",
        right="return JobPage(jobs, len(found), more)",
        wrong="return JobPage(jobs, len(jobs), more)",
        killers=(Tests("tests/conformance/test_find.py", "redis"),),
    ),
    *IMPOLITE,
)
"""Every mutant there is."""


@contextmanager
def spoiled(mutant: Mutant | None) -> Iterator[Path]:
    """A copy of the sources, with one mistake in it, or none."""
    with tempfile.TemporaryDirectory(prefix="conduit-mutant-") as folder:
        sources = Path(folder) / "src"
        shutil.copytree(SOURCES, sources, ignore=shutil.ignore_patterns("__pycache__"))
        if mutant is not None:
            mutant.apply(sources)
        yield sources


@cache
def _complaints_about_nothing(killer: Lab | Tests, seed: int) -> tuple[str, ...]:
    with spoiled(None) as sources:
        return tuple(killer.complaints(sources, seed))


def _try(mutant: Mutant, seeds: Sequence[int]) -> bool:
    """Whether each that has to notice a mutant does so at each seed; prints how it went."""
    is_noticed = True
    for killer in mutant.killers:
        killed: dict[int, list[str]] = {}
        tried = seeds if isinstance(killer, Lab) else seeds[:1]
        for seed in tried:
            if unspoiled := _complaints_about_nothing(killer, seed):
                raise RuntimeError(f"without any mutant, {killer} complains: {unspoiled}")
            with spoiled(mutant) as sources:
                if noticed := killer.complaints(sources, seed):
                    killed[seed] = noticed
        is_noticed &= len(killed) == len(tried)
        by = ", ".join(sorted({name for names in killed.values() for name in names}))
        word = "killed" if len(killed) == len(tried) else "SURVIVES"
        count = f"{len(killed)} of {len(tried)}"
        print(f"{word:8} | {mutant.name} | {killer} | {count} | {by}", flush=True)
    return is_noticed


def main() -> int:
    """Try the mutants; 0 if all were noticed."""
    parser = argparse.ArgumentParser("python -m tests.faults.mutants")
    parser.add_argument("names", nargs="*", metavar="NAME", help="these alone")
    parser.add_argument("--seeds", type=int, default=1, help="how many runs of the laboratory each")
    chosen = parser.parse_args()
    known = {mutant.name: mutant for mutant in MUTANTS}
    if unknown := set(chosen.names) - known.keys():
        parser.error(f"there is no mutant {', '.join(sorted(unknown))}")
    seeds = range(1, chosen.seeds + 1)
    tried = [known[name] for name in chosen.names] or list(MUTANTS)
    survivors = [mutant.name for mutant in tried if not _try(mutant, seeds)]
    told = f"survived: {', '.join(survivors)}" if survivors else f"all {len(tried)} were noticed"
    print(told)
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
