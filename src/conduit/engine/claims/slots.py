"""The jobs that a worker holds: those that wait for a slot, those that run, and those whose end is
on its way to the queue.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from msgspec import structs

from conduit import telemetry
from conduit.core.model import Lease
from conduit.core.transitions import OutcomeKind
from conduit.engine.attempts.attempt import Attempt, Stop
from conduit.engine.attempts.function import Mode
from conduit.engine.attempts.reporter import Reporter
from conduit.engine.claims.capacity import Room
from conduit.engine.claims.prefetch import STALL_S
from conduit.engine.executors.abandoned import disown
from conduit.engine.process.recycling import Wear
from conduit.queue.base import Finished, Outcome

logger = logging.getLogger("conduit.engine")


class Slots:
    """Runs as many attempts at once as the rooms have places; calls `on_vacated` as each ends."""

    def __init__(
        self,
        rooms: Sequence[Room],
        reporter: Reporter,
        on_vacated: Callable[[], None],
        wear: Wear,
    ) -> None:
        self.context = contextvars.copy_context()
        """What every job begins with, untouched by others."""
        self._rooms = rooms
        self._room_of = {name: room for room in rooms for name in room.functions}
        self._reporter = reporter
        self._on_vacated = on_vacated
        self._wear = wear
        self._loop = asyncio.get_running_loop()
        self._attempts: dict[Lease, Attempt] = {}  # every claimed job that isn't settled
        self._lock = threading.Lock()  # guards _attempts against the heartbeat's thread
        self._left_behind: set[asyncio.Task[None]] = set()
        self._moved = asyncio.Event()
        self._closed = False
        self.handed_back = 0
        """How many jobs were interrupted to be run again."""

    # --- what is held -------------------------------------------------------------------------

    @property
    def held(self) -> int:
        """How many jobs wait or run."""
        return sum(room.held for room in self._rooms)

    def running(self) -> list[str]:
        """The functions of the jobs that run."""
        return [
            attempt.job.function
            for attempt in self._attempts.values()
            if attempt.task is not None and not attempt.reported
        ]

    def rooms_that_wait(self) -> list[tuple[Room, list[Attempt]]]:
        """Rooms whose every place is held by a job that waits for other jobs, with these jobs."""
        found: list[tuple[Room, list[Attempt]]] = []
        for room in self._rooms:
            if room.running >= room.size:
                attempts = self._running_in(room)
                if all(attempt.awaited() for attempt in attempts):
                    found.append((room, attempts))
        return found

    def _running_in(self, room: Room) -> list[Attempt]:
        return [
            attempt
            for attempt in self._attempts.values()
            if attempt.task is not None
            and not attempt.reported
            and self._room_of[attempt.function.name] is room
        ]

    def leases(self) -> list[Lease]:
        """Of every job that isn't settled. From any thread."""
        with self._lock:
            return [attempt.lease for attempt in self._attempts.values()]

    def begun(self) -> dict[Lease, int]:
        """For how many milliseconds each job's function has been running. From any thread."""
        with self._lock:
            ages = {lease: attempt.began_ms_ago for lease, attempt in self._attempts.items()}
        return {lease: age for lease, age in ages.items() if age is not None}

    def began_ms_ago(self, lease: Lease) -> int | None:
        """For how many milliseconds the function of a job has been running; None: it isn't yet."""
        attempt = self._attempts.get(lease)
        return None if attempt is None else attempt.began_ms_ago

    def last_outcomes(self) -> list[Outcome]:
        """What to report of every job that isn't settled if nothing more can be done for it here.

        From any thread.
        """
        with self._lock:
            attempts = list(self._attempts.values())
        return [
            each.outcome or Outcome(lease=each.lease, kind=OutcomeKind.RELEASE)
            for each in attempts
            if each.stop_reason is not Stop.LOST
        ]

    def find(self, lease: Lease) -> Attempt | None:
        """The job under this lease. From any thread."""
        with self._lock:
            return self._attempts.get(lease)

    async def until_settled(self) -> None:
        """Wait until the queue knows the end of every job."""
        while self._attempts:
            self._moved.clear()
            await self._moved.wait()

    async def until_ended(self) -> None:
        """Wait until every job has ended, whether or not the queue has heard of it."""
        while not all(attempt.reported for attempt in self._attempts.values()):
            self._moved.clear()
            await self._moved.wait()

    # --- running ------------------------------------------------------------------------------

    def accept(self, attempts: Iterable[Attempt]) -> None:
        """Take claimed jobs: start them, or let them wait their turn."""
        for attempt in attempts:
            self._admit(attempt)
            self._room_of[attempt.function.name].waiting.append(attempt)
        if self._closed:
            self.release_waiting()
        for room in self._rooms:
            self._start_waiting(room)
            if room.waiting and room.pace.adapts and room.stall_timer is None:
                room.stall_timer = self._loop.call_later(STALL_S, self._hand_back_if_stalled, room)

    def begin(self, attempt: Attempt) -> None:
        """Take a job and start it now, room or not."""
        self._admit(attempt)
        self._begin(attempt, self._room_of[attempt.function.name])

    def _admit(self, attempt: Attempt) -> None:
        with self._lock:
            self._attempts[attempt.lease] = attempt

    def _start_waiting(self, room: Room) -> None:
        while room.waiting and room.running < room.size:
            self._begin(room.waiting.popleft(), room)

    def _begin(self, attempt: Attempt, room: Room) -> None:
        room.running += 1
        attempt.task = self._loop.create_task(self._run(attempt, room), context=self.context.copy())

    async def _run(self, attempt: Attempt, room: Room) -> None:
        room.began_at = began = self._loop.time()
        outcome = await attempt.run()
        room.pace.ran(self._loop.time() - began)
        if not attempt.reported:  # else it was left behind, and ended after all
            self._vacate(attempt, outcome)

    def _vacate(self, attempt: Attempt, outcome: Outcome | None) -> None:
        room = self._room_of[attempt.function.name]
        room.running -= 1
        if attempt.function.mode is not Mode.PROCESS:
            self._wear.ran()
        self._report(attempt, outcome)
        if not self._closed:
            self._start_waiting(room)
        self._on_vacated()

    def _report(self, attempt: Attempt, outcome: Outcome | None) -> None:
        attempt.close()
        self._moved.set()
        end = attempt.end(outcome) if telemetry.listeners else None
        if outcome is None:
            self._settle(attempt)
            if end is not None:
                telemetry.tell(end)
        else:
            if attempt.task is not None and outcome.kind is OutcomeKind.RELEASE:
                self.handed_back += 1
            self._reporter.finish(outcome, partial(self._on_delivered, attempt, outcome, end))

    def _on_delivered(
        self, attempt: Attempt, outcome: Outcome, end: telemetry.End | None, answer: Finished
    ) -> None:
        if end is not None:
            _tell(end, outcome, kept=answer is not Finished.STALE)
        if answer is Finished.STALE:
            logger.warning(
                "job %s had passed to another worker; what this one made of it was dropped",
                attempt.job.id,
            )
        self._settle(attempt)

    def _settle(self, attempt: Attempt) -> None:
        with self._lock:
            self._attempts.pop(attempt.lease, None)
        attempt.settle()
        self._moved.set()

    # --- stopping one -------------------------------------------------------------------------

    def flag_thread(self, lease: Lease, reason: Stop) -> None:
        """Let a job in a thread know that it is to stop, even while the loop is blocked."""
        attempt = self.find(lease)
        if attempt is not None and attempt.function.mode is Mode.THREAD:
            attempt.flag(reason)

    def stop(self, lease: Lease, reason: Stop) -> bool:
        """Stop a job, be it waiting or running. False: no such job is here."""
        attempt = self._attempts.get(lease)
        if attempt is None:
            return False
        attempt.stop(reason)
        waiting = self._room_of[attempt.function.name].waiting
        if attempt in waiting:
            waiting.remove(attempt)
            self._report(attempt, attempt.unrun_outcome())
        return True

    def leave_behind(self, attempt: Attempt) -> None:
        """Go on without a job that doesn't end although it was told to."""
        if attempt.reported or attempt.task is None:
            return
        logger.warning(
            "%s %s (%s) goes on although it was told to stop; it is left behind, and what it still "
            "does counts for nothing",
            "job" if attempt.outcome is None else "a hook of job",
            attempt.job.id,
            attempt.job.function,
        )
        self._left_behind.add(attempt.task)
        attempt.task.add_done_callback(self._left_behind.discard)
        self._vacate(attempt, attempt.abandon())

    # --- stopping all -------------------------------------------------------------------------

    def close(self) -> None:
        """Start no more jobs, and hand back those that wait."""
        self._closed = True
        for room in self._rooms:
            if room.stall_timer is not None:
                room.stall_timer.cancel()
        self.release_waiting()

    def release_waiting(self) -> None:
        """Hand back what was claimed and not begun."""
        for room in self._rooms:
            self._release_waiting(room)

    def _release_waiting(self, room: Room) -> None:
        while room.waiting:
            attempt = room.waiting.popleft()
            attempt.flag(Stop.RELEASE)
            self._report(attempt, attempt.unrun_outcome())

    def release_running(self) -> None:
        """Interrupt what runs, to be handed back."""
        for attempt in list(self._attempts.values()):
            attempt.give_back()

    def leave_all_behind(self) -> None:
        """Go on without all that still runs."""
        for attempt in list(self._attempts.values()):
            self.leave_behind(attempt)
        for task in self._left_behind:
            disown(task)

    def forget(self) -> None:
        """Wait no longer for answers to what was reported; nobody else should either."""
        for attempt in list(self._attempts.values()):
            self._settle(attempt)

    def _hand_back_if_stalled(self, room: Room) -> None:
        """Let other workers have what waits here behind long jobs."""
        room.stall_timer = None
        if not room.waiting:
            return
        stalled_at = room.began_at + STALL_S
        if self._loop.time() < stalled_at:
            room.stall_timer = self._loop.call_at(stalled_at, self._hand_back_if_stalled, room)
            return
        room.pace.stalled()
        self._release_waiting(room)


def _tell(end: telemetry.End, outcome: Outcome, *, kept: bool) -> None:
    telemetry.tell(structs.replace(end, kept=kept))
    if kept and outcome.kind is OutcomeKind.RETRY_LATER:
        telemetry.tell(
            telemetry.Retry(
                worker=end.worker,
                job=end.job,
                attempt=end.attempt,
                error=end.error,
                delay_s=outcome.delay_ms / 1000,
            )
        )
