"""Log lines and artifacts can be found by their age, which a limit of their own may bound."""

from __future__ import annotations

from alembic import op

revision = "conduit_0003"
down_revision = "conduit_0002"


def upgrade() -> None:
    """Make the indexes."""
    op.create_index("ix_logs_at", "logs", ["at"])
    op.create_index("ix_artifacts_at", "artifacts", ["at"])
