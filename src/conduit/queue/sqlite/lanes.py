"""Lanes: the queued jobs of one function in one queue.

A row of `lanes` says that a lane has jobs, and of which level its best one is, or was. It gets a
new number when the lane gets its first job, or one of a better level than it had. Who claims learns
from the numbers beyond the last one that it has seen which lanes have changed, whatever lies in all
others. Whoever makes jobs ready offers their lanes in the same transaction; a claim that finds a
lane empty removes its row.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

import msgspec

from conduit.core.model import Job
from conduit.queue.sqlite.turns import Turns, Visit

_NEWS_AT_ONCE = 1000
_CHECKED_AT_ONCE = 100
_ROUNDS = 20
"""So many times a claim looks in vain: at lanes that others have emptied."""
_LEVEL = 1 << 40  # more than priorities reach

_OFFER = """
INSERT OR REPLACE INTO lanes (queue, function, level)
SELECT value ->> '$[0]', value ->> '$[1]', value ->> '$[2]' FROM json_each(?1)
WHERE NOT EXISTS (
    SELECT 1 FROM lanes
    WHERE queue = value ->> '$[0]' AND function = value ->> '$[1]' AND level <= value ->> '$[2]'
)
"""

_NEWS = """
SELECT
    (
        SELECT json_group_array(json_array(changed, queue, function, level)) FROM (
            SELECT changed, queue, function, level FROM lanes
            WHERE changed > ?1 ORDER BY changed LIMIT ?2
        )
    ),
    (
        SELECT json_group_array(json_array(kind, name)) FROM (
            SELECT 'queue' AS kind, queue AS name FROM paused_queues
            UNION ALL SELECT 'function', function FROM paused_functions
        )
    )
"""

_FIRST_JOBS = """
SELECT json_group_array(json(jobs)) FROM (
    SELECT (
        SELECT json_group_array(json_array(front, priority, n)) FROM (
            SELECT front, priority, n FROM jobs
            WHERE status = 'queued'
              AND queue = lane.value ->> '$[0]' AND function = lane.value ->> '$[1]'
              AND (expires_at IS NULL OR expires_at > ?2)
            ORDER BY front, priority DESC, n LIMIT ?3
        )
    ) AS jobs
    FROM json_each(?1) AS lane ORDER BY lane.key
)
"""

_RAISE = """
UPDATE lanes SET level = lane.value ->> '$[2]' FROM json_each(?) AS lane
WHERE queue = lane.value ->> '$[0]' AND function = lane.value ->> '$[1]'
"""

_REMOVE = """
DELETE FROM lanes WHERE changed IN (
    SELECT changed FROM json_each(?) AS lane CROSS JOIN lanes
    WHERE queue = lane.value ->> '$[0]' AND function = lane.value ->> '$[1]'
)
"""

_NEXT_LANE = """
SELECT queue, function, front, priority FROM jobs
WHERE status = 'queued' AND (queue, function) > (?, ?)
ORDER BY queue, function, front, priority DESC LIMIT 1
"""

_REMOVE_IDLE = """
DELETE FROM lanes WHERE changed IN (
    SELECT changed FROM (SELECT * FROM lanes WHERE changed > ?1 ORDER BY changed LIMIT ?2) AS lane
    WHERE NOT EXISTS (
        SELECT 1 FROM jobs
        WHERE status = 'queued' AND jobs.queue = lane.queue AND jobs.function = lane.function
    )
)
"""

_Found = list[tuple[int, int, int]]

_encode = msgspec.json.Encoder().encode
_decode_news = msgspec.json.Decoder(list[tuple[int, str, str, int]]).decode
_decode_paused = msgspec.json.Decoder(frozenset[tuple[str, str]]).decode
_decode_jobs = msgspec.json.Decoder(list[_Found]).decode


class Ready:
    """Lanes that got jobs in a transaction, each with its best level; offered at the end of it."""

    def __init__(self) -> None:
        self._levels: dict[tuple[str, str], int] = {}

    def add(self, queue: str, function: str, priority: int, *, front: int = 1) -> None:
        """A job waits in its lane; `front` is 0 for one that was rescued."""
        level = _level(front, priority)
        lane = queue, function
        self._levels[lane] = min(level, self._levels.get(lane, level))

    def add_jobs(self, jobs: Iterable[Job]) -> None:
        """Some jobs wait in their lanes."""
        for job in jobs:
            self.add(job.queue, job.function, job.priority)

    def offer(self, db: sqlite3.Connection) -> None:
        """Let those who claim know."""
        if self._levels:
            lanes = [(*lane, level) for lane, level in self._levels.items()]
            db.execute(_OFFER, (_encode(lanes).decode(),))


def _level(front: int, priority: int) -> int:
    return front * _LEVEL - priority


def choose(db: sqlite3.Connection, now: int, turns: Turns, limit: int) -> list[int]:
    """Numbers of up to `limit` jobs, in the order of their turns. Call `turns.begin` first."""
    _catch_up(db, turns)
    look = _Look(db, now, turns)
    while visits := turns.next(limit - len(look.chosen), limit):
        look.visit(visits)
        if look.in_vain == _ROUNDS:
            turns.more = True
            break
    turns.end()
    look.correct()
    return look.chosen


class _Look:
    """What a claim finds in the lanes whose turn it is."""

    def __init__(self, db: sqlite3.Connection, now: int, turns: Turns) -> None:
        self._db, self._now, self._turns = db, now, turns
        self.chosen: list[int] = []
        self.in_vain = 0
        """How many times in turn no lane had a job."""
        self._taken: dict[tuple[str, str], int] = {}
        self._empty: list[tuple[str, str]] = []
        self._changed: list[tuple[str, str, int]] = []

    def visit(self, visits: Sequence[Visit]) -> None:
        """Choose jobs of these lanes, and give those that have more another turn."""
        before = len(self.chosen)
        for visit, jobs in zip(visits, self._first_jobs(visits), strict=True):
            taken, level = _served(visit, jobs)
            self.chosen += taken
            self._turns.gave_less(visit, len(taken))
            lane = visit.queue, visit.function
            if level is None:
                self._empty.append(lane)
                continue
            self._taken[lane] = self._taken.get(lane, 0) + len(taken)
            self._turns.put(*lane, level)
            if level != visit.level:
                self._changed.append((*lane, level))
        self.in_vain = self.in_vain + 1 if len(self.chosen) == before else 0

    def _first_jobs(self, visits: Sequence[Visit]) -> list[_Found]:
        """The next jobs of each lane, and one more than a visit wants: what comes after it."""
        taken = [self._taken.get((visit.queue, visit.function), 0) for visit in visits]
        lanes = _encode([(visit.queue, visit.function) for visit in visits]).decode()
        most = max(many + visit.jobs for many, visit in zip(taken, visits, strict=True)) + 1
        (found,) = self._db.execute(_FIRST_JOBS, (lanes, self._now, most)).fetchone()
        return [jobs[many:] for many, jobs in zip(taken, _decode_jobs(found), strict=True)]

    def correct(self) -> None:
        """Let the rows of the lanes say what was found."""
        if self._changed:
            self._db.execute(_RAISE, (_encode(self._changed).decode(),))
        if self._empty:
            self._db.execute(_REMOVE, (_encode(self._empty).decode(),))


def _catch_up(db: sqlite3.Connection, turns: Turns) -> None:
    """Learn of lanes that have changed and of pauses: what is more comes with the next claim."""
    news, paused = db.execute(_NEWS, (turns.seen, _NEWS_AT_ONCE)).fetchone()
    if paused != turns.paused:
        turns.pause(paused, _decode_paused(paused))
    for changed, queue, function, level in _decode_news(news):
        turns.put(queue, function, level)
        turns.seen = changed


def _served(visit: Visit, jobs: _Found) -> tuple[list[int], int | None]:
    """What a visit takes, and the level of what the lane has next; None where that is nothing.

    A lane that has only worse jobs than it was visited for waits for its turn among those.
    """
    if not jobs:
        return [], None
    level = _level(*jobs[0][:2])
    if level > visit.level:
        return [], level
    taken = [n for front, priority, n in jobs[: visit.jobs] if _level(front, priority) == level]
    following = jobs[len(taken) : len(taken) + 1]
    return taken, _level(*following[0][:2]) if following else None


def news(db: sqlite3.Connection, wanted: Sequence[Turns], since: int) -> tuple[bool, int, str]:
    """Whether lanes have changed so that there may be something to claim for one of `wanted`.

    `since` is how far was looked before. Answers also how far was looked now, and the pauses.
    """
    found, paused = db.execute(_NEWS, (since, _NEWS_AT_ONCE)).fetchone()
    lanes = _decode_news(found)
    last = lanes[-1][0] if lanes else since
    held = _decode_paused(paused)
    ready = len(lanes) == _NEWS_AT_ONCE or any(paused != turns.told_paused for turns in wanted)
    ready = ready or any(
        turns.wants(queue, function)
        and ("queue", queue) not in held
        and ("function", function) not in held
        for _, queue, function, _ in lanes
        for turns in wanted
    )
    return ready, last, paused


class Check:
    """Finds lanes that have jobs and no row, or the reverse, a slice at each call.

    There are none, unless somebody has changed the file by hand: nobody would claim from such a
    lane.
    """

    def __init__(self) -> None:
        self._lane = ("", "")
        self._number = 0

    def step(self, db: sqlite3.Connection) -> None:
        """Look at the next lanes, and put right what is wrong with them."""
        ready = Ready()
        for _ in range(_CHECKED_AT_ONCE):
            found = db.execute(_NEXT_LANE, self._lane).fetchone()
            if found is None:
                self._lane = ("", "")
                break
            queue, function, front, priority = found
            self._lane = queue, function
            ready.add(queue, function, priority, front=front)
        ready.offer(db)
        self._remove_idle(db)

    def _remove_idle(self, db: sqlite3.Connection) -> None:
        ahead = db.execute(
            "SELECT changed FROM lanes WHERE changed > ? ORDER BY changed LIMIT ?",
            (self._number, _CHECKED_AT_ONCE),
        ).fetchall()
        if ahead:
            db.execute(_REMOVE_IDLE, (self._number, _CHECKED_AT_ONCE))
        self._number = ahead[-1][0] if len(ahead) == _CHECKED_AT_ONCE else 0
