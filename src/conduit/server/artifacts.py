"""Where the bytes of artifacts are kept once the server has copied them out of the queue.

Nothing that a job or a caller says becomes part of a path: files are named by chance, and what is
read or removed must be a name that was given here.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import AsyncIterator, Collection, Iterator
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Protocol
from uuid import uuid4

_LOCATION = re.compile(r"([0-9a-f]{16})/(([0-9a-f]{2})[0-9a-f]{30})", re.ASCII)
_BEGUN = ".begun"
_AT_ONCE = 500


class Store(Protocol):
    """Keeps bytes at locations that it makes up. All may raise `OSError`."""

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


class FileStore:
    """Files below a folder, which is made when the first is kept.

    `history` names the database whose rows lead here. Histories may share a folder: each has a
    part of its own, and looks for what is left over there alone.
    """

    def __init__(self, folder: Path, history: str) -> None:
        self._folder = folder
        self._part = sha256(history.encode("utf-8", "surrogateescape")).hexdigest()[:16]

    async def keep(self, data: bytes) -> str:
        """See `Store`. The bytes are on the disk, not just on their way, when this returns."""
        location = f"{self._part}/{uuid4().hex}"
        path = self._path(location)
        assert path is not None
        await asyncio.to_thread(_write, path, data)
        return location

    async def read(self, location: str) -> bytes | None:
        """See `Store`."""
        path = self._path(location)
        return None if path is None else await asyncio.to_thread(_read, path)

    async def remove(self, locations: Collection[str]) -> None:
        """See `Store`."""
        paths = [path for each in locations if (path := self._path(each)) is not None]
        await asyncio.to_thread(_remove, paths)

    async def older_than(self, seconds: float) -> AsyncIterator[list[str]]:
        """See `Store`."""
        found = self._walk(time.time() - seconds)
        while some := await asyncio.to_thread(_take, found):
            yield some

    def _walk(self, before: float) -> Iterator[str]:
        for folder in (self._folder / self._part).glob("[0-9a-f][0-9a-f]"):
            for path in folder.iterdir():
                if not _is_older(path, before):
                    continue
                if path.suffix == _BEGUN:
                    path.unlink(missing_ok=True)  # its server was killed in the middle
                elif _LOCATION.fullmatch(location := f"{self._part}/{path.name}"):
                    yield location

    def _path(self, location: str) -> Path | None:
        """Where a location leads; nowhere unless it is one that a store like this made up."""
        found = _LOCATION.fullmatch(location)
        return None if found is None else self._folder / found[1] / found[3] / found[2]


def _is_older(path: Path, before: float) -> bool:
    try:
        return path.stat().st_mtime < before
    except FileNotFoundError:  # another server was faster
        return False


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _write(path: Path, data: bytes) -> None:
    is_new = not path.parent.exists()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    begun = path.with_suffix(_BEGUN)
    try:
        with open(begun, "xb", opener=_private) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        begun.rename(path)
    except BaseException:
        begun.unlink(missing_ok=True)
        raise
    for folder in path.parents[: 4 if is_new else 1]:
        _sync_folder(folder)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":  # elsewhere folders can't be opened, nor need to be
        place = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(place)
        finally:
            os.close(place)


def _remove(paths: Collection[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def _take(found: Iterator[str]) -> list[str]:
    return list(islice(found, _AT_ONCE))
