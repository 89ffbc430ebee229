"""What `conduit run` says once everything has started."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from rich.table import Table
from rich.text import Text

from conduit.cli.connect import masked
from conduit.cli.output import messages, span
from conduit.cli.plan import Components
from conduit.engine.claims.capacity import rooms_of
from conduit.settings import load_settings

if TYPE_CHECKING:
    from conduit.engine.attempts.function import Cron
    from conduit.sdk.worker import Worker

_MOST_NAMES = 6
_MOST_SCHEDULES = 8
_DOT = (" · ", "dim")


def show_banner(components: Components, *, version: str, processes: int, now: int) -> None:
    """Print what runs, where, what comes next, and how to stop it; `now` in milliseconds."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for worker in components.workers:
        table.add_row("  worker", _worker(worker, processes))
    for api in components.apis:
        shown = (address(api.host, api.port), "cyan")
        table.add_row("  api", Text.assemble((api.name, "bold"), _DOT, shown))
    for url in _queue_urls(components.workers):
        table.add_row("  queue", Text(masked(url)))
    crons = [cron for worker in components.workers for cron in worker.crons]
    ticks = sorted((cron.schedule.next_after(now), position) for position, cron in enumerate(crons))
    for tick, position in ticks[:_MOST_SCHEDULES]:
        table.add_row("  next", _tick(crons[position], tick, now))
    if len(ticks) > _MOST_SCHEDULES:
        more = f"and {len(ticks) - _MOST_SCHEDULES} more: conduit crons list"
        table.add_row("", Text(more, style="dim"))
    table.add_row("  stop", Text("Ctrl-C lets running jobs finish; once more stops now"))
    console = messages()
    console.print(Text.assemble("\n", ("◆ ", "magenta"), ("conduit ", "bold"), (version, "dim")))
    console.print(table)
    console.print()


def _worker(worker: Worker, processes: int) -> Text:
    names = sorted(worker.functions)
    shown = ", ".join(names[:_MOST_NAMES])
    more = f" +{len(names) - _MOST_NAMES}" if len(names) > _MOST_NAMES else ""
    count = "1 function" if len(names) == 1 else f"{len(names)} functions"
    queues = ", ".join(
        name if weight == 1 else f"{name} x{weight}" for name, weight in worker.queues.items()
    )
    times = f" in each of {processes} processes" if processes > 1 else ""
    places = " and ".join(str(room) for room in rooms_of(worker.spec()))
    return Text.assemble(
        (worker.name, "bold"),
        _DOT,
        f"{count}: {shown}{more}",
        (f"\nqueue {queues} · {places}{times}", "dim"),
    )


def address(host: str, port: int) -> str:
    """The URL of an API."""
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}"


def _queue_urls(workers: Sequence[Worker]) -> list[str]:
    """Each queue once. An API alone has none until it submits."""
    urls = [
        load_settings(queue_url=worker.queue_url).queue_url
        for worker in workers
        if worker.queue is None
    ]
    return list(dict.fromkeys(urls))


def _tick(cron: Cron, tick: int, now: int) -> Text:
    local = datetime.fromtimestamp(tick / 1000, ZoneInfo(cron.timezone))
    return Text.assemble(
        (cron.name, "bold"),
        f" in {span(tick - now)}",
        (f" · {local:%a %d %b %H:%M:%S} {cron.timezone} · {cron.schedule.describe()}", "dim"),
    )
