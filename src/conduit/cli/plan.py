"""What `conduit run` was asked to do, and the components that this means."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from types import ModuleType
from typing import TYPE_CHECKING, TypeVar

from msgspec import Struct

from conduit.cli.problems import UsageError, did_you_mean
from conduit.core.errors import ServiceImportError

if TYPE_CHECKING:
    from conduit.sdk.api import Api
    from conduit.sdk.worker import Worker

T = TypeVar("T")


class LogFormat(StrEnum):
    """How log records are written."""

    TEXT = "text"
    JSON = "json"


class ServerPlan(Struct, frozen=True, kw_only=True):
    """The server of a run: where it listens and where its history is."""

    host: str = "127.0.0.1"
    port: int = 8080
    database_url: str | None = None
    artifacts_url: str | None = None
    keep: dict[str, str | None] = {}
    """What the history keeps of jobs, logs and artifacts, where that was said."""
    migrate: bool = False
    insecure: bool = False


class RunPlan(Struct, frozen=True, kw_only=True):
    """A run, as it is handed to the processes that carry it out."""

    services: tuple[str, ...]
    only: tuple[str, ...] = ()
    queue_url: str | None = None
    concurrency: int | None = None
    connect_timeout: float = 0.0
    processes: int = 1
    log_format: LogFormat = LogFormat.TEXT
    max_jobs: int | None = None
    max_memory: int | None = None
    workers: bool = True
    """Whether workers are run here."""
    apis: bool = True
    """Whether APIs are run here: a port can be served by one process only."""
    supervised: bool = False
    """Whether this process is one of several, or one that is replaced when it is worn out."""
    banner: bool = True
    server: ServerPlan | None = None
    """A server to run beside the components, or alone where no services are named."""


class Started(Struct, frozen=True, tag=True, array_like=True):
    """Said by a child once its components have started. `patience`: how long they take to stop."""

    patience: float


class WornOut(Struct, frozen=True, tag=True, array_like=True):
    """Said by a child that claims no more jobs and wants to be replaced."""

    why: str


Message = Started | WornOut


@dataclass(frozen=True)
class Components:
    """What was found in the service files and selected by name."""

    workers: tuple[Worker, ...]
    apis: tuple[Api, ...]


def load_components(plan: RunPlan) -> Components:
    """Import the services and select from them; nothing connects.

    Raises `ServiceImportError`, `ConfigurationError` for two workers of one name or a middleware of
    the settings that can't be loaded and, for a name that isn't there, `UsageError`.
    """
    from conduit.engine.process.loading import load_service
    from conduit.sdk.api import Api
    from conduit.sdk.run import check_components
    from conduit.sdk.worker import Worker
    from conduit.submission import middleware_in_settings

    if plan.queue_url is not None:
        # A flag wins over the environment everywhere, in the services' own code too.
        os.environ["CONDUIT_QUEUE_URL"] = plan.queue_url
    if plan.server is not None and not plan.services:
        return Components((), ())
    modules = [load_service(ref) for ref in plan.services]
    middleware_in_settings()  # which may stand in a service's own folder
    workers, apis = _of_type(modules, Worker), _of_type(modules, Api)
    if not workers and not apis:
        error = ServiceImportError(f"there is nothing to run in {', '.join(plan.services)}")
        error.add_note(
            'add a worker at the top level, worker = conduit.Worker("name"), with functions under '
            '@worker.task, or an API, api = conduit.Api("name")'
        )
        raise error
    # All workers, not only those that run here: an API submits through the others' queue.
    for worker in workers:
        worker.configure(
            queue_url=plan.queue_url,
            concurrency=plan.concurrency,
            connect_timeout=plan.connect_timeout,
            max_jobs=plan.max_jobs,
            max_memory=plan.max_memory,
        )
    check_components(workers)
    _check_names(plan.only, [each.name for each in (*workers, *apis)])
    return Components(
        tuple(each for each in workers if plan.workers and _selected(plan, each.name)),
        tuple(each for each in apis if plan.apis and _selected(plan, each.name)),
    )


def _of_type(modules: list[ModuleType], kind: type[T]) -> list[T]:
    """The modules' top-level objects of a type, each once, in the order of their definition."""
    found = (each for module in modules for each in vars(module).values() if isinstance(each, kind))
    return list({id(each): each for each in found}.values())


def _selected(plan: RunPlan, name: str) -> bool:
    return not plan.only or name in plan.only


def _check_names(only: tuple[str, ...], names: list[str]) -> None:
    for name in only:
        if name not in names:
            error = UsageError(f"--only {name}: there is no component of that name")
            error.add_note(did_you_mean(name, names))
            raise error
