"""The queue protocol: the one seam between what runs jobs and where they wait.

A backend keeps jobs, moves them along the table in `conduit.core.transitions`, and appends the
event of each move to the event stream **in the same atomic step**. To write one, implement `Queue`
behind `conduit.queue.gate.Gated`, which checks what comes in, and add a factory to
`tests/conformance/backends.py`; the suite there is the specification.

Rules that hold for every verb:

* **Batches.** A verb that changes jobs takes many and answers one result per item, in order. Each
  job moves atomically by itself; one bad job in a batch never harms its neighbours.
* **Fences.** `extend`, `finish` and `record` carry leases. A lease whose token isn't the job's
  current one changes nothing and is told so.
* **Repeats.** Every verb may be sent again after a lost answer. Submitting an id twice, or
  finishing with the same token twice, reports success and writes nothing more. A note recorded
  twice leaves the same state, its log lines and events twice.
* **Input.** What can't be kept (a payload that isn't JSON, a number or a name out of bounds) is
  refused with a `RefusedError`, and nothing of the call is kept. A result that isn't JSON fails its
  own job instead.
* **Dependencies.** A job that was submitted with `after` starts only once all of those jobs have
  completed. The step that completes the last of them makes it `queued`, or `scheduled` if its
  `run_at` is ahead (a `run_at` that has passed becomes "now"); until then it is `blocked`. The
  step that lets one of them end otherwise (`finish`, `cancel`, `sweep`) cancels it, with the reason
  `transitions.dependency_reason`, and those that wait for it in turn; jobs of a batch in order. The
  event of an end comes before the events of what follows from it. Which of its jobs have completed
  is remembered with the job that waits, though they are forgotten.
* **Clocks.** "Now" is the store's clock. Durations are milliseconds unless the name says seconds.
* **Begins.** A worker says when a function began as an age, so that its own clock doesn't matter;
  `transitions.began_at` makes a time of that. The first word on an attempt counts. It comes with
  calls that are made anyway (`extend`, `finish`, `record`); a job whose end comes without it has
  never begun.
* **Retention.** Unfinished jobs never age out. Finished ones do, in `sweep`.
* **Hints.** The `wait_…` verbs may return early or spuriously, never miss a change for long; the
  truth is always in the verb called next.
* **Errors.** `QueueUnavailableError` means the store can't answer now, and nothing of the call was
  kept, or all of it was; everything else under `QueueError` is final.

A `Queue` belongs to the event loop it was opened in.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Protocol, Self

from msgspec import Struct

from conduit.core.crons import Tick, Ticked
from conduit.core.errors import RegistrationConflictError
from conduit.core.events import Entry, Report
from conduit.core.model import (
    Artifact,
    CronInfo,
    FunctionInfo,
    Job,
    JobError,
    JobStatus,
    Lease,
    LogLine,
    NewJob,
    QueueInfo,
    WorkerInfo,
)
from conduit.core.transitions import OutcomeKind

DEFAULT_LEASE_MS = 15_000
DEFAULT_RESULT_TTL_MS = 24 * 3600 * 1000
ALIVE_MS = 60_000
"""A worker that wasn't heard of for so long is taken for lost."""
NONE_BEGUN: Mapping[Lease, int] = {}


class Submitted(Struct, frozen=True, gc=False):
    """Answer to one submitted job: the id under which it runs.

    `duplicate` says that the id is another, unfinished job's, which holds the same key.
    """

    job_id: str
    duplicate: bool = False


class Claim(Struct, frozen=True, kw_only=True):
    """What a worker asks for: up to `limit` jobs of these functions, from these queues.

    Queues take turns by their `weights`, in claims of any size: one of weight 3 gives three jobs
    where one of weight 1 gives one; without weights all are alike. Within a queue: rescued jobs
    first, then by priority (higher first), functions taking turns, older jobs first. A turn of a
    function is its share of the claim, or up to 16 jobs of a larger one. Turns go on from claim to
    claim of the same queues and functions.
    """

    worker_id: str
    queues: tuple[str, ...]
    functions: tuple[str, ...]
    limit: int
    weights: tuple[int, ...] = ()
    lease_ms: int = DEFAULT_LEASE_MS


class Held(StrEnum):
    """How a lease stands, in answer to `extend`."""

    HELD = "held"
    CANCEL = "cancel"
    """Held, and the job is to be cancelled."""
    LOST = "lost"


class Outcome(Struct, frozen=True, kw_only=True, gc=False):
    """How an attempt ended. `delay_ms` counts from the store's clock, for retries and releases.

    `began_ms_ago`: for how long its function had been running when this was sent, by the worker's
    monotonic clock; None if it never began.
    """

    lease: Lease
    kind: OutcomeKind
    result: bytes | None = None
    error: JobError | None = None
    reason: str | None = None
    delay_ms: int = 0
    began_ms_ago: int | None = None


class Finished(StrEnum):
    """Answer to one outcome."""

    OK = "ok"
    ALREADY = "already"
    """The same outcome was recorded before; its first answer was lost on the way."""
    STALE = "stale"
    """The lease was lost; nothing was written."""


class Note(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """News from a running job. What is None is left as it is.

    `metadata` and `steps` are JSON objects merged into the stored ones, key by key; `checkpoint`
    replaces. `artifact` comes with its bytes in `data`. `began_ms_ago` is as in `Outcome`.
    """

    lease: Lease
    progress: float | None = None
    progress_message: str | None = None
    metadata: bytes | None = None
    checkpoint: bytes | None = None
    steps: bytes | None = None
    logs: tuple[LogLine, ...] = ()
    artifact: Artifact | None = None
    data: bytes | None = None
    began_ms_ago: int | None = None


class Acted(StrEnum):
    """Answer to an operator's action on one job."""

    DONE = "done"
    REQUESTED = "requested"
    """Cancel only: the job is running, and its worker has been asked to stop it."""
    REFUSED = "refused"
    """The job's status forbids it."""
    KEY_TAKEN = "key_taken"
    """Retry only: another unfinished job holds this job's key."""
    DEPENDENCY = "dependency"
    """Retry only: a job that this one waits for has failed, was cancelled or is gone."""
    UNKNOWN = "unknown"


class Action(Struct, frozen=True):
    """What an action did, and the job's status after it (None: there is no such job)."""

    acted: Acted
    status: JobStatus | None = None


class JobFilter(Struct, frozen=True, kw_only=True):
    """Which jobs to find. Several values of one field are alternatives; fields combine by *and*.

    `submitted_after` and `submitted_before` are milliseconds; after is inclusive, before is not.
    """

    statuses: tuple[JobStatus, ...] = ()
    functions: tuple[str, ...] = ()
    queues: tuple[str, ...] = ()
    worker_ids: tuple[str, ...] = ()
    key: str | None = None
    parent_id: str | None = None
    root_id: str | None = None
    submitted_after: int | None = None
    submitted_before: int | None = None


class JobPage(Struct, frozen=True):
    """A page of jobs, newest first; `total` is the exact count under the same filter."""

    items: list[Job]
    total: int
    next_cursor: str | None = None


class Registration(Struct, frozen=True, kw_only=True):
    """All that a worker brings: replaces what an earlier worker of the same name registered."""

    worker: WorkerInfo
    functions: tuple[FunctionInfo, ...] = ()
    crons: tuple[CronInfo, ...] = ()


def registration_conflict(kind: str, name: str, owner: str) -> RegistrationConflictError:
    """What a backend raises where a live worker `owner` has another "function" or "cron"."""
    return RegistrationConflictError(
        f"worker {owner!r} is running with another {kind} called {name!r}, and this one would take "
        f"its place: give one of them another name with name=..., or stop {owner!r} first"
    )


async def listed_functions(queue: Queue) -> list[FunctionInfo]:
    """Functions that workers have registered, and those that are paused although none has them.

    Of the latter only the name is known: `worker`, `queue` and `signature` are empty.
    """
    registered, paused = await queue.functions(), await queue.paused_functions()
    known = {info.name for info in registered}
    others = [
        FunctionInfo(name=name, worker="", queue="", signature="", paused=True)
        for name in paused
        if name not in known
    ]
    return sorted([*registered, *others], key=lambda info: info.name)


class SweepReport(Struct, frozen=True, kw_only=True):
    """What a sweep did, in numbers of jobs. `more` says that there is more of it to do now."""

    promoted: int = 0
    expired: int = 0
    rescued: int = 0
    failed: int = 0
    purged: int = 0
    granted: int = 0
    """Leases that got another term, because nobody could have extended them in time."""
    more: bool = False


class Retention(Struct, frozen=True, kw_only=True):
    """How long the queue remembers what is over, in milliseconds."""

    results_ms: int = DEFAULT_RESULT_TTL_MS
    events_ms: int = DEFAULT_RESULT_TTL_MS
    workers_ms: int = 3600 * 1000
    """How long a worker that was lost can still come back and be listed again."""
    functions_ms: int = 7 * 24 * 3600 * 1000
    """How long functions are known once no worker of their worker's name is."""


class Unreadable(Struct, frozen=True):
    """A piece of an entry that can't be decoded: another version's, or nobody's.

    `number` counts the entry's events, then its reports, from 0. `body` is the piece, or all of an
    entry that can't even be taken apart. `problem` says why, as part of a sentence.
    """

    number: int
    body: bytes
    problem: str
    job_id: str | None = None


class StoredEntry(Struct, frozen=True):
    """An entry of the event stream with its place; `deliveries` counts how often it was given.

    What of it can't be decoded stands in `unreadable`, and the rest in `entry` none the less.
    """

    position: str
    entry: Entry
    deliveries: int = 1
    unreadable: tuple[Unreadable, ...] = ()


class Health(Struct, frozen=True, kw_only=True):
    """A look at the store: what it is and what about it deserves a warning."""

    backend: str
    address: str
    """The URL, with its password masked."""
    version: str
    durable: bool
    warnings: tuple[str, ...] = ()


class Queue(Protocol):
    """Where jobs wait. See the module's rules; every method is one atomic step unless it waits."""

    # --- life ---------------------------------------------------------------------------------

    async def open(self) -> None:
        """Connect, create or check the schema. Opening twice is an error."""
        ...

    async def close(self) -> None:
        """Let go of every connection and thread; what was answered is kept. Twice is fine."""
        ...

    @property
    def loop(self) -> AbstractEventLoop | None:
        """The event loop that it is open in; None while it isn't open."""
        ...

    @property
    def remote(self) -> bool:
        """Whether it lives on a server, which may come later than its users."""
        ...

    def sibling(self) -> Queue:
        """Another queue on the same store, not opened, for another event loop or thread."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *exc: object) -> None: ...

    async def now(self) -> int:
        """The store's clock, in milliseconds since the epoch."""
        ...

    async def health(self) -> Health:
        """Check the store from end to end. Raises `QueueUnavailableError` if it doesn't answer."""
        ...

    # --- submitting ---------------------------------------------------------------------------

    async def submit(self, jobs: Sequence[NewJob]) -> list[Submitted]:
        """Keep jobs; on return they are durable.

        A key held by an unfinished job (or within its `unique_ms`) answers with that job's id. An
        id that is stored already with the same function, queue, arguments and `after` is accepted
        again without effect; with others, `SubmitConflictError` is raised and nothing of the batch
        is kept.

        Each id in `after` must be stored, or that of an earlier job of the batch; otherwise
        `DependencyNotFoundError` is raised and nothing of the batch is kept. What is accepted again
        or answered with another's id isn't asked for what it waits for. If one has failed or was
        cancelled, the job is kept as `blocked` and cancelled in the same step.
        """
        ...

    async def start(self, job: NewJob, worker_id: str, lease_ms: int) -> Job:
        """Submit one job and claim it in the same step, for a caller that runs it itself.

        `key` isn't honoured here: the caller asked for this very run. A job with `after` is refused
        with a `QueueError`.
        """
        ...

    # --- running ------------------------------------------------------------------------------

    async def claim(self, claim: Claim) -> list[Job]:
        """Lease queued jobs to a worker. Due scheduled jobs are promoted on the way.

        Jobs of paused queues and functions are left where they are. The returned jobs are
        `running`, which means held, and carry their token and attempt; progress starts anew, and
        `started_at` is empty until the queue is told that the function has begun.
        """
        ...

    async def extend(
        self, leases: Sequence[Lease], lease_ms: int, begun: Mapping[Lease, int] = NONE_BEGUN
    ) -> list[Held]:
        """Renew leases for `lease_ms` from now, and learn which are lost or to be cancelled.

        `begun` has those whose function runs, with the milliseconds since it began. What is news of
        that is kept as `started_at`, and recorded as `job.begun`.
        """
        ...

    async def finish(self, outcomes: Sequence[Outcome]) -> list[Finished]:
        """Record how attempts ended. Decided by `transitions.settle`, fenced by the token."""
        ...

    async def record(self, notes: Sequence[Note]) -> list[bool]:
        """Record progress, metadata, checkpoints, steps, logs, artifacts of running jobs.

        False: the lease was lost, nothing was written.
        """
        ...

    async def sweep(self, retention: Retention, *, limit: int = 1000) -> SweepReport:
        """Promote due jobs, expire, rescue jobs of lost leases, forget what has passed retention.

        Safe to run anywhere at any time; a lock merely saves work. When the last sweep is so long
        ago (half a lease) that no holder can be blamed for a late extension, as after a suspended
        machine or a clock that jumped ahead, lapsed leases get half a term more before they are
        rescued; once only, until their holder extends them. Leases that reach absurdly far ahead (a
        clock that jumped back) are cut to a term.

        A worker that was silent for `ALIVE_MS`, while sweeps went on, is reported as `worker.lost`,
        once, and the crons that it carries don't count. It is forgotten later, so that one that was
        merely suspended is listed again. One that was heard of far ahead of now (a clock that
        jumped back) counts as heard of now.
        """
        ...

    # --- waiting (hints) ----------------------------------------------------------------------

    async def wait_for_jobs(self, queues: Sequence[str], timeout: float) -> None:
        """Return when there may be something to claim, at the latest after `timeout` seconds.

        That is, by a claim like one of those made here before, of one of these queues. Also when a
        scheduled job comes due. Never returns at once twice in a row for one change.
        """
        ...

    async def wait_finished(self, job_ids: Sequence[str], timeout: float) -> list[Job]:
        """Those of the jobs that are finished, as soon as one is; empty after `timeout` seconds.

        Raises `JobNotFoundError` for an id that isn't stored.
        """
        ...

    async def wait_for_cancels(
        self, worker_id: str, timeout: float, *, known: Sequence[Lease] = ()
    ) -> list[Lease]:
        """Leases of this worker whose jobs are to be cancelled, as soon as there is a new one.

        Those in `known` are left out. Empty after `timeout` seconds.
        """
        ...

    # --- operating ----------------------------------------------------------------------------

    async def cancel(self, job_ids: Sequence[str], reason: str) -> list[Action]:
        """Cancel what waits; ask the worker of what runs. Finished jobs are refused."""
        ...

    async def retry(self, job_ids: Sequence[str]) -> list[Action]:
        """Open a new generation of failed or cancelled jobs, with fresh attempts, queued now.

        Arguments, metadata, checkpoint and steps are kept. A job is blocked again while one that it
        waits for is unfinished. Those that were cancelled because this one failed stay cancelled.
        """
        ...

    async def delete(self, job_ids: Sequence[str]) -> list[Action]:
        """Forget finished jobs and all that belongs to them. Unfinished ones are refused."""
        ...

    async def pause(self, queue: str) -> None:
        """Stop claims from a queue; submits and running jobs go on.

        What wasn't so already is reported: `queue.paused`, `queue.resumed`.
        """
        ...

    async def resume(self, queue: str) -> None:
        """Allow claims from a queue again."""
        ...

    async def pause_function(self, name: str) -> None:
        """Stop claims of a function's jobs, in every queue; submits and running jobs go on.

        Other functions of its queues aren't held up. The name needn't be registered (yet), and
        stays paused, whatever comes and goes, until it is resumed. What wasn't so already is
        reported: `function.paused`, `function.resumed`.
        """
        ...

    async def resume_function(self, name: str) -> None:
        """Allow claims of a function's jobs again."""
        ...

    async def paused_functions(self) -> list[str]:
        """Names of all functions that are paused, in order; also those that no worker has."""
        ...

    # --- looking ------------------------------------------------------------------------------

    async def get(self, job_ids: Sequence[str]) -> list[Job | None]:
        """The jobs as they are now; None for what isn't stored."""
        ...

    async def find(
        self, filter: JobFilter, *, limit: int = 50, cursor: str | None = None
    ) -> JobPage:
        """Jobs that match, newest submission first. Raises `ValueError` for a foreign cursor."""
        ...

    async def logs(self, job_id: str) -> list[LogLine]:
        """A job's captured log lines, oldest first."""
        ...

    async def artifacts(self, job_id: str) -> list[Artifact]:
        """What a job kept, without the bytes, by name."""
        ...

    async def artifact(self, job_id: str, name: str) -> bytes | None:
        """The bytes of one artifact."""
        ...

    async def queues(self) -> list[QueueInfo]:
        """Every queue that has jobs, is paused, or has a worker; by name."""
        ...

    # --- workers, functions, schedules ----------------------------------------------------------

    async def register(self, registration: Registration) -> None:
        """Announce a worker with its functions and crons.

        Functions that earlier workers of this name had and this one doesn't are dropped. Of crons
        the newest definition comes in force, as `conduit.core.crons` says, and one that nobody has
        any more is dropped. A new cron starts with `last_tick` now; a known one stays paused if it
        was, and keeps its high-water mark unless its rhythm changed: then its ticks count from now.

        Raises `RegistrationConflictError`, and nothing is kept, when a live worker of another name
        has a function of the same name and queue with another signature, or a cron of the same name
        with another rhythm or function. Of an equal cron the live worker stays the owner.
        """
        ...

    async def heartbeat(self, worker_id: str, running: int) -> bool:
        """Say that a worker lives. False: it isn't known, or no longer, and has to register."""
        ...

    async def update_worker(self, worker: WorkerInfo) -> None:
        """Replace what a worker says of itself, save for its times and how many jobs it runs.

        One that isn't registered stays unknown.
        """
        ...

    async def unregister(self, worker_id: str) -> None:
        """Say that a worker has stopped; its functions and crons stay known.

        Of a cron, an older definition is in force again where nobody else carries this worker's.
        One that the others of this worker's name don't have goes with its last carrier.
        """
        ...

    async def workers(self) -> list[WorkerInfo]:
        """Workers that were heard of within `ALIVE_MS`."""
        ...

    async def functions(self) -> list[FunctionInfo]:
        """Functions that some worker has registered, by name, including events' handlers.

        Workers of several names may have the same function, or one worker was renamed: of one name,
        those of live workers come last, after those whose workers were heard of longest ago.
        """
        ...

    async def crons(self) -> list[CronInfo]:
        """Schedules by name, as the definition in force has them and as they stand now."""
        ...

    async def tick(self, ticks: Sequence[Tick]) -> list[Ticked]:
        """Turn due ticks into jobs, as `conduit.core.crons` says; each in one step with its job.

        A tick at or before its schedule's high-water mark, or of a definition that isn't in force,
        is refused. Reported are `cron.ticked` for one that became a job, and `cron.skipped` for
        those that passed without: for those that one unfinished job stands in the way of, once.
        """
        ...

    async def rewind_cron(self, name: str) -> bool:
        """Set a schedule's mark back to now, where it is more than `AHEAD_MS` ahead of that.

        It was set by a clock that was wrong. True: this call did it, and it is reported as
        `cron.rewound`. False: there is no need, or no such schedule.
        """
        ...

    async def pause_cron(self, name: str, *, paused: bool) -> bool:
        """Pause or resume a schedule. False: there is no such schedule.

        Ticks of a paused schedule pass, and none up to the resume is made up for, whoever lives.
        What wasn't so already is reported: `cron.paused`, `cron.resumed`.
        """
        ...

    # --- locks ----------------------------------------------------------------------------------

    async def lock(self, name: str, token: str, ttl_ms: int) -> bool:
        """Take a lock, or extend it if `token` holds it already. False: another holds it."""
        ...

    async def unlock(self, name: str, token: str) -> bool:
        """Release a lock if `token` holds it. False: it doesn't."""
        ...

    # --- the event stream -----------------------------------------------------------------------

    async def report(self, reports: Sequence[Report]) -> None:
        """Append news that isn't about a job; each one's `at` becomes the store's "now".

        Sent again after a lost answer, they stand in the stream twice.
        """
        ...

    async def read_events(
        self, group: str, consumer: str, *, limit: int = 100, timeout: float = 0
    ) -> list[StoredEntry]:
        """Entries that no consumer of the group was given yet, oldest first.

        A new group starts at the oldest entry kept. Waits up to `timeout` seconds for the first.
        Entries stay pending with this consumer until `ack`.
        """
        ...

    async def ack(self, group: str, positions: Sequence[str]) -> int:
        """Settle entries for the group; how many were pending."""
        ...

    async def claim_stale(
        self, group: str, consumer: str, idle_ms: int, *, limit: int = 100
    ) -> list[StoredEntry]:
        """Take over entries that have been pending for `idle_ms`, whoever had them."""
        ...

    async def forget_consumers(self, group: str, idle_ms: int, *, only: str = "") -> None:
        """Forget consumers that asked for nothing for `idle_ms`, or `only` the one of that name.

        Those that have entries pending are never forgotten. One that comes back is welcome.
        """
        ...
