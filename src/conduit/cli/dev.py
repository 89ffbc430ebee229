"""`conduit dev`: workers, APIs and the server in one process that starts anew on changes."""

from __future__ import annotations

import asyncio
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from conduit.cli.connect import QueueUrl
from conduit.cli.first_process import leave_first_place
from conduit.cli.plan import LogFormat, RunPlan, ServerPlan
from conduit.cli.problems import UsageError
from conduit.cli.server import DEFAULT_PORT, ArtifactsUrl, DatabaseUrl, Port
from conduit.cli.starting import heed_signals


def dev(
    *services: str,
    host: str = "127.0.0.1",
    port: Port = DEFAULT_PORT,
    database_url: DatabaseUrl = None,
    artifacts_url: ArtifactsUrl = None,
    queue_url: QueueUrl = None,
    concurrency: Annotated[int | None, Parameter(validator=Number(gte=1))] = None,
    reload: Annotated[bool, Parameter(negative="--no-reload")] = True,
    log_format: LogFormat = LogFormat.TEXT,
) -> int:
    """Run service files together with the server, and start anew when a Python file changes.

    Args:
        services: Python files (service.py) or modules (shop.tasks).
        host: The address that the server listens on.
        port: The port that the server listens on; 0 takes a free one.
        concurrency: How many jobs each worker runs at a time.
        reload: Start anew when a Python file beside the services changes.
        log_format: How log lines are written to stderr.
    """
    if not services:
        raise UsageError("which service? conduit dev service.py; conduit init writes a first one")
    plan = RunPlan(
        services=services,
        queue_url=queue_url,
        concurrency=concurrency,
        connect_timeout=30.0,
        log_format=log_format,
        server=ServerPlan(
            host=host, port=port, database_url=database_url, artifacts_url=artifacts_url
        ),
    )
    leave_first_place()
    heed_signals()
    if reload:
        from conduit.cli.watch import watch_and_run

        return asyncio.run(watch_and_run(plan))
    from conduit.cli.run import carry_out

    return carry_out(plan)
