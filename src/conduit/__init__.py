"""Background jobs, schedules, events and HTTP APIs for Python."""

from __future__ import annotations

from importlib.metadata import version as _version
from typing import TYPE_CHECKING, Any

from conduit import parallel, telemetry
from conduit.core.errors import (
    ArgumentError,
    ArtifactNotFoundError,
    ConduitError,
    ConfigurationError,
    DeadlockError,
    DependencyNotFoundError,
    InvalidOptionError,
    InvalidPatternError,
    InvalidScheduleError,
    InvalidTaskError,
    JobNotFoundError,
    JobStateError,
    LeaseLostError,
    NoCurrentJobError,
    PayloadError,
    PayloadTooLargeError,
    QueueAccessError,
    QueueCorruptError,
    QueueError,
    QueueSchemaError,
    QueueUnavailableError,
    RefusedError,
    RegistrationConflictError,
    SerializationError,
    ServiceCrashedError,
    ServiceImportError,
    SubmitConflictError,
    SubmitRefusedError,
    SubmitUnknownError,
    TaskCancelledError,
    TaskError,
    TaskFailedError,
    TaskTimeoutError,
    UnknownFunctionError,
)
from conduit.core.model import Artifact, JobStatus
from conduit.core.result import TaskResult
from conduit.engine.context import Context, Fail, Retry, current_job
from conduit.parallel import (
    as_completed,
    first_completed,
    gather,
    gather_sync,
    map_tasks,
    map_tasks_sync,
    submit_many,
    submit_many_sync,
)
from conduit.sdk.events import EventHandle
from conduit.sdk.future import Future
from conduit.sdk.middleware import AddedMiddleware, add_middleware
from conduit.sdk.run import run
from conduit.sdk.task import TaskHandle
from conduit.sdk.worker import Worker
from conduit.submission import JobDraft, Origin, Submission, SubmitMiddleware, SubmitNext
from conduit.telemetry import Observation, observe

if TYPE_CHECKING:
    from conduit.sdk.api import Api

__version__ = _version("conduit")

get_current_context = current_job

__all__ = [
    "AddedMiddleware",
    "Api",
    "ArgumentError",
    "Artifact",
    "ArtifactNotFoundError",
    "ConduitError",
    "ConfigurationError",
    "Context",
    "DeadlockError",
    "DependencyNotFoundError",
    "EventHandle",
    "Fail",
    "Future",
    "InvalidOptionError",
    "InvalidPatternError",
    "InvalidScheduleError",
    "InvalidTaskError",
    "JobDraft",
    "JobNotFoundError",
    "JobStateError",
    "JobStatus",
    "LeaseLostError",
    "NoCurrentJobError",
    "Observation",
    "Origin",
    "PayloadError",
    "PayloadTooLargeError",
    "QueueAccessError",
    "QueueCorruptError",
    "QueueError",
    "QueueSchemaError",
    "QueueUnavailableError",
    "RefusedError",
    "RegistrationConflictError",
    "Retry",
    "SerializationError",
    "ServiceCrashedError",
    "ServiceImportError",
    "Submission",
    "SubmitConflictError",
    "SubmitMiddleware",
    "SubmitNext",
    "SubmitRefusedError",
    "SubmitUnknownError",
    "TaskCancelledError",
    "TaskError",
    "TaskFailedError",
    "TaskHandle",
    "TaskResult",
    "TaskTimeoutError",
    "UnknownFunctionError",
    "Worker",
    "__version__",
    "add_middleware",
    "as_completed",
    "current_job",
    "first_completed",
    "gather",
    "gather_sync",
    "get_current_context",
    "map_tasks",
    "map_tasks_sync",
    "observe",
    "parallel",
    "run",
    "submit_many",
    "submit_many_sync",
    "telemetry",
]


def __getattr__(name: str) -> Any:
    if name == "Api":  # not a program without an API has to have FastAPI, or to wait for it
        from conduit.sdk.api import Api

        return Api
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
