"""The bundle that the package's build makes, and what it is made of."""

from __future__ import annotations

import gzip
import json
import re
import sys
from pathlib import Path

import pytest

from tests.containers.dockerfile import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "dashboard"))
import bundle

MOST_SCRIPT = 300_000
"""Bytes of compressed script until the first page is there."""


@pytest.fixture(scope="module")
def built() -> Path:
    assert bundle.is_current(), "the dashboard isn't built: run `make dashboard`"
    return bundle.BUNDLE


def test_the_types_of_the_api_are_those_of_the_server(tmp_path: Path) -> None:
    fresh = tmp_path / "schema.ts"
    bundle.write_api_types(fresh)
    kept = REPOSITORY / "dashboard/src/api/schema.ts"
    assert kept.read_text() == fresh.read_text(), "the API has changed: run `make api`"


def test_the_first_load_is_small(built: Path) -> None:
    scripts = first_scripts(built)
    assert len(scripts) >= 2
    assert sum(len(gzip.compress(each.read_bytes())) for each in scripts) < MOST_SCRIPT


def first_scripts(built: Path) -> set[Path]:
    """Those of the first page, and all that they import before it is drawn; the overview's, too."""
    index = (built / "index.html").read_text()
    wanted = {built / path for path in re.findall(r'(?:src|href)="/(assets/[^"]+\.js)"', index)}
    wanted |= set((built / "assets").glob("overview-*.js"))
    found: set[Path] = set()
    while wanted:
        script = wanted.pop()
        found.add(script)
        names = re.findall(r'(?:from|import)\s*"\./([^"]+\.js)"', script.read_text())
        wanted |= {script.with_name(name) for name in names} - found
    return found


def test_nothing_is_asked_of_other_machines(built: Path) -> None:
    index = (built / "index.html").read_text()
    assert not re.findall(r'(?:src|href)="(?!/)[^"]*"', index)
    for style in built.rglob("*.css"):
        assert not re.findall(r"url\((?!/assets/)[^)]*\)|@import", style.read_text())


def test_no_script_stands_in_the_page_itself(built: Path) -> None:
    index = (built / "index.html").read_text()
    assert re.findall(r"<script\b[^>]*>", index)
    assert all(" src=" in tag for tag in re.findall(r"<script\b[^>]*>", index))


def test_the_lock_names_no_registry() -> None:
    packages = json.loads((REPOSITORY / "dashboard/package-lock.json").read_text())["packages"]
    assert len(packages) > 100
    assert not [name for name, package in packages.items() if "resolved" in package]


def test_every_version_is_exact() -> None:
    package = json.loads((REPOSITORY / "dashboard/package.json").read_text())
    assert "dependencies" not in package, "all are bundled: none is installed with Conduit"
    for name, version in package["devDependencies"].items():
        assert re.fullmatch(r"\d+\.\d+\.\d+", version), name


def test_packages_half_fetched_are_removed_before_they_are_fetched_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules = tmp_path / "node_modules"
    (modules / "left").mkdir(parents=True)
    monkeypatch.setattr(bundle, "MODULES_STAMP", modules / "stamp")

    def npm(*words: str) -> None:
        assert words == ("ci",)
        modules.mkdir()  # fails over what is there

    monkeypatch.setattr(bundle, "_npm", npm)
    bundle.install()
    assert [each.name for each in modules.iterdir()] == ["stamp"]
