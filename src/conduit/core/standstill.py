"""Workers whose places are all held by jobs that wait for jobs that find no place.

A worker says of itself only that it stands still and what for (`Standstill`). Whether that will
end shows when all of them are looked at together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from conduit.core.model import FunctionInfo, Standstill, StandstillWait, WorkerInfo

MOST_NAMED = 3

_Stuck = list[tuple[WorkerInfo, Standstill]]


def deadlocks(workers: Sequence[WorkerInfo], functions: Iterable[FunctionInfo]) -> _Stuck:
    """The standstills that nobody can end, each with its worker.

    One ends by itself if some live worker with a place to spare can run what it waits for. What is
    left when those are taken away, and those that wait for these in turn, never ends.
    """
    has = {(info.name, info.worker) for info in functions}
    stuck = [(worker, each) for worker in workers for each in worker.standstills]
    while True:
        left = [
            (worker, each)
            for worker, each in stuck
            if not any(_can_be_had(wait, workers, has, stuck) for wait in each.waits)
        ]
        if len(left) == len(stuck):
            return stuck
        stuck = left


def _can_be_had(
    wait: StandstillWait,
    workers: Sequence[WorkerInfo],
    has: set[tuple[str, str]],
    stuck: _Stuck,
) -> bool:
    """Whether somebody gets on with what is waited for."""
    if wait.holder:
        return not _is_stuck(wait.holder, wait.awaited, stuck)
    return any(
        wait.queue in worker.queues
        and (wait.awaited, worker.name) in has
        and not _is_stuck(worker.id, wait.awaited, stuck)
        for worker in workers
    )


def _is_stuck(worker_id: str, function: str, stuck: _Stuck) -> bool:
    return any(worker.id == worker_id and function in each.functions for worker, each in stuck)


def in_words(worker: WorkerInfo, standstill: Standstill) -> str:
    """What is wrong, and what to do."""
    pairs = [f"{wait.waiter} waits for {wait.awaited}" for wait in standstill.waits]
    more = f" and {len(pairs) - MOST_NAMED} more" if len(pairs) > MOST_NAMED else ""
    places = standstill.places
    slots = "the only slot" if places == 1 else f"all {places} slots"
    held = "is held by a job that waits" if places == 1 else "are held by jobs that wait"
    return (
        f"{slots} of worker {worker.id} {held} for jobs that no worker has room for "
        f"({', '.join(pairs[:MOST_NAMED])}{more}), and nothing moves: "
        "give it a higher concurrency, start another worker, or let the parents end instead of "
        "waiting and submit what follows with after=..."
    )
