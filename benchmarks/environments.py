"""The environments of the peers: one each, since they need different versions of the Redis client.

`PEERS` is the table; `benchmarks/peers/<name>.txt` are the locks that `make bench BENCH=lock`
writes from it. An environment is made under `.venv-bench/` when it is first needed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from benchmarks.measure import ROOT

FOLDER = ROOT / ".venv-bench"
LOCKS = ROOT / "benchmarks" / "peers"


class Environment(NamedTuple):
    """What to install, and the oldest Python that takes it."""

    requires: tuple[str, ...]
    python: tuple[int, int] = (3, 11)


# Each with hiredis where it uses redis-py: Conduit has it, and it makes every peer faster.
PEERS = {
    "taskiq": Environment(("taskiq", "taskiq-redis", "hiredis")),
    "streaq": Environment(("streaq",)),
    "arq": Environment(("arq", "hiredis")),
    "saq": Environment(("saq[hiredis,redis]", "typing-extensions")),  # imported, not declared
    "docket": Environment(("pydocket", "hiredis")),
    "dramatiq": Environment(("dramatiq[redis]", "hiredis")),
    "rq": Environment(("rq", "hiredis")),
    "celery": Environment(("celery[redis]", "hiredis")),
    "huey": Environment(("huey", "redis", "hiredis", "gevent")),
    "upnext": Environment(("upnext", "hiredis"), python=(3, 12)),
}


class InstallError(Exception):
    """An environment can't be made; the text is the last that uv said."""


def lock(uv: str) -> None:
    """Write every lock anew. Without hashes, which would be thousands of lines."""
    for name, environment in PEERS.items():
        print(f"locking {name}", flush=True)
        version = ".".join(str(part) for part in environment.python)
        subprocess.run(
            [
                *(uv, "pip", "compile", "--quiet", "--upgrade", "--universal", "-"),
                *("--python", sys.executable, "--python-version", version),
                *("--no-emit-index-url", "--no-header", "--no-annotate"),
                *("--output-file", str(LOCKS / f"{name}.txt")),
            ],
            input="\n".join(environment.requires),
            text=True,
            check=True,
        )


def interpreter(name: str, uv: str) -> Path:
    """The Python of a peer's environment, which is made unless it is there. Raises `InstallError`.

    It is made from the Python that runs here, so that all are alike, where the peer takes it.
    """
    lock_file, folder = LOCKS / f"{name}.txt", FOLDER / name
    python, stamp = folder / "bin" / "python", folder / "locked.txt"
    if stamp.is_file() and stamp.read_text() == lock_file.read_text():
        return python
    shutil.rmtree(folder, ignore_errors=True)
    _run(uv, "venv", "--quiet", "--python", _base(PEERS[name].python), str(folder))
    _run(uv, "pip", "sync", "--quiet", "--python", str(python), str(lock_file))
    shutil.copy(lock_file, stamp)
    return python


def _base(oldest: tuple[int, int]) -> str:
    """This Python if it is new enough, else the first on PATH that is, and that works."""
    if sys.version_info >= oldest:
        return sys.executable
    major, minor = oldest
    for name in (f"python{major}.{minor + newer}" for newer in range(4)):
        for folder in os.get_exec_path():
            found = shutil.which(name, path=folder)
            if found and _works(found):
                return found
    raise InstallError(f"it needs Python {major}.{minor} or newer, and none is on PATH")


def _works(python: str) -> bool:
    """Version managers put scripts on PATH that only say which version isn't chosen."""
    return not subprocess.run([python, "-V"], capture_output=True, check=False).returncode


def _run(*command: str) -> None:
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        # Warnings come before the error, and some of them are long.
        error = done.stderr.rpartition("error: ")[2]
        raise InstallError(" ".join(error.split()) or f"uv ended with {done.returncode}")
