"""What a worker and its worker processes say to each other, over a socket pair.

Each message is four bytes of length and one msgpack value. Only exceptions are pickled, because a
retry policy asks for their types; both ends run the same user's code, so that trusts nobody new.
"""

from __future__ import annotations

import pickle
import traceback
from typing import Any

import msgspec
from msgspec import Struct

from conduit.core.errors import ConduitError
from conduit.engine.context import JobView
from conduit.engine.process.loading import SCRIPT, SCRIPT_AGAIN, ModuleRef
from conduit.queue.base import Note

HEADER_SIZE = 4


class RemoteError(ConduitError):
    """Stands for an exception of a process task that can't be brought to the worker as itself.

    That is one that can't be pickled, such as of a class defined inside a function, and one that
    would end the worker, such as `SystemExit`. `type_name`, `qualified_name` and `message` are the
    original's.
    """

    def __init__(self, type_name: str, qualified_name: str, message: str) -> None:
        super().__init__(message)
        self.type_name = type_name
        self.qualified_name = qualified_name
        self.message = message


class PackedError(Struct, frozen=True):
    """An exception on its way between processes; `pickled` is None where that isn't possible."""

    type_name: str
    qualified_name: str
    message: str
    traceback: str
    pickled: bytes | None


# --- to the process --------------------------------------------------------------------------


class Run(Struct, frozen=True, tag=True):
    """Run a job. `result_limit` is in bytes."""

    module: ModuleRef
    qualname: str
    payload: bytes
    view: JobView
    result_limit: int


class Stop(Struct, frozen=True, tag=True):
    """Make `ctx.cancelled` true for the job that runs."""


class Reply(Struct, frozen=True, tag=True):
    """Answer to the `Ask` or `Await` of that number."""

    number: int
    error: PackedError | None


# --- from the process ------------------------------------------------------------------------


class Importing(Struct, frozen=True, tag=True):
    """The process imports the job's module: from here on, its death is the job's."""


class Begun(Struct, frozen=True, tag=True):
    """The function is being called, `at` by the monotonic clock, which a machine's processes share:
    from here on at the latest, the death of the process is the job's."""

    at: float


class Tell(Struct, frozen=True, tag=True):
    """News to pass on soon. `shown`: the process has log handlers of its own, which had the lines
    of the note."""

    note: Note
    shown: bool = False


class Ask(Struct, frozen=True, tag=True):
    """News to record durably; the process waits for the `Reply`."""

    number: int
    note: Note


class Await(Struct, frozen=True, tag=True):
    """The job waits for another one; the process waits for the `Reply`, then does so."""

    number: int
    job_id: str
    bounded: bool


class Awaited(Struct, frozen=True, tag=True):
    """The wait that was begun with this number is over."""

    number: int


class Returned(Struct, frozen=True, tag=True):
    """The job's encoded result."""

    result: bytes


class Raised(Struct, frozen=True, tag=True):
    """What the job raised instead of returning."""

    error: PackedError


ToProcess = Run | Stop | Reply
FromProcess = Importing | Begun | Tell | Ask | Await | Awaited | Returned | Raised

to_process: msgspec.msgpack.Decoder[ToProcess] = msgspec.msgpack.Decoder(ToProcess)
from_process: msgspec.msgpack.Decoder[FromProcess] = msgspec.msgpack.Decoder(FromProcess)


def framed(message: ToProcess | FromProcess) -> bytes:
    """Encode a message, its length in front."""
    body = msgspec.msgpack.encode(message)
    return len(body).to_bytes(HEADER_SIZE, "big") + body


# --- exceptions ------------------------------------------------------------------------------


def pack_error(error: BaseException) -> PackedError:
    """Make an exception ready to travel, its traceback as text without the caller's own frame."""
    try:
        message = str(error)
    except Exception as broken:  # a user's __str__ can fail, and the job's end must still be told
        message = f"(its message can't be shown: {type(broken).__name__})"
    frames = error.__traceback__
    if frames is not None and frames.tb_next is not None:
        frames = frames.tb_next
    text = "".join(traceback.format_exception(type(error), error, frames))
    kind = type(error)
    return PackedError(kind.__name__, qualified_name(kind), message, text, _pickled(error))


def qualified_name(kind: type[BaseException]) -> str:
    """The name of a type with its module, the same in a worker process as in its worker."""
    module = SCRIPT if kind.__module__ == SCRIPT_AGAIN else kind.__module__
    return f"{module}.{kind.__qualname__}"


def unpack_error(packed: PackedError) -> BaseException:
    """Get the exception back: the original, else a `RemoteError`."""
    error = None if packed.pickled is None else _unpickled(packed.pickled)
    return error or RemoteError(packed.type_name, packed.qualified_name, packed.message)


class _Rebuilt:
    """Pickles an exception so that its `__init__`, whose arguments aren't known, isn't called."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self._error), self._error.args, self._error.__dict__)


def _rebuild(
    kind: type[BaseException], args: tuple[Any, ...], state: dict[str, Any]
) -> BaseException:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


def _pickled(error: BaseException) -> bytes | None:
    for form in (error, _Rebuilt(error)):
        try:
            data = pickle.dumps(form)
        except Exception:  # noqa: S112 - whatever a user's class does there means: not this way
            continue
        if type(_unpickled(data)) is type(error):
            return data
    return None


def _unpickled(data: bytes) -> BaseException | None:
    try:
        error = pickle.loads(data)
    except Exception:  # the class isn't importable here, or its own code failed
        return None
    return error if isinstance(error, BaseException) else None
