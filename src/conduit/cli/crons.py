"""`conduit crons`: schedules, their next ticks, and jobs out of turn."""

from __future__ import annotations

import uuid_utils
from cyclopts import App
from rich.text import Text

from conduit.cli.connect import QueueUrl, existing_queue
from conduit.cli.output import emit, iso, moment, print_json, record, show_table
from conduit.cli.problems import UsageError, did_you_mean
from conduit.core.model import CronInfo, NewJob
from conduit.core.schedule import Schedule, parse_schedule
from conduit.queue.base import Queue

app = App(name="crons", help="List, trigger, pause and resume schedules.")


@app.command(name="list")
async def list_crons(*, queue_url: QueueUrl = None, json: bool = False) -> None:
    """List schedules with their next tick.

    Args:
        json: Print a JSON array; `next_tick` is beside the stored fields, null while paused.
    """
    async with existing_queue(queue_url) as queue:
        found, now = await queue.crons(), await queue.now()
    upcoming = {
        info.name: None if info.paused else schedule_of(info).next_after(now) for info in found
    }
    if json:
        print_json(
            [
                record(info) | {"next_tick": None if tick is None else iso(tick)}
                for info, tick in zip(found, upcoming.values(), strict=True)
            ]
        )
        return
    show_table(
        ("schedule", "function", "ticks", "next", "ticked up to"),
        [
            (
                info.name,
                info.function,
                schedule_of(info).describe(),
                Text("paused", style="yellow") if info.paused else moment(upcoming[info.name], now),
                moment(info.last_tick, now),
            )
            for info in found
        ],
    )


@app.command
async def trigger(name: str, *, queue_url: QueueUrl = None) -> None:
    """Submit a schedule's job now, out of turn; prints the job's id.

    Args:
        name: The schedule.
    """
    async with existing_queue(queue_url) as queue:
        cron = await _known(queue, name)
        job = NewJob(
            id=str(uuid_utils.uuid7()),
            function=cron.function,
            queue=cron.queue,
            priority=cron.priority,
            max_deliveries=cron.max_deliveries,
        )
        (submitted,) = await queue.submit([job])
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
