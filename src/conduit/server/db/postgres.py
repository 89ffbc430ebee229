"""Connections to PostgreSQL that can't hang: each wait for the server's answer has an end."""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

from psycopg import AsyncConnection, OperationalError
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict, make_conninfo

T = TypeVar("T")

_DEFAULTS: dict[str, str | int] = {
    "application_name": "conduit-server",
    "connect_timeout": 5,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
}


class BoundedConnection(AsyncConnection[Any]):
    """A connection that is given up when the server is silent for too long."""

    answer_timeout_s: float | None = None
    """How long one statement may take; None: as long as it takes."""

    async def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        """Wait for the answer to a statement; close the connection if none comes in time."""
        try:
            async with asyncio.timeout(self.answer_timeout_s):
                # Being interrupted, it asks the server to stop and awaits that for some seconds.
                return await super().wait(gen, interval, timeout)
        except TimeoutError:
            self.pgconn.finish()
            raise OperationalError(f"no answer within {self.answer_timeout_s:g} s") from None


async def connect(url: str, answer_timeout_s: float | None) -> BoundedConnection:
    """A connection to what `url` names, with settings that the URL may override."""
    given = conninfo_to_dict(url)
    defaults = {name: value for name, value in _DEFAULTS.items() if name not in given}
    connection = await BoundedConnection.connect(make_conninfo(url, **defaults))
    connection.answer_timeout_s = answer_timeout_s
    return connection
