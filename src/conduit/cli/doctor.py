"""`conduit doctor`: is everything there that jobs need?"""

from __future__ import annotations

import platform
import shutil
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

from msgspec import Struct
from rich.text import Text

from conduit.cli.connect import QueueUrl, existing_queue, masked, queue_file
from conduit.cli.matching import matching_jobs
from conduit.cli.output import Cell, print_json, records, show_table, span
from conduit.cli.problems import hints_of
from conduit.core.errors import ConduitError, ConfigurationError
from conduit.core.model import FunctionInfo, JobStatus, WorkerInfo
from conduit.core.standstill import deadlocks, in_words
from conduit.queue.base import JobFilter, Queue
from conduit.settings import load_settings

LONG_WAIT_MS = 60_000
LITTLE_DISK = 512 * 1024 * 1024


class Verdict(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


class Check(Struct, frozen=True):
    """One thing that was looked at."""

    name: str
    verdict: Verdict
    detail: str


_STYLES = {Verdict.OK: "green", Verdict.WARNING: "yellow", Verdict.ERROR: "bold red"}


async def doctor(*, queue_url: QueueUrl = None, json: bool = False) -> int:
    """Check the installation, the settings, the queue and a store of artifacts beyond this machine.

    Args:
        json: Print a JSON array.
    """
    from conduit import __version__

    checks = [
        Check("conduit", Verdict.OK, __version__),
        Check("python", Verdict.OK, f"{platform.python_version()} on {platform.system()}"),
    ]
    code = 0
    try:
        settings = load_settings(queue_url=queue_url)
        url = settings.queue_url
        checks.append(Check("settings", Verdict.OK, f"queue is {masked(url)}"))
        artifacts, code = await _artifacts(settings.artifacts_url)
        checks.extend(artifacts)
        checks.extend(_disk(url))
        async with existing_queue(queue_url) as queue:
            checks.extend(await _queue_checks(queue))
    except ConduitError as error:
        code = error.exit_code
        checks.append(Check("queue", Verdict.ERROR, "; ".join([str(error), *hints_of(error)])))
    if json:
        print_json(records(checks))
    else:
        show_table(("check", "", "detail"), [_row(check) for check in checks])
    return code


def _row(check: Check) -> tuple[Cell, ...]:
    return check.name, Text(check.verdict.value, style=_STYLES[check.verdict]), check.detail


async def _artifacts(url: str) -> tuple[list[Check], int]:
    """Whether the server could keep artifacts there, and the exit code; nothing for a folder."""
    if url.startswith("file:"):
        return [], 0
    from conduit.server.artifacts.address import open_store, shown

    try:
        await open_store(url, "").check()
    except (ConfigurationError, OSError) as error:
        detail = "; ".join([str(error), *hints_of(error)])
        code = error.exit_code if isinstance(error, ConfigurationError) else 4
        return [Check("artifacts", Verdict.ERROR, detail)], code
    return [Check("artifacts", Verdict.OK, f"kept in {shown(url)}")], 0


def _disk(url: str) -> list[Check]:
    path = queue_file(url)
    if path is None:
        return []
    folder = next((each for each in path.absolute().parents if each.is_dir()), Path("/"))
    free = shutil.disk_usage(folder).free
    verdict = Verdict.WARNING if free < LITTLE_DISK else Verdict.OK
    return [Check("disk", verdict, f"{free / 1e9:.1f} GB free at {folder}")]


async def _queue_checks(queue: Queue) -> list[Check]:
    health = await queue.health()
    durable = "durable" if health.durable else "not durable"
    reached = f"{health.backend} {health.version} at {health.address}, {durable}"
    checks = [Check("queue", Verdict.OK, reached)]
    checks.extend(Check("queue", Verdict.WARNING, warning) for warning in health.warnings)
    workers, functions = await queue.workers(), await queue.functions()
    checks.append(_workers([worker.name for worker in workers], len(functions)))
    checks.extend(await _abandoned(queue, workers))
    checks.extend(
        Check("deadlock", Verdict.WARNING, in_words(worker, standstill))
        for worker, standstill in deadlocks(workers, functions)
    )
    checks.extend(await _unserved(queue, workers, functions))
    queues, now = await queue.queues(), await queue.now()
    paused = [info.name for info in queues if info.paused]
    if paused:
        checks.append(Check("paused", Verdict.WARNING, f"{', '.join(paused)}: no job starts there"))
    held = await queue.paused_functions()
    if held:
        detail = f"{', '.join(held)}: no job of {'it' if len(held) == 1 else 'them'} starts"
        checks.append(Check("paused functions", Verdict.WARNING, detail))
    waits = [now - info.oldest_at for info in queues if info.oldest_at is not None]
    longest = max(waits, default=0)
    verdict = Verdict.WARNING if longest > LONG_WAIT_MS else Verdict.OK
    detail = f"the longest-waiting job waits for {span(longest)}" if waits else "no job waits"
    checks.append(Check("backlog", verdict, detail))
    checks.extend(await _failed(queue))
    return checks


def _workers(names: list[str], functions: int) -> Check:
    if not names:
        return Check("workers", Verdict.WARNING, "none is running: start one with conduit run FILE")
    known = "1 function" if functions == 1 else f"{functions} functions"
    detail = f"{len(names)} running ({', '.join(sorted(set(names)))}), {known}"
    return Check("workers", Verdict.OK, detail)


async def _abandoned(queue: Queue, workers: Sequence[WorkerInfo]) -> list[Check]:
    """Jobs that count as running although nobody has heard of their worker."""
    alive = {worker.id for worker in workers}
    running = matching_jobs(queue, JobFilter(statuses=(JobStatus.RUNNING,)))
    lost = len([job.id async for job in running if job.worker_id not in alive])
    if not lost:
        return []
    jobs = (
        "1 job runs on a worker that was"
        if lost == 1
        else f"{lost:,} jobs run on workers that were"
    )
    detail = f"{jobs} not heard of for a minute: any running worker takes over when the lease ends"
    return [Check("abandoned", Verdict.WARNING, detail)]


async def _unserved(
    queue: Queue, workers: Sequence[WorkerInfo], functions: Sequence[FunctionInfo]
) -> list[Check]:
    """Queued jobs of functions that no running worker has; nothing where no worker runs at all."""
    alive = {worker.name for worker in workers}
    served = {info.name for info in functions if info.worker in alive}
    if not served:
        return []
    left = await _queued(queue) - await _queued(queue, *served)
    waiting: list[str] = []
    for name in sorted({info.name for info in functions} - served):
        count = await _queued(queue, name) if left > 0 else 0
        if count:
            left -= count
            waiting.append(f"{_jobs(count)} of {name}, which no running worker has")
    if left > 0:
        waiting.append(f"{_jobs(left)} of functions that no worker has registered")
    return [Check("unserved", Verdict.WARNING, detail) for detail in waiting]


async def _queued(queue: Queue, *functions: str) -> int:
    wanted = JobFilter(statuses=(JobStatus.QUEUED,), functions=functions)
    return (await queue.find(wanted, limit=1)).total


async def _failed(queue: Queue) -> list[Check]:
    """Finished jobs are forgotten after a day, so that all that are kept are of the last day."""
    failed = (await queue.find(JobFilter(statuses=(JobStatus.FAILED,)), limit=1)).total
    if not failed:
        return []
    detail = f"{_jobs(failed)} failed in the last day: conduit jobs list --status failed"
    return [Check("failed", Verdict.OK, detail)]


def _jobs(number: int) -> str:
    return "1 job" if number == 1 else f"{number:,} jobs"
