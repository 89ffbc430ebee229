"""What can still be read of an entry of the event stream of which some can't."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec
from msgspec import Raw

from conduit.queue.base import Unreadable

T = TypeVar("T")

# Wrong names, numbers, letters and lengths inside what is well-formed.
UNDECODABLE = (msgspec.DecodeError, ValueError, LookupError, RecursionError)


def readable(
    pieces: Sequence[Raw],
    decode: Callable[[bytes], T],
    job_id_in: Callable[[bytes], str | None],
    unreadable: list[Unreadable],
    *,
    first: int,
) -> tuple[T, ...]:
    """The pieces that can be decoded; what can't be is added to `unreadable`.

    Pieces are numbered from `first`. `job_id_in` says which job an undecodable one is about; what
    it raises of `UNDECODABLE` or as `TypeError` means that it can't be told.
    """
    found: list[T] = []
    for number, piece in enumerate(map(bytes, pieces), first):
        try:
            found.append(decode(piece))
        except UNDECODABLE as error:
            unreadable.append(Unreadable(number, piece, problem(error), _told(piece, job_id_in)))
    return tuple(found)


def problem(error: Exception) -> str:
    """What is wrong, in words that a dead letter's sentence can go on with."""
    if isinstance(error, KeyError) and error.args:
        (name,) = error.args
        told = name.decode(errors="backslashreplace") if isinstance(name, bytes) else name
        return f"{told!r} is missing, or isn't known here"
    if isinstance(error, LookupError):
        return "a part of it is missing"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, msgspec.DecodeError | UnicodeDecodeError):
        return str(error)
    return "a value in it has the wrong form"


def _told(piece: bytes, job_id_in: Callable[[bytes], str | None]) -> str | None:
    try:
        return job_id_in(piece)
    except (*UNDECODABLE, TypeError):
        return None
