"""The order in which a worker asks its queues."""

from __future__ import annotations

from collections.abc import Mapping


class QueueOrder:
    """Smooth weighted round robin, as nginx does it for upstreams: each turn every queue gains its
    weight, the richest goes first and pays the sum of all weights. The others follow by riches.
    """

    def __init__(self, weights: Mapping[str, int]) -> None:
        self.names = tuple(weights)
        self._weights = dict(weights)
        self._credit = dict.fromkeys(weights, 0)
        self._total = sum(weights.values())

    def next(self) -> tuple[str, ...]:
        """All queues, in the order to ask them this time."""
        if len(self.names) == 1:
            return self.names
        for name, weight in self._weights.items():
            self._credit[name] += weight
        ordered = tuple(sorted(self.names, key=lambda name: -self._credit[name]))
        self._credit[ordered[0]] -= self._total
        return ordered
