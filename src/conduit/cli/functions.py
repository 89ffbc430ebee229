"""`conduit functions`: what workers can run, and what of it is paused."""

from __future__ import annotations

from cyclopts import App

from conduit.cli.connect import QueueUrl, existing_queue
from conduit.cli.output import emit, paused_cell, print_json, records, say, show_table
from conduit.cli.problems import did_you_mean
from conduit.core.checks import check_text
from conduit.core.errors import InvalidOptionError
from conduit.queue.base import Queue, listed_functions

app = App(name="functions", help="List, pause and resume functions.")


@app.command(name="list")
async def list_functions(*, queue_url: QueueUrl = None, json: bool = False) -> None:
    """List the functions that workers have registered, or that are paused.

    Args:
        json: Print a JSON array.
    """
    async with existing_queue(queue_url) as queue:
        found = await listed_functions(queue)
    if json:
        print_json(records(found))
        return
    show_table(
        ("function", "state", "queue", "worker", "handles", "signature"),
        [
            (
                info.name,
                paused_cell(info.paused),
                info.queue,
                info.worker,
                info.event or "",
                info.signature,
            )
            for info in found
        ],
        spare=("handles", "worker", "queue"),
    )


@app.command
async def pause(name: str, *, queue_url: QueueUrl = None) -> None:
    """Stop workers from claiming a function's jobs; submits and running jobs go on.

    Args:
        name: The function.
    """
    async with existing_queue(queue_url) as queue:
        await _mention_unknown(queue, name)
        await queue.pause_function(name)
    emit(f"{name} paused")


@app.command
async def resume(name: str, *, queue_url: QueueUrl = None) -> None:
    """Let workers claim a function's jobs again.

    Args:
        name: The function.
    """
    async with existing_queue(queue_url) as queue:
        await _mention_unknown(queue, name)
        await queue.resume_function(name)
    emit(f"{name} resumed")


async def _mention_unknown(queue: Queue, name: str) -> None:
    """A function may be paused before its first worker comes; an unknown name is likely a slip."""
    check_text("the function's name", name, InvalidOptionError)
    known = sorted({info.name for info in await listed_functions(queue)})
    if name not in known:
        hint = did_you_mean(name, known) if known else "none is registered"
        say(f"note: no worker has registered function {name!r} yet; {hint}")
