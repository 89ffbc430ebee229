"""`conduit queues`: how deep each queue is, and whether it may be claimed from."""

from __future__ import annotations

from cyclopts import App

from conduit.cli.connect import QueueUrl, existing_queue
from conduit.cli.output import emit, moment, paused_cell, print_json, records, say, show_table
from conduit.cli.problems import did_you_mean
from conduit.core.checks import check_text
from conduit.core.errors import InvalidOptionError
from conduit.queue.base import Queue

app = App(name="queues", help="List, pause and resume queues.")


@app.command(name="list")
async def list_queues(*, queue_url: QueueUrl = None, json: bool = False) -> None:
    """List queues with their depth.

    Args:
        json: Print a JSON array.
    """
    async with existing_queue(queue_url) as queue:
        found, now = await queue.queues(), await queue.now()
    if json:
        print_json(records(found))
        return
    show_table(
        ("queue", "state", "queued", "scheduled", "blocked", "running", "waiting since"),
        [
            (
                info.name,
                paused_cell(info.paused),
                str(info.queued),
                str(info.scheduled),
                str(info.blocked),
                str(info.running),
                moment(info.oldest_at, now),
            )
            for info in found
        ],
        numbers=("queued", "scheduled", "blocked", "running"),
        spare=("waiting since", "blocked", "scheduled"),
    )


@app.command
async def pause(name: str, *, queue_url: QueueUrl = None) -> None:
    """Stop workers from claiming a queue's jobs; submits and running jobs go on.

    Args:
        name: The queue.
    """
    async with existing_queue(queue_url) as queue:
        await _mention_unknown(queue, name)
        await queue.pause(name)
    emit(f"{name} paused")


@app.command
async def resume(name: str, *, queue_url: QueueUrl = None) -> None:
    """Let workers claim a queue's jobs again.

    Args:
        name: The queue.
    """
    async with existing_queue(queue_url) as queue:
        await _mention_unknown(queue, name)
        await queue.resume(name)
    emit(f"{name} resumed")


async def _mention_unknown(queue: Queue, name: str) -> None:
    """A queue comes to be by its first job, so an unknown name is allowed, and likely a slip."""
    check_text("the queue's name", name, InvalidOptionError)
    known = [info.name for info in await queue.queues()]
    if name not in known:
        hint = did_you_mean(name, known) if known else "none is in use"
        say(f"note: no job or worker uses queue {name!r} yet; {hint}")
