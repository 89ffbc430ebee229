"""What workers claim, under an id that all who claim the same share. See scripts/rings.lua."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Sequence
from typing import Any, Protocol

from msgspec import Struct

from conduit.queue.base import Claim
from conduit.queue.redis.packing import pack

SLICE = 1000
"""Queues and functions that are made known at a time."""


class Run(Protocol):
    """Runs a script with its inputs."""

    def __call__(self, script: str, *inputs: Any) -> Awaitable[Any]: ...


class Subscription(Struct, frozen=True):
    """Queues with their weights, and functions; `total` is the sum of the weights."""

    id: str
    weights: dict[str, int]
    functions: list[str]
    total: int


class Subscriptions:
    """Those that one queue object has claimed by."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._known: dict[tuple[object, ...], Subscription] = {}  # by what was asked for

    def of(self, claim: Claim) -> Subscription:
        """What a claim asks for, whatever the order that it is named in."""
        wanted = claim.queues, claim.weights, claim.functions
        if wanted not in self._known:
            weights = dict(zip(claim.queues, claim.weights or [1] * len(claim.queues), strict=True))
            functions = sorted(set(claim.functions))
            content = pack((sorted(weights.items()), functions))
            digest = hashlib.sha256(content).hexdigest()[:16]
            self._known[wanted] = Subscription(digest, weights, functions, sum(weights.values()))
        return self._known[wanted]

    def serving(self, queues: Sequence[str]) -> list[str]:
        """Ids of those that have any of these queues."""
        known = self._known.values()
        return [each.id for each in known if not each.weights.keys().isdisjoint(queues)]

    async def make_known(self, wanted: Subscription) -> None:
        """Tell the server of a subscription, and fill its rings, in slices that hold up nobody."""
        weights, functions = sorted(wanted.weights.items()), wanted.functions
        for start in range(0, max(len(weights), len(functions)), SLICE):
            queues = [part for pair in weights[start : start + SLICE] for part in pair]
            await self._run("subscribe", wanted.id, queues, functions[start : start + SLICE])
        place = b"0"
        while (place := await self._run("subscribe", wanted.id, [], [], place.decode())) != b"0":
            pass
