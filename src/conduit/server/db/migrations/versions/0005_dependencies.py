"""Which jobs a job waits for, and which wait for it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "conduit_0005"
down_revision = "conduit_0004"


def _text() -> sa.String:
    return sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the column and the table. What is there waits for nothing."""
    op.add_column("jobs", sa.Column("after", _text()))
    op.create_table(
        "dependencies",
        sa.Column("job_id", _text(), nullable=False),
        sa.Column("after_id", _text(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "after_id", name="pk_dependencies"),
    )
    op.create_index("ix_dependencies_after", "dependencies", ["after_id", "job_id"])
