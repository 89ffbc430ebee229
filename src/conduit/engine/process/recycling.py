"""How worn a process is by its jobs, and when it is to be replaced."""

from __future__ import annotations

import asyncio
import logging
import os
import random
from pathlib import Path

logger = logging.getLogger("conduit.engine")

CHECK_S = 1.0
STAGGER = 10
"""Limits of jobs differ by up to one part in so many, lest processes be replaced all at once."""
_STATM = "/proc/{}/statm"

MEASURES_MEMORY = Path(_STATM.format("self")).exists()
"""Whether the memory of a process can be told here."""


def staggered(max_jobs: int | None) -> int | None:
    """The limit for one process: `max_jobs`, or up to a tenth less."""
    return None if max_jobs is None else max_jobs - random.randint(0, max_jobs // STAGGER)


def resident_mb(pid: int) -> float:
    """What a process takes of the memory, in megabytes; 0 when it has ended."""
    try:
        pages = Path(_STATM.format(pid)).read_text().split()[1]
    except OSError:
        return 0.0
    return int(pages) * os.sysconf("SC_PAGE_SIZE") / 1_000_000


class Wear:
    """Tells when the process that a worker runs its jobs in is to be replaced.

    `max_memory` is in megabytes. Nothing is ever worn out by memory before its first job.
    """

    def __init__(self, max_jobs: int | None, max_memory: int | None) -> None:
        self._max_jobs = staggered(max_jobs)
        self._max_memory = max_memory
        self._jobs = 0
        self._over = asyncio.Event()
        self._expected = False

    def ran(self) -> None:
        """Take in that a job has ended."""
        self._jobs += 1
        if self._max_jobs is not None and self._jobs >= self._max_jobs:
            self._over.set()

    async def watch(self, name: str) -> None:
        """Measure while the worker `name` runs; for ever."""
        if self._max_memory is not None and (mb := resident_mb(os.getpid())) > self._max_memory:
            logger.warning(
                "worker %s takes %.0f MB before its first job, more than max_memory=%d: it isn't "
                "replaced for that; give it more",
                *(name, mb, self._max_memory),
            )
            self._max_memory = None
        while not self._over.is_set():
            await asyncio.sleep(CHECK_S)
            too_large = self._max_memory is not None and (
                resident_mb(os.getpid()) > self._max_memory
            )
            if self._jobs and too_large:
                self._over.set()
        if not self._expected:
            logger.warning(
                "worker %s: %s, and goes on, as this process isn't Conduit's to replace: run it by "
                'conduit run, or its plain functions with sync_executor="process"',
                *(name, self._why()),
            )
        await asyncio.Event().wait()

    async def out(self) -> str:
        """Until it is worn out; why, in words."""
        self._expected = True
        await self._over.wait()
        return self._why()

    def _why(self) -> str:
        if self._max_jobs is not None and self._jobs >= self._max_jobs:
            return f"it has run {self._jobs} jobs (max_jobs)"
        return f"it takes {resident_mb(os.getpid()):.0f} MB (max_memory={self._max_memory})"
