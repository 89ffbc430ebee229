"""The rooms of a worker: how many jobs of a kind run at once, and which wait for a place.

Jobs in worker processes have a room of their own, so that neither they nor the others wait for
places that aren't theirs.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from conduit.engine.attempts.attempt import Attempt
from conduit.engine.attempts.function import Mode, WorkerSpec
from conduit.engine.claims.prefetch import Pace


class Room:
    """Places for the jobs of some functions. `size` is how many of them run at once."""

    def __init__(self, functions: Sequence[str], size: int, pace: Pace, where: str = "") -> None:
        self.functions = tuple(functions)
        self._where = where
        self.size = size
        self.pace = pace
        self.running = 0
        self.waiting: deque[Attempt] = deque()
        """Jobs that were claimed ahead."""
        self.began_at = 0.0
        """When the last job took a place, by the loop's clock."""
        self.stall_timer: asyncio.TimerHandle | None = None

    def __str__(self) -> str:
        return f"{self.size} at a time{self._where}"

    @property
    def held(self) -> int:
        """How many jobs wait or run."""
        return self.running + len(self.waiting)

    def free(self) -> int:
        """How many jobs to claim now: as many as can run, and while jobs are short, some ahead.

        Fetching ahead goes in gulps: a claim for one job costs nearly as much as one for a hundred.
        """
        ahead, held = self.pace.ahead, self.held
        free = self.size + ahead - held
        return free if free > 0 and (free >= ahead // 2 or held < self.size) else 0


def rooms_of(spec: WorkerSpec) -> list[Room]:
    """A worker's rooms: one for jobs on the loop and in threads, one for those in processes."""
    in_processes = [
        name for name, function in spec.functions.items() if function.mode is Mode.PROCESS
    ]
    others = [name for name in spec.functions if name not in in_processes]
    rooms: list[Room] = []
    if others or not in_processes:
        pace = Pace(spec.concurrency, spec.prefetch)
        rooms.append(Room(others, spec.concurrency, pace))
    if in_processes:
        places = spec.process_places
        # A number given is for the others: a process is a scarce place, for other workers as well.
        ahead = 0 if spec.prefetch == 0 else None
        rooms.append(Room(in_processes, places, Pace(places, ahead), " in worker processes"))
    return rooms
