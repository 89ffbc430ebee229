"""The embedded queue: one SQLite file, many processes of one machine, nothing to install."""

from __future__ import annotations

from conduit.queue.sqlite.queue import SqliteQueue

__all__ = ["SqliteQueue"]
