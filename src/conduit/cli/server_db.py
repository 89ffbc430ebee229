"""`conduit server db`: the tables of the history."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from conduit.cli.connect import QueueUrl, existing_queue, queue_file
from conduit.cli.output import emit, print_json, say
from conduit.core.errors import ConfigurationError
from conduit.settings import load_settings

if TYPE_CHECKING:
    from conduit.server.db.database import Database

DatabaseUrl = Annotated[
    str | None,
    Parameter(
        help="Where the history is. Else CONDUIT_DATABASE_URL, pyproject.toml, or "
        ".conduit/history.db.",
        show_default=False,
    ),
]

app = App(name="db", help="Make, migrate, check and fill the tables of the history.")


@app.command
async def upgrade(*, database_url: DatabaseUrl = None) -> None:
    """Make the tables, or bring them to what this version of Conduit works with.

    Safe to run at any time and from several places at once: one works, the others wait.
    """
    async with _connected(database_url) as database:
        before = await database.upgrade()
        after = await database.state()
        if before.revision == after.revision:
            emit(f"{database.shown} is up to date, at {after.revision}")
        else:
            emit(
                f"{database.shown} upgraded from {before.revision or 'nothing'} to {after.revision}"
            )


@app.command
async def current(*, database_url: DatabaseUrl = None, json: bool = False) -> None:
    """Tell which schema the database has, and which this version of Conduit works with.

    Args:
        json: Print a JSON object.
    """
    _refuse_missing_file(database_url)
    async with _connected(database_url) as database:
        state = await database.state()
        if json:
            print_json(
                {
                    "database": database.shown,
                    "revision": state.revision,
                    "head": state.head,
                    "standing": state.standing,
                }
            )
        else:
            emit(
                f"{database.shown} is at {state.revision or 'nothing'}, "
                f"this Conduit works with {state.head}: {state.standing}"
            )


@app.command
async def check(*, database_url: DatabaseUrl = None) -> int:
    """Compare the tables with what this version of Conduit works with, and the counts of jobs.

    Ends with 3 where a server would refuse them, where they were changed by hand, and where counts
    are wrong.
    """
    from conduit.server.db import counts, schema

    _refuse_missing_file(database_url)
    async with _connected(database_url) as database:
        schema.require_current(await database.state(), database.shown)
        async with database.read() as connection:
            differences = await connection.run_sync(schema.differences)
        if not differences:
            async with database.read() as connection:
                differences = await counts.faults(connection)
        for difference in differences:
            emit(difference)
        if differences:
            say(f"{database.shown} differs from what it should be as told above")
            return ConfigurationError.exit_code
        emit(f"{database.shown} is as it should be")
        return 0


@app.command
async def rebuild(*, database_url: DatabaseUrl = None, queue_url: QueueUrl = None) -> None:
    """Bring the history in line with all that the queue has.

    For a history that was lost or restored from a backup. What the queue has forgotten meanwhile
    is kept as it is.
    """
    async with existing_queue(queue_url) as queue, _database(database_url) as database:
        from conduit.server.ingest.reconciler import rebuild as rebuild_from

        done = await rebuild_from(queue, database, int(time.time() * 1000))
        emit(f"{done.healed} jobs put right, {done.lost} found lost")


@asynccontextmanager
async def _connected(database_url: str | None) -> AsyncGenerator[Database]:
    """The history's database, whatever tables it has."""
    database = _database(database_url)
    await database.connect()
    try:
        yield database
    finally:
        await database.close()


def _database(database_url: str | None) -> Database:
    logging.getLogger("alembic").setLevel(logging.WARNING)  # it tells of each of its plugins
    try:
        from conduit.server.db.database import Database
    except ImportError as error:
        raise ConfigurationError(
            f"the history needs {error.name}, which isn't installed: pip install 'conduit[server]'"
        ) from error
    return Database(load_settings(database_url=database_url).database_url)


def _refuse_missing_file(database_url: str | None) -> None:
    """Looking at a history must not make one. Raises `DatabaseUnavailableError`."""
    path = queue_file(load_settings(database_url=database_url).database_url)
    if path is not None and not path.exists():
        from conduit.server.db.database import DatabaseUnavailableError

        error = DatabaseUnavailableError(f"there is no history at {path} yet")
        error.add_note(
            "start the server once to make it (conduit server start), or name another database "
            "with --database-url or CONDUIT_DATABASE_URL"
        )
        raise error
