"""The server as the benchmark sees it: its own counters, and which keys there are.

In bare Python, since each peer's environment has another client, or none that is the same.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit


class Server:
    """A connection. `commands` counts what was sent here, to be left out of what peers send."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._socket = socket.create_connection((parts.hostname, parts.port), timeout=60)
        self._answers = self._socket.makefile("rb")
        self.commands = 0

    def command(self, *words: str | bytes | int) -> Any:
        """Send one command; its answer."""
        encoded = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        parts = [b"*%d\r\n" % len(encoded)]
        parts += [b"$%d\r\n%b\r\n" % (len(word), word) for word in encoded]
        self._socket.sendall(b"".join(parts))
        self.commands += 1
        return self._answer()

    def _answer(self) -> Any:
        line = self._answers.readline()
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise RuntimeError(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self._answers.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return None if rest == b"-1" else [self._answer() for _ in range(int(rest))]
        return rest

    def info(self) -> dict[str, str]:
        """`INFO`, all sections in one."""
        lines = self.command("INFO").decode().splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def all_exist(self, keys: Sequence[str]) -> bool:
        """Whether all of these keys exist; the last ones are asked for first, at little cost."""
        last = keys[-100:]
        return self.command("EXISTS", *last) == len(last) and (
            self.command("EXISTS", *keys) == len(keys)
        )
