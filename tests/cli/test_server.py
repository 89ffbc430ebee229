"""`conduit server start` and `conduit dev`: the real command, asked over HTTP."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from typing import Any

import httpx
import pytest

from conduit.core.model import Artifact
from conduit.queue import Queue
from tests.cli.conftest import PATIENCE_S, Cli, Run
from tests.conformance.builders import complete, note, running
from tests.servers.process import free_port

SERVICE = """
    import conduit

    worker = conduit.Worker("shop")

    @worker.task
    async def double(number: int) -> int:
        return number * {factor}
"""


def address(run: Run) -> str:
    """Where the server says that it is."""
    (found,) = re.findall(r"server at (http://\S+)", run.until("server at ").splitlines()[-1])
    return found


def until(answer: Callable[[], Any]) -> Any:
    """What it answers, once that is something."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            if found := answer():
                return found
        except httpx.HTTPError:
            pass
        time.sleep(0.05)
    raise AssertionError("it never came")


def get(url: str) -> httpx.Response:
    return httpx.get(url, timeout=PATIENCE_S)


def post(url: str, wanted: dict[str, Any]) -> httpx.Response:
    return httpx.post(url, json=wanted, timeout=PATIENCE_S)


def test_the_server_starts_serves_and_stops(cli: Cli) -> None:
    run = cli.start("server", "start", "--port", "0")
    url = address(run)

    assert get(f"{url}/health").json()["status"] == "ok"
    assert get(f"{url}/api/v1/ready").json()["status"] == "ok"
    assert run.stop() == 0
    assert (cli.folder / ".conduit" / "history.db").exists()


def test_host_port_and_both_urls_are_taken_from_flags(cli: Cli) -> None:
    port = free_port()
    run = cli.start(
        *("server", "start", "--host", "localhost", "--port", str(port)),
        *("--database-url", "sqlite:///kept.db", "--redis-url", "sqlite:///waiting.db"),
    )

    assert address(run) == f"http://localhost:{port}"
    checks = get(f"http://127.0.0.1:{port}/ready").json()["checks"]
    assert checks["queue"]["address"] == "sqlite:///waiting.db"
    assert run.stop() == 0
    assert {"kept.db", "waiting.db"} <= {path.name for path in cli.folder.iterdir()}
    assert not (cli.folder / ".conduit").exists()


def test_keys_come_from_the_environment(cli: Cli) -> None:
    refused = cli("server", "start", "--host", "0.0.0.0", "--port", "0")
    assert refused.returncode == 3
    assert "CONDUIT_API_KEYS" in refused.stderr

    bad = cli("server", "start", CONDUIT_API_KEYS="not a key")
    assert bad.returncode == 3
    assert "not a key" not in bad.stderr


@pytest.mark.parametrize("command", ["server start", "server start --reload", "dev service.py"])
def test_a_port_that_is_taken_is_a_configuration_error(cli: Cli, command: str) -> None:
    cli.write("service.py", SERVICE.format(factor=2))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        answer = cli(*command.split(), "--port", str(taken.getsockname()[1]))
    assert answer.returncode == 3
    assert "in use" in answer.stderr


def test_the_server_starts_without_its_queue(cli: Cli) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        url = f"redis://:secret@127.0.0.1:{silent.getsockname()[1]}/0"
        run = cli.start("server", "start", "--port", "0", "--queue-url", url)
        where = address(run)
        assert get(f"{where}/health").status_code == 200
        ready = get(f"{where}/ready")
        assert ready.status_code == 503
        assert get(f"{where}/api/v1/jobs").json()["total"] == 0
        assert run.stop() == 0
    assert "secret" not in run.seen + ready.text


def test_reload_starts_the_server_anew_when_a_file_changes(cli: Cli) -> None:
    run = cli.start("server", "start", "--port", "0", "--reload")
    address(run)
    cli.write("setting.py", "x = 1")
    assert get(f"{address(run)}/health").status_code == 200
    assert run.stop() == 0


def test_dev_runs_jobs_shows_them_and_starts_anew_on_a_change(cli: Cli) -> None:
    cli.write("service.py", SERVICE.format(factor=2))
    port = free_port()
    run = cli.start("dev", "service.py", "--port", str(port))
    api = f"{address(run)}/api/v1"

    def result() -> Any:
        wanted = {"function": "double", "args": [21]}
        job_id = post(f"{api}/jobs", wanted).json()["job_id"]
        until(lambda: get(f"{api}/jobs/{job_id}").json()["status"] == "completed")
        return get(f"{api}/jobs/{job_id}").json()["result"]

    until(lambda: get(f"{api}/workers").json()["items"])
    assert result() == 42
    until(lambda: get(f"{api}/jobs?status=completed").json()["total"] == 1)

    cli.write("service.py", SERVICE.format(factor=3))
    address(run)
    assert result() == 63
    assert run.stop() == 0


def test_a_service_that_does_not_import_ends_with_3(cli: Cli) -> None:
    cli.write("service.py", "import nothing_of_this_name")
    answer = cli("dev", "service.py", "--port", "0", "--no-reload")
    assert answer.returncode == 3
    assert "nothing_of_this_name" in answer.stderr


# --- an end that nothing holds up ---------------------------------------------------------------

EMPTY = b"<ListBucketResult><Name>bucket</Name><KeyCount>0</KeyCount></ListBucketResult>"


class DrippingStore:
    """Lists nothing to the first who ask; all else it answers byte by byte, for ever."""

    def __init__(self, *, good: int) -> None:
        self._good = good
        self._over = threading.Event()
        self.stuck = threading.Event()

    @contextmanager
    def listening(self) -> Iterator[str]:
        """Its endpoint."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            threading.Thread(target=self._accept, args=(listening,), daemon=True).start()
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
            self._over.set()

    def _accept(self, listening: socket.socket) -> None:
        with suppress(OSError):  # closed
            while True:
                connection, _ = listening.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:  # the other side has gone
            while connection.recv(65_536):
                self._good -= 1
                if self._good >= 0:
                    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(EMPTY)
                    connection.sendall(head + EMPTY)
                    continue
                connection.sendall(b"HTTP/1.1 200 OK\r\nX-Endless: ")
                self.stuck.set()
                while not self._over.wait(0.5):
                    connection.sendall(b"x")
                return


async def keep_a_file(queue: Queue) -> None:
    """Run a job that does, which the server is to copy into its store."""
    job = await running(queue)
    described = Artifact("a.txt", "text/plain", 1, sha256(b"a").hexdigest())
    assert await note(queue, job, artifact=described, data=b"a")
    await complete(queue, job)


@pytest.mark.parametrize("good", [0, 1], ids=["at its start", "while it serves"])
def test_a_store_that_never_ends_its_answer_does_not_hold_up_the_end(cli: Cli, good: int) -> None:
    store = DrippingStore(good=good)
    with store.listening() as endpoint:
        run = cli.start(
            *("server", "start", "--port", "0"),
            CONDUIT_ARTIFACTS_URL=f"s3://KEY:SECRET@bucket?endpoint={endpoint}&region=x",
        )
        if good:
            address(run)
            cli.with_queue(keep_a_file)
        assert store.stuck.wait(PATIENCE_S)
        assert run.stop() == 0, run.seen
