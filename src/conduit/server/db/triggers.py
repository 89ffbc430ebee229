"""The triggers that keep the counts of jobs, as the migrations leave them.

The migrations make them; from here they come where somebody, or a restore, has lost them.
"""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

# --- PostgreSQL: once for each statement, however many rows it changed ----------------------------

_OLD = "SELECT function, queue, status, -1 AS change FROM old_jobs"
_NEW = "SELECT function, queue, status, 1 AS change FROM new_jobs"
_COUNT = """
    INSERT INTO job_counts AS kept (kind, name, status, many)
    SELECT kind, name, status, sum(change)
    FROM ({changes}) AS changed
    CROSS JOIN LATERAL (VALUES ('function', function), ('queue', queue)) AS of (kind, name)
    GROUP BY kind, name, status
    HAVING sum(change) <> 0
    ORDER BY kind, name, status
    ON CONFLICT (kind, name, status) DO UPDATE SET many = kept.many + excluded.many;"""
_FUNCTION = """
CREATE OR REPLACE FUNCTION {schema}.{name}() RETURNS trigger LANGUAGE plpgsql
SET search_path = {schema}, pg_temp AS $$
BEGIN{body}
    RETURN NULL;
END
$$
"""
_ON_POSTGRESQL = {
    "insert": (_COUNT.format(changes=_NEW), "REFERENCING NEW TABLE AS new_jobs"),
    "update": (
        _COUNT.format(changes=f"{_OLD} UNION ALL {_NEW}"),
        "REFERENCING OLD TABLE AS old_jobs NEW TABLE AS new_jobs",
    ),
    "delete": (_COUNT.format(changes=_OLD), "REFERENCING OLD TABLE AS old_jobs"),
    "truncate": ("\n    DELETE FROM job_counts;", ""),
}
_SCHEMA = "SELECT relnamespace::regnamespace FROM pg_class WHERE oid = 'jobs'::regclass"
_AT_WORK = """
SELECT tgname::text FROM pg_trigger WHERE tgrelid = 'jobs'::regclass AND tgenabled IN ('O', 'A')
"""

# --- SQLite: once for each row --------------------------------------------------------------------

_LESS = """
    UPDATE job_counts SET many = many - 1
    WHERE status = old.status
        AND ((kind = 'function' AND name = old.function) OR (kind = 'queue' AND name = old.queue));
"""
_MORE = """
    INSERT INTO job_counts (kind, name, status, many)
    VALUES ('function', new.function, new.status, 1), ('queue', new.queue, new.status, 1)
    ON CONFLICT (kind, name, status) DO UPDATE SET many = many + 1;
"""
_ON_SQLITE = {
    "insert": f"AFTER INSERT ON jobs BEGIN {_MORE} END",
    "update": "AFTER UPDATE OF function, queue, status ON jobs "
    "WHEN old.status <> new.status OR old.function <> new.function OR old.queue <> new.queue "
    f"BEGIN {_LESS} {_MORE} END",
    "delete": f"AFTER DELETE ON jobs BEGIN {_LESS} END",
}
_IN_FILE = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'jobs'"


async def missing(connection: AsyncConnection) -> list[str]:
    """The names of those that aren't there, or are disabled."""
    on_postgresql = connection.dialect.name == "postgresql"
    events = _ON_POSTGRESQL if on_postgresql else _ON_SQLITE
    found = await connection.scalars(text(_AT_WORK if on_postgresql else _IN_FILE))
    return sorted({_name(event) for event in events} - set(found.all()))


async def restore(connection: AsyncConnection) -> None:
    """Make all of them anew. Nobody else may write jobs meanwhile."""
    if connection.dialect.name == "postgresql":
        await _restore_on_postgresql(connection)
    else:
        for event, rest in _ON_SQLITE.items():
            await connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {_name(event)}")
            await connection.exec_driver_sql(f"CREATE TRIGGER {_name(event)} {rest}")


async def _restore_on_postgresql(connection: AsyncConnection) -> None:
    schema = (await connection.execute(text(_SCHEMA))).scalar_one()
    for event, (body, tables) in _ON_POSTGRESQL.items():
        name = _name(event)
        function = _FUNCTION.format(schema=schema, name=name, body=body)
        await connection.exec_driver_sql(function)
        await connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {name} ON jobs")
        await connection.exec_driver_sql(
            f"CREATE TRIGGER {name} AFTER {event} ON jobs {tables} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {schema}.{name}()"
        )


def _name(event: str) -> str:
    return f"conduit_count_jobs_{event}"
