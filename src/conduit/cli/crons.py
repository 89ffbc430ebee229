"""`conduit crons`: schedules, their next ticks, and jobs out of turn."""

from __future__ import annotations

import uuid_utils
from cyclopts import App
from rich.text import Text

from conduit.cli.connect import QueueUrl, existing_queue
from conduit.cli.output import (
    Cell,
    emit,
    iso,
    moment,
    print_json,
    record,
    show_table,
    status_cell,
)
from conduit.cli.problems import UsageError, did_you_mean
from conduit.core.crons import next_tick
from conduit.core.model import CronInfo, JobStatus
from conduit.core.new_jobs import new_job
from conduit.core.schedule import Overlap, Schedule, parse_schedule
from conduit.queue.base import Queue
from conduit.submission import Origin, by_functions

app = App(name="crons", help="List, trigger, pause and resume schedules.")


@app.command(name="list")
async def list_crons(*, queue_url: QueueUrl = None, json: bool = False) -> None:
    """List schedules with their next tick, and what became of the last one.

    Args:
        json: Print a JSON array; beside the stored fields are `next_tick`, null while paused or
            while no worker runs it, and `last_status`, null where the last job is forgotten.
    """
    async with existing_queue(queue_url) as queue:
        found, now = await queue.crons(), await queue.now()
        jobs = await queue.get([info.last_job for info in found if info.last_job])
    statuses = {job.id: job.status for job in jobs if job is not None}
    listed = [(info, next_tick(info, now), statuses.get(info.last_job or "")) for info in found]
    if json:
        print_json(
            [
                record(info)
                | {"next_tick": None if tick is None else iso(tick), "last_status": status}
                for info, tick, status in listed
            ]
        )
        return
    show_table(
        ("schedule", "function", "ticks", "next", "ticked up to", "last job"),
        [
            (
                info.name,
                info.function,
                schedule_of(info).describe(),
                _next_cell(info, tick, status, now),
                moment(info.last_tick, now),
                _last_cell(info, status),
            )
            for info, tick, status in listed
        ],
        spare=("function", "ticked up to"),
    )


def _next_cell(info: CronInfo, tick: int | None, status: JobStatus | None, now: int) -> Cell:
    if info.paused:
        return Text("paused", style="yellow")
    if tick is None:
        return Text("no worker", style="yellow")
    queues = info.overlap == Overlap.QUEUE and status is not None and not status.finished
    if queues and schedule_of(info).next_after(info.last_tick) <= now:
        return Text("waits for the last job", style="yellow")
    return moment(tick, now)


def _last_cell(info: CronInfo, status: JobStatus | None) -> Cell:
    if status is None:
        return "gone" if info.last_job else ""
    cell = status_cell(status)
    return cell.append(f", {info.skipped} skipped since", "yellow") if info.skipped else cell


@app.command
async def trigger(name: str, *, queue_url: QueueUrl = None) -> None:
    """Submit a schedule's job now, out of turn; prints the job's id.

    Args:
        name: The schedule.
    """
    async with existing_queue(queue_url) as queue:
        cron = await _known(queue, name)
        job = new_job(str(uuid_utils.uuid7()), cron.function, cron)
        passage = by_functions(await queue.functions())
        (submitted,) = await passage.submit(Origin.CLI, [job], queue.submit)
    emit(submitted.job_id)


@app.command
async def pause(name: str, *, queue_url: QueueUrl = None) -> None:
    """Let a schedule's ticks pass without jobs.

    Args:
        name: The schedule.
    """
    await _set_paused(queue_url, name, paused=True)
    emit(f"{name} paused")


@app.command
async def resume(name: str, *, queue_url: QueueUrl = None) -> None:
    """Let a schedule's ticks become jobs again.

    Args:
        name: The schedule.
    """
    await _set_paused(queue_url, name, paused=False)
    emit(f"{name} resumed")


async def _set_paused(queue_url: str | None, name: str, *, paused: bool) -> None:
    async with existing_queue(queue_url) as queue:
        await _known(queue, name)
        await queue.pause_cron(name, paused=paused)


async def _known(queue: Queue, name: str) -> CronInfo:
    crons = {info.name: info for info in await queue.crons()}
    if name in crons:
        return crons[name]
    error = UsageError(f"no schedule is called {name!r}")
    error.add_note(
        did_you_mean(name, crons) if crons else "no worker has registered a schedule in this queue"
    )
    raise error


def schedule_of(info: CronInfo) -> Schedule:
    """The schedule that a worker registered."""
    return parse_schedule(info.schedule, info.timezone)
