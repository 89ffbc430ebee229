"""The tables of the history, as the code of today sees them; migrations/ leads to them.

All times are milliseconds since the epoch by the queue's clock. JSON is kept as text, exactly as it
came: PostgreSQL's own JSON type refuses some of it (`\\u0000`) and rewrites the rest.

A job's row is the fold of its events in the order of `seq`, without a gap: `seq` is the last one
applied. Events that came too early wait in `parked_events` until those before them are there.
"""

from __future__ import annotations

from typing import Any, get_origin

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    text,
)
from sqlalchemy.types import TypeEngine

from conduit.core.layout import Field, fields_of
from conduit.core.model import JobStatus
from conduit.server.db.rows import JobRow

metadata = MetaData(
    naming_convention={"ix": "ix_%(table_name)s_%(column_0_N_name)s", "pk": "pk_%(table_name)s"}
)

# SQLite gives out row numbers by itself only for a column that is INTEGER.
_Number = BigInteger().with_variant(Integer, "sqlite")


def _text(length: int | None = None) -> String:
    """Text that is compared byte by byte everywhere, as SQLite does, and not by some language's
    rules: that is several times as fast, and orders and finds the same on each database.
    """
    return String(length).with_variant(String(length, collation="C"), "postgresql")


_SMALL = frozenset({"priority", "generation", "attempt", "failures", "rescues", "fence", "seq"})
_TYPES: dict[Any, TypeEngine[Any]] = {
    JobStatus: _text(16),
    bool: Boolean(),
    int: BigInteger(),
    float: Double(),
}


def _column_of(line: Field) -> Column[Any]:
    """The column of a field of a job's row; lists and maps are JSON."""
    kind = Integer() if line.name in _SMALL else _TYPES.get(line.type, _text())
    none = {tuple: "[]", dict: "{}"}.get(get_origin(line.type))
    return Column(
        line.name,
        kind,
        primary_key=line.name == "id",
        nullable=line.optional,
        server_default=none,
    )


jobs = Table(
    "jobs",
    metadata,
    *map(_column_of, fields_of(JobRow)),
    postgresql_with={
        # Room on each page for the next version of its rows: progress then touches no index.
        "fillfactor": 80,
        # Counts read indexes alone where a vacuum has been lately.
        "autovacuum_vacuum_scale_factor": 0.05,
        "autovacuum_vacuum_insert_scale_factor": 0.05,
        "autovacuum_analyze_scale_factor": 0.02,
    },
)
# Newest first within each filter. Without the id that breaks ties: the few jobs of one millisecond
# are sorted when they are read, and an index of a third of the size is written and counted faster.
Index("ix_jobs_submitted", jobs.c.submitted_at)
for _column in ("status", "function", "queue", "worker_id"):
    Index(f"ix_jobs_{_column}", jobs.c[_column], jobs.c.submitted_at)
for _column in ("key", "parent_id", "root_id"):
    Index(
        f"ix_jobs_{_column}",
        jobs.c[_column],
        postgresql_where=text(f"{_column} IS NOT NULL"),
        sqlite_where=text(f"{_column} IS NOT NULL"),
    )
Index("ix_jobs_finished", jobs.c.finished_at)

dependencies = Table(
    "dependencies",
    metadata,
    # What `jobs.after` says, a row for each, to be found from either end.
    Column("job_id", _text(), primary_key=True),
    Column("after_id", _text(), primary_key=True),
)
Index("ix_dependencies_after", dependencies.c.after_id, dependencies.c.job_id)

job_counts = Table(
    "job_counts",
    metadata,
    # How many jobs there are of a function, or in a queue, by status. Triggers keep it.
    Column("kind", _text(16), primary_key=True),  # function, queue
    Column("name", _text(), primary_key=True),
    Column("status", _text(16), primary_key=True),
    Column("many", BigInteger, nullable=False),
    # Room for the next version of each row.
    postgresql_with={"fillfactor": 50},
)

attempts = Table(
    "attempts",
    metadata,
    Column("job_id", _text(), primary_key=True),
    Column("fence", Integer, primary_key=True),  # of its lease: one row for each
    Column("generation", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("worker_id", _text()),
    Column("claimed_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    Column("outcome", _text(16)),  # completed, failed, retrying, released, rescued, cancelled
    Column("reason", _text()),
    Column("error", _text()),
    Column("started_at", BigInteger),  # when its function began, if it did
)

logs = Table(
    "logs",
    metadata,
    Column("job_id", _text(), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("level", _text(16), nullable=False),
    Column("logger", _text(), nullable=False),
    Column("message", _text(), nullable=False),
)
Index("ix_logs_at", logs.c.at)

artifacts = Table(
    "artifacts",
    metadata,
    Column("job_id", _text(), primary_key=True),
    Column("name", _text(), primary_key=True),
    Column("content_type", _text(), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", _text(64), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("location", _text()),  # where its bytes were copied to; none: still only in the queue
)
Index(
    "ix_artifacts_uncopied",
    artifacts.c.job_id,
    artifacts.c.name,
    postgresql_where=text("location IS NULL"),
    sqlite_where=text("location IS NULL"),
)
Index("ix_artifacts_location", artifacts.c.location)
Index("ix_artifacts_at", artifacts.c.at)

parked_events = Table(
    "parked_events",
    metadata,
    Column("job_id", _text(), primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("body", _text(), nullable=False),  # an Event
    Column("parked_at", BigInteger, nullable=False),
)
Index("ix_parked_events_parked", parked_events.c.parked_at)

deleted_jobs = Table(
    "deleted_jobs",
    metadata,
    Column("id", _text(), primary_key=True),
    Column("deleted_at", BigInteger, nullable=False),  # what happened before isn't applied again
)

changes = Table(
    "changes",
    metadata,
    # What happened to which job, in the order of commits: the live stream is resumed from here.
    Column("id", _Number, primary_key=True, autoincrement=True),
    Column("topic", _text(32), nullable=False),  # job, worker, cron, api, queue
    Column("subject", _text(), nullable=False),
    Column("kind", _text(32), nullable=False),
    Column("data", _text(), nullable=False),
    Column("at", BigInteger, nullable=False),
    sqlite_autoincrement=True,  # a number is never given twice, not even once all are pruned
)
Index("ix_changes_at", changes.c.at)

dead_letters = Table(
    "dead_letters",
    metadata,
    Column("id", _Number, primary_key=True, autoincrement=True),
    Column("position", _text(), nullable=False),  # of its entry in the queue's stream
    Column("number", Integer, nullable=False),  # within that entry
    Column("job_id", _text()),
    Column("reason", _text(), nullable=False),
    Column("body", _text(), nullable=False),
    Column("deliveries", Integer, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("replayed_at", BigInteger),
    sqlite_autoincrement=True,
)
Index("ix_dead_letters_position", dead_letters.c.position, dead_letters.c.number, unique=True)

listings = Table(
    "listings",
    metadata,
    # What the queue said last of its functions, workers, crons and queues, for when it is away.
    Column("name", _text(32), primary_key=True),
    Column("body", _text(), nullable=False),
    Column("at", BigInteger, nullable=False),
)

api_requests = Table(
    "api_requests",
    metadata,
    # Requests of one route and status within one minute. `buckets` counts latencies.
    Column("api", _text(), primary_key=True),
    Column("method", _text(16), primary_key=True),
    Column("route", _text(), primary_key=True),
    Column("status", Integer, primary_key=True),
    Column("minute", BigInteger, primary_key=True),
    Column("count", BigInteger, nullable=False),
    Column("total_ms", Double, nullable=False),
    Column("buckets", _text(), nullable=False),
)
Index("ix_api_requests_minute", api_requests.c.minute)

api_reporters = Table(
    "api_reporters",
    metadata,
    # Which of its reports each process of an API has told, so that none is counted twice.
    Column("instance", _text(64), primary_key=True),
    Column("through", BigInteger, nullable=False),  # all up to this one
    Column("beyond", _text(), nullable=False),  # and these: JSON
    Column("at", BigInteger, nullable=False),  # by this server's clock
)

sessions = Table(
    "sessions",
    metadata,
    # People signed in with a key; the cookie's token is stored as its hash.
    Column("token_hash", LargeBinary, primary_key=True),
    Column("role", _text(16), nullable=False),
    Column("key_hash", LargeBinary, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
)
