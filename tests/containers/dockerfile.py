"""Does what a Dockerfile says in a folder, as far as that can be done without an image engine.

Both stages happen at the same path, one after the other, as they do in an image. What needs a base
image, its Debian users above all, isn't done; commands run as whoever runs the tests.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class Instruction:
    word: str
    rest: str

    @property
    def command(self) -> list[str]:
        """What an instruction in the exec form starts; the test fails for any other form."""
        return json.loads(self.rest[self.rest.index("[") :])


@dataclass
class Stage:
    name: str
    instructions: list[Instruction] = field(default_factory=list)

    def all(self, word: str) -> list[Instruction]:
        return [each for each in self.instructions if each.word == word]

    def last(self, word: str) -> Instruction:
        return self.all(word)[-1]


def read(path: Path = REPOSITORY / "Dockerfile") -> list[Stage]:
    """The stages of a Dockerfile, in order."""
    stages: list[Stage] = []
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        word, _, rest = line.partition(" ")
        if word == "FROM":
            stages.append(Stage(rest.partition(" AS ")[2]))
        elif word:
            stages[-1].instructions.append(Instruction(word, rest))
    return stages


@dataclass
class Image:
    """What building left behind: the files below `root`, and how a container would start."""

    root: Path
    stage: Stage

    @property
    def command(self) -> list[str]:
        return self.stage.last("CMD").command

    @property
    def health_check(self) -> list[str]:
        return self.stage.last("HEALTHCHECK").command

    @property
    def folder(self) -> Path:
        return _below(self.root, self.stage.last("WORKDIR").rest)

    @property
    def data(self) -> Path:
        return _below(self.root, self.stage.last("VOLUME").rest)

    def environment(self, **extra: str) -> dict[str, str]:
        """The image's own, in place of what whoever runs the tests has set for Conduit."""
        system = {"PATH": os.environ["PATH"], "HOME": "/"}
        for instruction in self.stage.all("ENV"):
            for pair in shlex.split(instruction.rest):
                name, _, value = pair.partition("=")
                value = ":".join(self._place(part, system) for part in value.split(":"))
                system[name] = value
        return system | extra

    def _place(self, value: str, known: Mapping[str, str]) -> str:
        if value.startswith("$"):
            return known[value[1:]]
        return str(_below(self.root, value)) if value.startswith("/") else value


def build(folder: Path) -> Image:
    """Follow the Dockerfile of the repository in an empty folder."""
    first, second = read()
    root, built = folder / "root", folder / first.name
    place = _run_stage(first, root)
    for instruction in first.instructions:
        if instruction.word == "COPY":
            _copy_context(instruction.rest, place)
        elif instruction.word == "RUN":
            _run(instruction.rest, place, root)
    root.rename(built)

    _run_stage(second, root)
    image = Image(root, second)
    image.data.mkdir(parents=True)
    for instruction in second.all("COPY"):
        origin, source, target = instruction.rest.split()
        assert origin == f"--from={first.name}"
        destination = _below(root, target)
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(_below(built, source), destination, symlinks=True, copy_function=os.link)
    shutil.rmtree(built)
    return image


def _run_stage(stage: Stage, root: Path) -> Path:
    place = _below(root, stage.last("WORKDIR").rest)
    place.mkdir(parents=True)
    return place


def _below(root: Path, path: str) -> Path:
    return root / path.removeprefix("/")


# --- COPY ---------------------------------------------------------------------------------------


def _copy_context(words: str, place: Path) -> None:
    *sources, target = words.split()
    for source in sources:
        origin = REPOSITORY / source
        files = list(_files(origin)) if origin.is_dir() else [origin]
        into = place / target / (origin.name if origin.is_file() else "")
        admitted = [path for path in files if not ignored(path.relative_to(REPOSITORY).as_posix())]
        assert admitted, f"COPY {source}: .dockerignore leaves nothing of it"
        for path in admitted:
            copy = into / path.relative_to(origin) if origin.is_dir() else into
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def ignored(path: str) -> bool:
    """Whether .dockerignore keeps a file from the build: of all lines that match, the last says."""
    out = False
    for line in (REPOSITORY / ".dockerignore").read_text().splitlines():
        pattern, keeps = line.removeprefix("!").strip("/"), line.startswith("!")
        if pattern and not pattern.startswith("#") and _matches(path, pattern):
            out = not keeps
    return out


def _matches(path: str, pattern: str) -> bool:
    """Whether a pattern is that of the file, or of a folder it lies in."""
    whole = PurePosixPath(path)
    for each in (whole, *whole.parents):
        if pattern.startswith("**/"):
            if fnmatchcase(each.name, pattern[3:]):
                return True
        elif len(each.parts) == 1 + pattern.count("/") and fnmatchcase(str(each), pattern):
            return True
    return False


# --- RUN ----------------------------------------------------------------------------------------


def _run(command: str, place: Path, root: Path) -> None:
    """Run a command with the tests' own uv, its cache and its index."""
    if "pip install --require-hashes -r requirements/bootstrap.txt" in command:
        assert "uv==" in (place / "requirements/bootstrap.txt").read_text()
        return
    uv = find_uv()
    done = subprocess.run(
        ["sh", "-ec", command.replace("/opt/", f"{root}/opt/")],
        cwd=place,
        env=os.environ
        | {"PATH": f"{uv.parent}:{os.environ['PATH']}", "UV_PYTHON": sys.executable}
        | {"UV_PYTHON_DOWNLOADS": "never"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"RUN {command}\n{done.stdout}{done.stderr}"


def find_uv() -> Path:
    """The one that make uses: on PATH, or in .tools/."""
    found = shutil.which("uv") or REPOSITORY / ".tools" / "uv"
    assert Path(found).exists(), "the tests need uv; make installs it"
    return Path(found)
