"""The queue's file: how it comes to be, which files are refused, and how its processes meet."""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from conduit.core.errors import (
    QueueCorruptError,
    QueueError,
    QueueSchemaError,
    QueueUnavailableError,
)
from conduit.core.model import Lease
from conduit.core.transitions import OutcomeKind
from conduit.queue import Queue, open_queue
from conduit.queue.base import Claim, JobFilter, Note, Outcome
from tests.cli.conftest import Cli
from tests.conformance.builders import a_job, submit
from tests.conformance.history import check_history
from tests.queue.conftest import Others, line_of

PATIENCE = 30.0
"""Seconds after which a wait that should have ended has hung."""


# --- coming to be ----------------------------------------------------------------------------


async def test_processes_that_make_the_file_at_the_same_instant_all_succeed(
    tmp_path: Path, others: Others
) -> None:
    rounds, processes = 20, 6
    with ExitStack() as gates:
        opened = [
            gates.enter_context((tmp_path / f"gate-{number}").open("w")) for number in range(rounds)
        ]
        for gate in opened:
            fcntl.flock(gate, fcntl.LOCK_EX)
        makers = [others.start("create", str(tmp_path), str(rounds)) for _ in range(processes)]
        for number, gate in enumerate(opened):
            for maker in makers:
                assert await asyncio.to_thread(line_of, maker) == f"at gate {number}"
            fcntl.flock(gate, fcntl.LOCK_UN)  # all of them at once
        for maker in makers:
            await asyncio.to_thread(maker.communicate)
        assert [maker.returncode for maker in makers] == [0] * processes
    for number in range(rounds):
        async with open_queue(f"sqlite:///{tmp_path}/queue-{number}.db") as queue:
            assert (await queue.find(JobFilter())).total == processes
            await check_history(queue)


def test_an_empty_file_becomes_a_queue(path: Path) -> None:
    path.touch()  # what a maker that was killed at once leaves behind
    made(path)
    assert path.stat().st_size > 0


async def test_missing_folders_are_made(tmp_path: Path) -> None:
    async with open_queue(f"sqlite:///{tmp_path}/some/folder/queue.db") as queue:
        await submit(queue)
    assert (tmp_path / "some/folder/queue.db").is_file()


# --- files that can't be the queue -----------------------------------------------------------


def some_text(path: Path) -> None:
    path.write_text("Dear diary, today I learnt that not every file is a database.\n" * 100)


def cut_short(path: Path) -> None:
    made(path)
    os.truncate(path, path.stat().st_size // 2)


def overwritten(path: Path) -> None:
    made(path)
    with path.open("r+b") as file:
        file.seek(100)  # the header stays
        file.write(b"\xff" * 50_000)


def of_another_program(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE customers (name TEXT)")
    connection.close()


def of_a_newer_conduit(path: Path) -> None:
    made(path)
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 1000")
    connection.close()


def made(path: Path) -> None:
    """A queue with some jobs in it, closed in good order."""

    async def make() -> None:
        async with open_queue(f"sqlite:///{path}") as queue:
            await queue.submit([a_job(args=b'{"text":"%s"}' % (b"x" * 1000)) for _ in range(100)])

    asyncio.run(make())


def of_an_older_conduit(path: Path) -> None:
    made(path)
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 4")
    connection.close()


REFUSED: dict[Callable[[Path], None], tuple[type[QueueError], str]] = {
    some_text: (QueueCorruptError, "isn't a SQLite file"),
    cut_short: (QueueCorruptError, "is damaged"),
    overwritten: (QueueCorruptError, "is damaged"),
    of_another_program: (QueueCorruptError, "some other program"),
    of_a_newer_conduit: (QueueSchemaError, "newer Conduit"),
    of_an_older_conduit: (QueueSchemaError, "older Conduit"),
}


@pytest.mark.parametrize("make", REFUSED)
def test_a_file_that_is_no_queue_is_refused_and_left_as_it_was(
    path: Path, url: str, make: Callable[[Path], None]
) -> None:
    make(path)
    before = path.read_bytes()

    async def use() -> None:
        async with open_queue(url) as queue:
            await queue.submit([a_job()])

    kind, words = REFUSED[make]
    with pytest.raises(kind, match=words) as caught:
        asyncio.run(use())
    assert str(path) in str(caught.value)
    assert path.read_bytes() == before


@pytest.mark.parametrize("make", REFUSED)
def test_the_command_line_explains_a_file_that_is_no_queue(
    cli: Cli, path: Path, url: str, make: Callable[[Path], None]
) -> None:
    make(path)
    refused = cli("queues", "pause", "default", "--queue-url", url)
    assert (refused.returncode, refused.stdout) == (3, "")
    assert REFUSED[make][1] in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize(
    "command", [("run", "service.py"), ("submit", "work"), ("jobs", "list"), ("doctor",)], ids=str
)
def test_no_command_takes_a_file_of_another_program_for_the_queue(
    cli: Cli, path: Path, url: str, command: tuple[str, ...]
) -> None:
    cli.write("service.py", SERVICE)
    of_another_program(path)
    refused = cli(*command, "--queue-url", url)
    assert refused.returncode == 3
    assert "some other program" in refused.stderr + refused.stdout
    assert "Traceback" not in refused.stderr


SERVICE = """
    import conduit

    worker = conduit.Worker("w")

    @worker.task
    async def work() -> None: ...
"""


async def test_a_file_that_is_damaged_under_a_queue_ends_its_waits_with_the_reason(
    queue: Queue, url: str, others: Others
) -> None:
    job = await submit(queue)
    waiting = asyncio.create_task(queue.wait_finished([job.id], 3600))
    await others.run("damage", url)
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(QueueCorruptError):
            await waiting
        with pytest.raises(QueueCorruptError):
            await queue.get([job.id])


# --- files that can't be written -------------------------------------------------------------


@pytest.fixture
def open_folder() -> Generator[Path]:
    """A folder that any user can enter, as the tests' own folders aren't."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        yield folder
        folder.chmod(0o777)


def allow(path: Path, mode: int) -> None:
    path.chmod(mode)


async def test_a_file_that_may_only_be_read_is_said_to_be_so(
    open_folder: Path, others: Others
) -> None:
    path = open_folder / "queue.db"
    await asyncio.to_thread(made, path)
    allow(path, 0o444)
    said = await others.run("try_as_anyone", f"sqlite:///{path}")
    assert said.startswith(f"QueueUnavailableError: {path} can't be written: check")


async def test_a_file_in_a_folder_that_may_not_be_written_is_said_to_be_so(
    open_folder: Path, others: Others
) -> None:
    path = open_folder / "queue.db"
    await asyncio.to_thread(made, path)
    allow(path, 0o666)
    allow(open_folder, 0o555)
    said = await others.run("try_as_anyone", f"sqlite:///{path}")
    assert said.startswith(f"QueueUnavailableError: {path} can't be")
    assert "folder" in said


async def test_a_folder_that_may_not_be_made_is_said_to_be_so(
    open_folder: Path, others: Others
) -> None:
    allow(open_folder, 0o555)
    said = await others.run("try_as_anyone", f"sqlite:///{open_folder}/sub/queue.db")
    assert said.startswith(f"QueueUnavailableError: the folder {open_folder}/sub can't be made: ")
    assert "Permission denied" in said
    assert "CONDUIT_DATA_DIR" in said


async def test_a_folder_in_whose_place_there_is_a_file_is_said_to_be_so(
    tmp_path: Path, cli: Cli
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(QueueUnavailableError, match="file can't be made"):
        await open_queue(f"sqlite:///{tmp_path}/file/queue.db").open()
    cli.write("service.py", SERVICE)
    refused = cli("run", "service.py", CONDUIT_DATA_DIR="file")
    assert refused.returncode == 4
    assert f"the folder {tmp_path}/file can't be made" in refused.stderr
    assert "Traceback" not in refused.stderr


async def test_a_folder_in_the_files_place_is_said_to_be_so(tmp_path: Path) -> None:
    with pytest.raises(QueueUnavailableError, match="can't be opened"):
        await open_queue(f"sqlite:///{tmp_path}").open()


# --- between processes -----------------------------------------------------------------------


async def test_what_another_process_changes_wakes_everyone_who_waits(
    queue: Queue, url: str, others: Others
) -> None:
    running, waiting = await submit(queue), await submit(queue)
    functions = "task", "work"
    claim = Claim(worker_id="w", queues=("default",), functions=functions, limit=1)
    (claimed,) = await queue.claim(claim)
    assert claimed.id == running.id
    await queue.wait_for_jobs(["default"], 0)
    await queue.read_events("test", "test")

    news = asyncio.create_task(queue.wait_for_jobs(["default"], 3600))
    finished = asyncio.create_task(queue.wait_finished([waiting.id, running.id], 3600))
    cancels = asyncio.create_task(queue.wait_for_cancels("w", 3600))
    events = asyncio.create_task(queue.read_events("test", "test", timeout=3600))
    await others.run("change", url, waiting.id, running.id)

    async with asyncio.timeout(PATIENCE):
        await news
        assert [job.id for job in await finished] == [waiting.id]
        assert [lease.job_id for lease in await cancels] == [running.id]
        told = [event.job_id for each in await events for event in each.entry.events]
        assert told[0] == "news"


async def test_changes_that_bring_nothing_to_claim_wake_no_worker(queue: Queue, url: str) -> None:
    claim = Claim(worker_id="w", queues=("default",), functions=("task",), limit=2)
    await submit(queue)
    (job,) = await queue.claim(claim)
    lease = Lease(job.id, job.token or "")
    waiting = asyncio.create_task(queue.wait_for_jobs(["default"], 3600))
    async with open_queue(url) as other:
        for writer in (queue, other) * 10:
            await writer.record([Note(lease=lease, progress=0.5)])
            await submit(writer, queue="another")
            await submit(writer, delay_ms=3_600_000)
        await other.finish([Outcome(lease=lease, kind=OutcomeKind.COMPLETE)])
        for _ in range(20):
            await queue.get([job.id])  # a round trip behind what the wait has asked for
        assert not waiting.done()
        await submit(other)
        async with asyncio.timeout(PATIENCE):
            await waiting


async def test_an_idle_worker_hardly_uses_the_processor(cli: Cli, url: str) -> None:
    cli.write("service.py", SERVICE)
    run = cli.start("run", "service.py", "--queue-url", url)
    await asyncio.to_thread(run.until, "  stop ")
    process = psutil.Process(run.process.pid)
    # What starting up still asks for passes; a worker that never rests never gets here.
    while await asyncio.to_thread(process.cpu_percent, 2) >= 5:
        pass
    assert run.stop() == 0


# --- closing ---------------------------------------------------------------------------------


async def test_what_is_under_way_when_a_queue_is_closed_is_done_and_answered(url: str) -> None:
    queue = open_queue(url)
    await queue.open()
    submits = [asyncio.create_task(queue.submit([a_job(id=f"job-{n}")])) for n in range(3)]
    looks = asyncio.create_task(queue.find(JobFilter()))
    await asyncio.sleep(0)  # they have been asked for
    await queue.close()
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(looks, *submits)
    async with open_queue(url) as again:
        assert (await again.find(JobFilter())).total == 3


async def test_who_waits_on_a_queue_that_is_closed_is_told(url: str) -> None:
    queue = open_queue(url)
    await queue.open()
    job = await submit(queue)
    waiting = asyncio.create_task(queue.wait_finished([job.id], 3600))
    await asyncio.wait({waiting}, timeout=0.1)
    await queue.close()
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(QueueError, match="isn't open"):
            await waiting


async def test_every_kind_of_call_and_wait_ends_when_the_queue_is_closed(url: str) -> None:
    for _ in range(10):
        queue = open_queue(url)
        await queue.open()
        job = await submit(queue)
        waits = [
            queue.wait_for_jobs(["empty"], 3600),
            queue.wait_finished([job.id], 3600),
            queue.wait_for_cancels("w", 3600),
            queue.read_events("g", "c", timeout=3600),
        ]
        calls = [queue.submit([a_job()]) for _ in range(100)]
        begun = [asyncio.create_task(each) for each in (*waits, *calls)]
        await asyncio.sleep(0)
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(queue.close(), queue.close())
            answers = await asyncio.gather(*begun, return_exceptions=True)
        assert all(isinstance(answer, QueueError | list) or answer is None for answer in answers), (
            answers
        )


async def test_a_queue_opens_works_and_closes_while_all_of_the_loops_threads_are_busy(
    url: str,
) -> None:
    loop, done = asyncio.get_running_loop(), threading.Event()
    loop.set_default_executor(ThreadPoolExecutor(max_workers=1))
    busy = loop.run_in_executor(None, done.wait)
    try:
        async with asyncio.timeout(PATIENCE):
            async with open_queue(url) as queue:
                await submit(queue)
    finally:
        done.set()
        await busy


async def test_a_thread_that_outlives_the_main_thread_can_submit(
    queue: Queue, url: str, others: Others
) -> None:
    job_id = await others.run("submit_at_exit", url)
    (job,) = await queue.get([job_id])
    assert job is not None


async def test_an_open_that_is_given_up_leaves_a_queue_that_can_be_opened(url: str) -> None:
    queue = open_queue(url)
    opening = asyncio.create_task(queue.open())
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    async with asyncio.timeout(PATIENCE):
        async with queue:
            await submit(queue)


# --- a file that is taken away ---------------------------------------------------------------


def remove(path: Path) -> None:
    """What `rm queue.db*` does."""
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()


def replace(path: Path) -> None:
    remove(path)
    made(path)


def move_and_put_back(path: Path) -> None:
    path.rename(path.with_suffix(".moved"))
    path.with_suffix(".moved").rename(path)


TAKEN = "was removed or replaced while it was in use: restart all that uses it"


@pytest.mark.parametrize("take", [remove, replace])
async def test_a_file_that_was_taken_away_is_written_and_read_no_more(
    queue: Queue, path: Path, take: Callable[[Path], None]
) -> None:
    job = await submit(queue)
    await asyncio.to_thread(take, path)
    claim = Claim(worker_id="w", queues=("default",), functions=("task",), limit=1)
    for call in (queue.submit([a_job()]), queue.claim(claim), queue.get([job.id])):
        with pytest.raises(QueueCorruptError, match=TAKEN):
            await call


async def test_who_waits_on_a_file_is_told_that_it_was_taken_away(queue: Queue, path: Path) -> None:
    job = await submit(queue)
    waits = [
        asyncio.create_task(queue.wait_finished([job.id], 3600)),
        asyncio.create_task(queue.wait_for_jobs(["empty"], 3600)),
        asyncio.create_task(queue.wait_for_cancels("w", 3600)),
    ]
    await asyncio.wait(waits, timeout=0.1)
    remove(path)
    async with asyncio.timeout(PATIENCE):
        for wait in waits:
            with pytest.raises(QueueCorruptError, match=TAKEN):
                await wait


async def test_a_file_that_was_moved_and_put_back_is_used_on(queue: Queue, path: Path) -> None:
    job = await submit(queue)
    move_and_put_back(path)
    assert await queue.get([job.id]) != [None]
    await submit(queue)


def test_a_worker_whose_file_was_taken_away_ends_with_that_reason(
    cli: Cli, path: Path, url: str
) -> None:
    cli.write("service.py", SERVICE)
    run = cli.start("run", "service.py", "--queue-url", url)
    run.until("  stop ")
    remove(path)
    assert run.end() != 0
    assert f"{path} {TAKEN}" in run.seen
