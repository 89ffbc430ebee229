"""A clock that can be set: runs a module in a process whose time, and whose Redis's, is off.

    python -m tests.faults.lab.clock FILE MODULE [ARGUMENT...]

`time.time` and `time.time_ns` are ahead by as many milliseconds as FILE holds, which may change at
any moment; the monotonic clock isn't touched, as it wouldn't be if somebody set the machine's. The
clock of a Redis is a key's value ahead, which the scripts that this process sends add to `TIME`: it
jumps for everybody in the same step. Nothing of that is in the sources under test.

The lab itself goes by the machine's true time, and so does the journal.
"""

from __future__ import annotations

import mmap
import runpy
import struct
import sys
import time
from pathlib import Path

from conduit.queue.redis import RedisQueue, scripts

KEY = "lab:clock"
"""The key with the seconds by which a Redis is ahead. It is in nobody's namespace."""

_MS = struct.Struct("<q")
_TIME = "local time = redis.call('TIME')\n"
_TIME_SET = f"{_TIME}  time[1] = time[1] + (tonumber(redis.call('GET', '{KEY}')) or 0)\n"


class Clock:
    """By how many milliseconds a process is ahead: in a file, which it looks at each time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.exists():
            path.write_bytes(_MS.pack(0))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), _MS.size)

    @property
    def ahead_ms(self) -> int:
        """What it is."""
        return _MS.unpack_from(self._map)[0]

    @ahead_ms.setter
    def ahead_ms(self, ms: int) -> None:
        _MS.pack_into(self._map, 0, ms)


def _set_this_process(clock: Clock) -> None:
    true_time, true_time_ns = time.time, time.time_ns
    time.time = lambda: true_time() + clock.ahead_ms / 1000
    time.time_ns = lambda: true_time_ns() + clock.ahead_ms * 1_000_000


def _set_redis() -> None:
    read, now = scripts._read, RedisQueue.now  # pyright: ignore[reportPrivateUsage]

    async def set_now(self: RedisQueue) -> int:
        server = self._server  # pyright: ignore[reportPrivateUsage]
        return await now(self) + 1000 * int(await server.command("GET", KEY) or 0)

    def set_read(part: str) -> str:
        text = read(part)
        if text.count("'TIME'") != text.count(_TIME):
            raise RuntimeError(f"the script {part} asks for the time in a way of its own")
        return text.replace(_TIME, _TIME_SET)

    scripts._read = set_read  # pyright: ignore[reportPrivateUsage]
    RedisQueue.now = set_now


if __name__ == "__main__":
    _, file, module, *arguments = sys.argv
    _set_this_process(Clock(Path(file)))
    _set_redis()
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
