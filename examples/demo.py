"""`make demo`: the catalogue service, driven to its end.

Starts the workers of catalogue.py in this process, submits to them as any program would, watches
the jobs, and checks what came of them. Ends with 0 when everything came out as it should, else 1.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import catalogue
from demo_display import Check, closing_table, every_job, follow, show_checks
from rich.console import Console
from rich.text import Text

import conduit
from conduit.core.model import Job, JobStatus
from conduit.queue import Queue, open_queue
from conduit.queue.base import JobFilter
from conduit.server.http.dashboard_files import BUNDLE
from conduit.settings import load_settings

TITLE = f"Conduit {version('conduit')}: cataloguing this repository"
WORKERS = (catalogue.documents, catalogue.pictures)
PATIENCE_S = 60
DELAY_S = 2.5
TICKS = 2

STEPS = {
    "build_index": "fans out and gathers",
    "read_page": "one job per page",
    "write_news": "handles event index.*",
    "make_thumbnail": "in worker processes",
    "back_up": "breaks, then resumes",
    "find_pages": "delayed",
    "take_stock": "every two seconds",
    "watch_folder": "runs until cancelled",
}


@dataclass(frozen=True)
class Ends:
    """What the scenario's jobs came to."""

    index: conduit.TaskResult[catalogue.Index]
    doubled: str
    """The job id that a second submit under the same key was given."""
    thumbnails: list[conduit.TaskResult[catalogue.Thumbnail]]
    backup: conduit.TaskResult[int]
    hits: conduit.TaskResult[list[catalogue.Hit]]
    watcher: conduit.TaskResult[None]


async def play(queue: Queue, folder: Path) -> Ends:
    """Submit everything, and wait for it."""
    watcher = await catalogue.watch_folder.submit(folder)
    delayed = await catalogue.find_pages.options(delay=DELAY_S).submit("retry", folder)
    once_a_minute = catalogue.build_index.options(key="index", unique_for=60)
    index = await once_a_minute.submit(folder=folder)
    doubled = await once_a_minute.submit(folder=folder)
    backup = await catalogue.back_up.submit(folder=folder)
    thumbnails = await conduit.submit_many(
        catalogue.make_thumbnail, [(picture, folder) for picture in catalogue.PICTURES]
    )
    await until_ticked(queue, TICKS)
    ends = Ends(
        index=await index.outcome(),
        doubled=doubled.job_id,
        thumbnails=[await thumbnail.outcome() for thumbnail in thumbnails],
        backup=await backup.outcome(),
        hits=await delayed.outcome(),
        watcher=await cancelled(watcher),
    )
    await until_quiet(queue)
    return ends


async def cancelled(future: conduit.Future[None]) -> conduit.TaskResult[None]:
    await future.cancel()
    return await future.outcome()


async def until_ticked(queue: Queue, ticks: int) -> None:
    """Wait until the schedule has made that many jobs, and they are done."""
    done = JobFilter(functions=("take_stock",), statuses=(JobStatus.COMPLETED,))
    while True:
        page = await queue.find(done, limit=1)
        if page.total >= ticks:
            return
        await asyncio.sleep(0.1)


async def until_quiet(queue: Queue) -> None:
    """Wait until no job is left, those that events made included."""
    while left := [job.id for job in await every_job(queue) if not job.status.finished]:
        await queue.wait_finished(left, PATIENCE_S)


def judge(ends: Ends, jobs: Sequence[Job], folder: Path) -> list[Check]:
    """What had to come true, in words, and whether it did."""
    index, backup, hits = ends.index.value, ends.backup, ends.hits.value or []
    news = _text_of(folder / "news.txt")
    read = [job for job in jobs if job.function == "read_page" and job.parent_id]
    ticks = sum(job.function == "take_stock" for job in jobs)
    copies = list((folder / "backup").glob("*"))
    waited = _wait_of(ends.hits)
    best = hits[0].page.name if hits else "no page"
    return [
        (
            index is not None and index.file.exists() and len(read) == index.pages,
            f"{len(read)} pages read side by side, and {index.words if index else 0:,} words "
            "gathered in one index",
        ),
        (
            ends.doubled == ends.index.job_id,
            "a second submit under the same key was given the first one's job",
        ),
        (bool(news), f"its event reached a handler: {news}"),
        (
            all(each.value is not None and each.value.file.exists() for each in ends.thumbnails),
            f"{len(ends.thumbnails)} thumbnails made in worker processes",
        ),
        (
            backup.ok
            and backup.attempts == 2
            and len(copies) == len(catalogue.PICTURES) > (backup.value or 0),
            f"the broken backup was retried: attempt {backup.attempts} copied the last "
            f"{backup.value} of {len(copies)} files",
        ),
        (
            waited >= DELAY_S and bool(hits),
            f'{waited:.1f} s later, the word "retry" was found, most often in {best}',
        ),
        (ticks >= TICKS, f"the schedule ticked {ticks} times"),
        (
            ends.watcher.status is JobStatus.CANCELLED,
            "the job without an end was cancelled while it ran",
        ),
    ]


def _text_of(file: Path) -> str:
    return file.read_text("utf-8").strip() if file.exists() else ""


def _wait_of(result: conduit.TaskResult[Any]) -> float:
    """Seconds from a job's submission to its start."""
    if result.started_at is None:
        return 0.0
    return (result.started_at - result.submitted_at).total_seconds()


@asynccontextmanager
async def working(worker: conduit.Worker) -> AsyncIterator[None]:
    """Run a worker; stop it in good order, or at once when something went wrong."""
    await worker.start()
    try:
        yield
    except BaseException:
        await worker.stop_now()
        raise
    await worker.stop()


async def demonstrate(console: Console, url: str, folder: Path) -> bool:
    """Run workers, scenario and display together; whether all came true."""
    async with AsyncExitStack() as running:
        queue = await running.enter_async_context(open_queue(url))
        for worker in WORKERS:
            await running.enter_async_context(working(worker))
        began = await queue.now()
        async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
            crashes = [group.create_task(worker.wait()) for worker in WORKERS]
            over = asyncio.Event()
            display = group.create_task(follow(queue, console, TITLE, STEPS, over))
            ends = await play(queue, folder)
            over.set()
            await display
            for crash in crashes:  # there was none, or the group would have ended
                crash.cancel()
        jobs = await every_job(queue)
        console.print(Text())
        console.print(closing_table(jobs, began))
        console.print(Text())
        checks = judge(ends, jobs, folder)
        show_checks(checks, console)
    return all(ok for ok, _ in checks)


def show_next_steps(console: Console, url: str, folder: Path) -> None:
    command = Path(sys.executable).with_name("conduit")
    history = f"sqlite:///{folder / 'history.db'}"
    with suppress(ValueError):
        command = command.relative_to(Path.cwd())
    see = "See these jobs in the dashboard, at http://127.0.0.1:8080"
    if not (BUNDLE / "stamp").is_file():
        see = "The dashboard hasn't been built: `make dashboard` does so. Then see these jobs there"
    console.print(
        Text.assemble(
            "\nThumbnails and index: ",
            (f"{folder}/", "cyan"),
            f"\n{see}\n",
            (f"  {command} server start --queue-url {url} --database-url {history}\n", "cyan"),
            "Go on with\n",
            (f"  {command} jobs list --queue-url {url}\n", "cyan"),
            (f"  {command} run examples/hello.py", "cyan"),
        ),
        soft_wrap=True,
    )


def main() -> int:
    console = Console(highlight=False)
    folder = load_settings().data_dir / "demo"
    shutil.rmtree(folder, ignore_errors=True)  # runs don't pile up
    folder.mkdir(parents=True)
    url = f"sqlite:///{folder / 'queue.db'}"
    for worker in WORKERS:
        worker.configure(queue_url=url)
    try:
        fine = asyncio.run(demonstrate(console, url, folder))
    except KeyboardInterrupt:
        console.print("Stopped.")
        return 130
    show_next_steps(console, url, folder)
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
