"""One attempt at one job: from the claimed job to the outcome that the queue is told.

Nothing that a task does gets out of `Attempt.run` as an exception: it becomes an outcome.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
import math
import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from typing import Any

from msgspec import structs

from conduit import telemetry
from conduit.core.errors import ConduitError, PayloadError, SerializationError
from conduit.core.model import NO_TIMEOUT, Job, Lease, Reason, terms_of
from conduit.core.transitions import OutcomeKind
from conduit.engine import context as current
from conduit.engine.attempts.failures import in_words, job_error
from conduit.engine.attempts.function import NO_HOOKS, Function, Hook, Mode, WorkerSpec
from conduit.engine.attempts.reporter import Reporter, lease_lost
from conduit.engine.attempts.waits import WAITS, Wait
from conduit.engine.context import Context, Fail, JobView, Retry
from conduit.engine.executors.processes import ProcessPool
from conduit.engine.executors.threads import ThreadPool
from conduit.engine.logs import BoundedLog
from conduit.engine.process import forks
from conduit.engine.process.programs import tell_of_programs
from conduit.queue.base import Note, Outcome


class Stop(StrEnum):
    """Why a running attempt is to end early."""

    CANCEL = "cancel"
    RELEASE = "release"
    TIMEOUT = "timeout"
    LOST = "lost"


NOTABLY_LATE_S = 0.5
"""A timeout that comes so much later than it should has met a blocked event loop."""

_URGENCY = {reason: place for place, reason in enumerate(Stop)}  # a later reason overrules


class BadResultError(Exception):
    """A task returned what can't be stored; `why` is the codec's error."""

    def __init__(self, why: ConduitError) -> None:
        super().__init__(str(why))
        self.why = why


class Tools:
    """What every attempt of a worker shares."""

    def __init__(
        self,
        spec: WorkerSpec,
        reporter: Reporter,
        threads: ThreadPool,
        processes: ProcessPool,
        *,
        worker_id: str,
        on_deaf: Callable[[Attempt], None],
        torn_down: Callable[[], bool],
        broken: Callable[[], bool],
    ) -> None:
        self.spec = spec
        self.reporter = reporter
        self.threads = threads
        self.processes = processes
        self.worker_id = worker_id
        self.on_deaf = on_deaf
        """Told of an attempt that was told to stop and hasn't ended in time."""
        self.torn_down = torn_down
        """Whether the event loop is ending under the worker."""
        self.broken = broken
        """Whether it ends because of a task that runs here."""
        self.loop = asyncio.get_running_loop()
        self.loop_thread = threading.get_ident()
        self.born = forks.generation()
        """Tells this process from those that tasks fork."""


class Attempt:
    """A claimed job in this worker, waiting or running. Is its own `Port`."""

    __slots__ = (
        "_blocked",
        "_context",
        "_deadline",
        "_done",
        "_flag",
        "_grace",
        "_interrupted",
        "_interruptible",
        "_late_s",
        "_log",
        "_on_loop",
        "_timer",
        "_times_out_at",
        "_tools",
        "_waits",
        "began",
        "function",
        "inline",
        "job",
        "lease",
        "outcome",
        "reported",
        "stop_reason",
        "task",
    )

    def __init__(self, job: Job, function: Function, tools: Tools, *, inline: bool = False) -> None:
        self.job = job
        self.function = function
        self.inline = inline  # asked for by `Worker.execute`: this attempt is the only one
        self.lease = Lease(job.id, job.token or "")
        self.reported = False  # from then on, nothing that it says is passed on
        self.outcome: Outcome | None = None
        self.began: float | None = None
        """When the function was called, by the monotonic clock; None: not yet, or never."""
        self.stop_reason: Stop | None = None
        self.task: asyncio.Task[None] | None = None
        self._tools = tools
        self._interruptible = False  # true while the user's code runs
        self._interrupted = False
        self._on_loop = function.mode is Mode.ASYNC
        self._flag: threading.Event | None = None
        self._context: Context | None = None
        self._times_out_at: float | None = None  # by the wall clock, for people
        self._done: asyncio.Event | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = math.inf  # by the monotonic clock; a loop's own may stand while it blocks
        self._late_s = 0.0  # how long after its deadline it was told so
        self._blocked = ""  # where it was seen to block the event loop
        self._grace: asyncio.TimerHandle | None = None
        self._log: BoundedLog | None = None
        self._waits: dict[int, Wait] = {}

    # --- being settled ------------------------------------------------------------------------

    def settle(self) -> None:
        """The queue has answered to the outcome, or there was none to report."""
        if self._done is not None:
            self._done.set()

    async def settled(self) -> None:
        """Wait until the attempt is settled."""
        self._done = asyncio.Event()
        await self._done.wait()

    # --- being stopped ------------------------------------------------------------------------

    def flag(self, reason: Stop) -> bool:
        """Make `ctx.cancelled` true; from any thread. False when that says nothing new."""
        if self.stop_reason is not None and _URGENCY[reason] <= _URGENCY[self.stop_reason]:
            return False
        self.stop_reason = reason
        if reason is Stop.TIMEOUT:
            self._late_s = time.monotonic() - self._deadline
        if self._flag is not None:
            self._flag.set()
        return True

    def stop(self, reason: Stop) -> None:
        """End the attempt early: at its next await, by ending its process, or by asking its thread.

        One that isn't running yet finds the flag when it begins. One that hasn't ended after
        `cancel_grace`, wherever it is, be it in a hook, is left behind.
        """
        news = self.flag(reason)
        if self.task is None or self.reported:
            return
        if self._grace is None:
            grace = self._tools.spec.cancel_grace
            self._grace = self._tools.loop.call_later(grace, self._tools.on_deaf, self)
        if not self._interruptible or not (news or not self._interrupted):
            return
        # A thread can't be interrupted. Asked to cancel, it may still return in good order; past
        # its time or its lease it is left behind.
        if not self._in_thread or self.stop_reason is not Stop.CANCEL:
            self._interrupt(self.task)

    def give_back(self) -> None:
        """End the attempt early, to be run again."""
        self.stop(self._given_back())

    def _given_back(self) -> Stop:
        """At no cost; but one that may have ended its worker counts as having lost it, or it would
        end one worker after the other."""
        suspect = self.began is not None and self.function.mode is not Mode.PROCESS
        return Stop.LOST if suspect and self._tools.broken() else Stop.RELEASE

    def _interrupt(self, task: asyncio.Task[None]) -> None:
        self._interrupted = True
        task.cancel()

    @property
    def _in_thread(self) -> bool:
        """Whether its function runs in a thread, if it runs."""
        return self.function.mode is Mode.THREAD and not self._on_loop

    def close(self) -> None:
        """Pass on nothing more that it says: its end is being reported."""
        self.reported = True
        if self._grace is not None:
            self._grace.cancel()
        if self._waits:
            WAITS.end(list(self._waits.values()))

    # --- running ------------------------------------------------------------------------------

    async def run(self) -> Outcome | None:
        """Run the function; None when the lease was lost and there is nothing to report."""
        if self.stop_reason is not None:
            return self.unrun_outcome()
        error: BaseException | None = None
        result: bytes | None = None
        self._interruptible = True
        current.enter_job(self)
        if self.job.rescues:
            self._say(logging.WARNING, self._rescued())
        try:
            result = await self._with_surroundings()
        except BaseException as raised:  # KeyboardInterrupt, too: signals don't come this way
            error = raised
        forks.end_if_forked(self._tools.born, error)
        self._interruptible = False
        if self._timer is not None:
            self._timer.cancel()
            if self._on_loop and time.monotonic() >= self._deadline:
                self.flag(Stop.TIMEOUT)  # it blocked the loop, and so the timer as well
        if self.reported:
            return None  # left behind meanwhile
        return await self._conclude(result, error)

    async def _with_surroundings(self) -> bytes:
        if self.function.hooks is not NO_HOOKS:
            await self._hook(self.function.hooks.on_start)
        if self._tools.spec.middleware:
            return await self._through_middleware()
        return await self._call()

    def begun(self, at: float) -> None:
        """See `Port.begun`. The timeout counts from here."""
        if self.began is not None:
            return  # a middleware calls the function once more
        self.began = at
        if telemetry.listeners:
            telemetry.tell(self._begin())
        timeout = self._timeout()
        if timeout is not None:
            self._times_out_at = time.time() + timeout
            self._deadline = at + timeout
            self._timer = self._tools.loop.call_later(timeout, self.stop, Stop.TIMEOUT)

    def _begin(self) -> telemetry.Begin:
        job = self.job
        waited_ms = max(0, (job.claimed_at or job.run_at) - job.run_at)
        return telemetry.Begin(
            worker=self._tools.worker_id,
            job=telemetry.job_ref(job),
            attempt=job.attempt,
            wait_s=waited_ms / 1000,
        )

    def end(self, outcome: Outcome | None) -> telemetry.End:
        """What is told of its end to who listens, as far as this worker knows."""
        error = None if outcome is None else outcome.error
        return telemetry.End(
            worker=self._tools.worker_id,
            job=telemetry.job_ref(self.job),
            attempt=self.job.attempt,
            outcome="lost" if outcome is None else outcome.kind.value,
            reason=None if outcome is None else outcome.reason,
            error=None if error is None else error.type,
            error_qualified_name=None if error is None else error.qualified_name,
            run_s=None if self.began is None else time.monotonic() - self.began,
            kept=outcome is not None,
        )

    @property
    def began_ms_ago(self) -> int | None:
        """For how many milliseconds the function has been running; None: it never began."""
        return None if self.began is None else int((time.monotonic() - self.began) * 1000)

    def deadline(self) -> float | None:
        """See `Port.deadline`."""
        return self._times_out_at

    async def _conclude(self, result: bytes | None, error: BaseException | None) -> Outcome | None:
        """Decide what came of the attempt, and tell its hooks."""
        if isinstance(error, asyncio.CancelledError) and self._tools.torn_down():
            self.flag(self._given_back())
        error = self._told(error)
        try:
            self.outcome = self._outcome(result, error)
        except Exception as broken:  # an error of the user's that can't even be looked at
            self.outcome = self._fail(broken, Reason.ERROR)
        self._say_if_failed()
        if self.function.hooks is not NO_HOOKS and self.outcome is not None:
            try:
                await self._closing_hooks(self.outcome, error)
            except asyncio.CancelledError:
                pass  # the loop is ending, which changes nothing about the outcome
            except Exception:
                self.context.log.exception("the hooks of this job can't be called")
        return self.outcome

    @property
    def context(self) -> Context:
        """The job's view of itself, made when it is first asked for."""
        if self._context is None:
            self._context = Context(self._view(), self)
        return self._context

    async def _call(self) -> bytes:
        """Run the function where its mode says; its encoded result."""
        function, job = self.function, self.job
        if function.mode is Mode.PROCESS:
            assert function.target is not None
            try:
                return await self._tools.processes.run(
                    function.target, job.args, self._view(), self
                )
            except SerializationError as error:
                if error.path.startswith("result"):
                    raise BadResultError(error) from error
                raise
        args, kwargs = function.signature.decode(job.args)
        self.begun(time.monotonic())
        if function.mode is Mode.ASYNC:
            value = await function.call(*args, **kwargs)
        else:
            value = await self.run_in_thread(lambda: self._call_here(*args, **kwargs))
            if inspect.isawaitable(value):  # a plain function may hand out a coroutine
                self._on_loop = True
                if self.stop_reason is Stop.CANCEL and self.task is not None:
                    self._interrupt(self.task)
                value = await value
        return self._encoded(value)

    def _call_here(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function in its thread, which may have taken a while to begin."""
        self.began = time.monotonic()
        return self.function.call(*args, **kwargs)

    def _encoded(self, value: Any) -> bytes:
        limit = self._tools.spec.payload_limit
        try:
            return self.function.signature.encode_result(value, limit=limit)
        except ConduitError as error:
            raise BadResultError(error) from error

    async def _through_middleware(self) -> bytes:
        """Run the function inside the worker's middleware, the first one outermost."""
        result = b"null"

        async def innermost() -> Any:
            nonlocal result
            result = await self._call()
            return self.function.signature.decode_result(result)

        call: Callable[[], Any] = innermost
        for middleware in reversed(self._tools.spec.middleware):
            call = _wrap(middleware, self.context, call)
        value = await call()
        if self.began is None:  # it has answered in the function's place
            self.begun(time.monotonic())
        return self._encoded(value)

    def _timeout(self) -> float | None:
        own = self.job.timeout_ms
        if own == NO_TIMEOUT:
            return None
        return own / 1000 if own is not None else self.function.timeout

    def _view(self) -> JobView:
        job = self.job
        return JobView(
            **terms_of(job),
            lease=self.lease,
            attempt=job.attempt,
            max_attempts=self._retries() + 1,
            fence=job.fence,
            timeout=self._timeout(),
            metadata=job.metadata,
            checkpoint=job.checkpoint,
            steps=job.steps,
        )

    def _retries(self) -> int:
        own = self.job.retries
        return own if own is not None else self.function.retry.retries

    def unrun_outcome(self) -> Outcome | None:
        """What to report of a claimed job that was stopped before it began."""
        if self.stop_reason is Stop.LOST:
            return None
        cancelled = self.stop_reason is Stop.CANCEL
        return Outcome(
            lease=self.lease, kind=OutcomeKind.CANCEL if cancelled else OutcomeKind.RELEASE
        )

    def abandon(self) -> Outcome | None:
        """Give up a job that doesn't end although it was told to; what to report of it."""
        if self._interruptible and self._in_thread and self.task is not None:
            self.task.cancel()  # which has waited for the thread
        if self.outcome is None:  # else only its hooks keep it
            self.outcome = self._outcome(None, self._told(asyncio.CancelledError()))
            self._within(self._say_if_failed)
        return self.outcome

    def belongs_to(self, spec: WorkerSpec) -> bool:
        """Whether it is that worker's."""
        return self._tools.spec is spec

    def note_blocked(self, where: str) -> None:
        """Remember where it blocks the event loop. From any thread."""
        self._blocked = where

    def warn(self, words: str) -> None:
        """Log a warning as the job itself. From any thread."""
        self._within(lambda: self._say(logging.WARNING, words))

    def _within(self, say: Callable[[], None]) -> None:
        """Say something as the job itself, for whoever isn't in it."""

        def entered() -> None:
            current.enter_job(self)
            say()

        contextvars.copy_context().run(entered)

    # --- what came of it ----------------------------------------------------------------------

    def _told(self, error: BaseException | None) -> BaseException | None:
        """The error that the queue and the hooks are told of."""
        if self.stop_reason is Stop.TIMEOUT:
            if self.function.mode is not Mode.PROCESS:
                with suppress(Exception):  # what it looks at changes meanwhile
                    tell_of_programs(self.job, self._tools.processes.pids)
            words = f"the attempt ran longer than its timeout of {self._timeout()} s"
            return TimeoutError(f"{words}{self._delayed()}")
        return error

    def _delayed(self) -> str:
        """Why it was told of its timeout so late, if it was."""
        if self._late_s < NOTABLY_LATE_S:
            return ""
        told = f", and was told {self._late_s:.1f} s late"
        if self._blocked:
            return f"{told}: it blocked the event loop at {self._blocked}"
        return f"{told}: the event loop was blocked"

    def _outcome(self, result: bytes | None, error: BaseException | None) -> Outcome | None:
        stopped = self.stop_reason
        if stopped is Stop.LOST:
            return None
        if stopped is Stop.TIMEOUT and error is not None:
            return self._retry_or_fail(error, Reason.TIMEOUT, wanted=None)
        if error is None:
            return Outcome(lease=self.lease, kind=OutcomeKind.COMPLETE, result=result)
        if stopped is Stop.RELEASE and isinstance(error, asyncio.CancelledError):
            return Outcome(lease=self.lease, kind=OutcomeKind.RELEASE)
        if stopped is Stop.CANCEL:
            told = None if isinstance(error, asyncio.CancelledError) else job_error(error)
            return Outcome(lease=self.lease, kind=OutcomeKind.CANCEL, error=told)
        if isinstance(error, Fail):
            return self._fail(error, Reason.FAIL)
        if isinstance(error, PayloadError):
            return self._fail(error, Reason.BAD_PAYLOAD)
        if isinstance(error, BadResultError):
            return self._fail(error.why, Reason.BAD_RESULT)
        if isinstance(error, Retry):
            return self._retry_or_fail(error, Reason.ERROR, wanted=error)
        return self._retry_or_fail(error, Reason.ERROR, wanted=None)

    def _fail(self, error: BaseException, reason: Reason) -> Outcome:
        return Outcome(
            lease=self.lease, kind=OutcomeKind.FAIL, reason=reason, error=job_error(error)
        )

    def _retry_or_fail(
        self, error: BaseException, reason: Reason, *, wanted: Retry | None
    ) -> Outcome:
        policy, retries, failures = self.function.retry, self._retries(), self.job.failures
        granted = failures < retries
        if wanted is None:
            granted = granted and policy.allows(error)
        elif retries == 0:
            granted = True  # a task without a policy of its own may ask as often as it likes
        if not granted or self.inline:
            return self._fail(error, reason)
        delay = wanted.delay if wanted is not None else None
        if delay is None:
            delay = policy.delay_before(failures + 1, random=random.random())
        return Outcome(
            lease=self.lease,
            kind=OutcomeKind.RETRY_LATER,
            reason=reason,
            error=job_error(error),
            delay_ms=round(delay * 1000),
        )

    # --- what is said of it -------------------------------------------------------------------

    def _say_if_failed(self) -> None:
        """Log how the attempt failed, if it did; its traceback is kept with the job."""
        outcome, attempt = self.outcome, self.job.attempt
        if outcome is None or outcome.error is None:
            return
        if outcome.kind is OutcomeKind.RETRY_LATER:
            words = (
                f"attempt {attempt} failed: {in_words(outcome.error)}; "
                f"attempt {attempt + 1} in {outcome.delay_ms / 1000:.1f} s"
            )
            self._say(logging.WARNING, words)
        elif outcome.kind is OutcomeKind.FAIL:
            times = "1 attempt" if attempt == 1 else f"{attempt} attempts"
            self._say(logging.ERROR, f"failed after {times}: {in_words(outcome.error)}")

    def _rescued(self) -> str:
        attempt, lost = self.job.attempt, self.job.rescues
        if lost == attempt - 1:
            return f"attempt {lost} lost its worker; this is attempt {attempt}"
        times = "1 attempt" if lost == 1 else f"{lost} attempts"
        return f"{times} before this one lost the worker; this is attempt {attempt}"

    def _say(self, level: int, words: str) -> None:
        with suppress(Exception):  # a log filter of the user's that fails is no part of the job
            self.context.log.log(level, "%s", words)

    # --- hooks --------------------------------------------------------------------------------

    async def _closing_hooks(self, outcome: Outcome, error: BaseException | None) -> None:
        hooks = self.function.hooks
        if self._interrupted:
            await _swallow_cancel()
        if outcome.kind is OutcomeKind.COMPLETE:
            if hooks.on_success is not None and outcome.result is not None:
                value = self.function.signature.decode_result(outcome.result)
                await self._hook(hooks.on_success, value)
            await self._hook(hooks.on_complete)
        elif outcome.kind is OutcomeKind.RETRY_LATER:
            await self._hook(hooks.on_retry, error)
        elif outcome.kind is OutcomeKind.FAIL:
            await self._hook(hooks.on_failure, error)
            await self._hook(hooks.on_complete)

    async def _hook(self, hook: Hook | None, *args: Any) -> None:
        if hook is None:
            return
        context = self.context
        try:
            if inspect.iscoroutinefunction(hook):
                await hook(context, *args)
            else:
                await self.run_in_thread(lambda: hook(context, *args))
        except BaseException as error:
            ours = (self._interruptible and self._interrupted) or self._tools.torn_down()
            if ours and isinstance(error, asyncio.CancelledError):
                raise
            context.log.exception("a hook of this job failed")

    # --- the port of the job's context ----------------------------------------------------------

    def send(self, note: Note) -> None:
        """See `Port.send`."""
        if self.reported or self._is_fork():
            return
        if note.logs:
            self._log = self._log or BoundedLog()
            admitted = tuple(line for each in note.logs if (line := self._log.admit(each)))
            note = structs.replace(note, logs=admitted)
            if not admitted and note.progress is None:
                return
        self._tools.reporter.soon(note)

    async def record(self, note: Note) -> None:
        """See `Port.record`. Works from any event loop."""
        self._check_not_over()
        if threading.get_ident() == self._tools.loop_thread:
            await self._tools.reporter.record(note)
        else:
            recorded = asyncio.run_coroutine_threadsafe(
                self._tools.reporter.record(note), self._tools.loop
            )
            await asyncio.wrap_future(recorded)

    def record_sync(self, note: Note) -> None:
        """See `Port.record_sync`."""
        self._check_not_over()
        if threading.get_ident() == self._tools.loop_thread:
            raise RuntimeError(
                "a _sync method was called on the event loop's thread, which it would block; "
                "in an async task await the method without _sync"
            )
        recorded = self._tools.reporter.record(note)
        asyncio.run_coroutine_threadsafe(recorded, self._tools.loop).result()

    def _check_not_over(self) -> None:
        """A job that was left behind may still run, but has no say any more; nor have its forks."""
        if self._is_fork():
            raise RuntimeError(forks.NO_LINE)
        if self.reported:
            raise lease_lost(self.lease)

    def _is_fork(self) -> bool:
        return forks.generation() != self._tools.born

    async def run_in_thread(self, call: Callable[[], Any]) -> Any:
        """See `Port.run_in_thread`."""
        return await self._tools.threads.run(call, self.job)

    async def begin_wait(self, awaited: str, *, bounded: bool) -> int:
        """See `Port.begin_wait`."""
        wait = Wait(self.job.id, awaited, bounded=bounded)
        WAITS.begin(wait)
        self._waits[id(wait)] = wait
        if self.reported:  # what was left behind holds nobody up
            self.end_wait(id(wait))
        return id(wait)

    def awaited(self) -> list[str]:
        """The jobs that it waits for now. From any thread."""
        return [wait.awaited for wait in list(self._waits.values())]

    def end_wait(self, number: int) -> None:
        """See `Port.end_wait`."""
        wait = self._waits.pop(number, None)
        if wait is not None:
            WAITS.end([wait])

    def cancelled(self) -> bool:
        """See `Port.cancelled`."""
        return self.stop_reason is not None

    def wait_cancelled(self, timeout: float) -> bool:
        """See `Port.wait_cancelled`."""
        if self._flag is None:
            self._flag = threading.Event()
        if self.stop_reason is not None:
            return True
        return self._flag.wait(timeout)


async def _swallow_cancel() -> None:
    """Let a cancel pass that came too late for the job's own code to notice."""
    with suppress(asyncio.CancelledError):
        await asyncio.sleep(0)


def _wrap(middleware: Any, context: Context, inner: Callable[[], Any]) -> Callable[[], Any]:
    async def call() -> Any:
        return await middleware(context, inner)

    return call
