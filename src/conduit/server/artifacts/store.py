"""What each store of artifacts can do, and the names that it gives.

Nothing that a job or a caller says becomes part of a path or of an object's key: the server makes
up names by chance, and what is read or removed must be a name that was given here.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Collection
from hashlib import sha256
from typing import Protocol
from uuid import uuid4

_LOCATION = re.compile(r"([0-9a-f]{16})/(([0-9a-f]{2})[0-9a-f]{30})", re.ASCII)
AT_ONCE = 500
"""How many locations are listed at a time."""


class Store(Protocol):
    """Keeps bytes at locations that it makes up. All may raise `OSError`."""

    async def check(self) -> None:
        """Raise `ConfigurationError` for what won't work until someone mends it."""
        ...

    async def keep(self, data: bytes) -> str:
        """Keep bytes for good; their location."""
        ...

    async def read(self, location: str) -> bytes | None:
        """The bytes there, if there are any."""
        ...

    async def remove(self, locations: Collection[str]) -> None:
        """Remove what is there; what isn't is passed over."""
        ...

    def older_than(self, seconds: float) -> AsyncIterator[list[str]]:
        """Everything of this history that was kept so long ago, a few hundred at a time."""
        ...


def part_of(history: str) -> str:
    """The part of a store that is a history's own. Histories may share a store: each looks for what
    is left over in its part alone.
    """
    return sha256(history.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def new_location(part: str) -> str:
    """A location that nothing has."""
    return f"{part}/{uuid4().hex}"


def is_location(text: str) -> bool:
    """Whether it is one that was made up here."""
    return _LOCATION.fullmatch(text) is not None


def path_of(location: str) -> str | None:
    """The path below a store's root, the same in every store, so that what is kept can be moved
    from one to another; none unless the location was made up here.
    """
    found = _LOCATION.fullmatch(location)
    return None if found is None else f"{found[1]}/{found[3]}/{found[2]}"
