"""`make demo`, as it runs on a terminal, off it, and when something is broken."""

from __future__ import annotations

import os
import pty
import re
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from tests.examples.support import CONDUIT, EXAMPLES, PATIENCE_S, ROOT, environment, output_of, run

DEMO = (sys.executable, str(EXAMPLES / "demo.py"))


def test_demo_ends_by_itself_off_a_terminal_and_shows_its_jobs(tmp_path: Path) -> None:
    done = run(DEMO, tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("✓") == 8
    assert "✗" not in done.stdout
    assert "\x1b" not in done.stdout
    assert re.search(r"^back_up +completed +2 ", done.stdout, re.MULTILINE)
    assert re.search(r"^watch_folder +cancelled +1 ", done.stdout, re.MULTILINE)
    assert done.stdout.count("make_thumbnail  ") >= 12  # as they end, and in the table


def test_command_that_the_demo_recommends_lists_its_jobs(tmp_path: Path) -> None:
    told = output_of(DEMO, tmp_path)
    recommended = re.search(r"conduit (jobs list --queue-url \S+)", told)
    assert recommended is not None

    listed = output_of([*CONDUIT, *recommended[1].split()], tmp_path)

    assert "watch_folder" in listed
    assert "back_up" in listed


def test_second_demo_starts_afresh(tmp_path: Path) -> None:
    first, second = output_of(DEMO, tmp_path), output_of(DEMO, tmp_path)

    assert second.count("watch_folder") == first.count("watch_folder")
    assert [each.name for each in (tmp_path / ".conduit").iterdir()] == ["demo"]


def test_demo_ends_by_itself_on_a_terminal_with_a_live_picture(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        DEMO, cwd=tmp_path, env=environment(TERM="xterm-256color"), stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        seen = bytearray()
        with os.fdopen(ours, "rb", buffering=0) as terminal, suppress(OSError):
            while piece := terminal.read(4096):  # Linux reports the other side's end as an error
                seen += piece
        assert process.wait(PATIENCE_S) == 0, seen.decode()
    assert b"\x1b[" in seen
    assert b"in worker processes" in seen


def test_interrupted_demo_stops_at_once_with_130(tmp_path: Path) -> None:
    with subprocess.Popen(
        DEMO, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "read_page" in line:
                break
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=PATIENCE_S)

    assert process.returncode == 130
    assert "Stopped." in rest


def test_demo_ends_with_1_when_something_did_not_come_true(tmp_path: Path) -> None:
    for folder in ("examples", "docs"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    (tmp_path / "examples" / "images" / "dusk.jpg").write_text("not a picture")

    done = run((sys.executable, "examples/demo.py"), tmp_path)

    assert done.returncode == 1, done.stdout + done.stderr
    assert "✗ 6 thumbnails" in done.stdout
    assert re.search(r"^make_thumbnail +dusk.jpg +failed +3 ", done.stdout, re.MULTILINE)
