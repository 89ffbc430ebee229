"""When a worker claimed a job, beside when the job's function began."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "conduit_0006"
down_revision = "conduit_0005"


def upgrade() -> None:
    """Make the columns. What is there began when it was claimed, as far as anybody knows."""
    op.add_column("jobs", sa.Column("claimed_at", sa.BigInteger()))
    op.execute("UPDATE jobs SET claimed_at = started_at")
    op.alter_column("attempts", "started_at", new_column_name="claimed_at")
    op.add_column("attempts", sa.Column("started_at", sa.BigInteger()))
    op.execute("UPDATE attempts SET started_at = claimed_at")
