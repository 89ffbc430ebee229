"""What a job waits for is told of every job, also where that is nothing; its headers, too."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "conduit_0007"
down_revision = "conduit_0006"


def _text() -> sa.String:
    return sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    """Make one column anew, since SQLite can't forbid NULL in one that is there, and another."""
    op.add_column("jobs", sa.Column("awaited", _text(), nullable=False, server_default="[]"))
    op.execute("UPDATE jobs SET awaited = after WHERE after IS NOT NULL")
    op.drop_column("jobs", "after")
    op.alter_column("jobs", "awaited", new_column_name="after")
    op.add_column("jobs", sa.Column("headers", _text(), nullable=False, server_default="{}"))
