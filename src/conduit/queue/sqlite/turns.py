"""Whose turn it is: the lanes that one kind of claim may take from, in the order of their turns.

    queue, by weight ──▶ level: rescued, priority ──▶ lane, the one whose last turn is longest ago

Pure memory of one queue object. The store only says which lanes have got jobs (`lanes.py`), and a
turn costs no write. What stands here is a hint: a claim looks at the jobs of each lane that it
visits, and says what it found.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from heapq import heappop, heappush

from msgspec import Struct

STRIDE = 720_720
"""How far a job moves a queue of weight 1 back. Weights up to 16 divide it: they are exact."""
TURN = 16
"""A lane may have so many jobs in a turn, or its share of the claim if that is more."""


class Visit(Struct, frozen=True):
    """A lane whose turn it is: up to `jobs` of `level`, or of the better one that it has by now."""

    queue: str
    function: str
    level: int
    jobs: int


class _Ring:
    """The lanes of one queue: those of the best level first, and among them who waited longest."""

    def __init__(self) -> None:
        self._levels: dict[int, dict[str, None]] = {}
        self._level_of: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._level_of)

    def put(self, function: str, level: int) -> None:
        """Add a lane at the end of its level, unless it stands at one as good."""
        known = self._level_of.get(function)
        if known is not None:
            if known <= level:
                return
            self._remove(function, known)
        self._level_of[function] = level
        self._levels.setdefault(level, {})[function] = None

    def first(self) -> tuple[int, int]:
        """The best level, and how many lanes are of it."""
        level = min(self._levels)
        return level, len(self._levels[level])

    def pop(self, level: int) -> str:
        """Take out the lane of a level whose turn it is."""
        function = next(iter(self._levels[level]))
        self._remove(function, level)
        return function

    def _remove(self, function: str, level: int) -> None:
        del self._level_of[function]
        del self._levels[level][function]
        if not self._levels[level]:
            del self._levels[level]


class Turns:
    """The turns of one kind of claim.

    Queues go by strides: each job that a queue gives moves it back by its stride. One that comes
    anew stands as if it had just given a job, so that nobody needs to remember those that are idle.
    """

    def __init__(
        self, queues: Sequence[str], weights: Sequence[int], functions: Sequence[str]
    ) -> None:
        self._weights = dict(zip(queues, weights or [1] * len(queues), strict=True))
        self._total = sum(self._weights.values())
        self._strides = {name: max(1, STRIDE // weight) for name, weight in self._weights.items()}
        self._functions = frozenset(functions)
        self.told = 0
        """The last change of the store's lanes that a wait has ended for."""
        self.told_paused = ""
        """The pauses that a claim or a wait knew last, as the store tells them."""
        self.kept: object = None
        """The last claim that is known to be committed."""
        self._begun: object = None
        self._forget()

    def begin(self, claim: object) -> None:
        """A claim takes its turns. One before it that may have been undone took its own in vain."""
        if self._begun is not self.kept:
            self._forget()
        self._begun = claim
        self.more = False

    def _forget(self) -> None:
        self.seen = 0
        """The last change of the store's lanes that is known here."""
        self.paused = ""
        """The pauses that are known here, as the store tells them."""
        self.more = False
        """Whether the last claim has left lanes that it didn't look at."""
        self._paused: frozenset[tuple[str, str]] = frozenset()
        self._rings: dict[str, _Ring] = {}
        self._passes: dict[str, int] = {}  # of queues that have lanes
        self._order: list[tuple[int, str]] = []  # a heap; what isn't the queue's pass is old
        self._held: dict[tuple[str, str], int] = {}  # lanes that are paused, with their levels

    def wants(self, queue: str, function: str) -> bool:
        """Whether claims of this kind may take from a lane."""
        return function in self._functions and queue in self._weights

    def serves(self, queues: Sequence[str]) -> bool:
        """Whether claims of this kind take from any of these queues."""
        return any(queue in self._weights for queue in queues)

    def pause(self, told: str, paused: frozenset[tuple[str, str]]) -> None:
        """From now on these are paused: ("queue" or "function", name)."""
        self.paused = self.told_paused = told
        self._paused = paused
        held, self._held = self._held, {}
        for (queue, function), level in held.items():
            self.put(queue, function, level)

    def put(self, queue: str, function: str, level: int) -> None:
        """A lane has jobs: it has its turn once all others of its level had theirs."""
        if not self.wants(queue, function):
            return
        ring = self._rings.setdefault(queue, _Ring())
        if not ring:
            if queue not in self._passes:
                first = next(self._queues(), None)
                now = 0 if first is None else self._passes[first] - self._strides[first]
                self._passes[queue] = now + self._strides[queue]
            heappush(self._order, (self._passes[queue], queue))
        ring.put(function, level)

    def next(self, room: int, limit: int) -> list[Visit]:
        """The lanes to visit for `room` jobs, of `limit` in the whole claim, in order.

        They are taken out; `put` those back that have more. Of a queue only lanes of one level:
        these may have more jobs of it.
        """
        visits: list[Visit] = []
        levels: dict[str, int] = {}
        popped: Counter[str] = Counter()
        while room > 0 and (queue := next(self._queues(), None)) is not None:
            ring = self._rings[queue]
            level, lanes = ring.first()
            if levels.get(queue, level) != level:
                break
            function = ring.pop(level)
            if ("queue", queue) in self._paused or ("function", function) in self._paused:
                self._held[queue, function] = level
                continue
            levels[queue] = level
            jobs = min(room, self._turn(queue, lanes + popped[queue], limit))
            popped[queue] += 1
            room -= jobs
            visits.append(Visit(queue, function, level, jobs))
            self._move(queue, jobs)
        return visits

    def gave_less(self, visit: Visit, jobs: int) -> None:
        """A visit brought only so many."""
        self._move(visit.queue, jobs - visit.jobs)

    def end(self) -> None:
        """A claim is over: queues that have no lane any more are forgotten."""
        for queue in [queue for queue in self._passes if not self._rings[queue]]:
            del self._passes[queue], self._rings[queue]

    def _turn(self, queue: str, lanes: int, limit: int) -> int:
        share = -(-limit * self._weights[queue] // (self._total * lanes))
        return max(share, min(TURN, -(-limit // TURN)))

    def _move(self, queue: str, jobs: int) -> None:
        if jobs:
            self._passes[queue] += jobs * self._strides[queue]
            if self._rings[queue]:
                heappush(self._order, (self._passes[queue], queue))

    def _queues(self) -> Iterator[str]:
        """The queue whose turn it is, while there is one."""
        while self._order:
            at, queue = self._order[0]
            if self._passes.get(queue) == at and self._rings[queue]:
                yield queue
            else:
                heappop(self._order)
