"""Live updates: what happened, to every browser that listens, in order and without a gap.

The table `changes` is the one source, numbered in the order of commits. Whoever writes to it may
say so (`publish`), which spares the wait for the next look; other replicas' are found by looking.
A client goes on where it was by the id it saw last, at any replica. One that reads too slowly, or
was away for too long, is told `reset`: load anew.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncGenerator, Collection, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from msgspec import Raw, Struct
from sqlalchemy import func, select

from conduit.server.db import tables
from conduit.server.db.database import Database
from conduit.server.db.failures import DatabaseUnavailableError
from conduit.server.models.fields import iso

if TYPE_CHECKING:
    from conduit.server.ingest.apply import Change

LOOK_S = 1.0
HEARTBEAT_S = 15.0
SESSIONS_S = 5.0
"""How soon a session is missed that has expired, or was ended at another replica."""
ROOM = 1000
"""Changes that wait for one client."""
MOST_REPLAYED = 10_000
MOST_CLIENTS = 500
_PAGE = 1000
_RECONNECT_MS = 2000

_log = logging.getLogger(__name__)


class Told(Struct, frozen=True):
    """A change as clients get it. `data` depends on the kind."""

    id: int
    topic: str
    kind: str
    subject: str
    at: str
    data: Raw


def _told(row: Any) -> Told:
    return Told(row.id, row.topic, row.kind, row.subject, iso(row.at), Raw(row.data.encode()))


class Subscription:
    """What one client asked for, and what waits for it."""

    def __init__(
        self, topics: Collection[str], job_id: str | None, session: bytes | None = None
    ) -> None:
        self.session = session
        self._topics = frozenset(topics)
        self._job_id = job_id
        self._waiting: deque[Told] = deque()
        self._news = asyncio.Event()
        self.overflowed = False
        self.ended = False

    def wants(self, change: Told) -> bool:
        """Whether the client asked for this."""
        if self._topics and change.topic not in self._topics:
            return False
        return self._job_id is None or (change.topic == "job" and change.subject == self._job_id)

    def offer(self, change: Told) -> None:
        """Let a change wait for the client; one too many, and all of it is dropped."""
        if self.overflowed or not self.wants(change):
            return
        if len(self._waiting) >= ROOM:
            self.overflow()
        else:
            self._waiting.append(change)
            self._news.set()

    def overflow(self) -> None:
        """Drop what waits: the client has to load anew."""
        self._waiting.clear()
        self.overflowed = True
        self._news.set()

    def end(self) -> None:
        """Let the client go."""
        self.ended = True
        self._news.set()

    async def next(self, timeout: float) -> list[Told]:
        """What has come, at the latest after `timeout` seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._news.wait()
        self._news.clear()
        changes = list(self._waiting)
        self._waiting.clear()
        return changes


class Broker:
    """Reads the changes and passes them on. Start it before the first subscription."""

    def __init__(self, database: Database, *, look_s: float = LOOK_S) -> None:
        self._database = database
        self._look_s = look_s
        self._seen = 0
        self._subscriptions: set[Subscription] = set()
        self._hint = asyncio.Event()
        self._away = False
        self._closed = False
        self._sessions_at = 0.0

    # --- the writing side ---------------------------------------------------------------------

    def publish(self, changes: Sequence[Change]) -> None:
        """Tell of changes that were committed: they are looked at now."""
        if changes:
            self._hint.set()

    # --- life ---------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin with what happens from now on."""
        self._seen = (await self._bounds())[1]

    async def run(self) -> None:
        """Look for changes; until cancelled."""
        while True:
            try:
                await self._miss_sessions()
                more = await self._look()
            except DatabaseUnavailableError as error:
                self._note_away(error)
                more = False
            else:
                self._away = False
            if more:
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(self._look_s):
                    await self._hint.wait()
            self._hint.clear()

    def _note_away(self, error: DatabaseUnavailableError) -> None:
        if not self._away:
            _log.warning("live updates pause: %s", error)
        self._away = True

    def close(self) -> None:
        """End every stream, and those that would begin."""
        self._closed = True
        for subscription in self._subscriptions:
            subscription.end()

    def end_session(self, session: bytes | None) -> None:
        """End the streams of a browser that has signed out."""
        for subscription in self._subscriptions:
            if session is not None and subscription.session == session:
                subscription.end()

    async def _miss_sessions(self) -> None:
        """End the streams of sessions that are over, from time to time."""
        open_ones = {each.session for each in self._subscriptions if each.session is not None}
        if not open_ones or time.monotonic() < self._sessions_at:
            return
        self._sessions_at = time.monotonic() + SESSIONS_S
        known = tables.sessions.c
        query = select(known.token_hash).where(
            known.token_hash.in_(open_ones), known.expires_at > time.time_ns() // 1_000_000
        )
        async with self._database.read() as connection:
            held = {bytes(found) for found in await connection.scalars(query)}
        for session in open_ones - held:
            self.end_session(session)

    @property
    def clients(self) -> int:
        """How many are listening."""
        return len(self._subscriptions)

    async def _look(self) -> bool:
        """Pass on what is new; whether there may be more of it now."""
        if not self._subscriptions:
            return False
        found = await self._after(self._seen)
        if not found:
            await self._notice_rewind()
        for change in found:
            self._seen = change.id
            for subscription in self._subscriptions:
                subscription.offer(change)
        return len(found) == _PAGE

    async def _notice_rewind(self) -> None:
        """Begin anew where ids do: in a database that was restored, or from which all is gone."""
        newest = (await self._bounds())[1]
        if newest < self._seen:
            self._seen = newest
            for subscription in self._subscriptions:
                subscription.overflow()

    async def _bounds(self) -> tuple[int, int]:
        """The oldest id that is kept and the newest; zeros while there is none."""
        ids = tables.changes.c.id
        async with self._database.read() as connection:
            row = (await connection.execute(select(func.min(ids), func.max(ids)))).one()
        return row[0] or 0, row[1] or 0

    async def _after(self, position: int) -> list[Told]:
        table = tables.changes
        query = select(table).where(table.c.id > position).order_by(table.c.id).limit(_PAGE)
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        return [_told(row) for row in rows]

    # --- the reading side ---------------------------------------------------------------------

    async def stream(
        self,
        topics: Collection[str],
        job_id: str | None,
        after: str | None,
        *,
        session: bytes | None = None,
    ) -> AsyncGenerator[bytes]:
        """Server-sent events for one client; `after` is the id of the last one that it has.

        They end when the server stops, when `session` does, when the history goes away before all
        that was missed is told, and with `reset` when the client reads too slowly. Raises
        `DatabaseUnavailableError`, before there is any.
        """
        bounds = await self._bounds()
        return self._told_to(Subscription(topics, job_id, session), after, bounds)

    async def _told_to(
        self, subscription: Subscription, after: str | None, bounds: tuple[int, int]
    ) -> AsyncGenerator[bytes]:
        oldest, newest = bounds
        if not self._subscriptions:  # nobody has to be told of what lies between
            self._seen = newest
        start = self._seen
        self._subscriptions.add(subscription)
        if self._closed:
            subscription.end()
        try:
            position = start if after is None else _position(after)
            oldest_of_use = max(oldest - 1, start - MOST_REPLAYED)
            known = oldest_of_use <= position <= max(start, newest)
            position = position if known else start
            yield _signal("ready" if known else "reset", position)
            while position < start and (found := await self._after(position)):
                position = found[-1].id
                if frames := _frames(each for each in found if subscription.wants(each)):
                    yield frames
            async for frames in self._live(subscription, position):
                yield frames
        except DatabaseUnavailableError as error:  # the client comes back for the rest
            self._note_away(error)
        finally:
            self._subscriptions.discard(subscription)

    async def _live(self, subscription: Subscription, position: int) -> AsyncGenerator[bytes]:
        """What comes after `position`, until the end or until it is too much."""
        while not subscription.ended:
            changes = await subscription.next(HEARTBEAT_S)
            if subscription.overflowed:
                yield _signal("reset", self._seen)
                return
            if frames := _frames(each for each in changes if each.id > position):
                yield frames
            elif not subscription.ended:
                yield KEEPALIVE_COMMENT


def _position(after: str) -> int:
    """The id that a client says it has; -1 for what can't be one."""
    return int(after) if after.isascii() and after.isdigit() and len(after) < 19 else -1


def _frames(changes: Iterable[Told]) -> bytes:
    return b"".join(map(_frame, changes))


def _frame(change: Told) -> bytes:
    data = msgspec.json.encode(change).decode()
    return format_sse_event(event=change.topic, data_str=data, id=str(change.id))


def _signal(event: str, position: int) -> bytes:
    return format_sse_event(event=event, data_str="{}", id=str(position), retry=_RECONNECT_MS)
