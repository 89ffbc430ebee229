"""A server as a process of its own, that can be killed, frozen and started again on its port."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

PATIENCE_S = 40.0
"""How long a state is waited for before that counts as a failure."""

LEASH = Path(__file__).with_name("leash.py")

# To the kernel "the parent has ended" means that the thread has: servers are started from one that
# lasts, so that a test may start them from any thread.
_starter = ThreadPoolExecutor(1, "servers")


class ServerError(RuntimeError):
    """A server is missing, doesn't start or doesn't reach the state that was waited for."""


def until(reached: Callable[[], object], what: str, *, patience_s: float = PATIENCE_S) -> None:
    """Look again and again until it is so; `ServerError` with `what` when it takes too long."""
    end = time.monotonic() + patience_s
    while not reached():
        if time.monotonic() > end:
            raise ServerError(f"waited {patience_s:.0f} s in vain: {what}")
        time.sleep(0.01)


def free_port() -> int:
    """A loopback port for a server, nobody else's until this process ends.

    Not one that the kernel hands out: while a server is down, an outgoing connection could be given
    its port, even the very connection that tries to reach it. A UDP socket on the same number, kept
    until the process ends, tells the other test processes that it is taken.
    """
    while True:
        port = random.randint(10_000, 32_000)
        claim = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            claim.bind(("127.0.0.1", port))
            with closing(socket.socket()) as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            claim.close()
        else:
            claim.detach()
            return port


class ServerProcess:
    """One server. All methods block: call them in a thread where an event loop must go on."""

    def __init__(
        self,
        name: str,
        folder: Path,
        command: Sequence[str | Path],
        *,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._environment = environment
        self._folder = folder
        self._command = [str(part) for part in command]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id; only while it runs."""
        if self._process is None:
            raise ServerError(f"{self.name} isn't running")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended; frozen ones run."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it and wait until it answers."""
        if self.running:
            raise ServerError(f"{self.name} runs already")
        self._process = _starter.submit(self._spawn).result()
        try:
            until(self._answers_or_ended, f"{self.name} answers")
            if not self.running:
                raise ServerError(f"{self.name} ended at its start; its log:\n{self.tail()}")
        except ServerError:
            self.kill()
            raise

    def stop(self) -> None:
        """Ask it to end, which writes down what it holds, and wait; do nothing if it has ended."""
        self.resume()
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Start it again with the files it has; stop it first if it runs."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Freeze it: connections stay open, and nothing is answered."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on, if it was frozen."""
        if self.running:
            os.kill(self.pid, signal.SIGCONT)

    def answers(self) -> bool:
        """Whether it can be worked with."""
        raise NotImplementedError

    def tail(self) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-20:])

    def _answers_or_ended(self) -> bool:
        return not self.running or self.answers()

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-I", "-S", str(LEASH), str(os.getpid()), *self._command],
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the tests, which then stop their servers
            )

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(number)
        try:
            self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise ServerError(f"{self.name} didn't end when asked to:\n{self.tail()}") from None
        finally:
            self._process = None
