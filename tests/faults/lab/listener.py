"""Listens to `GET /stream` as a browser does: it comes back with the id that it saw last.

It is away for a while now and then, as laptops are: only then is there something that it missed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from itertools import cycle

import httpx
import msgspec
from msgspec import Struct

_PAUSE_S = 0.2
_STAYS_S = 3.0
_AWAY_S = 1.0
_BEGINNING = "0"


class News(Struct, frozen=True):
    """A change as the stream tells it: of jobs, `data` has the status and `seq`."""

    id: int
    topic: str
    kind: str
    subject: str
    data: dict[str, object] = {}


class Heard(Struct, frozen=True, kw_only=True):
    """What a listener heard.

    `told`: the changes, as they came. `resets`: from which id to which it was told to load anew.
    `resumed`: how many connections went on after what it had. `last_id`: the newest change that
    there was when it was asked for what it had heard.
    """

    told: Sequence[News] = ()
    resets: Sequence[tuple[int, int]] = ()
    resumed: int = 0
    last_id: int = 0

    def missed_rightly(self, change_id: int) -> bool:
        """Whether the stream said that this was left out."""
        return any(since < change_id <= until for since, until in self.resets)


class Listener:
    """One that goes from server to server, from the first change on."""

    def __init__(self, servers: Sequence[str]) -> None:
        self._servers = servers
        self._position = _BEGINNING
        self._told: list[News] = []
        self._resets: list[tuple[int, int]] = []
        self._connections = 0

    async def follow(self) -> None:
        """Listen until cancelled."""
        async with httpx.AsyncClient(timeout=None) as client:
            for server in cycle(self._servers):
                with suppress(httpx.HTTPError, TimeoutError):
                    async with asyncio.timeout(_STAYS_S):
                        await self._listen(client, f"{server}/api/v1/stream")
                await asyncio.sleep(_AWAY_S)

    async def heard(self, last_id: int, patience_s: float) -> Heard:
        """What it has heard once it is as far as `last_id`, or after `patience_s` seconds."""
        deadline = time.monotonic() + patience_s
        while int(self._position) < last_id and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(_PAUSE_S)
        return Heard(
            told=self._told,
            resets=self._resets,
            resumed=max(0, self._connections - 1),
            last_id=last_id,
        )

    async def _listen(self, client: httpx.AsyncClient, url: str) -> None:
        headers = {"Last-Event-ID": self._position}
        async with client.stream("GET", url, headers=headers) as answer:
            if not answer.is_success:
                return
            self._connections += 1
            async for fields in _events(answer.aiter_lines()):
                self._take(fields)

    def _take(self, fields: dict[str, str]) -> None:
        since, self._position = self._position, fields.get("id", self._position)
        if fields["event"] == "reset":
            self._resets.append((int(since), int(self._position)))
        elif fields["event"] != "ready":
            self._told.append(msgspec.json.decode(fields["data"], type=News))


async def _events(lines: AsyncIterator[str]) -> AsyncIterator[dict[str, str]]:
    """The fields of each server-sent event; one that was cut off in its midst doesn't count."""
    fields: dict[str, str] = {}
    async for line in lines:
        name, _, value = line.partition(":")
        if name:
            fields[name] = value.removeprefix(" ")
        elif "event" in fields:
            yield fields
            fields = {}
        else:
            fields = {}
