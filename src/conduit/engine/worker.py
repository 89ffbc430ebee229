"""The worker: claims jobs as it has room, runs each as an `Attempt`, reports what came of it.

    claim ──▶ waiting ──▶ running (≤ places of its room) ──▶ reporter ──▶ finish

One task per duty: the claim loop, the reporter, the listener for cancels, the schedules, the
sweeper; and the heartbeat in its own thread. The first of them to crash takes the worker down.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, suppress
from importlib.metadata import version
from typing import Any

from uuid_utils import uuid7

from conduit.core.errors import (
    QueueAccessError,
    QueueError,
    QueueUnavailableError,
    ServiceCrashedError,
    UnknownFunctionError,
)
from conduit.core.model import Job, Lease, NewJob, WorkerInfo
from conduit.engine.attempts.attempt import Attempt, Stop, Tools
from conduit.engine.attempts.function import Function, WorkerSpec
from conduit.engine.attempts.reporter import Reporter
from conduit.engine.claims.capacity import rooms_of
from conduit.engine.claims.claimer import Claimer
from conduit.engine.claims.duplicates import warn_of_namesakes
from conduit.engine.claims.heartbeat import Heartbeat
from conduit.engine.claims.leases import LeaseWatch
from conduit.engine.claims.slots import Slots
from conduit.engine.executors.processes import ProcessPool
from conduit.engine.executors.threads import ThreadPool
from conduit.engine.logs import capture_logs
from conduit.engine.outage import Outage, Voice
from conduit.engine.process.exits import CANCELLED_BY_TASK
from conduit.engine.process.forks import shielded
from conduit.engine.process.recycling import Wear
from conduit.engine.supervision.blocked_loop import Watchdog
from conduit.engine.supervision.lifespan import Lifespan
from conduit.engine.supervision.shutdown import StopSequence
from conduit.engine.supervision.standstill import StandstillWatch
from conduit.engine.sweeper import sweep_forever
from conduit.engine.ticker import tick_forever
from conduit.queue import Source, held, queue_here
from conduit.queue.base import Registration, Submitted
from conduit.submission import Origin

logger = logging.getLogger("conduit.engine")


class WorkerService:
    """One worker of one process. `start`, then `wait`; `stop` from anywhere in the same loop."""

    def __init__(self, spec: WorkerSpec, source: Source) -> None:
        self.id = f"{spec.name}-{socket.gethostname()}-{os.getpid()}-{uuid7().hex[-8:]}"
        self.name = spec.name
        self._spec = spec
        self._queue = queue_here(source)
        self._voice = Voice()
        self._rooms = rooms_of(spec)
        self._wear = Wear(spec.max_jobs, spec.max_memory)
        self._claimer = Claimer(self._queue, spec, self.id, self._rooms, self._attempt, self._voice)
        self._stop = StopSequence(self._queue, self.id, spec.shutdown_timeout)
        self._lifespan: Lifespan | None = None
        self._processes: ProcessPool | None = None
        self._resources = AsyncExitStack()
        self._reporter: Reporter
        self._slots: Slots
        self._watch: LeaseWatch
        self._tools: Tools
        self._loop: asyncio.AbstractEventLoop
        self._owner: asyncio.Task[Any] | None = None  # the task that lives as long as the worker
        self._main: asyncio.Task[None] | None = None
        self._heartbeat: Heartbeat | None = None
        self._unknown = asyncio.Event()  # the queue may have forgotten this worker
        self._stopped = asyncio.Event()
        self._retired = asyncio.Event()  # it claims no more
        self._drained = asyncio.Event()  # it claims no more, and its jobs are over
        self._broken = False
        self.keeps_loop = False
        """Whether the event loop isn't ended before this worker was stopped."""

    # --- life ---------------------------------------------------------------------------------

    async def start(self) -> None:
        """Connect, announce this worker, and begin to claim. Raises what stands in the way."""
        try:
            await self._open()
            await self._patiently(self._announce)
        except BaseException:
            await self._close()
            raise
        self._main = asyncio.create_task(self._supervise(), name=f"worker {self.name}")
        self._owner = self._main

    async def stop(self) -> None:
        """Stop claiming, let jobs finish for `shutdown_timeout` seconds, hand back the rest."""
        self._is_broken()
        self._stop.ask()
        if self._main is not None:
            await self._stopped.wait()

    async def stop_now(self) -> None:
        """Hand back what still runs, at once and without costing it an attempt; then end."""
        self._is_broken()
        self._stop.hurry()
        if self._main is not None:
            await self._stopped.wait()

    @property
    def shutdown_timeout(self) -> float:
        """How long jobs may take to finish at the stop, in seconds."""
        return self._spec.shutdown_timeout

    def hand_back_from_outside(self, seconds: float) -> None:
        """Hand back every job from another thread, and sign off, as the event loop is blocked."""
        if self._heartbeat is not None:
            self._heartbeat.say_last(self._slots.last_outcomes(), seconds)

    def dump_processes(self) -> None:
        """Have worker processes show their stacks on stderr. From any thread."""
        if self._processes is not None:  # else it is still starting
            self._processes.dump()

    async def worn_out(self) -> str:
        """Until this process is to be replaced, by `max_jobs` or `max_memory`; why, in words."""
        return await self._wear.out()

    async def retire(self) -> None:
        """Claim no more, and wait until the jobs that run are over, however long they take."""
        self._retired.set()
        await self._drained.wait()

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
        self._owner = asyncio.current_task()
        try:
            await self._open()
            reporting = asyncio.create_task(self._reporter.run())
            listening = asyncio.create_task(self._watch.listen(self._queue, self.id, self._voice))
            try:
                return await self._execute(job, function)
            finally:
                await self._stop.hand_back(self._slots)
                await self._stop.deliver(self._reporter, reporting, after=[listening])
        finally:
            await self._close()

    async def _execute(self, job: NewJob, function: Function) -> Job:
        attempts: list[Attempt] = []

        async def start(jobs: Sequence[NewJob]) -> list[Submitted]:
            with self._claimer.starting(job.id):
                started = await self._queue.start(jobs[0], self.id, self._spec.lease_ms)
                attempts.append(Attempt(started, function, self._tools, inline=True))
                self._slots.begin(attempts[0])
            return [Submitted(job.id)]

        await self._spec.passage.submit(Origin.SDK, [job], start)
        await attempts[0].settled()
        (ended,) = await self._queue.get([job.id])
        return ended or attempts[0].job

    async def _open(self) -> None:
        await self._patiently(lambda: self._resources.enter_async_context(held(self._queue)))
        self._resources.enter_context(capture_logs())
        self._resources.enter_context(shielded())
        self._reporter = Reporter(self._queue, self._on_lost, self._began_ms_ago, self._voice)
        self._slots = Slots(self._rooms, self._reporter, self._claimer.on_vacated, self._wear)
        self._watch = LeaseWatch(self._slots, self._claimer.cancel_early)
        threads = ThreadPool(f"conduit-{self.name}", self._spec.cancel_grace)
        self._resources.callback(threads.close)
        processes = ProcessPool(
            self._spec.processes,
            result_limit=self._spec.payload_limit,
            max_jobs=self._spec.max_jobs,
            max_memory=self._spec.max_memory,
        )
        await self._resources.enter_async_context(processes)
        self._processes = processes
        self._tools = Tools(
            self._spec,
            self._reporter,
            threads,
            processes,
            worker_id=self.id,
            on_deaf=self._slots.leave_behind,
            torn_down=self._is_torn_down,
            broken=self._is_broken,
        )
        self._loop = asyncio.get_running_loop()
        heartbeat = self._heartbeat = Heartbeat(
            self._queue.sibling,
            self.id,
            self._spec.lease_ms,
            self._slots.leases,
            self._slots.begun,
            self._watch.on_answer,
            on_unknown=self._on_unknown,
            voice=self._voice,
        )
        heartbeat.start()
        self._resources.push_async_callback(heartbeat.stop)
        watchdog = Watchdog(self._tools)
        watchdog.start()
        self._resources.callback(watchdog.stop)
        if self._spec.lifespan is not None:
            self._lifespan = Lifespan(self._spec.lifespan, self._is_torn_down)
            self._slots.context = await self._lifespan.enter()

    async def _patiently(self, step: Callable[[], Awaitable[object]]) -> None:
        """Take a step of the start; a server that isn't there gets `connect_timeout` to come."""
        loop = asyncio.get_running_loop()
        patience = self._spec.connect_timeout if self._queue.remote else 0.0
        deadline = loop.time() + patience
        outage = Outage(self._voice)
        while True:
            try:
                await step()
                outage.over()
                return
            except QueueAccessError:
                raise
            except QueueUnavailableError as error:
                if loop.time() >= deadline:
                    raise
                await outage.pause(error)

    async def _close(self) -> None:
        """Leave the lifespan and let go of the rest. Raises what the lifespan raises."""
        try:
            if self._lifespan is not None:
                await self._stop.leave(self._lifespan)
        finally:
            await self._stop.let_go(self._resources)

    async def _announce(self) -> None:
        """Make this worker known, and say what about its queue or its namesakes isn't well."""
        for warning in (await self._queue.health()).warnings:
            logger.warning("%s", warning)
        await warn_of_namesakes(self._queue, self._registration())
        await self._queue.register(self._registration())

    def _info(self) -> WorkerInfo:
        return WorkerInfo(
            id=self.id,
            name=self.name,
            host=socket.gethostname(),
            pid=os.getpid(),
            version=version("conduit"),
            queues=tuple(self._spec.queues),
            concurrency=sum(room.size for room in self._rooms),
        )

    def _registration(self) -> Registration:
        spec = self._spec
        return Registration(
            worker=self._info(),
            functions=tuple(function.info(spec.name) for function in spec.functions.values()),
            crons=tuple(cron.info(spec.name) for cron in spec.crons),
        )

    async def _stay_registered(self) -> None:
        """Register again when the queue has forgotten this worker: it was flushed, or restarted
        from an older state, or there were no heartbeats for long."""
        outage = Outage(self._voice)
        while True:
            await self._unknown.wait()
            self._unknown.clear()
            try:
                # It may be known by now: heartbeats begin before a worker is registered.
                if not await self._queue.heartbeat(self.id, self._slots.held):
                    await self._queue.register(self._registration())
                    logger.warning("the queue had forgotten this worker; it is registered again")
                outage.over()
            except QueueError as error:
                self._unknown.set()
                await outage.pause(error)

    # --- running ------------------------------------------------------------------------------

    async def _supervise(self) -> None:
        """Run every duty; end when stopped, or with the error of the first one to crash."""
        claiming = asyncio.create_task(self._claimer.run(self._slots))
        reporting = asyncio.create_task(self._reporter.run())
        ticking = asyncio.create_task(
            tick_forever(
                self._queue,
                self._spec.crons,
                self._unknown.set,
                self._voice,
                self._spec.passage,
            )
        )
        duties = [
            asyncio.create_task(self._watch.listen(self._queue, self.id, self._voice)),
            asyncio.create_task(sweep_forever(self._queue, self.id, voice=self._voice)),
            asyncio.create_task(self._stay_registered()),
            asyncio.create_task(StandstillWatch(self._queue, self._slots, self._info()).run()),
        ]
        if self._lifespan is not None:
            duties.append(asyncio.create_task(self._lifespan.broken()))
        if self._spec.wears_out:
            duties.append(asyncio.create_task(self._wear.watch(self.name)))
        try:
            try:
                asked, busy = self._stop.asked.wait, [claiming, reporting, ticking, *duties]
                await _first_of(busy, asked(), self._retired.wait())
                self._claimer.stop()
                ticking.cancel()  # else it makes jobs that it won't run
                if self._retired.is_set() and not self._stop.asked.is_set():
                    await _first_of([reporting, *duties], self._drain(claiming), asked())
                self._slots.close()
                patience = self._spec.shutdown_timeout
                self._stop.say_what_runs(self._slots, f"for up to {patience:g} s")
                await _first_of(
                    [reporting, *duties],
                    self._until_jobs_are_over(claiming),
                    self._stop.hurried.wait(),
                    timeout=patience,
                )
            finally:
                await self._end(claiming, reporting, [ticking, *duties])
        finally:
            self._stopped.set()

    async def _end(
        self,
        claiming: asyncio.Task[None],
        reporting: asyncio.Task[None],
        duties: list[asyncio.Task[None]],
    ) -> None:
        self._claimer.stop()
        await self._stop.hand_back(self._slots, claiming)
        await self._stop.deliver(self._reporter, reporting, after=[claiming, *duties])
        self._slots.forget()
        if self._claimer.was_cut_off:
            await self._stop.hand_back_orphans()
        await self._stop.sign_off()
        await self._close()

    async def _drain(self, claiming: asyncio.Task[None]) -> None:
        """Let jobs finish, and stay until the stop is asked for."""
        self._slots.close()
        self._stop.say_what_runs(self._slots, "as long as it takes")
        await self._until_jobs_are_over(claiming)
        self._drained.set()
        await asyncio.Event().wait()

    async def _until_jobs_are_over(self, claiming: asyncio.Task[None]) -> None:
        # A claim under way is let through: the jobs that it leases are there to be handed back.
        await asyncio.wait({claiming})
        claiming.result()
        await self._slots.until_settled()

    def _attempt(self, job: Job) -> Attempt:
        return Attempt(job, self._spec.functions[job.function], self._tools)

    def _on_lost(self, lease: Lease) -> None:
        self._slots.stop(lease, Stop.LOST)

    def _began_ms_ago(self, lease: Lease) -> int | None:
        return self._slots.began_ms_ago(lease)

    def _on_unknown(self) -> None:
        """Told by the heartbeat, in its thread, that the queue doesn't know this worker."""
        with suppress(RuntimeError):  # the loop has closed
            self._loop.call_soon_threadsafe(self._unknown.set)

    def _is_torn_down(self) -> bool:
        """Whether the event loop ends under the worker, which then has cancelled every task."""
        owner = self._owner
        return owner is None or owner.done() or owner.cancelling() > 0

    def _is_broken(self) -> bool:
        """Whether a task has ended the event loop, or cancelled what isn't its own.

        A run that `keeps_loop` ends it after its workers, which it stops first.
        """
        if self.keeps_loop and not self._stop.asked.is_set() and self._is_torn_down():
            self._broken = True
        return self._broken


async def _first_of(
    duties: list[asyncio.Task[None]],
    *events: Coroutine[Any, Any, Any],
    timeout: float | None = None,
) -> None:
    """Wait for the first of some events, or raise what a duty crashes of before that."""
    waits = {asyncio.ensure_future(event) for event in events}
    try:
        done, _ = await asyncio.wait(
            {*duties, *waits}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED
        )
        for each in done:
            if each.cancelled():
                raise ServiceCrashedError(CANCELLED_BY_TASK)
            each.result()
    finally:
        for wait in waits:
            wait.cancel()
