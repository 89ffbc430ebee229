"""How many jobs there are of each function and queue, by status, kept by triggers.

Whatever writes to `jobs` keeps the counts right, in its own transaction. Those who write at once
change the counts' rows in one order, or take turns.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "conduit_0002"
down_revision = "conduit_0001"


def _text(length: int | None = None) -> sa.String:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


_FILL = """
INSERT INTO job_counts (kind, name, status, many)
SELECT 'function', function, status, count(*) FROM jobs GROUP BY function, status
UNION ALL
SELECT 'queue', queue, status, count(*) FROM jobs GROUP BY queue, status
"""

# --- PostgreSQL: once for each statement, however many rows it changed ----------------------------

_FUNCTION = """
CREATE FUNCTION conduit_count_jobs_{event}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO job_counts AS kept (kind, name, status, many)
    SELECT kind, name, status, sum(change)
    FROM ({changes}) AS changed
    CROSS JOIN LATERAL (VALUES ('function', function), ('queue', queue)) AS of (kind, name)
    GROUP BY kind, name, status
    HAVING sum(change) <> 0
    ORDER BY kind, name, status
    ON CONFLICT (kind, name, status) DO UPDATE SET many = kept.many + excluded.many;
    RETURN NULL;
END
$$
"""
_TRIGGER = """
CREATE TRIGGER conduit_count_jobs_{event} AFTER {event} ON jobs
REFERENCING {tables} FOR EACH STATEMENT EXECUTE FUNCTION conduit_count_jobs_{event}()
"""
_OLD = "SELECT function, queue, status, -1 AS change FROM old_jobs"
_NEW = "SELECT function, queue, status, 1 AS change FROM new_jobs"
_EVENTS = {
    "insert": (_NEW, "NEW TABLE AS new_jobs"),
    "update": (f"{_OLD} UNION ALL {_NEW}", "OLD TABLE AS old_jobs NEW TABLE AS new_jobs"),
    "delete": (_OLD, "OLD TABLE AS old_jobs"),
}
_TRUNCATED = """
CREATE FUNCTION conduit_count_jobs_truncate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM job_counts;
    RETURN NULL;
END
$$
"""
_TRUNCATE_TRIGGER = """
CREATE TRIGGER conduit_count_jobs_truncate AFTER TRUNCATE ON jobs
FOR EACH STATEMENT EXECUTE FUNCTION conduit_count_jobs_truncate()
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
_ON_SQLITE = (
    f"CREATE TRIGGER conduit_count_jobs_insert AFTER INSERT ON jobs BEGIN {_MORE} END",
    "CREATE TRIGGER conduit_count_jobs_update AFTER UPDATE OF function, queue, status ON jobs "
    "WHEN old.status <> new.status OR old.function <> new.function OR old.queue <> new.queue "
    f"BEGIN {_LESS} {_MORE} END",
    f"CREATE TRIGGER conduit_count_jobs_delete AFTER DELETE ON jobs BEGIN {_LESS} END",
)


def upgrade() -> None:
    """Make the table, fill it, and have it kept."""
    op.create_table(
        "job_counts",
        sa.Column("kind", _text(16), nullable=False),
        sa.Column("name", _text(), nullable=False),
        sa.Column("status", _text(16), nullable=False),
        sa.Column("many", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "name", "status", name="pk_job_counts"),
        postgresql_with={"fillfactor": 50},
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute("LOCK TABLE jobs IN SHARE ROW EXCLUSIVE MODE")
        for event, (changes, named) in _EVENTS.items():
            op.execute(_FUNCTION.format(event=event, changes=changes))
            op.execute(_TRIGGER.format(event=event, tables=named))
        op.execute(_TRUNCATED)
        op.execute(_TRUNCATE_TRIGGER)
    else:
        for statement in _ON_SQLITE:
            op.execute(statement)
    op.execute(_FILL)
