"""What the scenario asks of a job queue, and what every peer shares."""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.peers.server import Server

URL = os.environ["BENCH_URL"]
WIDE_URL = f"{URL}?max_connections=1000"
"""For redis-py, which from version 8 on opens no more than a hundred connections to a URL.

That is too few for a hundred jobs at a time and what the worker needs besides.
"""

CONCURRENCY = 100
POLL_S = 0.001
"""For peers that poll at rest: their defaults, up to half a second, would be all that one sees.

What such polling costs shows in the commands per second at rest.
"""


class Peer(ABC):
    """One queue with a job that does nothing and returns 1, since some keep no result of None.

    A peer whose client is blocking blocks in these methods; it has no submits in flight.
    """

    packages: ClassVar[tuple[str, ...]]
    """The distributions whose versions are reported."""
    concurrency: ClassVar[str]
    """How it comes to a hundred jobs at a time in one process."""
    notes: ClassVar[str] = ""
    """What differs from the defaults, and what else one has to know of the figures."""
    blocking: ClassVar[bool] = False
    batches: ClassVar[bool] = False
    """Whether it has a call that submits many jobs in one round trip."""

    def __init__(self, server: Server) -> None:
        self.server = server

    async def open(self) -> None:  # noqa: B027  not every client has to be opened
        """Connect as a client."""

    async def close(self) -> None:  # noqa: B027
        """Let go of the connection."""

    @abstractmethod
    async def submit(self) -> Any:
        """Submit one job; what `drained` needs to know of it."""

    async def submit_many(self, count: int) -> Sequence[Any]:
        """Submit many jobs with the peer's own call for it."""
        raise NotImplementedError

    @abstractmethod
    async def wait(self) -> None:
        """Submit one job and wait for its result."""

    @abstractmethod
    async def drained(self, jobs: Sequence[Any]) -> bool:
        """Whether each of these jobs has its result; asked often, so it must cost little."""

    @abstractmethod
    def work(self) -> None:
        """Be the worker process, until a signal."""


_started = False


def started() -> None:
    """Called by each job: the first one writes down when the worker began."""
    global _started  # noqa: PLW0603
    if not _started:
        _started = True
        place = Path(os.environ["BENCH_STARTED"])
        part = place.with_suffix(".part")
        part.write_text(str(time.monotonic()))
        part.rename(place)
