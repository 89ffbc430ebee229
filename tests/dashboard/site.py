"""A server and workers as processes, as a user starts them, and a way to talk to them."""

from __future__ import annotations

import asyncio
import os
import sys
import urllib.request
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from tests.servers.process import ServerProcess, free_port

API = "/api/v1"
ADMIN_KEY = "the-tests-admin-key-of-32-letters"
READER_KEY = "the-tests-reader-key-of-32-letters"
KEYS = f"ada:admin:{ADMIN_KEY},rita:read:{READER_KEY}"
SERVICE = Path(__file__).with_name("seed_service.py")
BAD_SERVICE = Path(__file__).with_name("bad_service.py")
IDLE_SERVICE = Path(__file__).with_name("idle_service.py")

_COMMAND = (sys.executable, "-m", "conduit")


def _environment(**extra: str) -> Mapping[str, str]:
    """Ours, without the settings of whoever runs the tests."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("CONDUIT_")}
    return kept | {"NO_COLOR": "1"} | extra


def _is_well(url: str) -> bool:
    with suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:
        return answer.status == 200
    return False


class ConduitServer(ServerProcess):
    """`conduit server start`, with keys; it keeps its port over restarts."""

    def __init__(
        self, folder: Path, queue_url: str, database_url: str, *, name: str = "server"
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.queue_url = queue_url
        self.database_url = database_url
        command = [*_COMMAND, "server", "start", "--port", str(self.port)]
        command += ["--queue-url", queue_url, "--database-url", database_url]
        environment = _environment(CONDUIT_API_KEYS=KEYS, CONDUIT_DATA_DIR=str(folder / "data"))
        super().__init__(name, folder, command, environment=environment)

    def answers(self) -> bool:
        """Whether it is ready: its queue and its history answer, too."""
        return _is_well(f"{self.url}/ready")


class Workers(ServerProcess):
    """`conduit run seed_service.py bad_service.py`; the latter unless they are to be `tidy`."""

    def __init__(self, folder: Path, queue_url: str, *, tidy: bool = False) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        services = [SERVICE] if tidy else [SERVICE, BAD_SERVICE]
        command = [*_COMMAND, "run", *map(str, services), "--queue-url", queue_url]
        environment = _environment(CONDUIT_SHOP_PORT=str(self.port))
        super().__init__("workers", folder, command, environment=environment)

    def answers(self) -> bool:
        """Whether its API does, which starts beside the workers."""
        return _is_well(f"{self.url}/stock/any")


class IdleWorker(ServerProcess):
    """`conduit run idle_service.py`; the page tells when it is there."""

    def __init__(self, folder: Path, queue_url: str) -> None:
        command = [*_COMMAND, "run", str(IDLE_SERVICE), "--queue-url", queue_url]
        super().__init__("idle", folder, command, environment=_environment())

    def answers(self) -> bool:
        """It has nothing that could."""
        return True


Job = dict[str, Any]


class Client:
    """Talks to a server's API as an admin."""

    def __init__(self, url: str) -> None:
        headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
        self.http = httpx.AsyncClient(base_url=f"{url}{API}", headers=headers, timeout=30)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.http.aclose()

    async def get(self, path: str, **params: Any) -> Any:
        """What it answers."""
        return _json(await self.http.get(path, params=params))

    async def post(self, path: str, body: Any = None) -> Any:
        """What it answers."""
        return _json(await self.http.post(path, json=body))

    async def submit(self, function: str, *args: Any, **options: Any) -> str:
        """Submit a job; its id."""
        body = {"function": function, "args": args, **options}
        return (await self.post("/jobs", body))["job_id"]

    async def reaches(self, job_id: str, *statuses: str) -> Job:
        """The job, once it has one of these statuses. The test's timeout ends a wait in vain."""

        async def look() -> Job | None:
            answer = await self.http.get(f"/jobs/{job_id}")
            return answer.json() if answer.is_success else None  # the history is a step behind

        return await until(look, lambda job: job["status"] in statuses)

    async def total(self, **filters: Any) -> int:
        """How many jobs match."""
        return (await self.get("/jobs", limit=1, **filters))["total"]


def _json(answer: httpx.Response) -> Any:
    assert answer.is_success, f"{answer.request.url}: {answer.status_code} {answer.text}"
    return answer.json()


async def until(look: Callable[[], Awaitable[Any]], enough: Callable[[Any], Any] = bool) -> Any:
    """What is seen, once it is enough. The test's own timeout ends a wait in vain."""
    while True:
        seen = await look()
        if seen is not None and enough(seen):
            return seen
        await asyncio.sleep(0.05)


async def all_reach(client: Client, job_ids: Collection[str], *statuses: str) -> list[Job]:
    """The jobs, once each has one of these statuses."""
    return [await client.reaches(job_id, *statuses) for job_id in job_ids]
