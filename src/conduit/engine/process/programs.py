"""The programs that tasks have started in a worker's own process, which outlive their jobs."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

from conduit.core.model import Job

logger = logging.getLogger("conduit.engine")

MOST_NAMED = 5
_THREADS = Path("/proc/self/task")


def tell_of_programs(job: Job, known: Collection[int]) -> None:
    """Say which programs go on after a job has run out of time; those `known` aren't tasks'.

    Nothing tells which job has started a program: it may be another one's.
    """
    programs = [f"{name} ({pid})" for pid, name in _children() if pid not in known]
    if programs:
        more = f" and {len(programs) - MOST_NAMED} more" if len(programs) > MOST_NAMED else ""
        logger.warning(
            "job %s (%s) has run out of time; if it has started one of these programs, that goes "
            'on: %s%s. In worker processes (sync_executor="process") they end with their job',
            *(job.id, job.function, ", ".join(programs[:MOST_NAMED]), more),
        )


def _children() -> Iterator[tuple[int, str]]:
    """The number and the name of each process that this one has started and that still runs."""
    for thread in _THREADS.glob("*/children"):  # none but on Linux
        with suppress(OSError):
            for pid in thread.read_text().split():
                # "pid (name) state …", and the name may hold spaces and parentheses
                name, _, rest = (
                    Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")
                )
                if not rest.startswith(" Z"):
                    yield int(pid), name.partition("(")[2]
