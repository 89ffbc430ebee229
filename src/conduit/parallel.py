"""Many jobs at once; see `conduit.sdk.parallel`."""

from __future__ import annotations

from conduit.sdk.parallel import (
    as_completed,
    first_completed,
    gather,
    gather_sync,
    map_tasks,
    map_tasks_sync,
    submit_many,
    submit_many_sync,
)

__all__ = [
    "as_completed",
    "first_completed",
    "gather",
    "gather_sync",
    "map_tasks",
    "map_tasks_sync",
    "submit_many",
    "submit_many_sync",
]
