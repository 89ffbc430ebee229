"""`RedisQueue`: the queue protocol, each verb one script in scripts/."""

from __future__ import annotations

import asyncio
import math
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Self

import msgspec
from msgspec import structs

from conduit.core import crons
from conduit.core.crons import CronRecord, Heard, Tick, Ticked, TickOutcome
from conduit.core.errors import (
    DependencyNotFoundError,
    JobNotFoundError,
    QueueError,
    QueueUnavailableError,
    SubmitConflictError,
    SubmitUnknownError,
)
from conduit.core.events import Report
from conduit.core.model import (
    Artifact,
    CronInfo,
    FunctionInfo,
    Job,
    Lease,
    LogLine,
    NewJob,
    QueueInfo,
    WorkerInfo,
)
from conduit.queue.base import (
    ALIVE_MS,
    NONE_BEGUN,
    Acted,
    Action,
    Claim,
    Finished,
    Health,
    Held,
    JobFilter,
    JobPage,
    Note,
    Outcome,
    Registration,
    Retention,
    StoredEntry,
    Submitted,
    SweepReport,
    registration_conflict,
)
from conduit.queue.forks import keep_for_ever, open_queues
from conduit.queue.gate import Gated
from conduit.queue.redis import checks, finding, records, stream
from conduit.queue.redis.address import parse
from conduit.queue.redis.connection import NotConfirmedError, Server
from conduit.queue.redis.failures import AnswerLateError, AnswerLostError, ForeignKeyError
from conduit.queue.redis.hints import Hints
from conduit.queue.redis.layout import STATUSES, LeaseRow
from conduit.queue.redis.packing import long, short, to_json
from conduit.queue.redis.subscription import Subscriptions

LARGE = 1024 * 1024
"""Bytes of arguments beyond which a batch's events may need more than one entry."""
ANNOUNCE_S = 5.0
"""So often a waiting worker is announced anew: a flushed server would never wake it."""
ASK_AGAIN_S = 30.0
"""So often a job that is waited for is asked after all the same: a flush, say, goes unheard."""
ASK_AFTER_FAILURE_S = 1.0
MAX_ENTRIES = 100_000
"""Entries of the event stream kept at most, unless some group still needs them."""
MAX_STREAM_BYTES = 512 * 1024 * 1024
"""And about how much memory it takes at most, unless some group still needs it."""

_HELD = (Held.LOST, Held.HELD, Held.CANCEL)
_FINISHED = (Finished.STALE, Finished.OK, Finished.ALREADY)

_function_from = msgspec.json.Decoder(FunctionInfo).decode
_cron_record = msgspec.msgpack.Decoder(CronRecord).decode


class RedisQueue(Gated):
    """A queue on the server that `url` names. `clock` answers milliseconds, in tests."""

    def __init__(self, url: str, *, clock: Callable[[], int] | None = None) -> None:
        self._url = url
        self._clock = clock
        self._server = Server(parse(url))
        self._hints = Hints(self._server)
        self._subscriptions = Subscriptions(self._insist)
        self._loop: asyncio.AbstractEventLoop | None = None

    # --- life ------------------------------------------------------------------------------------

    remote = True

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        return self._loop

    def sibling(self) -> RedisQueue:
        return RedisQueue(self._url, clock=self._clock)

    async def open(self) -> None:
        if self._loop is not None:
            raise QueueError(f"{self._server.address.shown} is open already")
        try:
            await self._server.open()
            await checks.check_namespace(self._run, self._server)
        except BaseException:
            await self._server.close()
            raise
        self._loop = asyncio.get_running_loop()
        open_queues.add(self)

    async def close(self) -> None:
        self._loop = None
        open_queues.discard(self)
        await self._hints.close()
        await self._server.close()

    def abandon(self) -> None:
        """In a forked child: leave what is open to the parent."""
        keep_for_ever(self._hints)
        self._hints = Hints(self._server)
        self._server.abandon()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def now(self) -> int:
        if self._clock is not None:
            return self._clock()
        seconds, micros = await self._server.command("TIME")
        return seconds * 1000 + micros // 1000

    async def health(self) -> Health:
        return await checks.health(self._server)

    async def _run(
        self, script: str, *inputs: Any, durable: bool = False, files: Sequence[bytes] = ()
    ) -> Any:
        now = None if self._clock is None else self._clock()
        try:
            return await self._server.run(script, now, *inputs, durable=durable, files=files)
        except ForeignKeyError as error:
            raise await checks.name_foreign_key(self._server, error) from error

    async def _insist(
        self, script: str, *inputs: Any, durable: bool = False, files: Sequence[bytes] = ()
    ) -> Any:
        """Run a script of which a repeat does no harm, and once more where a connection broke."""
        try:
            return await self._run(script, *inputs, durable=durable, files=files)
        except AnswerLateError:
            raise
        except AnswerLostError as lost:
            try:
                return await self._run(script, *inputs, durable=durable, files=files)
            except QueueUnavailableError:
                raise lost from None

    # --- submitting ------------------------------------------------------------------------------

    async def _submit(self, jobs: Sequence[NewJob]) -> list[Submitted]:
        try:
            if await self._submit_plain(jobs):
                return [Submitted(job.id) for job in jobs]
            rows = [records.new_job_row(job) for job in jobs]
            answers = await self._insist("submit", rows, durable=True)
        except NotConfirmedError as error:
            raise SubmitUnknownError(
                f"the submit may be lost if the server is: {error}", job_id=jobs[0].id
            ) from error
        except AnswerLostError as error:
            raise SubmitUnknownError(
                f"the submit may have been kept: {error}", job_id=jobs[0].id
            ) from error
        _check_kept(answers)
        return [
            Submitted(job.id) if answer == row.id else Submitted(long(answer), duplicate=True)
            for job, row, answer in zip(jobs, rows, map(bytes.decode, answers), strict=True)
        ]

    async def _submit_plain(self, jobs: Sequence[NewJob]) -> bool:
        """Submit the short way; False, and nothing is done, where that isn't the way of these."""
        if len({job.id for job in jobs}) < len(jobs) or sum(len(job.args) for job in jobs) > LARGE:
            return False
        parts: list[bytes] = []
        for job in jobs:
            part = records.plain_part(job)
            if part is None:
                return False
            parts.append(part)
        return bool(await self._insist("submit_plain", durable=True, files=(b"".join(parts),)))

    async def _start(self, job: NewJob, worker_id: str, lease_ms: int) -> Job:
        row = records.new_job_row(job)
        random = secrets.token_hex(8)
        answer = await self._run("start", row, worker_id, lease_ms, random, durable=True)
        if answer is None:
            raise SubmitConflictError(f"job {job.id} exists already and can't be started again")
        (started,) = await self.get([job.id])
        return started or records.job_from(row.id, *answer)

    # --- running ---------------------------------------------------------------------------------

    async def claim(self, claim: Claim) -> list[Job]:
        subscription = self._subscriptions.of(claim)
        jobs: list[Job] = []
        more = True
        while more and not jobs:
            self._hints.claiming(subscription.id)
            answer = await self._run(
                "claim",
                claim.worker_id,
                subscription.id,
                subscription.total,
                claim.limit,
                claim.lease_ms,
                secrets.token_hex(8),
                self._hints.client,
            )
            if answer is None:  # nobody has claimed so yet, or not for long, or it was flushed
                await self._subscriptions.make_known(subscription)
                continue
            due, more, *found = answer
            self._hints.claimed(due, subscription.id if more else None)
            jobs = _jobs(found)
        return jobs

    async def extend(
        self, leases: Sequence[Lease], lease_ms: int, begun: Mapping[Lease, int] = NONE_BEGUN
    ) -> list[Held]:
        if not leases:
            return []
        rows = [LeaseRow(short(each.job_id), each.token, begun.get(each)) for each in leases]
        answers = await self._run("extend", rows, lease_ms)
        return [_HELD[answer] for answer in answers]

    async def _finish(self, outcomes: Sequence[Outcome]) -> list[Finished]:
        rows = [records.outcome_row(outcome) for outcome in outcomes]
        return [_FINISHED[answer] for answer in await self._run("finish", rows, durable=True)]

    async def _record(self, notes: Sequence[Note]) -> list[bool]:
        files: list[bytes] = []
        rows = [records.note_row(note, files) for note in notes]
        keeps = any(note.checkpoint or note.steps or note.metadata for note in notes)
        answers = await self._run("record", rows, durable=keeps, files=files)
        return [bool(answer) for answer in answers]

    async def sweep(self, retention: Retention, *, limit: int = 1000) -> SweepReport:
        *did, more = await self._run(
            "sweep",
            limit,
            retention.results_ms,
            retention.events_ms,
            MAX_ENTRIES,
            retention.workers_ms,
            retention.functions_ms,
            ALIVE_MS,
            MAX_STREAM_BYTES,
        )
        promoted, expired, rescued, failed, purged, granted = did
        return SweepReport(
            promoted=promoted,
            expired=expired,
            rescued=rescued,
            failed=failed,
            purged=purged,
            granted=granted,
            more=bool(more),
        )

    # --- waiting ---------------------------------------------------------------------------------

    async def wait_for_jobs(self, queues: Sequence[str], timeout: float) -> None:
        wanted = self._subscriptions.serving(queues)
        if await self._hints.listen_for_jobs(wanted):
            return  # what came before is unheard of
        if self._hints.due is None:
            await self._announce(wanted)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while True:
            left = min(deadline - loop.time(), await self._until_due())
            if await self._hints.woken(wanted, min(left, ANNOUNCE_S)) or left <= ANNOUNCE_S:
                return
            if await self._announce(wanted):
                return  # the server had forgotten us, and may have had news since

    async def _announce(self, subscriptions: Sequence[str]) -> bool:
        """Say that a worker waits here; whether the server didn't know."""
        new, due = await self._insist("idle", self._hints.client, subscriptions)
        self._hints.claimed(due)
        return bool(new)

    async def _until_due(self) -> float:
        """Seconds until the next scheduled job comes due."""
        due = self._hints.due
        return math.inf if due is None or due < 0 else (due - await self.now()) / 1000

    async def wait_finished(self, job_ids: Sequence[str], timeout: float) -> list[Job]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        await self._hints.listen_for_ends()
        asked = self._hints.to_ask(job_ids)
        answered = False
        while True:
            told = self._hints.take_ended(job_ids)
            if told:
                return told
            try:
                if asked and (done := await self._watch(asked)):
                    return done
                answered = True
            except QueueUnavailableError:
                left = deadline - loop.time()
                if not answered:
                    raise
                if left <= 0:
                    return []
                await asyncio.sleep(min(left, ASK_AFTER_FAILURE_S))  # an outage ends no wait
            left = deadline - loop.time()
            if await self._hints.any_ended(job_ids, min(left, ASK_AGAIN_S)):
                asked = self._hints.to_ask(job_ids)
            elif left > ASK_AGAIN_S:
                asked = list(job_ids)
            else:
                return []

    async def _watch(self, job_ids: Sequence[str]) -> list[Job]:
        """Those of the jobs that are finished; where there are none, ask to be told."""
        self._hints.watching(job_ids)
        jobs: list[Job] = []
        watched = False
        try:
            stored = [short(job_id) for job_id in job_ids]
            missing, *found = await self._insist("watch", stored, self._hints.client)
            if missing:
                raise JobNotFoundError(long(missing.decode()))
            jobs = _jobs(found)
            watched = not jobs
        finally:
            if not watched:
                self._hints.forget(job_ids)
        return jobs

    async def wait_for_cancels(
        self, worker_id: str, timeout: float, *, known: Sequence[Lease] = ()
    ) -> list[Lease]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while True:
            seen = await self._hints.listen_for_cancels(worker_id)
            found = await self._insist("cancels", worker_id)
            asked = [
                Lease(long(job.decode()), token.decode())
                for job, token in records.rows_of(found, 2)
            ]
            fresh = [lease for lease in asked if lease not in known]
            left = deadline - loop.time()
            if fresh or not await self._hints.cancel_asked(worker_id, seen, left):
                return fresh

    # --- operating -------------------------------------------------------------------------------

    async def cancel(self, job_ids: Sequence[str], reason: str) -> list[Action]:
        return await self._act("cancel", job_ids, reason)

    async def retry(self, job_ids: Sequence[str]) -> list[Action]:
        self._hints.take_ended(job_ids)  # what was heard of their ends is about to be untrue
        return await self._act("retry", job_ids)

    async def delete(self, job_ids: Sequence[str]) -> list[Action]:
        return await self._act("delete", job_ids)

    async def _act(self, verb: str, job_ids: Sequence[str], *inputs: Any) -> list[Action]:
        if not job_ids:
            return []
        stored = [short(job_id) for job_id in job_ids]
        told = await self._run(verb, stored, *inputs, durable=True)
        return [
            Action(Acted(acted.decode()), STATUSES.get(status.decode()))
            for acted, status in records.rows_of(told, 2)
        ]

    async def pause(self, queue: str) -> None:
        await self._run("pause", queue)

    async def resume(self, queue: str) -> None:
        await self._run("resume", queue)

    async def pause_function(self, name: str) -> None:
        await self._run("pause_function", name)

    async def resume_function(self, name: str) -> None:
        await self._run("resume_function", name)

    async def paused_functions(self) -> list[str]:
        paused = self._server.keys.name("paused_functions")
        return sorted(name.decode() for name in await self._server.command("SMEMBERS", paused))

    # --- looking ---------------------------------------------------------------------------------

    async def get(self, job_ids: Sequence[str]) -> list[Job | None]:
        if not job_ids:
            return []
        stored = [short(job_id) for job_id in job_ids]
        found = await self._insist("get", stored)
        return [
            records.job_from(job_id, blob, state, extra) if blob else None
            for job_id, (blob, state, extra) in zip(stored, records.rows_of(found, 3), strict=True)
        ]

    async def find(
        self, filter: JobFilter, *, limit: int = 50, cursor: str | None = None
    ) -> JobPage:
        return await finding.find(self._server, self.get, filter, limit=limit, cursor=cursor)

    async def logs(self, job_id: str) -> list[LogLine]:
        key = self._server.keys.name("logs", short(job_id))
        lines = await self._server.command("LRANGE", key, 0, -1)
        return [records.log_line(line, number) for number, line in enumerate(lines, 1)]

    async def artifacts(self, job_id: str) -> list[Artifact]:
        key = self._server.keys.name("artifacts", short(job_id))
        kept = await self._server.command("HVALS", key)
        return sorted(map(records.artifact_from, kept), key=lambda artifact: artifact.name)

    async def artifact(self, job_id: str, name: str) -> bytes | None:
        key = self._server.keys.name("artifact_data", short(job_id))
        return await self._server.command("HGET", key, name)

    async def queues(self) -> list[QueueInfo]:
        return await finding.queues(lambda place: self._insist("queues", ALIVE_MS, place))

    # --- workers, functions, schedules, locks ----------------------------------------------------

    async def register(self, registration: Registration) -> None:
        worker = registration.worker
        functions: list[str] = []
        for function in registration.functions:
            functions += (function.name, to_json(function))
        told = (worker.id, worker.name, to_json(worker), worker.running, functions)
        answer = await self._run("register", *told, registration.crons, ALIVE_MS)
        if answer != b"OK":
            raise registration_conflict(*map(bytes.decode, answer))

    async def heartbeat(self, worker_id: str, running: int) -> bool:
        return bool(await self._insist("heartbeat", worker_id, running))

    async def update_worker(self, worker: WorkerInfo) -> None:
        await self._run("update_worker", worker.id, to_json(worker))

    async def unregister(self, worker_id: str) -> None:
        await self._run("unregister", worker_id)

    async def workers(self) -> list[WorkerInfo]:
        found = await self._insist("workers", ALIVE_MS)
        listed: list[WorkerInfo] = []
        for record, seen_at, running in records.rows_of(found, 3):
            _, started_at, info = records.worker_record(record)
            listed.append(
                structs.replace(
                    records.worker_from(info),
                    started_at=started_at,
                    seen_at=seen_at,
                    running=running,
                )
            )
        return sorted(listed, key=lambda worker: (worker.started_at, worker.id))

    async def functions(self) -> list[FunctionInfo]:
        kept, seen, paused = await self._insist("functions", ALIVE_MS)
        seen_at = {worker.decode(): at for worker, at in records.rows_of(seen, 2)}
        names = {name.decode() for name in paused}
        functions = map(_function_from, kept)
        return sorted(
            (structs.replace(each, paused=each.name in names) for each in functions),
            key=lambda each: (each.name, seen_at.get(each.worker, 0), each.worker),
        )

    async def crons(self) -> list[CronInfo]:
        kept, workers = await self._run("crons")
        roll = {
            worker.decode(): Heard(name.decode(), at, bool(lost))
            for worker, name, at, lost in records.rows_of(workers, 4)
        }
        now = await self.now()
        shown = (crons.shown(each, roll, now, now - ALIVE_MS) for each in map(_cron_record, kept))
        return sorted((info for info in shown if info is not None), key=lambda info: info.name)

    async def _tick(self, ticks: Sequence[Tick]) -> list[Ticked]:
        answers = await self._run("tick", [records.tick_row(tick) for tick in ticks], durable=True)
        _check_kept(answers)
        return [
            Ticked(TickOutcome(outcome.decode()), skipped, last_job.decode())
            for outcome, skipped, last_job in records.rows_of(answers, 3)
        ]

    async def rewind_cron(self, name: str) -> bool:
        return bool(await self._run("rewind_cron", name, crons.AHEAD_MS))

    async def pause_cron(self, name: str, *, paused: bool) -> bool:
        return bool(await self._run("pause_cron", name, paused))

    async def lock(self, name: str, token: str, ttl_ms: int) -> bool:
        return bool(await self._run("lock", name, token, ttl_ms))

    async def unlock(self, name: str, token: str) -> bool:
        return bool(await self._run("unlock", name, token))

    # --- the event stream ------------------------------------------------------------------------

    async def _report(self, reports: Sequence[Report]) -> None:
        rows: list[tuple[str, ...]] = []
        for each in reports:
            data = (bytes(each.data).decode(),) if each.data else ()
            rows.append((each.kind, each.subject, *data))
        await self._run("report", rows)

    async def read_events(
        self, group: str, consumer: str, *, limit: int = 100, timeout: float = 0
    ) -> list[StoredEntry]:
        events = self._server.keys.name("events")
        head, tail = (
            ("XREADGROUP", "GROUP", group, consumer, "COUNT", limit),
            ("STREAMS", events, ">"),
        )
        found = await self._in_group(group, lambda: self._server.command(*head, *tail))
        if not found and timeout > 0:
            words = (*head, "BLOCK", max(1, round(timeout * 1000)), *tail)
            found = await self._in_group(group, lambda: self._server.blocking(timeout, *words))
        return _entries_of(found)

    async def ack(self, group: str, positions: Sequence[str]) -> int:
        if not positions:
            return 0
        events = self._server.keys.name("events")
        return await self._server.command("XACK", events, group, *positions)

    async def claim_stale(
        self, group: str, consumer: str, idle_ms: int, *, limit: int = 100
    ) -> list[StoredEntry]:
        found = await self._in_group(
            group, lambda: self._run("claim_stale", group, consumer, idle_ms, limit)
        )
        return [
            stream.entry_from(position, dict(records.rows_of(fields, 2)), deliveries)
            for position, deliveries, fields in records.rows_of(found, 3)
        ]

    async def forget_consumers(self, group: str, idle_ms: int, *, only: str = "") -> None:
        await self._run("forget_consumers", group, idle_ms, only)

    async def _in_group(self, group: str, ask: Callable[[], Awaitable[Any]]) -> Any:
        """Ask, making the group where there is none: never before, or no longer since a flush.

        A new group starts at the oldest entry, so that what a flushed stream holds is seen.
        """
        try:
            return await ask()
        except QueueError as error:
            if "NOGROUP" not in str(error) and "UNBLOCKED" not in str(error):
                raise
        events = self._server.keys.name("events")
        try:
            await self._server.command("XGROUP", "CREATE", events, group, "0", "MKSTREAM")
        except QueueError as error:
            if "BUSYGROUP" not in str(error):  # another consumer was quicker
                raise
        return await ask()


def _jobs(flat: list[Any]) -> list[Job]:
    """Jobs out of id, blob, state and extra in turn."""
    return [
        records.job_from(job_id.decode(), blob, state, extra)
        for job_id, blob, state, extra in records.rows_of(flat, 4)
    ]


def _entries_of(found: Any) -> list[StoredEntry]:
    """What XREADGROUP answers: nothing, or the one stream with its entries."""
    if not found:
        return []
    ((_, entries),) = found
    return [stream.entry_from(position, fields) for position, fields in entries]


def _check_kept(answers: list[Any]) -> None:
    """Raise what a refusal of keep.lua says; ids don't look like it."""
    match answers:
        case [b"CONFLICT", stored_id]:
            raise SubmitConflictError(
                f"job {long(stored_id.decode())} is stored already with another function, queue, "
                "arguments or `after`; a new job needs a new id"
            )
        case [b"MISSING", stored_id, awaited]:
            raise DependencyNotFoundError(long(stored_id.decode()), long(awaited.decode()))
        case _:
            pass
