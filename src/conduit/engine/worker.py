"""The worker: claims jobs as it has room, runs each as an `Attempt`, reports what came of it.

    claim ──▶ waiting ──▶ running (≤ concurrency) ──▶ reporter ──▶ finish

One task per duty: the claim loop, the reporter, the listener for cancels, the schedules, the
sweeper; and the heartbeat in its own thread. The first of them to crash takes the worker down.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import socket
import threading
from collections import deque
from collections.abc import Awaitable
from contextlib import AsyncExitStack, suppress
from functools import partial
from importlib.metadata import version

from uuid_utils import uuid7

from conduit.core.errors import QueueError, QueueUnavailableError, UnknownFunctionError
from conduit.core.model import Job, Lease, NewJob, WorkerInfo
from conduit.core.transitions import OutcomeKind
from conduit.engine.attempt import Attempt, Stop, Tools
from conduit.engine.backoff import Outage
from conduit.engine.fairness import QueueOrder
from conduit.engine.function import Function, Mode, WorkerSpec
from conduit.engine.heartbeat import Heartbeat
from conduit.engine.logs import capture_logs
from conduit.engine.processes import ProcessPool
from conduit.engine.reporter import Reporter
from conduit.engine.sweeper import sweep_forever
from conduit.engine.threads import ThreadPool
from conduit.engine.ticker import tick_forever
from conduit.queue import open_queue
from conduit.queue.base import Claim, Finished, Held, Outcome, Registration

logger = logging.getLogger("conduit.engine")

IDLE_WAIT_S = 60.0
SHORT_JOB_S = 0.02
"""Jobs that take less than this are worth fetching ahead."""
MAX_PREFETCH = 500
DEAF_S = 3.0
"""How long a job that is told to stop may take to do so before it is left behind."""
DELIVERY_TIMEOUT_S = 5.0
"""How long a stopping worker tries to deliver what it holds to a store that is away."""


class WorkerService:
    """One worker of one process. `start`, then `wait`; `stop` from anywhere in the same loop."""

    def __init__(self, spec: WorkerSpec, queue_url: str) -> None:
        self.id = f"{spec.name}-{socket.gethostname()}-{os.getpid()}-{uuid7().hex[-8:]}"
        self.name = spec.name
        self._spec = spec
        self._url = queue_url
        self._queue = open_queue(queue_url)
        self._resources = AsyncExitStack()
        self._reporter: Reporter
        self._tools: Tools
        self._attempts: dict[Lease, Attempt] = {}  # every claimed job that isn't settled
        self._lock = threading.Lock()  # guards _attempts against the heartbeat's thread
        self._waiting: deque[Attempt] = deque()
        self._running = 0
        self._settled = asyncio.Event()
        self._room = asyncio.Event()
        self._stopping = asyncio.Event()
        self._given_up = asyncio.Event()  # what isn't settled by now won't be waited for
        self._early_cancels: set[Lease] = set()
        self._mean_run = SHORT_JOB_S * 2
        self._order = QueueOrder(spec.queues)
        self._turns = deque(spec.functions)
        self._main: asyncio.Task[None] | None = None
        self._stopped = asyncio.Event()
        self._context: contextvars.Context  # what every job begins with, untouched by others

    # --- life ---------------------------------------------------------------------------------

    async def start(self) -> None:
        """Connect, announce this worker, and begin to claim. Raises what stands in the way."""
        try:
            await self._open()
            if self._spec.lifespan is not None:
                await self._resources.enter_async_context(self._spec.lifespan())
                self._context = contextvars.copy_context()
            await self._warn()
            await self._queue.register(self._registration())
        except BaseException:
            await self._close()
            raise
        self._main = asyncio.create_task(self._supervise(), name=f"worker {self.name}")

    async def stop(self) -> None:
        """Stop claiming, let jobs finish for `shutdown_timeout` seconds, hand back the rest."""
        if not self._stopping.is_set() and not self._stopped.is_set():
            self._stop_claiming()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._spec.shutdown_timeout):
                    await self._until_settled()
        await self.stop_now()

    async def stop_now(self) -> None:
        """Hand back what still runs, at once and without costing it an attempt; then end."""
        if self._stopped.is_set():
            return
        self._stop_claiming()
        await self._hand_back()
        self._given_up.set()
        if self._main is not None:
            await self._stopped.wait()

    async def _hand_back(self) -> None:
        for attempt in list(self._attempts.values()):
            attempt.stop(Stop.RELEASE)
        with suppress(TimeoutError):
            async with asyncio.timeout(DEAF_S):
                await self._until_settled()
        for attempt in list(self._attempts.values()):  # deaf to being cancelled: left behind
            self._report(attempt, Outcome(lease=attempt.lease, kind=OutcomeKind.RELEASE))

    def _stop_claiming(self) -> None:
        self._stopping.set()
        self._room.set()
        self._release_waiting()

    async def wait(self) -> None:
        """Until the worker has stopped. Raises what it crashed of."""
        if self._main is not None:
            await asyncio.shield(self._main)

    async def execute(self, job: NewJob) -> Job:
        """Run one job here and now, this one attempt only; the job as it ended."""
        function = self._spec.functions.get(job.function)
        if function is None:
            raise UnknownFunctionError(f"worker {self.name!r} has no function {job.function!r}")
        if self._main is not None:
            return await self._execute(job, function)
        await self._open()
        reporting = asyncio.create_task(self._reporter.run())
        listening = asyncio.create_task(self._listen_for_cancels())
        try:
            return await self._execute(job, function)
        finally:
            await _end(listening)
            self._reporter.stop()
            await reporting
            await self._close()

    async def _execute(self, job: NewJob, function: Function) -> Job:
        started = await self._queue.start(job, self.id, self._spec.lease_ms)
        attempt = Attempt(started, function, self._tools, inline=True)
        self._admit(attempt)
        self._begin(attempt)
        await attempt.settled()
        (ended,) = await self._queue.get([job.id])
        return ended or started

    async def _open(self) -> None:
        await self._connect()
        self._context = contextvars.copy_context()
        self._resources.enter_context(capture_logs())
        self._reporter = Reporter(self._queue, self._on_lost)
        threads = ThreadPool(f"conduit-{self.name}")
        self._resources.callback(threads.close)
        processes = ProcessPool(self._spec.processes, result_limit=self._spec.payload_limit)
        await self._resources.enter_async_context(processes)
        self._tools = Tools(self._spec, self._reporter, threads, processes)
        heartbeat = Heartbeat(
            self._url, self.id, self._spec.lease_ms, self._leases, self._on_answer
        )
        heartbeat.start()
        self._resources.push_async_callback(asyncio.to_thread, heartbeat.stop)

    async def _connect(self) -> None:
        """Open the queue; a server that isn't there yet gets `connect_timeout` to come."""
        loop = asyncio.get_running_loop()
        patience = 0.0 if self._url.startswith("sqlite:") else self._spec.connect_timeout
        deadline = loop.time() + patience
        outage = Outage("the queue can't be reached yet")
        while True:
            try:
                await self._resources.enter_async_context(self._queue)
                outage.over()
                return
            except QueueUnavailableError as error:
                if loop.time() >= deadline:
                    raise
                await outage.pause(error)

    async def _close(self) -> None:
        await self._resources.aclose()

    async def _warn(self) -> None:
        for warning in (await self._queue.health()).warnings:
            logger.warning("%s", warning)

    def _registration(self) -> Registration:
        spec = self._spec
        return Registration(
            worker=WorkerInfo(
                id=self.id,
                name=spec.name,
                host=socket.gethostname(),
                pid=os.getpid(),
                version=version("conduit"),
                queues=tuple(spec.queues),
                concurrency=spec.concurrency,
            ),
            functions=tuple(function.info(spec.name) for function in spec.functions.values()),
            crons=tuple(cron.info(spec.name) for cron in spec.crons),
        )

    async def _supervise(self) -> None:
        """Run every duty; end when stopped, or with the error of the first one to crash."""
        claiming = asyncio.create_task(self._claim_until_stopping())
        reporting = asyncio.create_task(self._reporter.run())
        duties = [
            asyncio.create_task(self._listen_for_cancels()),
            asyncio.create_task(sweep_forever(self._queue)),
            asyncio.create_task(tick_forever(self._queue, self._spec.crons)),
            asyncio.create_task(self._until_stopped(claiming)),
            asyncio.create_task(self._until_given_up()),
        ]
        try:
            first = asyncio.FIRST_COMPLETED
            done, _ = await asyncio.wait({reporting, *duties}, return_when=first)
            for duty in done:
                duty.result()
        finally:
            await self._shut_down(claiming, reporting, duties)

    async def _shut_down(
        self,
        claiming: asyncio.Task[None],
        reporting: asyncio.Task[None],
        duties: list[asyncio.Task[None]],
    ) -> None:
        """End every duty, the reporter last; whatever else goes wrong, the worker has stopped."""
        try:
            self._stop_claiming()
            # A claim under way is let through: the jobs it leases have to be handed back.
            await asyncio.wait({claiming}, timeout=DELIVERY_TIMEOUT_S)
            if not self._given_up.is_set():
                await self._hand_back()
            for duty in duties:
                await _end(duty)
            self._reporter.stop()
            await asyncio.wait({reporting}, timeout=DELIVERY_TIMEOUT_S)
            await self._wind_down()
        finally:
            self._stopped.set()

    async def _until_stopped(self, claiming: asyncio.Task[None]) -> None:
        await claiming  # ends when stopping, or with what it crashed of
        await self._until_settled()

    async def _until_given_up(self) -> None:
        await self._given_up.wait()

    async def _until_settled(self) -> None:
        while self._attempts:
            self._settled.clear()
            await self._settled.wait()

    async def _wind_down(self) -> None:
        """Deliver what is held, say goodbye, close; a store that is away is waited for briefly."""
        if not await self._reporter.drain(DELIVERY_TIMEOUT_S):
            logger.error(
                "the queue is away: some results could not be delivered; those jobs run again"
            )
        try:
            async with asyncio.timeout(DELIVERY_TIMEOUT_S):
                await self._queue.unregister(self.id)
        except (QueueError, TimeoutError) as error:
            logger.warning("worker %s could not sign off: %s", self.id, error)
        await self._close()

    # --- claiming -----------------------------------------------------------------------------

    async def _claim_until_stopping(self) -> None:
        outage = Outage("jobs can't be claimed")
        while not self._stopping.is_set():
            room = self._free()
            if room <= 0:
                self._room.clear()
                if self._free() <= 0:
                    await self._room.wait()
                continue
            try:
                claimed = await self._queue.claim(self._claim(room))
                self._accept(claimed)
                outage.over()
                if len(claimed) < room:
                    await self._unless_stopping(
                        self._queue.wait_for_jobs(self._order.names, IDLE_WAIT_S)
                    )
            except QueueUnavailableError as error:
                await self._unless_stopping(outage.pause(error))

    async def _unless_stopping(self, wait: Awaitable[None]) -> None:
        """Wait for something, but no longer than until the worker is to stop."""
        waiting = asyncio.ensure_future(wait)
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({waiting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if waiting.done():
                waiting.result()
        finally:
            await _end(waiting)
            stopping.cancel()

    def _claim(self, room: int) -> Claim:
        return Claim(
            worker_id=self.id,
            queues=self._order.next(),
            functions=self._functions_in_turn(),
            limit=room,
            lease_ms=self._spec.lease_ms,
        )

    def _functions_in_turn(self) -> tuple[str, ...]:
        """Every function, another one first each time, so that small claims are fair as well."""
        self._turns.rotate(-1)
        return tuple(self._turns)

    def _free(self) -> int:
        """How many jobs to claim now: as many as can run, and while jobs are short, some ahead.

        Fetching ahead goes in gulps: a claim for one job costs nearly as much as one for a hundred.
        """
        spec, held = self._spec, self._running + len(self._waiting)
        ahead = spec.prefetch
        if ahead is None:
            ahead = min(2 * spec.concurrency, MAX_PREFETCH) if self._mean_run < SHORT_JOB_S else 0
        free = spec.concurrency + ahead - held
        return free if free >= ahead // 2 or held < spec.concurrency else 0

    def _accept(self, jobs: list[Job]) -> None:
        for job in jobs:
            attempt = Attempt(job, self._spec.functions[job.function], self._tools)
            self._admit(attempt)
            self._waiting.append(attempt)
            if attempt.lease in self._early_cancels:
                self._early_cancels.discard(attempt.lease)
                attempt.flag(Stop.CANCEL)
        if self._stopping.is_set():
            self._release_waiting()
        self._start_waiting()

    def _admit(self, attempt: Attempt) -> None:
        with self._lock:
            self._attempts[attempt.lease] = attempt

    # --- running ------------------------------------------------------------------------------

    def _start_waiting(self) -> None:
        while self._waiting and self._running < self._spec.concurrency:
            self._begin(self._waiting.popleft())

    def _begin(self, attempt: Attempt) -> None:
        self._running += 1
        attempt.task = asyncio.create_task(self._run(attempt), context=self._context.copy())

    async def _run(self, attempt: Attempt) -> None:
        began = self._tools.loop.time()
        outcome = await attempt.run()
        self._running -= 1
        self._mean_run += 0.1 * (self._tools.loop.time() - began - self._mean_run)
        self._report(attempt, outcome)
        if not self._stopping.is_set():
            self._start_waiting()
        self._room.set()

    def _report(self, attempt: Attempt, outcome: Outcome | None) -> None:
        if attempt.reported:
            return  # left behind by a stop, and ended after all
        attempt.reported = True
        if outcome is None:
            self._settle(attempt)
        else:
            self._reporter.finish(outcome, partial(self._on_delivered, attempt))

    def _on_delivered(self, attempt: Attempt, answer: Finished) -> None:
        if answer is Finished.STALE:
            logger.warning(
                "job %s had passed to another worker; what this one made of it was dropped",
                attempt.job.id,
            )
        self._settle(attempt)

    def _settle(self, attempt: Attempt) -> None:
        with self._lock:
            self._attempts.pop(attempt.lease, None)
        attempt.settle()
        if not self._attempts:
            self._settled.set()

    def _release_waiting(self) -> None:
        """Hand back what was claimed and not begun."""
        while self._waiting:
            attempt = self._waiting.popleft()
            attempt.flag(Stop.RELEASE)
            self._report(attempt, attempt.unrun_outcome())

    # --- leases and cancels ---------------------------------------------------------------------

    def _leases(self) -> list[Lease]:
        with self._lock:
            return [attempt.lease for attempt in self._attempts.values()]

    def _on_answer(self, lease: Lease, held: Held) -> None:
        """What the heartbeat learnt of a lease, in its thread: flag now, act on the loop."""
        reason = Stop.LOST if held is Held.LOST else Stop.CANCEL
        with self._lock:
            attempt = self._attempts.get(lease)
        if attempt is not None and attempt.function.mode is Mode.THREAD:
            attempt.flag(reason)  # its thread hears it even while the loop is blocked
        with suppress(RuntimeError):  # the loop has closed
            self._tools.loop.call_soon_threadsafe(self._stop_attempt, lease, reason)

    def _on_lost(self, lease: Lease) -> None:
        self._stop_attempt(lease, Stop.LOST)

    def _stop_attempt(self, lease: Lease, reason: Stop) -> None:
        attempt = self._attempts.get(lease)
        if attempt is None:
            if reason is Stop.CANCEL:
                self._early_cancels.add(lease)  # its claim is still on the way here
            return
        attempt.stop(reason)
        if attempt in self._waiting:
            self._waiting.remove(attempt)
            self._report(attempt, attempt.unrun_outcome())

    async def _listen_for_cancels(self) -> None:
        outage = Outage("cancels can't be heard")
        known: list[Lease] = []
        while True:
            try:
                asked = await self._queue.wait_for_cancels(self.id, IDLE_WAIT_S, known=known)
                outage.over()
            except QueueUnavailableError as error:
                await outage.pause(error)
                continue
            for lease in asked:
                self._stop_attempt(lease, Stop.CANCEL)
            live = [lease for lease in known if lease in self._attempts]
            known = live + asked


async def _end(task: asyncio.Future[None]) -> None:
    """Cancel a task of ours and wait until it has ended, whatever it ends with."""
    task.cancel()
    with suppress(asyncio.CancelledError, Exception):
        await task
