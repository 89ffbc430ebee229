"""Acts on jobs over HTTP, as people do at the dashboard: a process that may meet any fault.

It cancels, retries and deletes, one by one and in bulk, and takes each answer down in the journal.
What isn't answered, or answered 503, nobody knows of: it isn't asked for again.

    python -m tests.faults.lab.operator SEED DELETES
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections.abc import Awaitable, Callable, Iterator
from http import HTTPStatus
from pathlib import Path

import httpx
from msgspec import Struct

from conduit.core.model import JobStatus
from tests.faults.lab import journal
from tests.faults.lab.clockwork import PAUSED
from tests.faults.lab.journal import Told, What, note
from tests.faults.lab.submitter import ENOUGH

SERVERS = "LAB_SERVERS"
"""Names the variable with the URLs of the servers, separated by spaces."""
HANDS = 3
"""How many acts are under way at once."""
PAUSE_S = 0.4
LEAST = 10
"""So many acts have to be done: a server that was killed may be there again only when all others
are through."""
PATIENCE_S = 8.0
NEWEST = 20
"""Of so many jobs that were accepted last one is cancelled: most of them haven't ended."""
LISTED = 50
IN_BULK = 3
PAUSED_S = 2.2
_REFUSALS = (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT)


class Act(Struct, frozen=True):
    """One that is done to one job: how it is asked for, and how the journal calls it."""

    method: str
    path: str
    called: What
    answered: What


_CANCEL = Act("POST", "jobs/{}/cancel", What.CANCEL, What.CANCELLED)
_RETRY = Act("POST", "jobs/{}/retry", What.RETRY, What.RETRIED)
_DELETE = Act("DELETE", "jobs/{}", What.DELETE, What.DELETED)


class Operator:
    """Whoever acts, at any of the servers."""

    def __init__(self, client: httpx.AsyncClient, seed: int, *, deletes: bool) -> None:
        self._client = client
        self._servers = os.environ[SERVERS].split()
        self._journal = journal.Reader(Path(os.environ[journal.VARIABLE]))
        self._chance = random.Random(f"{seed}/operator")
        self._done = 0
        self._pausing = asyncio.Lock()
        self._deeds = self._rota(deletes)

    async def work(self, enough: Path) -> None:
        """Act, with pauses, until the file is there and enough was done."""
        while self._done < LEAST or not enough.exists():  # noqa: ASYNC240
            await asyncio.sleep(self._chance.uniform(0.5, 1.5) * PAUSE_S)
            await next(self._deeds)()

    def _rota(self, deletes: bool) -> Iterator[Callable[[], Awaitable[None]]]:
        """What is done next: by turns, so that there is something of everything in a short run."""
        deeds = [*(4 * [self._cancel]), *(4 * [self._retry]), self._cancel_some]
        deeds += [self._pause_a_while]
        deeds += [self._delete] if deletes else []
        while True:
            self._chance.shuffle(deeds)
            yield from deeds

    async def _cancel(self) -> None:
        if accepted := self._accepted():
            await self._do(_CANCEL, self._chance.choice(accepted))

    async def _retry(self) -> None:
        if ended := await self._list(JobStatus.FAILED, JobStatus.CANCELLED):
            await self._do(_RETRY, self._chance.choice(ended))

    async def _delete(self) -> None:
        if ended := await self._list(JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED):
            await self._do(_DELETE, self._chance.choice(ended))

    async def _cancel_some(self) -> None:
        accepted = self._accepted()
        among = self._chance.sample(accepted, min(IN_BULK, len(accepted)))
        if not among:
            return
        for job_id in among:
            note(What.CANCEL, job_id=job_id)
        body = {"action": "cancel", "ids": among}
        answer = await self._ask("POST", "jobs/bulk", json=body)
        if answer is not None and answer.status_code == HTTPStatus.OK:
            note(What.BULK, among=tuple(among), number=answer.json()["done"], detail=answer.text)

    async def _pause_a_while(self) -> None:
        """Pause a schedule and resume it, whatever befalls the server; one hand at a time."""
        if self._pausing.locked():
            return
        async with self._pausing:
            note(What.PAUSE, label=PAUSED)
            answer = await self._ask("POST", f"crons/{PAUSED}/pause")
            if answer is not None and answer.is_success:
                note(What.PAUSED, label=PAUSED)
            await asyncio.sleep(PAUSED_S)
            note(What.UNPAUSE, label=PAUSED)
            while not await self._ask("POST", f"crons/{PAUSED}/resume"):  # noqa: ASYNC110
                await asyncio.sleep(PAUSE_S)
            note(What.UNPAUSED, label=PAUSED)

    def _accepted(self) -> list[str]:
        lines = (line for line in self._journal.lines() if line.what is What.OK)
        return list(dict.fromkeys(line.job_id for line in lines))[-NEWEST:]

    async def _list(self, *statuses: JobStatus) -> list[str]:
        """Jobs that the history has in one of these; ticks are left alone, as they are counted."""
        wanted = {"status": [each.value for each in statuses], "limit": LISTED}
        answer = await self._ask("GET", "jobs", params=wanted)
        items = answer.json()["items"] if answer is not None and answer.is_success else []
        return [job["id"] for job in items if not job["id"].startswith("cron:")]

    async def _do(self, act: Act, job_id: str) -> None:
        note(act.called, job_id=job_id)
        answer = await self._ask(act.method, act.path.format(job_id))
        if answer is None:
            return
        said = answer.json()
        if answer.status_code == HTTPStatus.OK:
            told = Told(said["status"], said["generation"], said["seq"])
            note(act.answered, job_id=job_id, number=1, told=told)
            self._done += 1
        else:
            told = Told(said.get("job_status", ""), why=said["type"].rpartition(":")[2])
            note(act.answered, job_id=job_id, number=0, told=told)

    async def _ask(self, method: str, path: str, **content: object) -> httpx.Response | None:
        """What a server says; None where nobody knows what became of it."""
        url = f"{self._chance.choice(self._servers)}/api/v1/{path}"
        try:
            answer = await self._client.request(method, url, **content)  # type: ignore[arg-type]
        except httpx.HTTPError:
            return None
        if answer.status_code == HTTPStatus.OK or answer.status_code in _REFUSALS:
            return answer
        if answer.status_code != HTTPStatus.SERVICE_UNAVAILABLE:
            note(What.ODD, detail=f"{method} {path}: {answer.status_code} {answer.text}")
        return None


async def main(seed: int, *, deletes: bool) -> None:
    """Act with several hands until nobody needs more."""
    enough = Path(os.environ[ENOUGH])
    async with httpx.AsyncClient(timeout=PATIENCE_S) as client, asyncio.TaskGroup() as group:
        operator = Operator(client, seed, deletes=deletes)
        for _ in range(HANDS):
            group.create_task(operator.work(enough))


if __name__ == "__main__":
    _, chosen_seed, chosen_deletes = sys.argv
    asyncio.run(main(int(chosen_seed), deletes=chosen_deletes == "yes"))
