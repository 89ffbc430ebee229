"""One SIGTERM ends a run in time, whatever its tasks do; worn-out workers are replaced."""

from __future__ import annotations

import json
import signal
import sys
from textwrap import dedent

import psutil
import pytest

from conduit.core.model import JobStatus
from tests.cli.conftest import Cli

STARTED = "  stop "

STUCK = """
    import asyncio, atexit, contextlib, multiprocessing, sys, threading, time
    from concurrent.futures import ThreadPoolExecutor
    import conduit

    @contextlib.asynccontextmanager
    async def lifespan():
        yield
        if "lifespan" in HANGS:
            await asyncio.sleep(600)

    HANGS = set()
    worker = conduit.Worker("svc", shutdown_timeout=0.5, lifespan=lifespan)

    def begin() -> None:
        print("begun", file=sys.stderr, flush=True)

    @worker.task
    def in_thread() -> None:
        begin()
        time.sleep(600)

    @worker.task
    async def in_default_executor() -> None:
        begin()
        await asyncio.to_thread(time.sleep, 600)

    @worker.task
    def in_own_pool() -> None:
        with ThreadPoolExecutor(1) as pool:
            future = pool.submit(time.sleep, 600)
            begin()
            future.result()

    @worker.task
    async def in_left_thread() -> None:
        threading.Thread(target=time.sleep, args=(600,), daemon=False).start()
        begin()
        await asyncio.sleep(600)

    @worker.task
    async def in_processes() -> None:
        pool = multiprocessing.get_context("fork").Pool(1)
        begin()
        await asyncio.to_thread(pool.apply, time.sleep, (600,))

    @worker.task
    async def blocks_loop() -> None:
        begin()
        time.sleep(600)

    @worker.task
    async def deaf() -> None:
        begin()
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(600)

    @worker.task
    async def leaves_atexit() -> None:
        atexit.register(time.sleep, 600)
        begin()
        await asyncio.sleep(600)

    @worker.task
    async def leaves_lifespan() -> None:
        HANGS.add("lifespan")
        begin()
        await asyncio.sleep(600)
"""

WAYS = [
    "in_thread",
    "in_default_executor",
    "in_own_pool",
    "in_left_thread",
    "in_processes",
    "blocks_loop",
    "deaf",
    "leaves_atexit",
    "leaves_lifespan",
]


@pytest.mark.parametrize("function", WAYS)
def test_one_signal_ends_a_run_and_hands_its_job_back(cli: Cli, function: str) -> None:
    cli.write("stuck.py", STUCK)
    run = cli.start("run", "stuck.py")
    run.until(STARTED)
    job_id = cli.submit(function)
    run.until("begun")
    assert run.stop() == 0
    assert "stopping; once more hands back now what still runs" in run.seen
    assert run.seen.endswith("stopped\n")
    (job,) = cli.with_queue(lambda queue: queue.get([job_id]))
    assert job is not None
    assert (job.status, job.failures, job.rescues) == (JobStatus.QUEUED, 0, 0)


def test_a_child_that_nothing_can_stop_is_killed_by_its_supervisor(cli: Cli) -> None:
    cli.write("stuck.py", STUCK)
    run = cli.start("run", "stuck.py", "--processes", "2")
    run.until(STARTED)
    frozen = psutil.Process(run.process.pid).children()[0]
    frozen.suspend()
    assert run.stop() == 1


def test_a_script_goes_on_after_its_run_but_its_threads_do_not_keep_it(cli: Cli) -> None:
    script = """
    submitted = in_left_thread.submit_sync()
    conduit.run(worker)
    print("goes on", file=sys.stderr, flush=True)
"""
    cli.write("script.py", dedent(STUCK) + dedent(script))
    run = cli.start(command=(sys.executable, "script.py"))
    run.until("begun")
    assert run.stop() == 0
    assert "goes on\n" in run.seen


SLOW_TO_IMPORT = """
    import sys, time
    import conduit

    worker = conduit.Worker("svc")

    @worker.task
    def nothing() -> None: ...

    print("importing", file=sys.stderr, flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("options", [(), ("--processes", "2"), ("--watch",)])
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 0), (signal.SIGHUP, 0), (signal.SIGINT, 130)]
)
def test_a_signal_ends_a_run_that_is_still_importing_its_service(
    cli: Cli, options: tuple[str, ...], number: signal.Signals, code: int
) -> None:
    cli.write("slow.py", SLOW_TO_IMPORT)
    run = cli.start("run", "slow.py", *options)
    run.until("importing")
    run.send(number)
    assert run.end() == code
    assert "Traceback" not in run.seen


def test_sigquit_shows_where_a_service_is_in_its_import(cli: Cli) -> None:
    cli.write("slow.py", SLOW_TO_IMPORT)
    run = cli.start("run", "slow.py")
    run.until("importing")
    run.send(signal.SIGQUIT)
    run.until('slow.py", line 1')  # at the line that says so, or the next
    assert run.stop() == 0


COUNTING = """
    import asyncio, os
    import conduit

    worker = conduit.Worker("counting", {options})
    @worker.task
    async def number() -> int:
        return os.getpid()
"""


def test_ctrl_c_while_processes_start_shows_no_traceback(cli: Cli) -> None:
    cli.write("counting.py", COUNTING.format(options=""))
    run = cli.start("run", "counting.py", "--processes", "2")
    run.until("starting 2 processes")
    # They are at Python's own imports at first, where it would show one.
    run.send(signal.SIGINT)
    assert run.end() == 130
    assert "Traceback" not in run.seen


@pytest.mark.parametrize("options", [(), ("--processes", "2")])
def test_a_worker_process_is_replaced_after_max_jobs(cli: Cli, options: tuple[str, ...]) -> None:
    cli.write("counting.py", COUNTING.format(options="concurrency=1"))
    run = cli.start("run", "counting.py", "--max-jobs", "3", *options)
    run.until(STARTED)
    pids = [cli.value("number") for _ in range(9)]
    assert all(pids.count(pid) <= 3 for pid in pids)
    assert len(set(pids)) >= 3
    assert run.stop() == 0
    assert "is worn out: it has run 3 jobs (max_jobs); another one takes its place" in run.seen


def test_a_worn_out_process_lets_its_jobs_finish_and_has_one_follower(cli: Cli) -> None:
    cli.write(
        "mixed.py",
        """
        import asyncio, os, pathlib, sys
        import conduit

        worker = conduit.Worker("mixed", concurrency=2, max_jobs=2, shutdown_timeout=0.1)

        @worker.task
        async def number() -> int:
            return os.getpid()

        @worker.task
        async def slow() -> int:
            print("begun", file=sys.stderr, flush=True)
            while not pathlib.Path("go").exists():
                await asyncio.sleep(0.02)
            return os.getpid()
        """,
    )
    run = cli.start("run", "mixed.py")
    run.until(STARTED)
    slow = cli.submit("slow")
    run.until("begun")
    first = {cli.value("number") for _ in range(2)}
    run.until("another one takes its place")
    second = {cli.value("number") for _ in range(4)}
    assert len(first) == len(second) == 1
    assert first != second
    cli.write("go", "")
    run.until("another one takes its place")  # the second one's, as the first has ended
    (job,) = cli.with_queue(lambda queue: queue.wait_finished([slow], 10))
    assert {json.loads(job.result or b"null")} == first
    assert run.stop() == 0
    assert run.seen.count("begun") == 1


def test_a_worker_process_is_replaced_when_it_has_grown_too_large(cli: Cli) -> None:
    cli.write(
        "leaky.py",
        """
        import os
        import conduit

        worker = conduit.Worker("leaky", max_memory=150)
        kept = []

        @worker.task
        async def leak() -> int:
            kept.append(os.urandom(200_000_000))
            return os.getpid()
        """,
    )
    run = cli.start("run", "leaky.py")
    run.until(STARTED)
    first = cli.value("leak")
    run.until("(max_memory=150); another one takes its place")
    second = cli.value("leak")
    assert first != second
    assert run.stop() == 0


def test_a_limit_below_the_idle_size_is_said_and_replaces_nothing(cli: Cli) -> None:
    cli.write("counting.py", COUNTING.format(options="max_memory=1"))
    run = cli.start("run", "counting.py")
    run.until("before its first job, more than max_memory=1")
    assert cli.value("number") == cli.value("number")
    assert run.stop() == 0


def test_a_script_with_a_worn_out_worker_ends_in_good_order_and_not_with_0(cli: Cli) -> None:
    cli.write(
        "script.py",
        """
        import conduit

        worker = conduit.Worker("counting", max_jobs=1)

        @worker.task
        async def once() -> None: ...

        if __name__ == "__main__":
            once.submit_sync()
            conduit.run(worker)
        """,
    )
    run = cli.start(command=(sys.executable, "script.py"))
    assert run.end() == 1
    assert "the run ends, for whoever started it to start it anew" in run.seen
