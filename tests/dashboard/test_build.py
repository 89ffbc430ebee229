"""The package's own build: the dashboard is in what it makes, and never an old one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.containers.dockerfile import REPOSITORY, find_uv

BUNDLE = "src/conduit/server/dashboard"
PARTS = ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE", ".gitignore")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """As much of this project as its build looks at, with a bundle that is current."""
    copy = tmp_path / "project"
    copy.mkdir()
    for name in PARTS:
        shutil.copy(REPOSITORY / name, copy)
    leave_out = shutil.ignore_patterns("node_modules", "__pycache__")
    shutil.copytree(REPOSITORY / "dashboard", copy / "dashboard", ignore=leave_out)
    shutil.copytree(REPOSITORY / BUNDLE, copy / BUNDLE)
    (copy / "src/conduit/__init__.py").write_text("")
    return copy


def uv(folder: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run uv where npm finds no packages; its cache is a new one, below `folder`."""
    npm = {"npm_config_registry": "http://127.0.0.1:9/", "npm_config_fetch_retries": "0"}
    cache = {"npm_config_cache": str(folder / "npm"), "npm_config_prefer_online": "true"}
    return subprocess.run(
        [find_uv(), *words],
        env=os.environ | npm | cache | {"UV_PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )


def constrained(words: str) -> list[str]:
    return [*words.split(), "--build-constraints", str(REPOSITORY / "requirements/build.txt")]


@pytest.mark.timeout(120)
def test_a_wheel_made_of_the_sdist_has_the_dashboard_and_needs_no_node(
    project: Path, tmp_path: Path
) -> None:
    made = uv(tmp_path, *constrained("build"), "--out-dir", tmp_path / "dist", project)
    assert made.returncode == 0, made.stderr
    assert "building the dashboard" not in made.stderr
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    kept = [path for path in (REPOSITORY / BUNDLE).rglob("*") if path.is_file()]
    assert len(kept) > 10
    for path in kept:
        assert path.relative_to(REPOSITORY / "src").as_posix() in names


@pytest.mark.timeout(120)
def test_a_wheel_is_not_made_with_a_dashboard_of_other_sources(
    project: Path, tmp_path: Path
) -> None:
    (project / "dashboard/src/main.tsx").write_text("// changed since")
    made = uv(tmp_path, *constrained("build --wheel"), "--out-dir", tmp_path / "dist", project)
    assert made.returncode != 0
    assert "`npm ci` failed" in made.stderr
    assert not list((tmp_path / "dist").glob("*.whl"))


@pytest.mark.timeout(120)
def test_an_editable_install_goes_on_without_a_dashboard_and_keeps_the_reason(
    project: Path, tmp_path: Path
) -> None:
    (project / "dashboard/src/main.tsx").write_text("// changed since")
    assert uv(tmp_path, "venv", tmp_path / "venv").returncode == 0
    words = constrained("pip install --no-deps --python")
    made = uv(tmp_path, *words[:-2], tmp_path / "venv", *words[-2:], "--editable", project)
    assert made.returncode == 0, made.stderr
    assert [path.name for path in (project / BUNDLE).iterdir()] == ["failure.txt"]
    assert "`npm ci` failed" in (project / BUNDLE / "failure.txt").read_text()
