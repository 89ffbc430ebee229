"""What a file that a job keeps is said to be."""

from __future__ import annotations

import pytest

from conduit.engine.content_types import guessed_type
from conduit.engine.context import current_job
from tests.engine.bench import Bench, task


@pytest.mark.parametrize(
    ("name", "of_bytes", "of_text"),
    [
        ("report.csv", "text/csv", "text/csv; charset=utf-8"),
        ("a/b.JSON", "application/json", "application/json"),
        ("plot.png", "image/png", "image/png"),
        ("rows.csv.gz", "application/gzip", "text/csv; charset=utf-8"),
        ("page.html", "text/html", "text/html; charset=utf-8"),
        ("data:text/html,x", "application/octet-stream", "text/plain; charset=utf-8"),
        ("https://x/report.csv", "text/csv", "text/csv; charset=utf-8"),
        ("model", "application/octet-stream", "text/plain; charset=utf-8"),
        (".gz", "application/octet-stream", "text/plain; charset=utf-8"),
        ("x.not-known", "application/octet-stream", "text/plain; charset=utf-8"),
    ],
)
def test_a_name_says_what_a_file_is(name: str, of_bytes: str, of_text: str) -> None:
    assert guessed_type(name, is_text=False) == of_bytes
    assert guessed_type(name, is_text=True) == of_text


async def test_what_a_job_says_itself_comes_first(bench: Bench) -> None:
    told: list[str] = []

    async def job() -> None:
        context = current_job()
        told.append((await context.artifact("report.csv", b"a,b")).content_type)
        told.append((await context.artifact("report.csv", "a,b")).content_type)
        told.append((await context.artifact("report.csv", b"a,b", "text/x-own")).content_type)

    await bench.start(task(job))
    await bench.run("job")
    assert told == ["text/csv", "text/csv; charset=utf-8", "text/x-own"]
