"""What jobs said of themselves is in the database for good: read back on another connection."""

from __future__ import annotations

import time
from pathlib import Path

from conduit.core.model import Lease, NewJob
from conduit.queue import open_queue
from conduit.queue.base import Claim, Note
from conduit.server.db import queries
from conduit.server.db.database import Database
from conduit.server.db.rows import JobRow
from conduit.server.ingest.apply import apply_entries


async def read_anew(url: str, job_id: str) -> JobRow:
    async with Database(url) as database, database.read() as connection:
        row = await queries.get_job(connection, job_id)
    assert row is not None
    return row


async def test_each_checkpoint_and_metadata_is_read_back_on_a_new_connection(
    database: Database, tmp_path: Path
) -> None:
    async with open_queue(f"sqlite:///{tmp_path / 'queue.db'}") as queue:
        await queue.submit([NewJob(id="a", function="f", metadata=b'{"tenant":"x"}')])
        claim = Claim(worker_id="w", queues=("default",), functions=("f",), limit=1)
        (job,) = await queue.claim(claim)
        assert job.token is not None
        for page in (1, 2):
            note = Note(
                lease=Lease("a", job.token),
                checkpoint=b'{"page":%d}' % page,
                metadata=b'{"rows":%d}' % page,
                steps=b'{"s%d":1}' % page,
            )
            assert await queue.record([note]) == [True]
            entries = await queue.read_events("server", "c", limit=100)
            async with database.begin() as connection:
                await apply_entries(connection, entries, int(time.time() * 1000))
            row = await read_anew(database.url, "a")
            assert row.checkpoint == f'{{"page":{page}}}'
            assert row.metadata == f'{{"tenant":"x","rows":{page}}}'
    assert row.steps == '{"s1":1,"s2":1}'
