"""The history's first tables.

Later changes of tables.py come with migrations of their own: this file stays as it is.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "conduit_0001"
down_revision = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _text(length: int | None = None) -> sa.String:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "jobs",
        sa.Column("id", _text(), nullable=False),
        sa.Column("function", _text(), nullable=False),
        sa.Column("queue", _text(), nullable=False),
        sa.Column("status", _text(16), nullable=False),
        sa.Column("args", _text(), nullable=False),
        sa.Column("submitted_at", sa.BigInteger(), nullable=False),
        sa.Column("run_at", sa.BigInteger(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("key", _text(), nullable=True),
        sa.Column("parent_id", _text(), nullable=True),
        sa.Column("root_id", _text(), nullable=True),
        sa.Column("retries", sa.BigInteger(), nullable=True),
        sa.Column("timeout_ms", sa.BigInteger(), nullable=True),
        sa.Column("max_deliveries", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("rescues", sa.Integer(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("worker_id", _text(), nullable=True),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("reason", _text(), nullable=True),
        sa.Column("error", _text(), nullable=True),
        sa.Column("result", _text(), nullable=True),
        sa.Column("progress", sa.Double, nullable=True),
        sa.Column("progress_message", _text(), nullable=True),
        sa.Column("metadata", _text(), nullable=False),
        sa.Column("checkpoint", _text(), nullable=True),
        sa.Column("steps", _text(), nullable=False),
        sa.Column("applied_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
        postgresql_with={
            "fillfactor": 80,
            "autovacuum_vacuum_scale_factor": 0.05,
            "autovacuum_vacuum_insert_scale_factor": 0.05,
            "autovacuum_analyze_scale_factor": 0.02,
        },
    )
    op.create_index("ix_jobs_finished", "jobs", ["finished_at"])
    op.create_index("ix_jobs_function", "jobs", ["function", "submitted_at"])
    op.create_index(
        "ix_jobs_key",
        "jobs",
        ["key"],
        postgresql_where=sa.text("key IS NOT NULL"),
        sqlite_where=sa.text("key IS NOT NULL"),
    )
    op.create_index(
        "ix_jobs_parent_id",
        "jobs",
        ["parent_id"],
        postgresql_where=sa.text("parent_id IS NOT NULL"),
        sqlite_where=sa.text("parent_id IS NOT NULL"),
    )
    op.create_index("ix_jobs_queue", "jobs", ["queue", "submitted_at"])
    op.create_index(
        "ix_jobs_root_id",
        "jobs",
        ["root_id"],
        postgresql_where=sa.text("root_id IS NOT NULL"),
        sqlite_where=sa.text("root_id IS NOT NULL"),
    )
    op.create_index("ix_jobs_status", "jobs", ["status", "submitted_at"])
    op.create_index("ix_jobs_submitted", "jobs", ["submitted_at"])
    op.create_index("ix_jobs_worker_id", "jobs", ["worker_id", "submitted_at"])
    op.create_table(
        "attempts",
        sa.Column("job_id", _text(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("worker_id", _text(), nullable=True),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("outcome", _text(16), nullable=True),
        sa.Column("reason", _text(), nullable=True),
        sa.Column("error", _text(), nullable=True),
        sa.PrimaryKeyConstraint("job_id", "fence", name="pk_attempts"),
    )
    op.create_table(
        "logs",
        sa.Column("job_id", _text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("level", _text(16), nullable=False),
        sa.Column("logger", _text(), nullable=False),
        sa.Column("message", _text(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "number", name="pk_logs"),
    )
    op.create_table(
        "artifacts",
        sa.Column("job_id", _text(), nullable=False),
        sa.Column("name", _text(), nullable=False),
        sa.Column("content_type", _text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", _text(64), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("location", _text(), nullable=True),
        sa.PrimaryKeyConstraint("job_id", "name", name="pk_artifacts"),
    )
    op.create_index(
        "ix_artifacts_uncopied",
        "artifacts",
        ["job_id", "name"],
        postgresql_where=sa.text("location IS NULL"),
        sqlite_where=sa.text("location IS NULL"),
    )
    op.create_index("ix_artifacts_location", "artifacts", ["location"])
    op.create_table(
        "parked_events",
        sa.Column("job_id", _text(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("body", _text(), nullable=False),
        sa.Column("parked_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "seq", name="pk_parked_events"),
    )
    op.create_index("ix_parked_events_parked", "parked_events", ["parked_at"])
    op.create_table(
        "deleted_jobs",
        sa.Column("id", _text(), nullable=False),
        sa.Column("deleted_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_deleted_jobs"),
    )
    op.create_table(
        "changes",
        sa.Column("id", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("topic", _text(32), nullable=False),
        sa.Column("subject", _text(), nullable=False),
        sa.Column("kind", _text(32), nullable=False),
        sa.Column("data", _text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_changes"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_changes_at", "changes", ["at"])
    op.create_table(
        "dead_letters",
        sa.Column("id", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("position", _text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("job_id", _text(), nullable=True),
        sa.Column("reason", _text(), nullable=False),
        sa.Column("body", _text(), nullable=False),
        sa.Column("deliveries", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("replayed_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_dead_letters"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_dead_letters_position", "dead_letters", ["position", "number"], unique=True)
    op.create_table(
        "listings",
        sa.Column("name", _text(32), nullable=False),
        sa.Column("body", _text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_listings"),
    )
    op.create_table(
        "api_requests",
        sa.Column("api", _text(), nullable=False),
        sa.Column("method", _text(16), nullable=False),
        sa.Column("route", _text(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("minute", sa.BigInteger(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("total_ms", sa.Double, nullable=False),
        sa.Column("buckets", _text(), nullable=False),
        sa.PrimaryKeyConstraint(
            "api", "method", "route", "status", "minute", name="pk_api_requests"
        ),
    )
    op.create_index("ix_api_requests_minute", "api_requests", ["minute"])
    op.create_table(
        "api_reporters",
        sa.Column("instance", _text(64), nullable=False),
        sa.Column("through", sa.BigInteger(), nullable=False),
        sa.Column("beyond", _text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("instance", name="pk_api_reporters"),
    )
    op.create_table(
        "sessions",
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("role", _text(16), nullable=False),
        sa.Column("key_hash", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("token_hash", name="pk_sessions"),
    )
