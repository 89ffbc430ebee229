"""compose.yaml: its commands as plain processes, over a real Valkey and a real PostgreSQL."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.containers import compose
from tests.containers.dockerfile import REPOSITORY, Image, read
from tests.containers.running import Program, on_a_free_port, serves
from tests.servers.process import until
from tests.servers.redis import binary

SECRETS = {
    "CONDUIT_API_KEYS": "tests:operate:a-key-for-tests-only",
    "POSTGRES_PASSWORD": "postgres1password",
    "VALKEY_PASSWORD": "valkey1password",
}
KEY = {"Authorization": "Bearer a-key-for-tests-only"}
SYSTEM = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": "/"}


@pytest.fixture
def services() -> dict[str, Any]:
    return compose.services(SECRETS)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def start(stack: ExitStack, program: Program) -> None:
    stack.callback(program.stop)
    program.start()


def start_valkey(stack: ExitStack, service: dict[str, Any], folder: Path) -> int:
    """Start it as compose does; its port."""
    command, url = on_a_free_port(service["command"])
    port = urlsplit(url).port or 0
    assert command[0] == "valkey-server"
    password = service["environment"]["REDISCLI_AUTH"]

    def answers() -> bool:
        client = Redis(port=port, password=password, retry=Retry(NoBackoff(), 0))
        with client:
            try:
                return bool(client.ping())
            except RedisError:
                return False

    data = folder / "valkey"
    data.mkdir()
    command = [str(binary("valkey")), *command[1:], "--bind", "127.0.0.1"]
    program = Program("valkey", folder, command, folder=data, environment=SYSTEM, ready=answers)
    start(stack, program)
    return port


def database_url(services: dict[str, Any], url: str) -> str:
    """The test's database at `url`, after a check that compose's URL leads to compose's own."""
    asked = urlsplit(services["server"]["environment"]["CONDUIT_DATABASE_URL"])
    made = services["postgres"]["environment"]
    assert (asked.scheme, asked.hostname, asked.port) == ("postgresql", "postgres", 5432)
    assert (asked.username, asked.password, asked.path) == (
        made["POSTGRES_USER"],
        made["POSTGRES_PASSWORD"],
        f"/{made['POSTGRES_DB']}",
    )
    return url


def test_its_commands_together_run_a_job_and_show_it(
    services: dict[str, Any], stack: ExitStack, tmp_path: Path, postgres_url: str
) -> None:
    port = start_valkey(stack, services["valkey"], tmp_path)

    def environment(name: str, **changed: str) -> dict[str, str]:
        given: dict[str, str] = SYSTEM | services[name]["environment"] | changed
        queue = given["CONDUIT_QUEUE_URL"]
        assert "@valkey:6379/" in queue
        given["CONDUIT_QUEUE_URL"] = queue.replace("@valkey:6379/", f"@127.0.0.1:{port}/")
        return given

    command, url = on_a_free_port(services["server"]["command"])
    server = Program(
        "server",
        tmp_path,
        command,
        folder=tmp_path,
        environment=environment(
            "server",
            CONDUIT_DATABASE_URL=database_url(services, postgres_url),
            CONDUIT_DATA_DIR=str(tmp_path / "data"),
        ),
        ready=serves(url),
    )
    start(stack, server)
    (mount,) = services["worker"]["volumes"]
    source, target, _ = mount.split(":")
    _, final = read()
    assert target == final.last("WORKDIR").rest
    with httpx.Client(base_url=f"{url}/api/v1", headers=KEY, timeout=20) as api:
        worker = Program(
            "worker",
            tmp_path,
            services["worker"]["command"],
            folder=REPOSITORY / source,
            environment=environment("worker"),
            ready=lambda: bool(api.get("/workers").json()["items"]),
        )
        start(stack, worker)
        submitted = subprocess.run(
            [sys.executable, "-m", "conduit", "submit", "hello", "--args", '["world"]', "--wait"],
            env=environment("worker"),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=50,
        )
        assert submitted.returncode == 0, submitted.stderr
        listed: list[dict[str, Any]] = []

        def completed() -> bool:
            answer = api.get("/jobs", params={"status": "completed"})
            listed[:] = answer.json()["items"]
            return bool(listed)

        until(completed, "the job is in the history")
        assert [job["function"] for job in listed] == ["hello"]
        assert json.loads(submitted.stdout) == "Hello, world!"


def test_no_secret_has_a_default() -> None:
    found = compose.variables()
    assert found.keys() == SECRETS.keys()
    for name, defaults in found.items():
        assert all(rest.startswith(":?") for rest in defaults), name


def test_what_must_survive_a_restart_is_in_volumes(services: dict[str, Any]) -> None:
    assert services["valkey"]["volumes"] == ["valkey:/data"]
    assert services["postgres"]["volumes"] == ["postgres:/var/lib/postgresql/data"]
    _, final = read()
    assert services["server"]["volumes"] == [f"artifacts:{final.last('VOLUME').rest}"]


def test_only_the_server_can_be_reached_and_only_from_this_machine(
    services: dict[str, Any],
) -> None:
    published = {name: each["ports"] for name, each in services.items() if "ports" in each}
    assert published == {"server": ["127.0.0.1:8080:8080"]}
    _, final = read()
    assert final.last("EXPOSE").rest == "8080"


def test_the_image_has_the_commands_that_it_is_told_to_run(
    services: dict[str, Any], image: Image
) -> None:
    for name in ("server", "worker"):
        program = services[name]["command"][0]
        assert (image.root / "opt/conduit/bin" / program).exists()
