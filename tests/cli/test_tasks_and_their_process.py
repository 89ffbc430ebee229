"""What tasks do to the process that runs them: forks, handlers, streams, exits. On both stores."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable

import psutil
import pytest

from conduit.core.model import JobStatus
from tests.cli.conftest import COMMAND, PATIENCE_S, Cli, Run

STARTED = "  stop "

SERVICE = """
    import asyncio, logging, multiprocessing, os, signal, subprocess, sys, threading, time
    import conduit

    worker = conduit.Worker("svc", shutdown_timeout=2)
    procs = conduit.Worker("procs", sync_executor="process", processes=1, queues=["procs"])
    fork = multiprocessing.get_context("fork")

    def nap() -> None:
        time.sleep(600)

    def square(number: int) -> int:
        return number * number

    def end_a_child() -> int:
        child = fork.Process(target=nap)
        child.start()
        child.terminate()
        child.join()
        return child.exitcode

    def use_a_pool() -> list[int]:
        with fork.Pool(2) as pool:
            return pool.map(square, [1, 2, 3])

    def report_from_a_child() -> str:
        def speak(line) -> None:
            conduit.current_job().set_progress(0.5)
            try:
                conduit.current_job().save_checkpoint_sync({"by": "a child"})
            except RuntimeError as error:
                line.send(str(error))

        ours, theirs = fork.Pipe()
        child = fork.Process(target=speak, args=(theirs,))
        child.start()
        child.join()
        return ours.recv()

    def come_back() -> int:
        child = os.fork()
        return 0 if child == 0 else os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    def come_back_with_a_stream_that_hangs() -> int:
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        for size in (4096, 1):
            try:
                while os.write(writer, b"." * size):
                    pass
            except BlockingIOError:
                pass
        os.set_blocking(writer, True)
        before, sys.stdout = sys.stdout, os.fdopen(writer, "w")
        print("nobody reads this")
        child = os.fork()
        if child == 0:
            return 0
        _, status = os.waitpid(child, 0)
        os.close(reader)
        full, sys.stdout = sys.stdout, before
        try:
            full.close()
        except BrokenPipeError:
            pass
        return os.waitstatus_to_exitcode(status)

    def fork_beside_a_thread_that_logs() -> bool:
        stop, stderr = threading.Event(), os.dup(2)
        os.dup2(os.open("lines", os.O_WRONLY | os.O_CREAT), 2)  # else it fills a pipe

        def chat() -> None:
            while not stop.is_set():
                logging.getLogger("chat").warning("a line")

        thread = threading.Thread(target=chat)
        thread.start()
        hung = False
        for _ in range(60):
            child = fork.Process(target=print, args=("a line",))
            child.start()
            child.join(10)
            if hung := child.exitcode is None:
                child.kill()
                break
        stop.set()
        thread.join()
        os.dup2(stderr, 2)
        return hung

    def leave_by_sys_exit() -> int:
        child = os.fork()
        if child == 0:
            sys.exit(7)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    @worker.task
    async def come_back_to_the_loop() -> int:
        child = os.fork()
        await asyncio.sleep(0)
        _, status = await asyncio.to_thread(os.waitpid, child, 0)
        return os.waitstatus_to_exitcode(status)

    DEEDS = [
        end_a_child,
        use_a_pool,
        report_from_a_child,
        come_back,
        come_back_with_a_stream_that_hangs,
        fork_beside_a_thread_that_logs,
        leave_by_sys_exit,
    ]
    for deed in DEEDS:
        worker.task(name=f"{deed.__name__}_in_thread")(deed)
        procs.task(name=f"{deed.__name__}_in_process", queue="procs")(deed)

    def on_loop(deed):
        async def run():
            return deed()
        return run

    for deed in DEEDS:
        worker.task(name=f"{deed.__name__}_in_async")(on_loop(deed))

    @worker.task
    async def ping() -> str:
        print("a line", flush=True)
        return "pong"

    @worker.task
    async def install_handlers() -> None:
        signal.signal(signal.SIGTERM, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, lambda: None)

    def do_harm() -> None:
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)

    def see_exit_code() -> int:
        return subprocess.run(["sh", "-c", "exit 7"]).returncode

    def write_to_nobody() -> str:
        reading, writing = os.pipe()
        os.close(reading)
        try:
            os.write(writing, b"x")
        except BrokenPipeError:
            return "broken pipe"

    @worker.task
    async def do_harm_on_loop() -> None:
        await asyncio.sleep(2.5)  # the handlers are looked at every second
        do_harm()

    @worker.task
    async def see_exit_code_on_loop() -> int:
        return await (await asyncio.create_subprocess_exec("sh", "-c", "exit 7")).wait()

    procs.task(name="do_harm_in_process", queue="procs")(do_harm)
    for deed in (see_exit_code, write_to_nobody):
        worker.task(name=f"{deed.__name__}_in_thread")(deed)
        procs.task(name=f"{deed.__name__}_in_process", queue="procs")(deed)

    @worker.task
    def close_streams() -> None:
        sys.stdout.close()
        sys.stderr.close()

    @worker.task
    def close_descriptors() -> None:
        for number in range(3):
            os.close(number)

    @worker.task
    def leave_a_child() -> int:
        child = os.fork()
        if child == 0:
            nothing = os.open(os.devnull, os.O_RDWR)
            os.dup2(nothing, 1)
            os.dup2(nothing, 2)
            time.sleep(600)
            os._exit(0)
        return child

    @worker.task(timeout=0.5)
    def outlived() -> None:
        subprocess.run(["sleep", "600"])

    @worker.task(timeout=0.5)
    async def outlived_on_loop() -> None:
        await (await asyncio.create_subprocess_exec("sleep", "600")).wait()

    @procs.task(timeout=0.5, queue="procs")
    def outlived_in_process() -> int:
        subprocess.run(["sleep", "600"])

    @worker.task
    def sort_input() -> str:
        return subprocess.run(["sort"], capture_output=True, text=True).stdout

    @worker.task
    def name_stdin() -> str:
        return os.readlink("/proc/self/fd/0")

    @worker.task
    async def stop_loop() -> None:
        asyncio.get_running_loop().stop()
        await asyncio.sleep(600)

    @worker.task
    async def exit_beside() -> None:
        async def leave() -> None:
            sys.exit(0)

        leaving = asyncio.create_task(leave())
        await asyncio.sleep(600)

    @worker.task
    async def cancel_all() -> None:
        for each in asyncio.all_tasks():
            each.cancel()
        await asyncio.sleep(600)

    @procs.task(queue="procs")
    def hold_in_process() -> None:
        os.write(2, b"holds\\n")
        nap()

    @worker.task
    def exit_at_once() -> None:
        os._exit(0)

    @worker.task
    async def exit_at_once_on_loop() -> None:
        os._exit(0)
"""


@pytest.fixture(params=["sqlite", "redis"])
def store(request: pytest.FixtureRequest) -> dict[str, str]:
    """The environment that leads to an empty queue."""
    if request.param == "sqlite":
        return {}
    url, namespace = map(request.getfixturevalue, ("redis_url", "namespace"))
    return {"CONDUIT_QUEUE_URL": f"{url}?namespace={namespace}"}


Start = Callable[..., Run]


@pytest.fixture
def start(cli: Cli) -> Start:
    cli.write("service.py", SERVICE)

    def start(*options: str, **environment: str) -> Run:
        run = cli.start("run", "service.py", *options, **environment)
        run.until(STARTED)
        return run

    return start


def value(cli: Cli, function: str, store: dict[str, str]) -> object:
    queue = "procs" if function.endswith("_in_process") else "default"
    return cli.value(function, queue=queue, url=store.get("CONDUIT_QUEUE_URL"))


@pytest.mark.parametrize("mode", ["async", "thread", "process"])
def test_what_a_task_forks_does_nothing_to_its_worker(
    cli: Cli, start: Start, store: dict[str, str], mode: str
) -> None:
    run = start(**store)
    assert value(cli, f"end_a_child_in_{mode}", store) == -signal.SIGTERM
    assert value(cli, f"use_a_pool_in_{mode}", store) == [1, 4, 9]
    assert "has no line to the job's worker" in str(
        value(cli, f"report_from_a_child_in_{mode}", store)
    )
    assert value(cli, f"come_back_in_{mode}", store) == 1
    assert value(cli, f"come_back_with_a_stream_that_hangs_in_{mode}", store) == 1
    assert value(cli, f"leave_by_sys_exit_in_{mode}", store) == 7
    assert value(cli, "ping", store) == "pong"
    assert run.stop() == 0
    assert "came back from the task and was ended" in run.seen


@pytest.mark.parametrize("options", [(), ("--processes", "2")])
def test_a_child_that_a_task_leaves_holds_up_no_stop(
    cli: Cli, start: Start, options: tuple[str, ...]
) -> None:
    run = start(*options)
    child = value(cli, "leave_a_child", {})
    assert isinstance(child, int)
    try:
        run.send(signal.SIGTERM)
        assert run.process.wait(PATIENCE_S) == 0
        assert psutil.Process(child).is_running()
    finally:
        os.kill(child, signal.SIGKILL)
    assert run.end() == 0
    assert "the event loop is blocked" not in run.seen


@pytest.mark.parametrize("mode", ["async", "thread", "process"])
def test_no_child_finds_stderr_locked_by_a_line_of_the_log(
    cli: Cli, start: Start, mode: str
) -> None:
    run = start(PYTHONUNBUFFERED="")
    assert value(cli, f"fork_beside_a_thread_that_logs_in_{mode}", {}) is False
    assert run.stop() == 0


@pytest.mark.parametrize("kind", ["uvloop", "asyncio"])
def test_a_fork_that_comes_back_to_the_event_loop_ends(cli: Cli, start: Start, kind: str) -> None:
    if kind == "asyncio":
        cli.write("uvloop.py", 'raise ImportError("not installed")')
    run = start(PYTHONPATH=os.pathsep.join((".", *sys.path)))
    assert value(cli, "come_back_to_the_loop", {}) == 1
    assert value(cli, "end_a_child_in_async", {}) == -signal.SIGTERM
    assert run.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_handlers_that_a_task_installs_keep_no_signal_from_its_worker(
    cli: Cli, start: Start, number: signal.Signals
) -> None:
    run = start()
    assert value(cli, "install_handlers", {}) is None
    for _ in range(3):
        run.until("it is the worker's again")
    run.send(number)
    assert run.end() == (130 if number == signal.SIGINT else 0)
    assert run.seen.endswith("stopped\n")


@pytest.mark.parametrize("kind", ["uvloop", "asyncio"])
def test_no_task_keeps_exit_codes_and_broken_pipes_from_the_others(
    cli: Cli, start: Start, store: dict[str, str], kind: str
) -> None:
    if kind == "asyncio":
        cli.write("uvloop.py", 'raise ImportError("not installed")')
    run = start(PYTHONPATH=os.pathsep.join((".", *sys.path)), **store)
    assert value(cli, "see_exit_code_in_process", store) == 7  # in a program that goes on
    assert value(cli, "do_harm_on_loop", store) is None
    for name in ("SIGPIPE", "SIGCHLD"):
        run.until(f"a task has changed the handler of {name}; it is as before")
    for where in ("in_thread", "on_loop", "in_process"):
        assert value(cli, f"see_exit_code_{where}", store) == 7
    assert value(cli, "write_to_nobody_in_thread", store) == "broken pipe"
    cli.submit("outlived_in_process", queue="procs", url=store.get("CONDUIT_QUEUE_URL"))
    assert value(cli, "see_exit_code_in_process", store) == 7  # in another, as that one has ended
    assert run.stop() == 0


def test_what_a_job_does_to_handlers_in_its_worker_process_ends_with_it(
    cli: Cli, start: Start, store: dict[str, str]
) -> None:
    run = start(**store)
    assert value(cli, "do_harm_in_process", store) is None
    assert value(cli, "see_exit_code_in_process", store) == 7
    assert value(cli, "write_to_nobody_in_process", store) == "broken pipe"
    assert run.stop() == 0


@pytest.mark.parametrize("options", [(), ("--processes", "2")])
def test_exit_codes_are_heard_where_whoever_started_it_ignores_them(
    cli: Cli, start: Start, options: tuple[str, ...]
) -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        run = start(*options)
    finally:
        signal.signal(signal.SIGCHLD, before)
    assert value(cli, "see_exit_code_in_thread", {}) == 7
    assert run.stop() == 0


@pytest.mark.parametrize("deed", ["close_streams", "close_descriptors"])
def test_streams_that_a_task_closes_are_open_again(
    cli: Cli, start: Start, store: dict[str, str], deed: str
) -> None:
    run = start(**store)
    assert value(cli, deed, store) is None
    run.until("it is open again")
    assert value(cli, "ping", store) == "pong"
    assert run.stop() == 0
    assert run.seen.endswith("stopped\n")


def test_jobs_run_on_when_nobody_reads_what_the_worker_says(cli: Cli, start: Start) -> None:
    run = start("--log-format", "text", PYTHONUNBUFFERED="")
    assert run.process.stderr is not None
    run.process.stderr.close()
    assert value(cli, "sort_input", {}) == ""
    run.send(signal.SIGTERM)
    assert run.process.wait(PATIENCE_S) == 0


@pytest.mark.parametrize("options", [(), ("--processes", "2"), ("--watch",)])
def test_tasks_find_an_empty_stdin(cli: Cli, start: Start, options: tuple[str, ...]) -> None:
    run = start(*options)
    assert value(cli, "name_stdin", {}) == os.devnull
    assert value(cli, "sort_input", {}) == ""
    assert run.stop() == 0


@pytest.mark.parametrize(
    ("deed", "words"),
    [
        ("stop_loop", "a task stopped the event loop"),
        ("exit_beside", "a task called sys.exit(0) outside of its job"),
        ("cancel_all", "a task cancelled tasks of the event loop that aren't its own"),
        ("exit_at_once", "by os._exit(0)"),
        ("exit_at_once_on_loop", "by os._exit(0)"),
    ],
)
def test_a_worker_that_was_not_told_to_end_never_ends_with_0(
    cli: Cli, start: Start, deed: str, words: str
) -> None:
    run = start()
    cli.submit(deed)
    assert run.end() == 1
    assert words in run.seen


@pytest.mark.parametrize("deed", ["stop_loop", "exit_beside", "cancel_all"])
def test_a_job_that_may_have_ended_its_worker_is_not_handed_back_at_no_cost(
    cli: Cli, start: Start, store: dict[str, str], deed: str
) -> None:
    """It would end one worker after the other, for ever."""
    run, url = start(**store), store.get("CONDUIT_QUEUE_URL")
    harmless = cli.submit("hold_in_process", queue="procs", url=url)
    run.until("holds")
    suspect = cli.submit(deed, url=url)
    assert run.end() == 1
    jobs = cli.with_queue(lambda queue: queue.get([suspect, harmless]), url=url)
    assert [job and job.status for job in jobs] == [JobStatus.RUNNING, JobStatus.QUEUED]


def test_a_child_that_ends_by_itself_never_lets_its_run_end_with_0(cli: Cli, start: Start) -> None:
    run = start("--processes", "2")
    cli.submit("exit_at_once")
    assert run.end() == 1
    assert "ended with exit code 1; stopping the others" in run.seen


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("function", ["outlived", "outlived_on_loop"])
def test_programs_that_outlive_their_job_are_named(cli: Cli, start: Start, function: str) -> None:
    run = start()
    cli.submit(function)
    run.until(f"({function}) has run out of time; if it has started one of these programs")
    (program,) = psutil.Process(run.process.pid).children()
    assert f"sleep ({program.pid})" in run.seen
    program.kill()
    assert run.stop() == 0


def test_programs_of_a_job_in_a_worker_process_end_with_it(cli: Cli, start: Start) -> None:
    run = start()
    cli.submit("outlived_in_process", queue="procs")
    run.until("ran longer than its timeout")
    left = psutil.Process(run.process.pid).children(recursive=True)
    assert all(each.name() != "sleep" for each in left)
    assert run.stop() == 0


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="needs unshare, as root")
@pytest.mark.parametrize("options", [(), ("--processes", "2")])
def test_as_the_first_process_it_collects_orphans(cli: Cli, options: tuple[str, ...]) -> None:
    cli.write(
        "orphans.py",
        """
        import subprocess
        import conduit

        worker = conduit.Worker("orphans", shutdown_timeout=2)

        @worker.task
        def leave_orphan() -> int:
            return subprocess.run(["sh", "-c", "(sleep 0.1; exit 3) & exit 5"]).returncode

        @worker.task
        async def hold() -> None:
            import asyncio
            await asyncio.sleep(600)
        """,
    )
    run = cli.start("run", "orphans.py", *options, command=("unshare", "--pid", "--fork", *COMMAND))
    run.until(STARTED)
    for _ in range(5):
        assert value(cli, "leave_orphan", {}) == 5  # a program's own status isn't collected away
    (first,) = psutil.Process(run.process.pid).children()
    deadline = time.monotonic() + PATIENCE_S
    while any(each.status() == psutil.STATUS_ZOMBIE for each in first.children()) or any(
        each.name() == "sleep" for each in first.children()
    ):
        assert time.monotonic() < deadline, "there are zombies"
    cli.submit("hold")
    first.send_signal(signal.SIGTERM)
    assert run.end() == 0


@pytest.mark.parametrize("where", ["worker", "process"])
def test_sigquit_shows_where_every_job_is(cli: Cli, where: str) -> None:
    cli.write(
        "stuck.py",
        """
        import asyncio, sys, time
        import conduit

        worker = conduit.Worker("worker", shutdown_timeout=0)
        procs = conduit.Worker(
            "procs", sync_executor="process", processes=1, shutdown_timeout=0, queues=["procs"]
        )

        @worker.task
        async def on_loop() -> None:
            print("is on the loop", file=sys.stderr, flush=True)
            await asyncio.sleep(600)

        @worker.task
        def in_thread() -> None:
            print("is in a thread", file=sys.stderr, flush=True)
            time.sleep(600)

        @procs.task(name="held_in_process", queue="procs")
        def in_process() -> None:
            print("is in a process", file=sys.stderr, flush=True)
            time.sleep(600)
        """,
    )
    run = cli.start("run", "stuck.py")
    run.until(STARTED)
    expected: list[str] = []
    cases = {"on_loop": "is on the loop", "in_thread": "is in a thread"}
    if where == "process":
        cases = {"held_in_process": "is in a process"}
    for function, words in cases.items():
        job_id = cli.submit(function, queue="procs" if where == "process" else "default")
        run.until(words)
        expected.append(f"in job {job_id} ({function})")
    run.send(signal.SIGQUIT)
    for words in expected:
        if words not in run.seen:
            run.until(words)
    assert run.stop() == 0
