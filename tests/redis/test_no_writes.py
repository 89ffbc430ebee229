"""Servers that take no writes for now: who only looks is answered."""

from __future__ import annotations

import pytest

from conduit.core.errors import QueueUnavailableError
from conduit.core.model import JobStatus
from conduit.queue.base import JobFilter
from conduit.queue.redis import RedisQueue
from tests.conformance.builders import a_job, submit
from tests.redis.support import execute, until
from tests.servers.fixtures import StartRedis
from tests.servers.redis import binary


@pytest.mark.parametrize("name", ["valkey", "redis-6.2"])
async def test_a_server_whose_snapshots_fail_can_be_looked_at(
    start_redis: StartRedis, name: str
) -> None:
    server = start_redis(binary=binary(name), config={"save": "3600 1", "dbfilename": "dump"})
    async with RedisQueue(server.url) as queue:
        job = await submit(queue)
    (server.path.parent / "dump" / "in the way").mkdir(parents=True)
    await execute(server, "BGSAVE")

    async def has_failed() -> bool:
        return server.info().get("rdb_last_bgsave_status") == "err"

    await until(has_failed)
    async with RedisQueue(server.url) as looking:
        page = await looking.find(JobFilter())
        assert [(each.id, each.status) for each in page.items] == [(job.id, JobStatus.QUEUED)]
        assert "snapshot failed" in " ".join((await looking.health()).warnings)
        with pytest.raises(QueueUnavailableError, match="refuses writes"):
            await looking.submit([a_job()])
    (server.path.parent / "dump" / "in the way").rmdir()
    (server.path.parent / "dump").rmdir()  # else the server refuses to end
