"""What workers claim, under an id that all who claim the same share."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from msgspec import Struct

from conduit.queue.base import Claim
from conduit.queue.redis.records import pack


class Subscription(Struct, frozen=True):
    """Queues with their weights, and functions; the id is made of them. See scripts/rings.lua."""

    id: str
    weights: dict[str, int]
    functions: list[str]

    @classmethod
    def of(cls, claim: Claim) -> Subscription:
        """What a claim asks for, whatever the order that it is named in."""
        weights = dict(zip(claim.queues, claim.weights or [1] * len(claim.queues), strict=True))
        functions = sorted(set(claim.functions))
        content = pack((sorted(weights.items()), functions))
        return cls(hashlib.sha1(content).hexdigest()[:16], weights, functions)

    @property
    def total(self) -> int:
        """The sum of the weights."""
        return sum(self.weights.values())

    def serves(self, queues: Sequence[str]) -> bool:
        """Whether it has any of these queues."""
        return any(queue in self.weights for queue in queues)
