"""`conduit run`: the components of service files, in this process or in several."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from conduit.cli.connect import QueueUrl
from conduit.cli.first_process import leave_first_place
from conduit.cli.plan import (
    Components,
    LogFormat,
    Message,
    RunPlan,
    Started,
    load_components,
)
from conduit.cli.problems import UsageError, show_crash
from conduit.cli.starting import heed_signals


def run(
    *services: str,
    only: tuple[str, ...] = (),
    queue_url: QueueUrl = None,
    concurrency: Annotated[int | None, Parameter(validator=Number(gte=1))] = None,
    connect_timeout: Annotated[float, Parameter(validator=Number(gte=0))] = 30.0,
    processes: Annotated[int, Parameter(validator=Number(gte=1))] = 1,
    max_jobs: Annotated[int | None, Parameter(validator=Number(gte=1))] = None,
    max_memory: Annotated[int | None, Parameter(validator=Number(gte=1))] = None,
    watch: bool = False,
    log_format: LogFormat = LogFormat.TEXT,
) -> int:
    """Run the workers and APIs of service files until a signal.

    Args:
        services: Python files (service.py) or modules (shop.tasks).
        only: Run only the worker or API of this name; may be repeated.
        concurrency: How many jobs each worker runs at a time.
        connect_timeout: For how many seconds a queue server that is away is waited for at start.
        processes: Run the workers in so many processes, to use more cores.
        max_jobs: Replace a process when it has run so many jobs.
        max_memory: Replace a process when it takes more than so many megabytes of memory.
        watch: Start anew when a Python file beside the services changes.
        log_format: How log lines are written to stderr.
    """
    if not services:
        raise UsageError("which service? conduit run service.py; conduit init writes a first one")
    plan = RunPlan(
        services=services,
        only=only,
        queue_url=queue_url,
        concurrency=concurrency,
        connect_timeout=connect_timeout,
        processes=processes,
        max_jobs=max_jobs,
        max_memory=max_memory,
        log_format=log_format,
    )
    leave_first_place()
    heed_signals()
    if watch:
        from conduit.cli.watch import watch_and_run

        return asyncio.run(watch_and_run(plan))
    return carry_out(plan)


def carry_out(
    plan: RunPlan,
    *,
    tell: Callable[[Message], None] | None = None,
    on_worn_out: Callable[[str], Awaitable[None]] | None = None,
) -> int:
    """Run a plan in this process, or in children of it; the exit code.

    `tell` passes on what a supervisor is to know; see `run_services` for `on_worn_out`.
    """
    from conduit.cli.logs import announce, configure_logging
    from conduit.cli.server import server_service
    from conduit.engine.process.exits import Ending
    from conduit.engine.supervision.runner import patience_of, run_to_end

    ending = Ending()
    configure_logging(plan.log_format)
    components = load_components(plan)
    wear_out = any(worker.wears_out for worker in components.workers)

    def started(patience: float) -> None:
        if plan.banner and plan.log_format is LogFormat.JSON:
            _announce_components(plan, components)
        elif plan.banner:
            _show_banner(plan, components)
        if tell is not None:
            tell(Started(patience))

    if plan.processes > 1 or (wear_out and not plan.supervised):
        if not components.workers:
            raise UsageError("--processes multiplies workers, and none is selected: leave it out")
        from conduit.cli.children import run_children

        serves = bool(components.apis) or plan.server is not None
        apart = wear_out and serves
        return asyncio.run(run_children(plan, started, ending, apart=apart))
    services = [*components.workers, *components.apis]
    server = None if plan.server is None else server_service(plan.server, plan.queue_url)

    def started_here() -> None:
        started(patience_of(services))
        if server is not None:
            announce(plan, f"server at {server.url}")

    # Stopped last, the server keeps what the others do until then.
    return run_to_end(
        services,
        ending,
        keeper=server,
        on_started=started_here,
        on_crash=show_crash,
        on_worn_out=on_worn_out if plan.supervised else None,
    )


def _announce_components(plan: RunPlan, components: Components) -> None:
    from conduit.cli.banner import address
    from conduit.cli.logs import announce

    workers = [f"worker {worker.name}" for worker in components.workers]
    apis = [f"api {api.name} at {address(api.host, api.port)}" for api in components.apis]
    announce(plan, f"started: {', '.join(workers + apis)}")


def _show_banner(plan: RunPlan, components: Components) -> None:
    from conduit import __version__
    from conduit.cli.banner import show_banner

    now = time.time_ns() // 1_000_000
    show_banner(components, version=__version__, processes=plan.processes, now=now)
