"""Every error that Conduit raises, in one small tree under `ConduitError`.

Each message says what happened, to what, and what to do about it. `exit_code` is what the command
line ends with when the error reaches it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from conduit.core.result import TaskResult


_LONGEST_QUOTE = 200


def quoted(value: object) -> str:
    """A value as a message shows it: its repr, cut where it is long."""
    try:
        text = repr(value)
    except Exception:  # an int of many thousand digits has none, and a class's own may raise
        return f"<{type(value).__name__}>"
    return text if len(text) <= _LONGEST_QUOTE else f"{text[:_LONGEST_QUOTE]}…"


class ConduitError(Exception):
    """Base of all of Conduit's errors."""

    exit_code: ClassVar[int] = 1


# --- what a service file can get wrong -------------------------------------------------------


class InvalidTaskError(ConduitError, ValueError):
    """A task, worker or option is declared in a way that can't work; raised at registration."""

    exit_code = 3


class InvalidScheduleError(ConduitError, ValueError):
    """A cron expression, an interval or a time zone that doesn't exist."""

    exit_code = 3


class InvalidPatternError(ConduitError, ValueError):
    """An event name or a subscription pattern that can't be used."""

    exit_code = 3


class ConfigurationError(ConduitError):
    """A setting is wrong: a URL's scheme, a folder, a value out of range."""

    exit_code = 3


class ServiceImportError(ConduitError):
    """A service file is missing, doesn't import, or holds nothing to run."""

    exit_code = 3


# --- what a submit can get wrong -------------------------------------------------------------


class InvalidOptionError(ConduitError, ValueError):
    """An option of a submit is out of range, such as a negative delay."""

    exit_code = 2


class ArgumentError(ConduitError, TypeError):
    """A wrong, missing or unexpected argument, found at submit; names the parameter."""

    exit_code = 2


class SerializationError(ConduitError, TypeError):
    """A value that JSON can't carry. `path` says where it sits, such as `args[0].when`."""

    exit_code = 2

    def __init__(self, message: str, *, path: str) -> None:
        super().__init__(message)
        self.path = path


class PayloadTooLargeError(ConduitError, ValueError):
    """Arguments or a result over the limit; `size` and `limit` are in bytes."""

    exit_code = 2

    def __init__(self, message: str, *, size: int, limit: int) -> None:
        super().__init__(message)
        self.size = size
        self.limit = limit


class PayloadError(ConduitError):
    """A stored payload that can't be decoded or doesn't fit the function's annotations."""


class SubmitRefusedError(ConduitError):
    """A middleware around submits let nothing through; raise it there to refuse jobs in words."""


class UnknownFunctionError(ConduitError, LookupError):
    """No function of that name is known."""

    exit_code = 2


# --- what a queue answers --------------------------------------------------------------------


class QueueError(ConduitError):
    """The queue refused or couldn't do something."""


class RefusedError(QueueError):
    """What a call brings can't be kept: a number or a name out of bounds, what isn't JSON."""


class QueueUnavailableError(QueueError):
    """The queue's store can't be reached, is locked, or is full. Trying again may help."""

    exit_code = 4


class QueueAccessError(QueueUnavailableError):
    """The queue's server refuses this user: a wrong password, or rights that are missing.

    It ends what only starts. What has the queue open already keeps trying: passwords are changed.
    """

    exit_code = 3


class QueueCorruptError(QueueError):
    """The queue's store is damaged, or isn't a Conduit queue."""

    exit_code = 3


class QueueSchemaError(QueueError):
    """The store was written by another version of Conduit."""

    exit_code = 3


class RegistrationConflictError(QueueError):
    """Another running worker has a function or a schedule of this name that isn't the same."""

    exit_code = 3


class SubmitConflictError(QueueError):
    """A job with this id is stored already, with other contents."""


class DependencyNotFoundError(QueueError, LookupError):
    """A job was to wait for one that isn't stored; `awaited` is that one's id."""

    def __init__(self, job_id: str, awaited: str) -> None:
        super().__init__(
            f"job {job_id} can't wait for job {awaited!r}, which isn't in this queue: check the id "
            "and the queue's URL; finished jobs are forgotten after their retention time"
        )
        self.job_id = job_id
        self.awaited = awaited


class SubmitUnknownError(QueueError):
    """The store didn't answer in time, so the submit may or may not have been kept.

    `Future.of(error.job_id).status()` tells which, once the store is back: `JobNotFoundError` if it
    wasn't kept. A submit with a `key` can be repeated without making a second job.
    """

    def __init__(self, message: str, *, job_id: str) -> None:
        super().__init__(message)
        self.job_id = job_id


class JobNotFoundError(QueueError, LookupError):
    """No job with that id: it never was, was deleted, or its retention has passed."""

    def __init__(self, job_id: str) -> None:
        super().__init__(
            f"no job {job_id!r} in this queue: check the id and the queue's URL; "
            "finished jobs are forgotten after their retention time"
        )
        self.job_id = job_id


class ArtifactNotFoundError(QueueError, LookupError):
    """The job has kept no artifact of that name."""


class JobStateError(QueueError):
    """The job's status forbids the action; `status` is what it is now."""

    def __init__(self, message: str, *, status: str) -> None:
        super().__init__(message)
        self.status = status


class LeaseLostError(QueueError):
    """This worker's lease on the job has passed to another; nothing was written."""


# --- what a caller of a task meets -----------------------------------------------------------


class TaskError(ConduitError):
    """A job ended without a value. `result` tells the whole story."""

    def __init__(self, message: str, result: TaskResult[Any]) -> None:
        super().__init__(message)
        self.result = result


class TaskFailedError(TaskError):
    """The job failed: its attempts are used up, or its error isn't one to retry."""


class TaskCancelledError(TaskError):
    """The job was cancelled, or expired before it could start."""


class TaskTimeoutError(TaskFailedError):
    """The job's last attempt ran longer than its `timeout`."""


class NoCurrentJobError(ConduitError, RuntimeError):
    """`current_job()` was called outside a job."""


class DeadlockError(ConduitError, RuntimeError):
    """A job waits for itself, or for a job that waits for it: neither could ever end."""


class ServiceCrashedError(ConduitError):
    """A component of a run ended with an error; the others were brought down in order."""
