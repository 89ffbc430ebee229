"""What a mutant is: a deliberate mistake in Conduit's sources, and who has to notice it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from msgspec import Struct

import conduit

HERE = Path(__file__).parents[2]
SOURCES = Path(conduit.__file__).parents[1]
_PATIENCE_S = 900
_WRONG = re.compile(r"^WRONG (\w+):", re.MULTILINE)


class Lab(Struct, frozen=True, kw_only=True):
    """A run of the laboratory, once per seed; the checker's complaints are what counts."""

    pair: str
    scenario: str = "short"

    def __str__(self) -> str:
        return f"lab {self.scenario}, {self.pair}"

    def complaints(self, sources: Path, seed: int) -> list[str]:
        """The names of the checks that complain; none where the run holds, or is void."""
        command = ["tests.faults.lab", "--scenario", self.scenario, "--seeds", str(seed)]
        done = _run(sources, *command, "--pairs", self.pair)
        return sorted(set(_WRONG.findall(done)))


class Tests(Struct, frozen=True):
    """Tests of the suite, by file and by what is in their names."""

    path: str
    words: str

    def __str__(self) -> str:
        return f"{self.path}: {self.words}"

    def complaints(self, sources: Path, seed: int) -> list[str]:
        """The tests that fail."""
        done = _run(
            sources, "pytest", "-q", "-x", "-p", "no:cacheprovider", self.path, "-k", self.words
        )
        if " passed" not in done and " failed" not in done:
            raise RuntimeError(f"{self} ran no test:\n{done}")
        return sorted(set(re.findall(r"^FAILED \S+::(\w+)", done, re.MULTILINE)))


def _run(sources: Path, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=HERE,
        env=os.environ | {"PYTHONPATH": f"{sources}:{HERE}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_PATIENCE_S,
        check=False,
    )
    return done.stdout


class Mutant(Struct, frozen=True, kw_only=True):
    """A mistake: in the file at `path` the text `right`, which is there once, becomes `wrong`."""

    name: str
    mistake: str
    path: str
    right: str
    wrong: str
    killers: tuple[Lab | Tests, ...]
    """Each of them has to notice it."""

    def apply(self, sources: Path) -> None:
        """Make the mistake. Raises `ValueError` where the text isn't there exactly once."""
        path = sources / "conduit" / self.path
        text = path.read_text("utf-8")
        if (count := text.count(self.right)) != 1:
            raise ValueError(f"{self.name}: {self.path} has the text {count} times, not once")
        path.write_text(text.replace(self.right, self.wrong), "utf-8")


SQLITE = Lab(pair="sqlite")
VALKEY = Lab(pair="always-postgres")
