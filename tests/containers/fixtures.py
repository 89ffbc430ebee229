"""The image, built once for each test process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.containers.dockerfile import Image, build
from tests.containers.running import Program, on_a_free_port, serves


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return build(tmp_path_factory.mktemp("image"))


@pytest.fixture(scope="session")
def image_address(image: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a container of the image answers that was told nothing but its keys."""
    command, url = on_a_free_port(image.command)
    program = Program(
        "container",
        tmp_path_factory.mktemp("container"),
        command,
        folder=image.folder,
        environment=image.environment(CONDUIT_API_KEYS="tests:read:a-key-for-tests-only"),
        ready=serves(url),
    )
    try:
        program.start()
        yield url
    finally:
        program.stop()
