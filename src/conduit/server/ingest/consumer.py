"""The ingest: reads the queue's event stream, applies it, commits, and only then acknowledges.

Any number of servers share the stream as one group. What one of them read and didn't settle, for
whatever reason, is taken over by another after a while. Applying twice does nothing more.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple
from uuid import uuid4

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError, StatementError

from conduit.core.errors import ConduitError
from conduit.core.events import Event, Report
from conduit.queue.base import Queue, StoredEntry
from conduit.server.db.database import Database
from conduit.server.duty import Duty
from conduit.server.ingest import soundness
from conduit.server.ingest.apply import Change, apply, wall_clock
from conduit.server.ingest.dead import (
    NewLetter,
    bury,
    letter,
    why_refused,
    why_unreadable,
    why_unsound,
)

Publish = Callable[[Sequence[Change]], None]

GROUP = "server"
IDLE_MS = 10_000
"""How long an entry may be with a consumer before another one takes it over."""
FORGET_MS = 3_600_000
"""How long a consumer that holds nothing may be silent before it's forgotten."""
MAX_DELIVERIES = 5
"""How often a piece that can't be applied is tried before it becomes a dead letter."""
READ_S = 1.0
_SHORTEST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0
_SHORT_S, _LONG_S = 0.2, 0.5
"""A batch that takes less is small enough to be doubled, one that takes more is halved."""
_FEWEST_ENTRIES, _FIRST_ENTRIES, _MOST_ENTRIES = 8, 16, 1000
"""Never fewer: what a transaction takes by itself, on a busy machine, is shared by them."""

_log = logging.getLogger(__name__)


class Piece(NamedTuple):
    """An event or a report, and where it comes from."""

    stored: StoredEntry
    number: int
    told: Event | Report


class IngestMetrics:
    """What there is to know of an ingest: counts since its start, and how it stands."""

    def __init__(self) -> None:
        self.applied = 0
        """Events and reports that were applied, repeats included."""
        self.failed = 0
        """How often a piece couldn't be applied."""
        self.dead = 0
        """Pieces that became dead letters."""
        self.pending = 0
        """Entries that were read and aren't settled."""
        self.behind_since: int | None = None
        """When the oldest thing happened that isn't in the history yet, as far as is known."""

    @property
    def lag_seconds(self) -> float:
        """How far the history is behind the queue."""
        if self.behind_since is None:
            return 0.0
        return max(0.0, (wall_clock() - self.behind_since) / 1000)


class _StoppedError(Exception):
    """The ingest was asked to stop while it waited for a store."""


class Ingest(Duty):
    """Keeps the history up to date with an open queue; a service of the server.

    `publish` is told what was committed. `consumer` names this process within the group.
    """

    name = "ingest"

    def __init__(
        self,
        queue: Queue,
        database: Database,
        publish: Publish,
        *,
        group: str = GROUP,
        consumer: str | None = None,
        idle_ms: int = IDLE_MS,
    ) -> None:
        super().__init__()
        self.metrics = IngestMetrics()
        self.consumer = consumer or f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex}"
        self._queue = queue
        self._database = database
        self._publish = publish
        self._group = group
        self._idle_ms = idle_ms
        self._limit = _FIRST_ENTRIES
        self._claim_at = 0.0
        self._forget_at = 0.0
        self._has_asked = False
        self._trouble = 0
        self._read_all = False

    @property
    def caught_up(self) -> bool:
        """Whether all that the queue had told by the last look is in the history."""
        return self._read_all and self.metrics.behind_since is None and not self._trouble

    # --- life ---------------------------------------------------------------------------------

    async def stop(self) -> None:
        """Settle what was read, unless a store is away, leave the group, and stop."""
        await super().stop()
        if self._has_asked:
            self._has_asked = False
            with suppress(ConduitError):  # it's forgotten in time
                await self._queue.forget_consumers(self._group, 0, only=self.consumer)

    async def _run(self) -> None:
        with suppress(_StoppedError):
            while not self._stopping.is_set():
                try:
                    entries, is_all = await self._next()
                    if entries:
                        started = time.monotonic()
                        await self._settle(entries)
                        self._fit_limit(entries, time.monotonic() - started)
                    self._read_all = is_all
                except ConduitError as error:
                    await self._wait_out(error)
                else:
                    self._all_is_well()

    # --- reading ------------------------------------------------------------------------------

    async def _next(self) -> tuple[list[StoredEntry], bool]:
        """Entries that were left behind, by anyone, else new ones; whether those are all."""
        now = asyncio.get_running_loop().time()
        self._has_asked = True
        if now >= self._forget_at:
            await self._queue.forget_consumers(self._group, FORGET_MS)
            self._forget_at = now + FORGET_MS / 1000
        if now >= self._claim_at:
            left = await self._queue.claim_stale(
                self._group, self.consumer, self._idle_ms, limit=self._limit
            )
            if len(left) < self._limit:
                self._claim_at = now + self._idle_ms / 2000
            if left:
                return left, False
        limit = self._limit
        entries = await self._queue.read_events(
            self._group, self.consumer, limit=limit, timeout=READ_S
        )
        return entries, len(entries) < limit

    def _fit_limit(self, entries: Sequence[StoredEntry], took: float) -> None:
        """Read as much next time as makes a good transaction: its time says how much that is."""
        if took > _LONG_S:
            self._limit = max(_FEWEST_ENTRIES, self._limit // 2)
        elif took < _SHORT_S and len(entries) >= self._limit:
            self._limit = min(2 * self._limit, _MOST_ENTRIES)

    # --- applying -----------------------------------------------------------------------------

    async def _settle(self, entries: Sequence[StoredEntry]) -> None:
        """Apply entries, commit, acknowledge, publish.

        Those with a piece that can't be applied yet stay pending, and come again.
        """
        self.metrics.pending = len(entries)
        self.metrics.behind_since = _first_time(entries)
        changes: list[Change] = []
        pieces, letters = _sorted(entries, wall_clock())
        failures = await self._apply(pieces, changes)
        unsettled: set[str] = set()
        for piece, error in failures:
            if piece.stored.deliveries < MAX_DELIVERIES:
                unsettled.add(piece.stored.position)
            else:
                reason = why_refused(piece.told, piece.stored.deliveries, error)
                letters.append(_letter_of(piece, reason, wall_clock()))
        if letters:
            await self._bury(letters)
        try:
            await self._queue.ack(
                self._group,
                [stored.position for stored in entries if stored.position not in unsettled],
            )
            self.metrics.pending = len(unsettled)
            self.metrics.behind_since = None
        finally:
            self._publish(changes)

    async def _apply(
        self, pieces: Sequence[Piece], changes: list[Change]
    ) -> list[tuple[Piece, Exception]]:
        """Apply pieces, in halves of halves where some of them can't be; those, and why."""
        if not pieces:
            return []
        try:
            changes += await self._commit(pieces)
        except Exception as error:
            if not _blames_events(error):
                raise
            if len(pieces) > 1:
                middle = len(pieces) // 2
                first = await self._apply(pieces[:middle], changes)
                return first + await self._apply(pieces[middle:], changes)
            self._tell_failure(pieces[0], error)
            return [(pieces[0], error)]
        self.metrics.applied += len(pieces)
        return []

    async def _commit(self, pieces: Sequence[Piece]) -> list[Change]:
        """Apply pieces in one transaction, however long the database is away."""
        events = [piece.told for piece in pieces if isinstance(piece.told, Event)]
        reports = [piece.told for piece in pieces if isinstance(piece.told, Report)]
        while True:
            try:
                async with self._database.begin() as connection:
                    return await apply(connection, events, reports, wall_clock())
            except (ConduitError, SQLAlchemyError) as error:
                if _blames_events(error):
                    raise
                await self._wait_out(error)

    async def _bury(self, letters: Sequence[NewLetter]) -> None:
        for each in letters:
            _log.error(
                "event %s/%d of job %s is a dead letter: %s",
                *(each.position, each.number, each.job_id, each.reason),
            )
        while True:
            try:
                async with self._database.begin() as connection:
                    self.metrics.dead += await bury(connection, letters)
                return
            except (ConduitError, SQLAlchemyError) as error:
                if _blames_events(error):
                    raise
                await self._wait_out(error)

    def _tell_failure(self, piece: Piece, error: Exception) -> None:
        self.metrics.failed += 1
        job_id = piece.told.job_id if isinstance(piece.told, Event) else None
        _log.error(
            "event %s/%d of job %s can't be applied (delivery %d of %d)",
            *(piece.stored.position, piece.number, job_id),
            *(piece.stored.deliveries, MAX_DELIVERIES),
            exc_info=error,
        )

    # --- stores that are away -----------------------------------------------------------------

    async def _wait_out(self, error: Exception) -> None:
        """Pause, longer each time, before the next attempt. Raises `_StoppedError`."""
        if not self._trouble:
            _log.warning("the history falls behind, and will catch up: %s", error)
        longest = min(_SHORTEST_PAUSE_S * 2**self._trouble, _LONGEST_PAUSE_S)
        self._trouble = min(self._trouble + 1, 16)
        await self._pause(longest * random.uniform(0.5, 1.0))
        if self._stopping.is_set():
            raise _StoppedError

    def _all_is_well(self) -> None:
        if self._trouble:
            _log.warning("the history catches up")
        self._trouble = 0


def _numbered(stored: StoredEntry) -> Iterator[Piece]:
    """The readable pieces of an entry, with the numbers that they have among all of them."""
    taken = {piece.number for piece in stored.unreadable}
    number = 0
    for told in (*stored.entry.events, *stored.entry.reports):
        while number in taken:
            number += 1
        yield Piece(stored, number, told)
        number += 1


def _sorted(entries: Sequence[StoredEntry], now: int) -> tuple[list[Piece], list[NewLetter]]:
    """What can be applied, and letters for what nobody can apply."""
    pieces: list[Piece] = []
    letters: list[NewLetter] = []
    for stored in entries:
        letters += (
            letter(
                stored.position,
                piece.number,
                piece.body,
                why_unreadable(piece.problem, piece.job_id),
                job_id=piece.job_id,
                deliveries=stored.deliveries,
                now=now,
            )
            for piece in stored.unreadable
        )
        for piece in _numbered(stored):
            told = piece.told
            fault = (
                soundness.fault_of(told)
                if isinstance(told, Event)
                else soundness.fault_of_report(told)
            )
            if fault is None:
                pieces.append(piece)
            else:
                letters.append(_letter_of(piece, why_unsound(told, fault), now))
    return pieces, letters


def _letter_of(piece: Piece, reason: str, now: int) -> NewLetter:
    return letter(
        piece.stored.position,
        piece.number,
        piece.told,
        reason,
        deliveries=piece.stored.deliveries,
        now=now,
    )


def _first_time(entries: Sequence[StoredEntry]) -> int | None:
    for stored in entries:
        for told in (*stored.entry.events, *stored.entry.reports):
            return told.at
    return None


# SQLSTATEs of PostgreSQL for what is wrong with a value: its form, its keys, its size.
_BAD_VALUES = frozenset({"22", "23", "54"})


def _blames_events(error: Exception) -> bool:
    """Whether a batch failed of what is in it, and not of the database or its tables."""
    if isinstance(error, DBAPIError):
        state = getattr(error.orig, "sqlstate", None) or ""
        return isinstance(error, DataError | IntegrityError) or state[:2] in _BAD_VALUES
    if isinstance(error, SQLAlchemyError):
        return isinstance(error, StatementError)
    return not isinstance(error, ConduitError | _StoppedError)
