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
    """What is wrong, for a dead letter."""
    return f"{type(error).__name__}: {error}"


def _told(piece: bytes, job_id_in: Callable[[bytes], str | None]) -> str | None:
    try:
        return job_id_in(piece)
    except (*UNDECODABLE, TypeError):
        return None
