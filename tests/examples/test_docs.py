"""The pages: their programs run, their links lead somewhere, their tables say what the code says.

A block whose info string ends with `run` is run, in the order of the page, in a folder of the
page's own: `python run` as a script, `console run` line by line, `conduit run` in the background
until the page's end. `python file=NAME` is a file that they need.
"""

from __future__ import annotations

import ast
import inspect
import re
import shlex
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from conduit import TaskHandle
from conduit.core.transitions import TABLE
from conduit.sdk.declaration import TaskOptions
from tests.examples.support import CONDUIT, ROOT, output_of, service

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_BLOCK = re.compile(r"^```(?P<info>\w[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]+\]\((?P<target>[^)#:]*)(?:#(?P<anchor>[^)]+))?\)")
_COMMAND = re.compile(r"^\$ conduit (.+)\n((?:[^$\n].*\n)*)", re.MULTILINE)
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


class Block(NamedTuple):
    info: str
    text: str


def blocks_of(page: Path) -> list[Block]:
    return [Block(*found.groups()) for found in _BLOCK.finditer(page.read_text("utf-8"))]


def has_programs(page: Path) -> bool:
    return any(block.info.endswith(" run") for block in blocks_of(page))


def name_of(page: Path) -> str:
    return page.stem


@pytest.mark.parametrize("page", [page for page in PAGES if has_programs(page)], ids=name_of)
def test_programs_of_the_page_run(page: Path, tmp_path: Path) -> None:
    with ExitStack() as background:
        for number, (info, text) in enumerate(blocks_of(page)):
            language, _, what = info.partition(" ")
            if what.startswith("file="):
                (tmp_path / what.removeprefix("file=")).write_text(text, "utf-8")
            elif what == "run" and language == "python":
                script = tmp_path / f"block_{number}.py"
                script.write_text(text, "utf-8")
                output_of([sys.executable, str(script)], tmp_path)
            elif what == "run":
                follow(text, tmp_path, background)


def follow(session: str, folder: Path, background: ExitStack) -> None:
    """Type the commands of a session, and see what the page shows as their output."""
    for command, shown in _COMMAND.findall(session):
        words = shlex.split(command)
        if words[0] == "run":
            background.enter_context(service(*words[1:], folder=folder))
        else:
            told = output_of([*CONDUIT, *words], folder)
            assert not shown or told == shown


@pytest.mark.parametrize("page", [*PAGES, *sorted(ROOT.glob("C*.md"))], ids=name_of)
def test_nothing_of_a_merge_is_left_in_the_page(page: Path) -> None:
    assert not re.search(r"^(<{7}|={7}|>{7})( |$)", page.read_text("utf-8"), re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_python_of_the_page_compiles(page: Path) -> None:
    for info, text in blocks_of(page):
        if info.startswith("python"):
            compile(text, page.name, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT | ast.PyCF_ONLY_AST)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_of_the_page_lead_somewhere(page: Path) -> None:
    for link in _LINK.finditer(page.read_text("utf-8")):
        target = page.parent / link["target"] if link["target"] else page
        assert target.exists(), link[0]
        if link["anchor"]:
            assert link["anchor"] in anchors_of(target), link[0]


def anchors_of(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = _HEADING.findall(page.read_text("utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_readme_fits_about_two_screens() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 100


def test_table_of_guarantees_is_the_table_of_transitions() -> None:
    page = (ROOT / "docs" / "guarantees.md").read_text("utf-8")
    rows = re.findall(r"^\| (\w+) \|(?: (\w+))? \| (\w+) \| `(job\.\w+)` \|$", page, re.MULTILINE)

    told = [(verb, source or None, target, event) for verb, source, target, event in rows]

    assert told == [(row.verb, row.source, row.target, row.event) for row in TABLE]


def test_tables_of_tasks_name_every_option() -> None:
    page = (ROOT / "docs" / "tasks.md").read_text("utf-8")
    of_tasks, of_submits = (
        set(re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (`[^|]+) \|", section, re.MULTILINE))))
        for section in re.split(r"^## Options of ", page, flags=re.MULTILINE)[1:3]
    )

    declared = set(TaskOptions.__annotations__)
    assert of_tasks == {name for name in declared if not name.startswith("on_")} | {"on_start"}
    parameters = set(inspect.signature(TaskHandle.options).parameters) - {"self"}
    assert of_submits == parameters
