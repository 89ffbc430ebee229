"""What keeps the counts finds its tables whatever the search path of who writes jobs.

`pg_dump` restores with an empty one.
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import text

revision = "conduit_0004"
down_revision = "conduit_0003"

_SCHEMA = "SELECT relnamespace::regnamespace FROM pg_class WHERE oid = 'jobs'::regclass"


def upgrade() -> None:
    """Fix the functions' search path to the schema of the tables; SQLite has none."""
    if op.get_bind().dialect.name != "postgresql":
        return
    schema = op.get_bind().execute(text(_SCHEMA)).scalar_one()
    for event in ("insert", "update", "delete", "truncate"):
        op.execute(
            f"ALTER FUNCTION conduit_count_jobs_{event}() SET search_path = {schema}, pg_temp"
        )
