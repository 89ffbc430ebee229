"""`conduit server`: the history, its HTTP API and live updates."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter
from cyclopts.validators import Number

from conduit.cli.connect import QueueUrl, masked
from conduit.cli.first_process import leave_first_place
from conduit.cli.plan import LogFormat, RunPlan, ServerPlan
from conduit.cli.server_db import DatabaseUrl
from conduit.cli.server_db import app as db
from conduit.cli.starting import heed_signals
from conduit.core.errors import ConfigurationError
from conduit.settings import load_settings

if TYPE_CHECKING:
    from conduit.server.service import ServerService

KEYS_VARIABLE = "CONDUIT_API_KEYS"
DEFAULT_PORT = 8080

Port = Annotated[int, Parameter(validator=Number(gte=0, lte=65_535))]

ArtifactsUrl = Annotated[
    str | None,
    Parameter(
        help="Where artifacts are copied to: file:///… or s3://… Else CONDUIT_ARTIFACTS_URL, "
        "pyproject.toml, or .conduit/artifacts.",
        show_default=False,
    ),
]

Keep = Annotated[
    str | None,
    Parameter(
        help="How much of them the history keeps: an age (30d, 12h), a number of the newest, or "
        "both (30d,1000000). Else CONDUIT_KEEP_…, pyproject.toml, or jobs for 30d and the others "
        "as long as their jobs.",
        show_default=False,
    ),
]

app = App(name="server", help="Run the server: history, HTTP API and live updates.")
app.command(db)


@app.command
def start(
    *,
    host: str = "127.0.0.1",
    port: Port = DEFAULT_PORT,
    database_url: DatabaseUrl = None,
    artifacts_url: ArtifactsUrl = None,
    queue_url: QueueUrl = None,
    keep_jobs: Keep = None,
    keep_logs: Keep = None,
    keep_artifacts: Keep = None,
    migrate: bool = False,
    insecure: bool = False,
    reload: bool = False,
    log_format: LogFormat = LogFormat.TEXT,
) -> int:
    """Run the server until a signal.

    CONDUIT_API_KEYS holds the keys that callers need, with commas between: key, role:key or
    name:role:key; roles are read, operate and admin. Without keys only this machine is served.

    Args:
        host: The address to listen on.
        port: The port to listen on; 0 takes a free one.
        migrate: Bring the tables of a PostgreSQL up to date first.
        insecure: Allow another host than this machine without keys.
        reload: Start anew when a Python file of this folder, or of Conduit, changes.
        log_format: How log lines are written to stderr.
    """
    plan = RunPlan(
        services=(),
        queue_url=queue_url,
        log_format=log_format,
        banner=False,
        server=ServerPlan(
            host=host,
            port=port,
            database_url=database_url,
            artifacts_url=artifacts_url,
            migrate=migrate,
            insecure=insecure,
            keep={"jobs": keep_jobs, "logs": keep_logs, "artifacts": keep_artifacts},
        ),
    )
    leave_first_place()
    heed_signals()
    if reload:
        import conduit
        from conduit.cli.watch import watch_and_run

        return asyncio.run(watch_and_run(plan, [Path(), Path(conduit.__file__).parent]))
    from conduit.cli.run import carry_out

    return carry_out(plan)


def server_service(plan: ServerPlan, queue_url: str | None) -> ServerService:
    """The server of a plan. Raises `ConfigurationError`."""
    logging.getLogger("alembic").setLevel(logging.WARNING)  # it tells of each of its plugins
    try:
        from conduit.server.db.retention import parse_keep
        from conduit.server.service import ServerOptions, ServerService
    except ImportError as error:
        raise ConfigurationError(
            f"the server needs {error.name}, which isn't installed: pip install 'conduit[server]'"
        ) from error
    settings = load_settings(
        queue_url=queue_url,
        database_url=plan.database_url,
        artifacts_url=plan.artifacts_url,
        keep=plan.keep,
    )
    options = ServerOptions(
        host=plan.host,
        port=plan.port,
        database_url=settings.database_url,
        queue_url=settings.queue_url,
        queue_shown=masked(settings.queue_url),
        api_keys=os.environ.get(KEYS_VARIABLE, ""),
        migrate=plan.migrate,
        insecure=plan.insecure,
        artifacts_url=settings.artifacts_url,
        keep=parse_keep(settings.keep),
    )
    return ServerService(options)
