"""The server as one component: everything it is made of, started and stopped in order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterable
from contextlib import suppress
from typing import Any, Self

from msgspec import Struct
from prometheus_client.metrics_core import Metric

from conduit.http_server import HttpServer
from conduit.server.app import build_app
from conduit.server.artifacts.address import open_store
from conduit.server.artifacts.cleaner import tidy_forever
from conduit.server.artifacts.copier import Copier
from conduit.server.db.database import Database
from conduit.server.db.retention import Forgetting, Keep
from conduit.server.http.access import Access, check_binding, parse_keys
from conduit.server.http.dependencies import Parts
from conduit.server.http.live import Broker
from conduit.server.ingest.consumer import Ingest
from conduit.server.ingest.reconciler import Reconciler
from conduit.server.metrics import Metrics, counter, gauge, gauges
from conduit.server.operations.listings import QUEUES, WORKERS, Listings
from conduit.server.operations.queue_connection import QueueLink
from conduit.submission import middleware_in_settings

GRACE_S = 10
"""For how long a stop waits for requests under way."""

_log = logging.getLogger(__name__)


class ServerOptions(Struct, frozen=True, kw_only=True):
    """Where the server listens and what it works with. `api_keys` is as in `CONDUIT_API_KEYS`.

    `queue_shown` is the queue's URL as people may see it. `port` 0 takes a free one.
    """

    database_url: str
    queue_url: str
    queue_shown: str
    artifacts_url: str
    host: str = "127.0.0.1"
    port: int = 8080
    api_keys: str = ""
    migrate: bool = False
    insecure: bool = False
    keep: Keep = Keep()


class ServerService:
    """The server: the history's ingest, the HTTP API and the live updates, in this event loop."""

    def __init__(self, options: ServerOptions) -> None:
        """Raises `ConfigurationError` for keys that can't be read, and where they are missing, and
        for a middleware that can't be loaded.
        """
        middleware_in_settings()
        keys = parse_keys(options.api_keys)
        check_binding(options.host, keys, insecure=options.insecure)
        database = Database(options.database_url, migrate=options.migrate)
        link = QueueLink(options.queue_url, options.queue_shown)
        self.parts = Parts(
            database=database,
            link=link,
            listings=Listings(link, database),
            broker=Broker(database),
            access=Access(database, keys, insecure=options.insecure),
            metrics=Metrics(),
            artifacts=open_store(options.artifacts_url, database.identity),
        )
        self._options = options
        self._forgetting = Forgetting(database, self.parts.artifacts, options.keep)
        self._http = HttpServer(
            build_app(self.parts), "the server", options.host, options.port, grace_s=GRACE_S
        )
        self._keepers: tuple[Ingest, Reconciler, Copier] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._ended = asyncio.Event()
        self._closing = False

    # --- facts --------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """What the component is called in messages."""
        return "server"

    @property
    def url(self) -> str:
        """Where it answers."""
        host = self._options.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self._http.port}"

    # --- life ---------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open the history, look for the queue, listen.

        A queue or a store of artifacts that is away is no reason not to start. Raises `SchemaError`
        and its kin, and `ConfigurationError` where the store refuses.
        """
        parts = self.parts
        try:
            with suppress(OSError):  # the copier tells, and tries again
                await parts.artifacts.check()
            await parts.database.open()
            await parts.link.start()
            await parts.broker.start()
            parts.metrics.collect(self._gauges)
            self._run("live updates", parts.broker.run())
            self._run("listings", parts.listings.keep_forever())
            self._run("history", self._keep_history())
            self._run("retention", self._forgetting.run())
            self._run("tidying", tidy_forever(parts.database, parts.artifacts))
            await self._http.start()
        except BaseException:
            await self._close()
            raise

    async def _keep_history(self) -> None:
        """Keep the history true, from when the queue is first reached until stopped."""
        queue = await self.parts.link.opened()
        database, publish = self.parts.database, self.parts.broker.publish
        ingest = Ingest(queue, database, publish)
        reconciler = Reconciler(
            queue,
            database,
            publish,
            caught_up=lambda: ingest.caught_up,
            kept_since=self._forgetting.kept_since,
        )
        copier = Copier(queue, database, self.parts.artifacts)
        self._keepers = (ingest, reconciler, copier)
        for keeper in self._keepers:
            await keeper.start()
        await asyncio.gather(*(keeper.wait() for keeper in self._keepers))

    def _run(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name=f"server {name}")
        task.add_done_callback(self._note_end)
        self._tasks.append(task)

    def _note_end(self, _: asyncio.Task[None]) -> None:
        if not self._closing:
            self._ended.set()

    async def wait(self) -> None:
        """Until stopped. Raises what any part crashed of."""
        serving = asyncio.ensure_future(self._http.wait())
        ended = asyncio.ensure_future(self._ended.wait())
        try:
            await asyncio.wait({serving, ended}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended.cancel()
            serving.cancel()
        for task in (*self._tasks, serving):
            if task.done() and not task.cancelled():
                task.result()

    async def stop(self) -> None:
        """End the streams, answer what is under way, put everything down. Twice is fine."""
        self.parts.broker.close()
        await self._http.stop()
        await self._close()

    async def stop_now(self) -> None:
        """Drop the requests under way, and what was read of the queue's events and isn't kept."""
        self.parts.broker.close()
        for keeper in self._keepers or ():
            await keeper.stop_now()
        await self._http.stop_now()

    async def _close(self) -> None:
        self._closing = True
        keepers, self._keepers = self._keepers or (), None
        await asyncio.gather(*(keeper.stop() for keeper in keepers))
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError, Exception):  # `wait` tells of its crash
                await task
        await self.parts.link.close()
        await self.parts.database.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    # --- metrics ------------------------------------------------------------------------------

    def _gauges(self) -> Iterable[Metric]:
        parts = self.parts
        yield gauge("conduit_queue_up", "Whether the queue answers", parts.link.fault is None)
        yield gauge("conduit_stream_clients", "Clients of live updates", parts.broker.clients)
        if self._keepers is not None:
            yield from _history_metrics(*self._keepers)
        workers = parts.listings.known(WORKERS)
        yield gauge("conduit_workers", "Workers heard of in the last minute", len(workers))
        depths = parts.listings.known(QUEUES)
        for state in ("queued", "scheduled", "running", "blocked"):
            values = [(info.name, getattr(info, state)) for info in depths]
            yield gauges(f"conduit_queue_{state}_jobs", f"Jobs that are {state}", "queue", values)


def _history_metrics(ingest: Ingest, reconciler: Reconciler, copier: Copier) -> Iterable[Metric]:
    found = ingest.metrics
    yield counter("conduit_ingest_applied", "Events and reports applied", found.applied)
    yield counter("conduit_ingest_failed", "Failures to apply an event", found.failed)
    yield counter("conduit_ingest_dead", "Events that became dead letters", found.dead)
    yield gauge("conduit_ingest_pending", "Entries read and not settled", found.pending)
    yield gauge("conduit_ingest_lag_seconds", "How far the history is behind", found.lag_seconds)
    healed = reconciler.metrics.healed
    yield counter("conduit_reconciler_healed", "Rows taken from the queue", healed)
    yield counter("conduit_artifacts_copied", "Artifacts copied out of the queue", copier.copied)
    yield counter("conduit_artifacts_gone", "Artifacts the queue forgot before that", copier.gone)
