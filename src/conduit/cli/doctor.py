"""`conduit doctor`: is everything there that jobs need?"""

from __future__ import annotations

import platform
import shutil
from enum import StrEnum
from pathlib import Path

from msgspec import Struct
from rich.text import Text

from conduit.cli.connect import QueueUrl, existing_queue, masked, queue_file
from conduit.cli.output import Cell, print_json, records, show_table, span
from conduit.cli.problems import hints_of
from conduit.core.errors import ConduitError
from conduit.queue.base import Queue
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
    """Check the installation, the settings and the queue.

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
        url = load_settings(queue_url=queue_url).queue_url
        checks.append(Check("settings", Verdict.OK, f"queue is {masked(url)}"))
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
    queues, now = await queue.queues(), await queue.now()
    paused = [info.name for info in queues if info.paused]
    if paused:
        checks.append(Check("paused", Verdict.WARNING, f"{', '.join(paused)}: no job starts there"))
    waits = [now - info.oldest_at for info in queues if info.oldest_at is not None]
    longest = max(waits, default=0)
    verdict = Verdict.WARNING if longest > LONG_WAIT_MS else Verdict.OK
    detail = f"the longest-waiting job waits for {span(longest)}" if waits else "no job waits"
    checks.append(Check("backlog", verdict, detail))
    return checks


def _workers(names: list[str], functions: int) -> Check:
    if not names:
        return Check("workers", Verdict.WARNING, "none is running: start one with conduit run FILE")
    detail = f"{len(names)} running ({', '.join(sorted(set(names)))}), {functions} functions"
    return Check("workers", Verdict.OK, detail)
