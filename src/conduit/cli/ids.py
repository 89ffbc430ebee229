"""Job ids as people give them: whole, or a beginning that is one job's alone."""

from __future__ import annotations

from collections.abc import Sequence

from conduit.cli.matching import matching_ids
from conduit.cli.problems import UsageError
from conduit.queue.base import JobFilter, Queue

LENGTH = 36
SHORTEST = 6
ID_HINT = f"ids are {LENGTH} characters; the first {SHORTEST} or more will do if they are unique"

_SHOWN = 5


async def whole_id(queue: Queue, given: str) -> str:
    """`whole_ids` of one."""
    (job_id,) = await whole_ids(queue, [given])
    return job_id


async def whole_ids(queue: Queue, given: Sequence[str]) -> list[str]:
    """The ids that are meant; what is neither an id nor the beginning of one stays as it is.

    Raises `UsageError` for a beginning that several jobs have.
    """
    short = [each for each in given if SHORTEST <= len(each) < LENGTH]
    jobs = await queue.get(short) if short else []
    prefixes = {each for each, job in zip(short, jobs, strict=True) if job is None}
    if not prefixes:
        return list(given)
    every = await matching_ids(queue, JobFilter())
    meant = {prefix: _meant(prefix, every) for prefix in prefixes}
    return [meant.get(each, each) for each in given]


def _meant(prefix: str, every: Sequence[str]) -> str:
    found = [job_id for job_id in every if job_id.startswith(prefix)]
    if len(found) > 1:
        error = UsageError(f"{len(found):,} jobs have ids that begin with {prefix!r}")
        more = ", …" if len(found) > _SHOWN else ""
        error.add_note(f"they are {', '.join(found[:_SHOWN])}{more}")
        raise error
    return found[0] if found else prefix
