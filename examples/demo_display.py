"""What the demo shows: a live picture on a terminal, plain lines off it, a table at the end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import PurePath
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from conduit.core.model import Job, JobStatus
from conduit.queue import Queue
from conduit.queue.base import JobFilter

REFRESH_S = 0.1
BAR_WIDTH = 14

STYLES = {
    JobStatus.SCHEDULED: "yellow",
    JobStatus.QUEUED: "yellow",
    JobStatus.RUNNING: "cyan",
    JobStatus.COMPLETED: "green",
    JobStatus.FAILED: "red",
    JobStatus.CANCELLED: "magenta",
}


async def every_job(queue: Queue) -> list[Job]:
    """All jobs of the demo's queue, oldest first."""
    page = await queue.find(JobFilter(), limit=500)
    return page.items[::-1]


async def follow(
    queue: Queue, console: Console, title: str, steps: Mapping[str, str], over: asyncio.Event
) -> None:
    """Show the jobs until `over`; `steps` says of each function what it is there to show."""
    if console.is_terminal:
        await _follow_live(queue, console, title, steps, over)
    else:
        console.print(title)
        await _follow_in_lines(queue, console, over)


# --- on a terminal -----------------------------------------------------------------------------


async def _follow_live(
    queue: Queue, console: Console, title: str, steps: Mapping[str, str], over: asyncio.Event
) -> None:
    began = await queue.now()
    with Live(console=console, auto_refresh=False) as live:
        last = False
        while not last:
            last = await _pause(over)
            now, jobs = await queue.now(), await every_job(queue)
            live.update(_picture(title, steps, jobs, now, now - began), refresh=True)


async def _pause(over: asyncio.Event) -> bool:
    """Wait for the next look at the queue; True if it is the last."""
    with suppress(TimeoutError):
        async with asyncio.timeout(REFRESH_S):
            await over.wait()
    return over.is_set()


def _picture(
    title: str, steps: Mapping[str, str], jobs: Sequence[Job], now: int, elapsed: int
) -> RenderableType:
    head = Table.grid(expand=True)
    head.add_column()
    head.add_column(justify="right")
    head.add_row(Text(title, style="bold"), Text(f"{elapsed / 1000:.1f} s", style="dim"))
    body = Table.grid(padding=(0, 2))
    for name, what in steps.items():
        mine = [job for job in jobs if job.function == name]
        state = Text(_summary(mine, now), no_wrap=True, overflow="ellipsis")
        body.add_row(
            Text(f"  {name}", style="bold" if mine else "dim"),
            Text(what, style="dim", no_wrap=True),
            _bar(mine),
            state,
        )
    return Group(head, Text(), body)


def _bar(jobs: Sequence[Job]) -> ProgressBar:
    done = sum(1.0 if job.status.finished else job.progress or 0.0 for job in jobs)
    return ProgressBar(total=max(1, len(jobs)), completed=done, width=BAR_WIDTH)


def _summary(jobs: Sequence[Job], now: int) -> str:
    """A few words on the jobs of one function: the one that matters, or how many are done."""
    if not jobs:
        return ""
    finished = sum(job.status.finished for job in jobs)
    if len(jobs) > 1:
        return f"{finished} of {len(jobs)}"
    (job,) = jobs
    if job.status is JobStatus.SCHEDULED:
        waits = f"{max(0, job.run_at - now) / 1000:.1f} s"
        return f"again in {waits}" if job.failures else f"due in {waits}"
    words = job.progress_message or "" if job.status is JobStatus.RUNNING else job.status.value
    return f"attempt {job.attempt} {words}" if job.attempt > 1 else words or job.status.value


# --- off a terminal ----------------------------------------------------------------------------


async def _follow_in_lines(queue: Queue, console: Console, over: asyncio.Event) -> None:
    began = await queue.now()
    told: dict[str, tuple[JobStatus, int]] = {}
    last = False
    while not last:
        last = await _pause(over)
        now, jobs = await queue.now(), await every_job(queue)
        for job in sorted(jobs, key=lambda job: job.finished_at or now):
            state = (job.status, job.failures)
            if told.get(job.id) != state and (job.status.finished or job.failures):
                at = ((job.finished_at or now) - began) / 1000
                line = f"{at:6.2f} s  {job.function:<15} {_state(job):<22} {subject(job)}"
                console.print(line.rstrip())
            told[job.id] = state


def _state(job: Job) -> str:
    if job.status.finished:
        return f"{job.status}, attempt {job.attempt}" if job.attempt > 1 else str(job.status)
    if job.status is JobStatus.RUNNING:
        return f"attempt {job.attempt}"
    return f"attempt {job.attempt} failed"


# --- the closing table -------------------------------------------------------------------------


def closing_table(jobs: Sequence[Job], began: int) -> Table:
    """Every job with its status, attempts and times; a job's children stand below it.

    `began` is the store's clock at the demo's start, in milliseconds.
    """
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("job", "of", "status"):
        table.add_column(name, no_wrap=True)
    for name in ("attempts", "submitted", "took"):
        table.add_column(name, justify="right", no_wrap=True)
    children = {job.id: [each for each in jobs if each.parent_id == job.id] for job in jobs}

    def add(job: Job, branch: str) -> None:
        table.add_row(
            f"{branch}{job.function}",
            subject(job),
            Text(job.status.value, style=STYLES.get(job.status, "")),
            str(job.attempt),
            f"+{(job.submitted_at - began) / 1000:.2f} s",
            "" if job.finished_at is None else _span(job.finished_at - job.submitted_at),
        )
        below = children[job.id]
        for child in below:
            add(child, "└ " if child is below[-1] else "├ ")

    for job in jobs:
        if job.parent_id is None:
            add(job, "")
    return table


def subject(job: Job) -> str:
    """What a job is about: the page or picture or word in its arguments."""
    arguments: dict[str, Any] = json.loads(job.args)
    for name in ("page", "picture", "word"):
        if name in arguments:
            return PurePath(arguments[name]).name
    return ""


def _span(ms: int) -> str:
    return f"{ms} ms" if ms < 1000 else f"{ms / 1000:.2f} s"


Check = tuple[bool, str]


def show_checks(checks: Sequence[Check], console: Console) -> None:
    """One line for each thing that had to come true."""
    for ok, words in checks:
        console.print(Text.assemble(("✓ ", "green") if ok else ("✗ ", "bold red"), words))
