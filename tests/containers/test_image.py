"""The image: what the Dockerfile copies and starts. Nothing else of the repository is there."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence

import httpx
import pytest

from tests.containers.dockerfile import Image, ignored, read


def call(image: Image, command: Sequence[str], **extra: str) -> subprocess.CompletedProcess[str]:
    environment = image.environment(**extra)
    return subprocess.run(
        ["env", *command],  # looks for the command on the image's PATH
        cwd=image.folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )


def test_without_keys_it_says_what_is_missing_instead_of_serving_strangers(image: Image) -> None:
    refused = call(image, image.command)
    assert refused.returncode == 3
    assert "CONDUIT_API_KEYS" in refused.stderr


def test_it_has_the_dashboard(image_address: str) -> None:
    index = httpx.get(image_address).text
    (script,) = re.findall(r'src="(/assets/[^"]+\.js)"', index)
    assert httpx.get(f"{image_address}{script}").headers["content-type"].startswith("text/javas")


def test_it_keeps_its_files_in_its_volume(image: Image, image_address: str) -> None:
    assert httpx.get(f"{image_address}/ready", timeout=20).status_code == 200
    assert {"history.db", "queue.db"} <= {path.name for path in image.data.iterdir()}
    assert not list(image.folder.iterdir())


def test_its_health_check_tells_a_server_that_answers_from_one_that_does_not(
    image: Image, image_address: str
) -> None:
    def check(port: int | str) -> int:
        return call(
            image, [word.replace(":8080/", f":{port}/") for word in image.health_check]
        ).returncode

    assert check(httpx.URL(image_address).port or 0) == 0
    assert check(1) != 0


def test_conduit_comes_from_the_image_and_not_from_the_source_tree(image: Image) -> None:
    found = call(image, ["python", "-c", "import conduit; print(conduit.__file__)"])
    assert found.stdout.startswith(f"{image.root}/"), found.stderr


@pytest.mark.parametrize("extra", ["aiosqlite", "psycopg", "redis", "uvloop"])
def test_it_can_work_with_each_store(image: Image, extra: str) -> None:
    assert call(image, ["python", "-c", f"import {extra}"]).returncode == 0


def test_it_runs_as_a_user_of_its_own() -> None:
    _, final = read()
    user = final.last("USER").rest
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
    created = final.last("RUN").rest
    assert f"--uid {user.partition(':')[0]}" in created
    for folder in (final.last("VOLUME").rest, final.last("WORKDIR").rest):
        assert re.search(rf"install --directory --owner conduit .*{folder}\b", created)


def test_commands_are_in_the_exec_form_so_that_signals_reach_them(image: Image) -> None:
    assert all(image.command)
    assert all(image.health_check)


@pytest.mark.parametrize(
    "path",
    [".env", ".git/config", ".conduit/queue.db", "tests/conftest.py", "src/conduit/x.pyc"],
)
def test_nothing_else_gets_into_the_build(path: str) -> None:
    assert ignored(path)
