"""Submits, forks, and goes on submitting on both sides of the fork, as daemons and web servers do.

A family is a process and its children; any of them may be killed. Each life of the process forks in
the next of four manners, in each of which something was submitted before the fork. When a family is
through, the next life begins, until each manner was met and nobody needs more orders.

    python -m tests.faults.lab.forker SEED NUMBER
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from threading import Thread

from tests.faults.lab import journal, workload
from tests.faults.lab.journal import What, note
from tests.faults.lab.submitter import submit_orders, submit_orders_blocking

DRAW = workload.small.__name__
MOST = 8
"""So many orders has each member of a family, and so many a second."""
FIRST = ".first"
CHILDREN = (".1", ".2")
"""What is added to a family's name for what is submitted before a fork, and for its members."""


class Family:
    """One life of the process, and all that come of it."""

    def __init__(self, seed: int, name: str, manner: str) -> None:
        self._seed = seed
        self._name = name
        self._manner = manner

    def submit(self, member: str, count: int) -> None:
        """Submit what a member has to, without a loop of one's own."""
        submit_orders_blocking(DRAW, self._seed, f"{self._name}{member}", count, MOST)

    async def submit_on_a_loop(self, member: str, count: int) -> None:
        """The same on the running loop."""
        name = f"{self._name}{member}"
        await submit_orders(DRAW, self._seed, name, count, MOST, enough=None)

    def live(self, member: str, work: Callable[[], object]) -> None:
        """Be a member of the family, until the work is done."""
        note(What.MEMBER, label=f"{self._name}{member}", detail=self._manner)
        work()
        note(What.LEFT, label=f"{self._name}{member}", detail=self._manner)

    def fork(self, member: str, work: Callable[[], object]) -> int:
        """Fork a member that ends when its work is done; its pid."""
        if pid := os.fork():
            return pid
        self.live(member, work)
        sys.exit(0)


# --- how they fork -------------------------------------------------------------------------------


def fork(family: Family) -> None:
    """Fork while a thread of the parent submits."""
    family.submit(FIRST, 1)
    submitting = Thread(target=family.submit, args=("", MOST))
    submitting.start()
    pids = [family.fork(child, partial(family.submit, child, MOST)) for child in CHILDREN]
    submitting.join()
    _reap(pids)


def use_multiprocessing(family: Family) -> None:
    """Start processes by forking from a running event loop on which submits are under way."""
    asyncio.run(_from_a_loop(family))


async def _from_a_loop(family: Family) -> None:
    await family.submit_on_a_loop(FIRST, 1)
    submitting = asyncio.create_task(family.submit_on_a_loop("", MOST))
    await asyncio.sleep(1 / MOST)
    children = [
        multiprocessing.get_context("fork").Process(
            target=family.live, args=(child, partial(family.submit, child, MOST))
        )
        for child in CHILDREN
    ]
    for child in children:
        child.start()
    await submitting
    for child in children:
        await asyncio.to_thread(child.join)


def prefork(family: Family) -> None:
    """Submit, and fork those that do the work, as a web server does that loads its application
    first."""
    family.submit(FIRST, 1)
    pids = [family.fork(child, partial(_on_a_loop, family, child)) for child in CHILDREN]
    family.submit("", MOST)
    _reap(pids)


def _on_a_loop(family: Family, member: str) -> None:
    asyncio.run(family.submit_on_a_loop(member, MOST))


def daemonize(family: Family) -> None:
    """Submit, fork twice, and end at once: the daemon goes on."""
    family.submit(FIRST, 1)
    if os.fork():
        return
    os.setsid()
    family.fork(CHILDREN[0], partial(family.submit, CHILDREN[0], MOST))
    os._exit(0)


def _reap(pids: Iterable[int]) -> None:
    for pid in pids:
        os.waitpid(pid, 0)


MANNERS: Mapping[str, Callable[[Family], None]] = {
    each.__name__: each for each in (fork, daemonize, use_multiprocessing, prefork)
}


def main() -> None:
    """Live the next life of the process."""
    _, seed, number = sys.argv
    lives = {
        line.label
        for line in journal.read(Path(os.environ[journal.VARIABLE]))
        if line.what is What.MEMBER and line.label.split(".")[0] == number
    }
    life = sum(label.count(".") == 1 for label in lives)
    manner = list(MANNERS)[life % len(MANNERS)]
    family = Family(int(seed), f"{number}.{life}", manner)
    family.live("", partial(MANNERS[manner], family))


if __name__ == "__main__":
    main()
