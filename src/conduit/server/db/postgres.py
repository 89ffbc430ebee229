"""Connections to PostgreSQL that can't hang: each wait for the server's answer has an end."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any, TypeVar

from psycopg import AsyncConnection, OperationalError
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import TransactionStatus

T = TypeVar("T")

_CANCEL_TIMEOUT_S = 1.0

_DEFAULTS: dict[str, str | int] = {
    "application_name": "conduit-server",
    "client_encoding": "UTF8",
    "connect_timeout": 5,
    # A network may forget a connection without a word: these notice it within ten seconds or so.
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,  # milliseconds
}

IDLE_S = 6.0
"""The first statement over a connection that was idle for longer is the pool's question whether it
lives."""
PROMPT_S = 2.0
"""How long the answer to that may take: a new connection is made else."""

_SETTINGS = (
    # Each filter has its own best plan: a search took four times as long by one that suits all.
    "SET plan_cache_mode = force_custom_plan; "
    # Compiling a plan takes longer than any of ours runs.
    "SET jit = off"
)


class BoundedConnection(AsyncConnection[Any]):
    """A connection that is given up when the server is silent for too long."""

    answer_timeout_s: float | None = None
    """How long one statement may take; None: as long as it takes."""
    _used_at = 0.0

    async def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        """Wait for the answer to a statement; close the connection if none comes in time."""
        started_at = time.monotonic()
        limit = self._limit(started_at) if timeout is None else timeout
        try:
            answer = await super().wait(gen, interval, limit)
            self._used_at = time.monotonic()
            return answer
        except OperationalError:
            if limit is None or time.monotonic() < started_at + limit:
                raise
            # The answer may still come, to whatever is asked next: no more use of the connection.
            with suppress(OperationalError):
                await self.cancel_safe(timeout=_CANCEL_TIMEOUT_S)
            self.pgconn.finish()
            raise OperationalError(f"no answer within {limit:g} s") from None

    def _limit(self, now: float) -> float | None:
        limit = self.answer_timeout_s
        began = self.pgconn.transaction_status != TransactionStatus.IDLE
        if began or limit is None or not 0 < self._used_at < now - IDLE_S:
            return limit
        return min(limit, PROMPT_S)


async def connect(url: str, answer_timeout_s: float | None) -> BoundedConnection:
    """A connection to what `url` names, with settings that the URL may override."""
    given = conninfo_to_dict(url)
    defaults = {name: value for name, value in _DEFAULTS.items() if name not in given}
    connection = await BoundedConnection.connect(make_conninfo(url, **defaults))
    connection.answer_timeout_s = answer_timeout_s
    try:
        await connection.execute(_SETTINGS)
        await connection.commit()
    except BaseException:  # also where the one who waits for it is cancelled
        await connection.close()
        raise
    return connection
