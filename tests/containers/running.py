"""Commands of containers as plain processes, which die with the tests."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import httpx

from tests.servers.process import ServerProcess, free_port


class Program(ServerProcess):
    """A command in a folder, up once `ready` says so."""

    def __init__(
        self,
        name: str,
        logs: Path,
        command: Sequence[str],
        *,
        folder: Path,
        environment: Mapping[str, str],
        ready: Callable[[], bool],
    ) -> None:
        program = shutil.which(command[0], path=environment["PATH"])
        assert program is not None, f"{name}: no command {command[0]!r}"
        assigned = [f"{key}={value}" for key, value in environment.items()]
        start = ["/bin/sh", "-c", 'cd "$1" && shift && exec env -i "$@"', "sh", str(folder)]
        super().__init__(name, logs, [*start, *assigned, program, *command[1:]])
        self._ready = ready

    def answers(self) -> bool:
        return self._ready()


def serves(url: str) -> Callable[[], bool]:
    """Whether a server says that it is alive."""

    def look() -> bool:
        try:
            return httpx.get(f"{url}/health", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    return look


def on_a_free_port(command: Sequence[str]) -> tuple[list[str], str]:
    """The command of a server at another port, and where that is."""
    port = free_port()
    return [*command, "--port", str(port)], f"http://127.0.0.1:{port}"
