"""Artifacts as files below a folder."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Collection, Iterator
from itertools import islice
from pathlib import Path

from conduit.server.artifacts.store import AT_ONCE, is_location, new_location, part_of, path_of

_BEGUN = ".begun"


class FileStore:
    """Files below a folder, which is made when the first is kept.

    `history` names the database whose rows lead here.
    """

    def __init__(self, folder: Path, history: str) -> None:
        self._folder = folder
        self._part = part_of(history)

    async def check(self) -> None:
        """See `Store`. A folder that can't be written is waited for, and told by who writes."""

    async def keep(self, data: bytes) -> str:
        """See `Store`. The bytes are on the disk, not just on their way, when this returns."""
        location = new_location(self._part)
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
                elif is_location(location := f"{self._part}/{path.name}"):
                    yield location

    def _path(self, location: str) -> Path | None:
        """Where a location leads; nowhere unless it is one that a store like this made up."""
        path = path_of(location)
        return None if path is None else self._folder / path


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
    return list(islice(found, AT_ONCE))
