"""Mistakes in what holds whatever jobs, submitters, networks and schedules do."""

from __future__ import annotations

from tests.faults.mutant import SQLITE, VALKEY, Mutant, Tests

_OVERLAP = "tests/conformance/test_cron_overlap.py"
_VERSIONS = "tests/conformance/test_cron_versions.py"
_LEFT_BEHIND = "tests/engine/test_left_behind.py"
_ROOMS = "tests/engine/test_rooms.py"

IMPOLITE: tuple[Mutant, ...] = (
    # --- hanging and blocking --------------------------------------------------------------------
    Mutant(
        name="slot-of-the-hung-never-freed",
        mistake="a job that is left behind keeps its slot",
        path="engine/claims/slots.py",
        right="self._vacate(attempt, attempt.abandon())",
        wrong="self._report(attempt, attempt.abandon())",
        killers=(SQLITE, Tests(_LEFT_BEHIND, "gives_its_slot_back")),
    ),
    Mutant(
        name="blocked-past-the-timeout",
        mistake="a job that blocked the event loop past its timeout counts as completed",
        path="engine/attempts/attempt.py",
        right="if self._on_loop and time.monotonic() >= self._deadline:",
        wrong="if False:",
        killers=(SQLITE, Tests("tests/engine/test_blocked_loop.py", "past_its_timeout")),
    ),
    # --- jobs in processes -----------------------------------------------------------------------
    Mutant(
        name="timeout-from-the-claim",
        mistake="the timeout of a job for a process counts before a process has it",
        path="engine/attempts/attempt.py",
        right="            assert function.target is not None\n",
        wrong="            assert function.target is not None\n"
        "            self.begun(time.monotonic())\n",
        killers=(Tests(_ROOMS, "does_not_count_the_import"),),
    ),
    Mutant(
        name="more-process-jobs-than-processes",
        mistake="as many jobs for processes are claimed as a worker may run at once of others",
        path="engine/claims/capacity.py",
        right="rooms.append(Room(in_processes, places, ",
        wrong="rooms.append(Room(in_processes, spec.concurrency, ",
        killers=(Tests(_ROOMS, "claims_no_more"),),
    ),
    # --- schedules -------------------------------------------------------------------------------
    Mutant(
        name="ticks-of-a-pause-sqlite",
        mistake="a resume makes up for the ticks of the pause",
        path="core/crons.py",
        right="paused=False, mark=max(record.mark, now))",
        wrong="paused=False)",
        killers=(SQLITE, Tests(_VERSIONS, "sqlite and no_tick_of_a_pause")),
    ),
    Mutant(
        name="ticks-of-a-pause-redis",
        mistake="a resume makes up for the ticks of the pause",
        path="queue/redis/scripts/pause_cron.lua",
        right="    record.mark = math.max(record.mark, now) -- no tick up to here is made up for\n",
        wrong="",
        killers=(VALKEY, Tests(_VERSIONS, "redis and no_tick_of_a_pause")),
    ),
    Mutant(
        name="overlap-ignored-sqlite",
        mistake="a tick becomes a job while the last one's is unfinished",
        path="core/crons.py",
        right="if unfinished and overlap == Overlap.SKIP:",
        wrong="if False:",
        killers=(SQLITE, Tests(_OVERLAP, "sqlite and ticks_are_skipped")),
    ),
    Mutant(
        name="overlap-ignored-redis",
        mistake="a tick becomes a job while the last one's is unfinished",
        path="queue/redis/scripts/tick.lua",
        right="tick[TICK.job] and overlap ~= 'allow' and is_unfinished(record.last_id)",
        wrong="false",
        killers=(VALKEY, Tests(_OVERLAP, "redis and ticks_are_skipped")),
    ),
    Mutant(
        name="missed-ticks-dropped",
        mistake='the last missed tick is dropped, with catchup="one"',
        path="core/schedule.py",
        right="            fire = [newest]\n",
        wrong="            fire = [newest] if now - newest < 500 else []\n",
        killers=(SQLITE, Tests("tests/core/test_schedule.py", "catchup or missed or due")),
    ),
    Mutant(
        name="canary-for-ever-sqlite",
        mistake="a newer version's schedule stays in force when its last worker has gone",
        path="core/crons.py",
        right="    candidates = followed(record, roll)\n",
        wrong="    candidates = set(record.definitions)\n",
        killers=(Tests(_VERSIONS, "sqlite and canary"),),
    ),
    # --- what a task's child does to the worker --------------------------------------------------
    Mutant(
        name="children-of-tasks-not-cut-off",
        mistake="what a task forks has the worker's signal handlers and wake-up descriptor",
        path="engine/process/forks.py",
        right="    if _forks.shields:\n        _forks.shields = 0\n",
        wrong="    if False:\n        _forks.shields = 0\n",
        killers=(
            SQLITE,
            Tests("tests/cli/test_tasks_and_their_process.py", "forks_does_nothing"),
        ),
    ),
    # --- the network -----------------------------------------------------------------------------
    Mutant(
        name="dead-connections-trusted-redis",
        mistake="a connection that has fallen silent is waited for, whatever others say",
        path="queue/redis/pool.py",
        right="dead = [each for each in doubted & self._doubted if not each.has_heard()]",
        wrong="dead = []",
        killers=(Tests("tests/redis/test_silence.py", "never_comes"),),
    ),
)
"""Those of impolite processes."""
