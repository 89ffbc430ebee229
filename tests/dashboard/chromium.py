"""A Chromium for the tests: the one that is there, or one that this installs.

    python -m tests.dashboard.chromium

says where it is, and installs Debian's where there is none and root asks for it. `make test` does
that before the tests, which only look.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

VARIABLE = "CONDUIT_TEST_CHROMIUM"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
APPLICATIONS = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)
_APT = ("apt-get", "-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3")


class NoChromiumError(RuntimeError):
    """There is none, and what to do about it."""


def find() -> Path:
    """The browser to use. Raises `NoChromiumError`."""
    if named := os.environ.get(VARIABLE):
        if not Path(named).is_file():
            raise NoChromiumError(f"{VARIABLE} names {named}, which isn't there")
        return Path(named)
    found = [shutil.which(name) for name in NAMES]
    found += [path for path in APPLICATIONS if Path(path).is_file()]
    for path in found:
        if path is not None:
            return Path(path)
    raise NoChromiumError(
        "the tests of the dashboard need Chromium or Chrome: install one, or name it with "
        f"{VARIABLE}; as root on Debian, `python -m tests.dashboard.chromium` installs one"
    )


def install() -> None:
    """Install Debian's. Raises `CalledProcessError`."""
    print("no Chromium here: installing Debian's package", flush=True)
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (("update",), ("install", "-y", "--no-install-recommends", "chromium")):
        subprocess.run([*_APT, "-q", *command], env=environment, check=True)


def main() -> int:
    try:
        try:
            path = find()
        except NoChromiumError:
            if VARIABLE in os.environ or not _may_install():
                raise
            install()
            path = find()
    except (NoChromiumError, subprocess.CalledProcessError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"the dashboard is tested in {path}")
    return 0


def _may_install() -> bool:
    return shutil.which("apt-get") is not None and hasattr(os, "geteuid") and os.geteuid() == 0


if __name__ == "__main__":
    sys.exit(main())
