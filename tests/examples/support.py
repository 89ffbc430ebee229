"""Examples and pages as their readers use them: real commands in a folder of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
PATIENCE_S = 50.0
CONDUIT = (sys.executable, "-m", "conduit")
READY = "Ctrl-C"
"""The last line of the banner says how to stop."""


def environment(**extra: str) -> dict[str, str]:
    """The environment without settings of whoever runs the tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CONDUIT_")}
    return kept | {"PYTHONUNBUFFERED": "1"} | extra


def run(command: Sequence[str], folder: Path, **extra: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        command,
        cwd=folder,
        env=environment(**extra),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def output_of(command: Sequence[str], folder: Path) -> str:
    """What a command that has to succeed prints."""
    done = run(command, folder)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


@contextmanager
def service(*files: Path | str, folder: Path, **extra: str) -> Iterator[None]:
    """`conduit run`, from the moment it is ready; stopped with SIGTERM, which has to end well."""
    process = subprocess.Popen(
        [*CONDUIT, "run", *map(str, files)],
        cwd=folder,
        env=environment(**extra),
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stderr is not None
            told = ""
            while READY not in told:
                line = process.stderr.readline()
                assert line, f"it ended before it was ready:\n{told}"
                told += line
            yield
            process.send_signal(signal.SIGTERM)
            _, rest = process.communicate(timeout=PATIENCE_S)
            assert process.returncode == 0, told + rest
        finally:
            process.kill()
