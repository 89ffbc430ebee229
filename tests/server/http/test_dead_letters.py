"""`/dead-letters`: what couldn't be applied, and another try."""

from __future__ import annotations

import httpx
import msgspec
from sqlalchemy import text

from conduit.core.events import Event, EventKind, Submission
from conduit.core.model import JobStatus
from conduit.server.db.database import Database
from conduit.server.ingest.dead import bury, letter, why_refused

CURSE = (
    "CREATE TRIGGER curse BEFORE INSERT ON jobs WHEN new.function = 'cursed' "
    "BEGIN SELECT RAISE(ABORT, 'cursed, says the disk'); END"
)


def submitted(function: str) -> Event:
    return Event(
        kind=EventKind.SUBMITTED,
        job_id="j",
        seq=1,
        attempt=0,
        at=1,
        status=JobStatus.QUEUED,
        submission=Submission(
            function=function,
            queue="default",
            priority=0,
            max_deliveries=3,
            args=msgspec.Raw(b"{}"),
        ),
    )


async def test_what_is_refused_once_more_says_why(api: httpx.AsyncClient, history: str) -> None:
    event = submitted("cursed")
    reason = why_refused(event, 5, ValueError("no"))
    async with Database(history) as database, database.begin() as connection:
        await connection.execute(text(CURSE))
        await bury(connection, [letter("1", 0, event, reason, deliveries=5, now=1)])

    (told,) = (await api.get("/dead-letters")).json()["items"]
    assert told["reason"] == (
        "Event 1 of job j, job.submitted, was refused by the database 5 times: no. "
        "Put right what it says, or upgrade this server, then replay it."
    )
    answer = await api.post(f"/dead-letters/{told['id']}/replay")
    assert answer.status_code == 409
    assert answer.json()["detail"] == "the database refuses it: cursed, says the disk"

    async with Database(history) as database, database.begin() as connection:
        await connection.execute(text("DROP TRIGGER curse"))
    answer = await api.post(f"/dead-letters/{told['id']}/replay")
    assert (answer.status_code, answer.json()["outcome"]) == (200, "applied")
    assert (await api.get("/jobs/j")).json()["function"] == "cursed"
