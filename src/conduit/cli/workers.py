"""`conduit workers`: who is running jobs."""

from __future__ import annotations

from cyclopts import App

from conduit.cli.connect import QueueUrl, existing_queue
from conduit.cli.output import moment, print_json, records, say, show_table

app = App(name="workers", help="List running workers.")


@app.command(name="list")
async def list_workers(*, queue_url: QueueUrl = None, json: bool = False) -> None:
    """List the workers that were heard of in the last minute.

    Args:
        json: Print a JSON array.
    """
    async with existing_queue(queue_url) as queue:
        found, now = await queue.workers(), await queue.now()
    if json:
        print_json(records(found))
        return
    show_table(
        ("id", "worker", "process", "queues", "running", "of", "started", "last seen"),
        [
            (
                info.id,
                info.name,
                f"{info.host}:{info.pid}",
                ", ".join(info.queues),
                str(info.running),
                str(info.concurrency),
                moment(info.started_at, now),
                moment(info.seen_at, now),
            )
            for info in found
        ],
        numbers=("running", "of"),
        spare=("process", "started", "queues", "worker"),
    )
    if not found:
        say("no worker is running: start one with conduit run FILE")
