"""Faults of the network before the queue, and before the history."""

from __future__ import annotations

import random

from tests.faults.lab.faults import Fault, Harm, Undo, struck_now
from tests.faults.lab.service import LEASE_MS
from tests.faults.lab.stores import HistoryStore, QueueStore
from tests.faults.lab.system import System
from tests.servers.proxy import Proxy


class _NetworkFault(Fault):
    def proxy(self, queue: QueueStore, history: HistoryStore) -> Proxy | None:
        """What is between the system and the store that it loses."""
        return queue.proxy

    def fits(self, queue: QueueStore, history: HistoryStore) -> bool:
        """See `Fault`."""
        return self.proxy(queue, history) is not None

    def harm(self, proxy: Proxy, chance: random.Random) -> Undo | None:
        """Do it."""
        raise NotImplementedError

    def strike(self, system: System, chance: random.Random) -> Harm | None:
        """See `Fault`."""
        proxy = self.proxy(system.queue, system.history)
        assert proxy is not None
        return self.strike_at(proxy, chance)

    def strike_at(self, proxy: Proxy, chance: random.Random) -> Harm | None:
        """Do it there. None: nobody was there to be struck."""
        return Harm(struck_now(self.name, "the network"), self.harm(proxy, chance))


class CutNetwork(_NetworkFault):
    """Reset every connection."""

    name = "network-cut"

    def harm(self, proxy: Proxy, chance: random.Random) -> Undo | None:
        """See `_NetworkFault`."""
        proxy.cut()
        return None

    def strike_at(self, proxy: Proxy, chance: random.Random) -> Harm | None:
        """See `_NetworkFault`."""
        return super().strike_at(proxy, chance) if proxy.connections else None


class ForgetConnections(_NetworkFault):
    """Lose in silence all that comes over the connections of now, as a firewall does that has
    forgotten them; new ones work."""

    name = "network-forget"

    def harm(self, proxy: Proxy, chance: random.Random) -> Undo | None:
        """See `_NetworkFault`."""
        proxy.forget()
        return None


class SlowNetwork(_NetworkFault):
    """Hold each request back."""

    name = "network-slow"
    lasts = (0.5, 1.5)

    def harm(self, proxy: Proxy, chance: random.Random) -> Undo | None:
        """See `_NetworkFault`."""
        proxy.delay(chance.randint(20, 200))
        return lambda: proxy.delay(0)


class HalfOpenNetwork(_NetworkFault):
    """Keep connections open and forward nothing; what was held back is lost in the end, or not."""

    name = "network-half-open"
    lasts = (0.5, 2.0 * LEASE_MS / 1000)

    def harm(self, proxy: Proxy, chance: random.Random) -> Undo | None:
        """See `_NetworkFault`."""
        proxy.freeze()
        is_lost = chance.random() < 0.5

        def undo() -> None:
            if is_lost:
                proxy.cut()
            proxy.thaw()

        return undo


class LoseReplies(_NetworkFault):
    """Forward requests, swallow their replies, and cut."""

    name = "network-lose-replies"
    lasts = (0.5, 1.5)

    def harm(self, proxy: Proxy, chance: random.Random) -> Undo | None:
        """See `_NetworkFault`."""
        proxy.drop_replies(chance.randint(1, 5))
        return lambda: proxy.drop_replies(0)

    def strike_at(self, proxy: Proxy, chance: random.Random) -> Harm | None:
        """See `_NetworkFault`. It is in vain while there is no reply to be lost."""
        lost = proxy.lost
        struck = struck_now(self.name, "the network")
        undo = self.harm(proxy, chance)
        return Harm(struck, undo, lambda: proxy.lost > lost, harms_by_telling=True)


class _BeforeHistory(_NetworkFault):
    def proxy(self, queue: QueueStore, history: HistoryStore) -> Proxy | None:
        """See `_NetworkFault`."""
        return history.proxy


class CutHistory(_BeforeHistory, CutNetwork):
    """Reset every connection of the server to its history."""

    name = "history-cut"


class SlowHistory(_BeforeHistory, SlowNetwork):
    """Hold back what the server sends to its history."""

    name = "history-slow"


class HalfOpenHistory(_BeforeHistory, HalfOpenNetwork):
    """Keep the server's connections to its history open and forward nothing."""

    name = "history-half-open"


class LoseHistoryReplies(_BeforeHistory, LoseReplies):
    """Swallow what the history answers, to a commit as well, and cut."""

    name = "history-lose-replies"
