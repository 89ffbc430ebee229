"""The journal: what jobs and submitters did, in a file outside of the system under test.

Each line is written by one call with O_APPEND, so that lines of many processes don't mix and what
was written survives the kill of its writer.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from threading import Lock

import msgspec
from msgspec import Struct

VARIABLE = "LAB_JOURNAL"
"""Names the file, in the environment of every process."""


class What(StrEnum):
    """What a line tells."""

    CALL = "call"
    """A submit is about to be sent, for the job `label`."""
    OK = "ok"
    """It was answered: `job_id` runs under that label, or holds its key."""
    REFUSED = "refused"
    """It failed in a way that says that nothing was kept."""
    ORPHANED = "orphaned"
    """It was refused, as `job_id`, which it should wait for, isn't there."""
    UNKNOWN = "unknown"
    """It failed in a way that says that nobody knows."""
    BEGIN = "begin"
    """An attempt begins to have effects."""
    END = "end"
    """It is about to return, or to raise."""
    HANGS = "hangs"
    """It never will: whoever runs it has to let go of it."""
    RESUMED = "resumed"
    """An attempt found the checkpoint `number`; -1: none."""
    SAVED = "saved"
    """The checkpoint `number` is durable."""
    CANCEL = "cancel"
    """A cancel of `job_id` is about to be sent."""
    CANCELLED = "cancelled"
    """It was answered; `number` is 1 if it took effect."""
    RETRY = "retry"
    """A retry by hand of `job_id` is about to be sent."""
    RETRIED = "retried"
    """It was answered; `number` is 1 if it took effect."""
    DELETE = "delete"
    """A deletion of `job_id` is about to be sent."""
    DELETED = "deleted"
    """It was answered; `number` is 1 if it took effect."""
    BULK = "bulk"
    """A cancel of all jobs in `among` was answered: so many as `number` says took effect."""
    PAUSE = "pause"
    """A pause of the schedule `label` is about to be asked for."""
    PAUSED = "paused"
    """It was answered: it is paused."""
    UNPAUSE = "unpause"
    """It is about to be resumed."""
    UNPAUSED = "unpaused"
    """It was answered: it is no longer paused."""
    MEMBER = "member"
    """A process of a family that submits begins: `label` is what its orders are called by, `detail`
    the manner in which its family forks."""
    LEFT = "left"
    """It is through with them."""
    ODD = "odd"
    """A server answered with a status that it should not: `detail` has it."""


class Told(Struct, frozen=True, omit_defaults=True):
    """What an answer over HTTP says of its job: the job itself, or the `status` that forbids it and
    why. No status: there is no such job."""

    status: str = ""
    generation: int = 0
    seq: int = 0
    why: str = ""


class Line(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line. `at` is the machine's clock in milliseconds, whatever the process takes the time
    for; `detail` is for people."""

    what: What
    at: int
    pid: int
    label: str = ""
    job_id: str = ""
    attempt: int = 0
    fence: int = 0
    number: int = 0
    after: tuple[str, ...] = ()
    """The ids of what the job of a call is to wait for."""
    told: Told | None = None
    """What was said over HTTP; None where the queue itself was asked."""
    among: tuple[str, ...] = ()
    detail: str = ""


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Line).decode
_opened: dict[tuple[str, int], int] = {}


def note(
    what: What,
    *,
    label: str = "",
    job_id: str = "",
    attempt: int = 0,
    fence: int = 0,
    number: int = 0,
    after: tuple[str, ...] = (),
    told: Told | None = None,
    among: tuple[str, ...] = (),
    detail: str = "",
) -> None:
    """Write a line into the journal that the environment names."""
    line = Line(
        what=what,
        at=time.clock_gettime_ns(time.CLOCK_REALTIME) // 1_000_000,
        pid=os.getpid(),
        label=label,
        job_id=job_id,
        attempt=attempt,
        fence=fence,
        number=number,
        after=after,
        told=told,
        among=among,
        detail=detail,
    )
    os.write(_descriptor(os.environ[VARIABLE]), _encode(line) + b"\n")


def _descriptor(path: str) -> int:
    key = (path, os.getpid())
    if key not in _opened:
        _opened[key] = os.open(path, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o644)
    return _opened[key]


def read(path: Path) -> Sequence[Line]:
    """All lines, in the order in which they were written."""
    return Reader(path).lines()


class Reader:
    """Reads a journal again and again while it grows, from any thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0
        self._lines: list[Line] = []
        self._lock = Lock()

    def lines(self) -> Sequence[Line]:
        """All lines so far, in the order in which they were written."""
        with self._lock:
            if self._path.exists():
                with self._path.open("rb") as file:
                    file.seek(self._read)
                    new, end, _ = file.read().rpartition(b"\n")
                self._lines += [_decode(line) for line in new.splitlines()]
                self._read += len(new) + len(end)
            return self._lines
