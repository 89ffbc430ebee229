"""Disks on which hardly any room is left."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from typing import Protocol

from conduit.queue.sqlite import SqliteQueue

PAGE = 4096
LITTLE_ROOM = 60
"""Pages that are left for those who ask for little, such as a job that ends."""


class Disk(Protocol):
    """Where a queue file lies, and how its disk gets full and free again."""

    folder: Path

    async def leave(self, pages: int, queue: SqliteQueue) -> None:
        """Let no more than so many pages be added by this queue."""
        ...

    async def make_room(self, queue: SqliteQueue) -> None:
        """Let there be room again."""
        ...

    def close(self) -> None:
        """Take the disk away."""
        ...


class LimitedFile:
    """Any disk: SQLite itself takes a limit to the file's size for the disk's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def leave(self, pages: int, queue: SqliteQueue) -> None:
        (used,) = await queue._db.write(lambda db: db.execute("PRAGMA page_count").fetchone())
        await self._limit(queue, used + pages)

    async def make_room(self, queue: SqliteQueue) -> None:
        await self._limit(queue, 1_000_000)

    async def _limit(self, queue: SqliteQueue, pages: int) -> None:
        await queue._db.write(lambda db: db.execute(f"PRAGMA max_page_count = {pages}").fetchone())

    def close(self) -> None:
        pass


class SmallDisk:
    """A disk of 16 MiB in memory, with a file on it that takes up what isn't to be used."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", folder], check=True)

    async def leave(self, pages: int, queue: SqliteQueue) -> None:
        disk = os.statvfs(self.folder)
        free = disk.f_bavail * disk.f_frsize
        self._ballast.write_bytes(bytes(free - pages * PAGE))

    async def make_room(self, queue: SqliteQueue) -> None:
        self._ballast.unlink()

    def close(self) -> None:
        try:
            subprocess.run(["umount", self.folder], check=True)
        except subprocess.CalledProcessError:  # something on it was left open
            subprocess.run(["umount", "--lazy", self.folder], check=True)
            raise


def mounts_are_allowed() -> bool:
    """Whether this user may mount a disk: root may, save in most containers."""
    if os.geteuid() != 0:
        return False
    with tempfile.TemporaryDirectory() as name:
        try:
            SmallDisk(Path(name)).close()
        except (OSError, subprocess.CalledProcessError):
            return False
        return True
