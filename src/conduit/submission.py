"""The way of new jobs to a queue, whoever submits them: through the middleware around submits.

The SDK, the ticker, the server and the command line all send their jobs through a `Passage`.
"""

from __future__ import annotations

import difflib
import importlib
import math
import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar, cast

from msgspec import Struct, structs

from conduit import telemetry
from conduit.core.checks import check_count, check_priority, check_seconds, check_text
from conduit.core.codec import DEFAULT_PAYLOAD_LIMIT, decode_value, encode_value
from conduit.core.errors import (
    ConfigurationError,
    InvalidOptionError,
    SubmitRefusedError,
    quoted,
)
from conduit.core.model import FunctionInfo, NewJob
from conduit.core.validation import check_bound
from conduit.queue.base import Submitted
from conduit.queue.gate import fault_of_headers
from conduit.settings import SUBMIT_MIDDLEWARE, load_settings

# --- what a middleware sees ------------------------------------------------------------------


class Origin(StrEnum):
    """Where jobs come from."""

    SDK = "sdk"
    """A program's own call, such as `submit` or `submit_many`."""
    EVENT = "event"
    """An event that a program published."""
    SCHEDULE = "schedule"
    """A tick of a schedule."""
    HTTP = "http"
    """The server's HTTP API, and so the dashboard."""
    CLI = "cli"
    """The command line."""


class JobDraft:
    """A job that is about to be submitted. What is set here is what the queue keeps.

    `arguments` and `metadata` are dicts of JSON values, `headers` one of text, to be changed in
    place or replaced; the arguments have one value per parameter. Setting what can't be raises
    `InvalidOptionError`.
    """

    __slots__ = ("_arguments", "_headers", "_job", "_metadata")

    def __init__(self, job: NewJob) -> None:
        self._job = job
        self._arguments: dict[str, Any] | None = None
        self._metadata: dict[str, Any] | None = None
        self._headers: dict[str, str] | None = None

    def __repr__(self) -> str:
        return f"<draft of job {self.id} ({self.function})>"

    @property
    def id(self) -> str:
        """The job's id, unless another job holds its key."""
        return self._job.id

    @property
    def function(self) -> str:
        """The function that it runs."""
        return self._job.function

    @property
    def parent_id(self) -> str | None:
        """The job that submits it, if one does."""
        return self._job.parent_id

    @property
    def root_id(self) -> str | None:
        """The first of its ancestors, if a job submits it."""
        return self._job.root_id

    @property
    def after(self) -> tuple[str, ...]:
        """The jobs that it waits for."""
        return self._job.after

    @property
    def arguments(self) -> dict[str, Any]:
        """What the function is called with."""
        if self._arguments is None:
            self._arguments = cast("dict[str, Any]", decode_value(self._job.args))
        return self._arguments

    @arguments.setter
    def arguments(self, value: dict[str, Any]) -> None:
        self._arguments = value

    @property
    def metadata(self) -> dict[str, Any]:
        """What is kept and shown with the job."""
        if self._metadata is None:
            self._metadata = cast("dict[str, Any]", decode_value(self._job.metadata))
        return self._metadata

    @metadata.setter
    def metadata(self, value: dict[str, Any]) -> None:
        self._metadata = value

    @property
    def headers(self) -> dict[str, str]:
        """What travels with the job, 4 KiB at most as JSON."""
        if self._headers is None:
            self._headers = dict(self._job.headers)
        return self._headers

    @headers.setter
    def headers(self, value: dict[str, str]) -> None:
        self._headers = value

    @property
    def queue(self) -> str:
        """The queue that it goes to."""
        return self._job.queue

    @queue.setter
    def queue(self, value: str) -> None:
        self._job = structs.replace(self._job, queue=check_text("queue", value, InvalidOptionError))

    @property
    def priority(self) -> int:
        """From -100 to 100, higher first."""
        return self._job.priority

    @priority.setter
    def priority(self, value: int) -> None:
        self._job = structs.replace(self._job, priority=check_priority(value, InvalidOptionError))

    @property
    def key(self) -> str | None:
        """Names the job among unfinished ones."""
        return self._job.key

    @key.setter
    def key(self, value: str | None) -> None:
        key = None if value is None else check_text("key", value, InvalidOptionError)
        self._job = structs.replace(self._job, key=key)

    @property
    def retries(self) -> int | None:
        """How many retries; None: as the function declares."""
        return self._job.retries

    @retries.setter
    def retries(self, value: int | None) -> None:
        retries = None if value is None else check_count("retries", value, InvalidOptionError)
        self._job = structs.replace(self._job, retries=retries)

    @property
    def delay(self) -> float:
        """How long from now to start, in seconds; 0 for one that is to start at a set time."""
        return self._job.delay_ms / 1000

    @delay.setter
    def delay(self, value: float) -> None:
        seconds = check_seconds("delay", value, InvalidOptionError, zero=True)
        self._job = structs.replace(self._job, delay_ms=math.ceil(seconds * 1000), run_at=None)

    def job(self, check: Callable[[NewJob], None] | None, limit: int) -> NewJob:
        """The job as it is now. `check` raises where changed arguments don't fit the function."""
        job = self._job
        if self._metadata is not None:
            metadata = encode_value(_object("metadata", self._metadata), path="metadata")
            job = structs.replace(job, metadata=metadata)
        if self._headers is not None and self._headers != job.headers:
            if fault := fault_of_headers(self._headers):
                raise InvalidOptionError(f"headers={quoted(self._headers)} {fault}")
            job = structs.replace(job, headers=self._headers)
        if self._arguments is not None:
            arguments = _object("arguments", self._arguments)
            args = encode_value(arguments, path="arguments", limit=limit)
            if args != job.args:
                job = structs.replace(job, args=args)
                if check is not None:
                    check(job)
        return job


def _object(what: str, value: object) -> dict[str, Any]:
    fields = cast("dict[object, Any]", value) if isinstance(value, dict) else None
    if fields is None or not all(isinstance(name, str) for name in fields):
        shown = quoted(cast("object", value))
        raise InvalidOptionError(f"{what}={shown} must be a dict with text for keys")
    return cast("dict[str, Any]", fields)


class Submission(Struct, frozen=True):
    """Jobs that are about to be submitted together, and where they come from."""

    origin: Origin
    jobs: tuple[JobDraft, ...]


Answers = Sequence[Submitted | None]
"""What the queue answers, in the order of the jobs; None: a schedule's tick became no job here."""
SubmitNext = Callable[[], Awaitable[Answers]]
SubmitMiddleware = Callable[[Submission, SubmitNext], Awaitable[object]]
"""Wraps every submit: `async def middleware(submission, call_next)`, which calls the latter."""

A = TypeVar("A", bound=Submitted | None)


# --- through the middleware ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Passage:
    """The middleware that jobs pass on their way, the first one outermost.

    `check` raises where arguments that a middleware changed don't fit the function; `limit` is the
    most that they may take, in bytes of JSON.
    """

    middleware: Sequence[SubmitMiddleware] = ()
    check: Callable[[NewJob], None] | None = None
    limit: int = DEFAULT_PAYLOAD_LIMIT

    @property
    def is_bare(self) -> bool:
        """Whether nobody is on the way, neither middleware nor listeners."""
        return not self.middleware and not telemetry.listeners

    async def submit(
        self,
        origin: Origin,
        jobs: Sequence[NewJob],
        send: Callable[[Sequence[NewJob]], Awaitable[list[A]]],
    ) -> list[A]:
        """Send jobs inside of the middleware; what `send` answered.

        What a middleware returns counts for nothing. Raises `SubmitRefusedError` when one ends
        without having called the next, what any of them raises, and what `send` and `check` raise.
        """
        if telemetry.listeners:
            send = _telling(origin, send)
        if not self.middleware:
            return await send(jobs)
        submission = Submission(origin, tuple(JobDraft(job) for job in jobs))
        sent: list[list[A]] = []
        entered: list[SubmitMiddleware] = []

        async def innermost() -> Answers:
            changed = [draft.job(self.check, self.limit) for draft in submission.jobs]
            sent.append(await send(changed))
            return sent[-1]

        call: SubmitNext = innermost
        for each in reversed(self.middleware):
            call = _wrap(each, submission, call, sent, entered)
        await call()
        if not sent:
            raise SubmitRefusedError(
                f"the submit middleware {_name(entered[-1])} ended without calling call_next, so "
                "nothing was submitted; to refuse jobs in your own words, raise SubmitRefusedError"
            )
        return sent[-1]


NO_MIDDLEWARE = Passage()


def _wrap(
    middleware: SubmitMiddleware,
    submission: Submission,
    inner: SubmitNext,
    sent: Sequence[Answers],
    entered: list[SubmitMiddleware],
) -> SubmitNext:
    async def call() -> Answers:
        entered.append(middleware)
        await middleware(submission, inner)
        return sent[-1] if sent else ()

    return call


def _name(middleware: object) -> str:
    return str(getattr(middleware, "__qualname__", None) or type(middleware).__qualname__)


def _telling(
    origin: Origin, send: Callable[[Sequence[NewJob]], Awaitable[list[A]]]
) -> Callable[[Sequence[NewJob]], Awaitable[list[A]]]:
    """Tell who listens of what is sent."""

    async def told(jobs: Sequence[NewJob]) -> list[A]:
        began = time.monotonic()

        def tell(answers: Sequence[Submitted | None], error: str | None = None) -> None:
            submitted = [job for job, answer in zip(jobs, answers, strict=True) if answer]
            if submitted:
                telemetry.tell(
                    telemetry.Submit(
                        origin=origin.value,
                        jobs=tuple(map(telemetry.job_ref, submitted)),
                        duplicates=sum(answer.duplicate for answer in answers if answer),
                        error=error,
                        took_s=time.monotonic() - began,
                    )
                )

        try:
            answers = await send(jobs)
        except Exception as error:
            tell([Submitted(job.id) for job in jobs], type(error).__name__)
            raise
        tell(answers)
        return answers

    return told


def by_functions(functions: Iterable[FunctionInfo]) -> Passage:
    """The way past the settings' middleware, for who has of functions what workers registered.

    Raises `ConfigurationError`.
    """
    known = {info.name: info for info in functions}

    def check(job: NewJob) -> None:
        if job.function in known:
            check_bound(known[job.function], cast("dict[str, Any]", decode_value(job.args)))

    return Passage(middleware_in_settings(), check)


# --- from the settings -----------------------------------------------------------------------

_loaded: dict[str | None, tuple[SubmitMiddleware, ...]] = {}


def middleware_in_settings() -> tuple[SubmitMiddleware, ...]:
    """The middleware that the settings name, for every submit of this process.

    Imported at its first use. Raises `ConfigurationError`.
    """
    wanted = os.environ.get(SUBMIT_MIDDLEWARE)
    if wanted not in _loaded:
        names = load_settings().submit_middleware
        _loaded[wanted] = tuple(_load(name.strip()) for name in names.split(",") if name.strip())
    return _loaded[wanted]


def _load(ref: str) -> SubmitMiddleware:
    module_name, colon, name = ref.partition(":")
    if not colon or not name or not all(each.isidentifier() for each in module_name.split(".")):
        raise _wrong(ref, "write module:name, such as shop.tracing:submit_middleware")
    found: object = _import(ref, module_name)
    for part in name.split("."):
        if not hasattr(found, part):
            close = difflib.get_close_matches(part, dir(found), n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise _wrong(ref, f"{module_name!r} has no {name!r}{hint}")
        found = getattr(found, part)
    if not callable(found):
        raise _wrong(ref, f"{quoted(found)} isn't a function: async def (submission, call_next)")
    return cast("SubmitMiddleware", found)


def _import(ref: str, name: str) -> ModuleType:
    here = str(Path.cwd())
    if here not in sys.path:  # as for a script of this folder; last, so that it hides nothing
        sys.path.append(here)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise _wrong(
                ref, f"there is no module {error.name!r} here ({here}) or in this environment"
            ) from error
        raise _wrong(ref, f"{name!r} can't be imported: {error}") from error
    except (Exception, SystemExit) as error:
        words = f"{type(error).__name__}: {error}"
        raise _wrong(ref, f"{name!r} can't be imported: {words}") from error


def _wrong(ref: str, why: str) -> ConfigurationError:
    return ConfigurationError(f"the submit middleware {quoted(ref)} of the settings: {why}")
