"""What is run: how much load of which kind, under which faults, and what that has to amount to."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from tests.faults.lab.figures import KINDS
from tests.faults.lab.nemesis import BY_NAME, Planned, plan
from tests.faults.lab.stores import HistoryStore, QueueStore

Weights = Mapping[str, float]

PROCESSES: Weights = {
    "worker-kill": 4,
    "worker-freeze": 5,
    "worker-term": 1,
    "worker-hangup": 1,
    "server-kill": 1,
    "submitter-kill": 1,
    "member-kill": 1,
}
REDIS: Weights = {
    "queue-kill": 1,
    "queue-pause": 1,
    "queue-drop-clients": 1,
    "queue-flush-scripts": 1,
    "queue-password": 1,
    "queue-destroy-group": 1,
    "network-cut": 1,
    "network-forget": 1,
    "network-slow": 1,
    "network-half-open": 1,
    "network-lose-replies": 1,
}
STREAM: Weights = {"events-plant": 1}
HISTORY: Weights = {
    "history-lock": 1,
    "history-restart": 1,
    "history-drop-clients": 1,
    "history-cut": 1,
    "history-slow": 1,
    "history-half-open": 1,
    "history-lose-replies": 1,
}
OTHERS: Weights = {"sentinel-failover": 1, "cluster-node-kill": 1, "queue-disk-full": 2}
EVERYTHING: Weights = PROCESSES | REDIS | STREAM | HISTORY | OTHERS


class Scenario(Struct, frozen=True, kw_only=True):
    """One kind of run.

    `draw`: a function of `workload.py`. `jobs`: how many each submitter submits at least, at `rate`
    a second (0: as fast as it goes); it goes on until the last fault has struck. `faults`: by
    weight, one about `every_s` seconds for `lasts_s` seconds; or `schedule`: these. `floors`: what
    a run has to amount to; see `Figures.shortfalls`.
    """

    name: str
    draw: str = "mixed"
    submitters: int = 2
    workers: int = 4
    concurrency: int = 6
    """How many jobs each worker runs at once: so few that all of them have some to lose."""
    servers: int = 1
    servers_first: bool = False
    """Whether nothing begins before the servers answer."""
    busy_first: bool = False
    """Whether the faults wait until the workers are busy."""
    jobs: int
    rate: float
    faults: Weights
    first_s: float = 1.5
    lasts_s: float = 0.0
    every_s: float = 1.0
    schedule: tuple[Planned, ...] = ()
    due_after_s: float = 0.0
    """When the jobs of `due_together` are due, counted from the start."""
    floors: Mapping[str, int] = {}
    patience_s: float = 300.0
    """After so long what hasn't settled is taken for stuck: a machine may be busy."""
    heals: bool = True
    """Whether the history may take the queue's word where it missed events."""
    has_many_entries: bool = False
    """Whether the event stream is read along, as the queue won't keep all of it. What a store loses
    that comes back without its last moments would be read nevertheless."""
    sets_clocks: bool = False
    """Whether clocks can be set; see `clock.py`."""
    families: int = 0
    """How many processes there are that fork and submit; see `forker.py`."""
    wears_out: int = 0
    """How many workers there are beside the others whose processes are replaced after some jobs."""
    front_door: bool = False
    """Whether somebody acts on jobs over HTTP, and somebody listens; see `operator.py` and
    `listener.py`."""

    def floors_on(self, queue: QueueStore, history: HistoryStore) -> Mapping[str, int]:
        """What a run on these stores has to amount to."""
        return {
            name: floor
            for name, floor in self.floors.items()
            if name not in BY_NAME or BY_NAME[name].fits(queue, history)
        }

    def planned(self, seed: int, queue: QueueStore, history: HistoryStore) -> list[Planned]:
        """The faults of a run, those that fit its stores."""
        weights = {
            name: weight
            for name, weight in self.faults.items()
            if BY_NAME[name].fits(queue, history)
        }
        drawn = (
            plan(seed, weights, first_s=self.first_s, last_s=self.lasts_s, every_s=self.every_s)
            if weights
            else []
        )
        fitting = [each for each in self.schedule if BY_NAME[each.fault].fits(queue, history)]
        return sorted([*drawn, *fitting], key=lambda each: each.after_s)


def _at(after_s: float, fault: str, lasts_s: float = 0.5) -> Planned:
    return Planned(after_s=after_s, fault=fault, lasts_s=lasts_s, seed=f"{after_s}", must=True)


_WAITING = {"freed": 3, "abandoned": 1}
"""Jobs that wait for others have been let go, and have waited in vain."""

SHORT = Scenario(
    name="short",
    servers_first=True,
    front_door=True,
    families=1,
    wears_out=1,
    jobs=120,
    rate=12,
    faults={**EVERYTHING, "server-kill": 0},
    lasts_s=11,
    every_s=0.8,
    # Whatever the seed draws: somebody is killed, and somebody comes back to life. What a killed
    # server had read is taken over after ten seconds: it is killed early, for the run to be short.
    schedule=(
        _at(1.0, "history-lose-replies"),
        _at(1.0, "visit", 1.5),
        _at(2.0, "history-cut"),
        _at(2.0, "worker-freeze", 2.2),
        _at(2.5, "network-forget"),
        _at(3.0, "server-kill"),
        _at(4.0, "worker-kill"),
        _at(5.0, "worker-freeze", 2.6),
        _at(6.0, "queue-password", 1.0),
        _at(7.0, "visit", 1.0),
        _at(8.0, "worker-freeze", 2.2),
    ),
    floors={
        "rescues": 3,
        "stale": 1,
        "freed": 3,
        "abandoned": 1,
        "acted": 5,
        "resumed": 1,
        "worker-kill": 1,
        "worker-freeze": 3,
        "server-kill": 1,
        "history-cut": 1,
        "history-lose-replies": 1,
        "kinds": KINDS,
        "visit": 2,
        "network-forget": 1,
        "queue-password": 1,
    },
)
LONG = Scenario(
    name="long",
    servers_first=True,
    front_door=True,
    families=1,
    wears_out=1,
    jobs=600,
    rate=20,
    faults=EVERYTHING,
    lasts_s=32,
    every_s=0.8,
    schedule=(
        *(_at(2.0 + 3 * number, "worker-freeze", 2.2) for number in range(10)),
        *(_at(3.0 + 5 * number, "worker-kill") for number in range(6)),
        *(_at(4.0 + 8 * number, "server-kill") for number in range(4)),
        *(_at(1.0 + 14 * number, "history-lose-replies") for number in range(2)),
        *(_at(1.0 + 7 * number, "visit", 2.0) for number in range(4)),
        *(_at(9.0 + 12 * number, "network-forget") for number in range(2)),
        *(_at(12.0 + 12 * number, "queue-password", 2.0) for number in range(2)),
        *(_at(2.0 + 8 * number, "history-cut") for number in range(2)),
    ),
    patience_s=600.0,
    floors={
        "rescues": 20,
        "stale": 5,
        "freed": 20,
        "abandoned": 5,
        "acted": 10,
        "resumed": 2,
        "worker-kill": 6,
        "worker-freeze": 10,
        "server-kill": 4,
        "history-cut": 2,
        "history-lose-replies": 1,
        "kinds": KINDS,
        "visit": 2,
        "network-forget": 1,
        "queue-password": 1,
    },
)
MANY = Scenario(
    name="many",
    draw="small",
    jobs=10_000,
    rate=900,
    workers=2,
    concurrency=100,
    faults={},
    schedule=(
        _at(2.0, "server-kill"),
        _at(5.0, "history-restart", 1.0),
        _at(8.0, "server-kill"),
    ),
    floors={"jobs": 20_000, "server-kill": 2, "history-restart": 1},
)
DUE = Scenario(
    name="due",
    draw="due_together",
    jobs=5_000,
    rate=0,
    concurrency=30,
    due_after_s=15.0,
    faults={},
    schedule=(
        _at(15.2, "worker-freeze", 2.2),
        _at(15.4, "worker-kill"),
        _at(15.6, "server-kill"),
    ),
    floors={"jobs": 10_000, "rescues": 1, "worker-kill": 1, "server-kill": 1},
)
AWAY = Scenario(
    name="away",
    draw="retried",
    jobs=150,
    rate=12,
    servers_first=True,
    faults={},
    # What a server has read and can't write yet is lost with it, unless the queue still has it.
    schedule=(
        _at(2.5, "history-restart", 2.5),
        _at(4.0, "server-kill"),
        _at(9.0, "history-lock", 2.5),
    ),
    heals=False,
    floors={"server-kill": 1, "history-restart": 1},
)
DISK = Scenario(
    name="disk",
    jobs=150,
    rate=12,
    faults={"worker-kill": 1, "worker-freeze": 1, "worker-term": 1, "submitter-kill": 1},
    lasts_s=13,
    every_s=2.0,
    schedule=(
        _at(2.5, "queue-disk-full", 1.5),
        _at(3.0, "worker-kill"),
        _at(5.0, "worker-freeze", 2.2),
        _at(6.0, "queue-disk-full", 2.0),
        _at(6.5, "server-kill"),
        _at(10.0, "queue-disk-full", 2.5),
        _at(11.0, "worker-freeze", 2.2),
    ),
    floors={"queue-disk-full": 3, "refused": 3, "rescues": 1, "worker-freeze": 2} | _WAITING,
)
CLOCK = Scenario(
    name="clock",
    jobs=150,
    rate=12,
    sets_clocks=True,
    busy_first=True,  # a clock that is set before there are leases and schedules does nothing
    faults={},
    schedule=(
        *(_at(2.0 + number, "clock-process") for number in range(8)),
        _at(3.5, "clock-store"),
        _at(5.0, "worker-kill"),
        _at(6.5, "clock-store"),
        _at(7.0, "worker-freeze", 2.2),
        _at(11.0, "clock-store"),
        _at(12.0, "worker-kill"),
    ),
    floors={"clock-store": 3, "clock-process": 8, "worker-kill": 2, "worker-freeze": 1} | _WAITING,
)
LOSS = Scenario(
    name="loss",
    jobs=250,
    rate=10,
    servers_first=True,  # what the history never heard of can't be given up
    busy_first=True,
    faults={},
    schedule=(
        _at(3.0, "queue-flush"),
        _at(6.0, "worker-freeze", 2.2),
        _at(9.0, "queue-kill"),
        _at(12.0, "queue-flush"),
    ),
    floors={"queue-flush": 2, "queue-kill": 1, "lost": 5, "jobs": 50, "freed": 1},
)
SCENARIOS = {each.name: each for each in (SHORT, LONG, MANY, DUE, AWAY, DISK, CLOCK, LOSS)}
