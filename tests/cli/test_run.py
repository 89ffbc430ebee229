"""`conduit run`: what starts, what it says, how it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from conduit.core.model import JobStatus
from tests.cli.conftest import PATIENCE_S, Cli

STARTED = "  stop "

SERVICE = """
    import asyncio, logging, os
    from pathlib import Path
    import conduit

    worker = conduit.Worker("orders", queues={"default": 1, "urgent": 3})
    log = logging.getLogger("shop")

    @worker.task
    async def charge(order_id: str, cents: int = 100) -> dict[str, int]:
        log.info("charging %s", order_id)
        return {order_id: cents}

    @worker.task
    async def refuse() -> None:
        raise ValueError("card [declined]")

    @worker.task
    async def wait_for(name: str) -> str:
        log.info("waiting")
        while not Path(name).exists():
            await asyncio.sleep(0.01)
        return name

    @worker.task
    async def meet(me: str, other: str) -> int:
        Path(me).touch()
        while not Path(other).exists():
            await asyncio.sleep(0.01)
        return os.getpid()

    @worker.cron("0 9 * * *", timezone="Europe/Zurich")
    async def daily_report() -> None: ...
"""

API = """
    import conduit
    from orders import charge

    api = conduit.Api("shop", port=0)

    @api.post("/orders/{order_id}")
    async def create(order_id: str) -> dict[str, str]:
        return {"job_id": (await charge.submit(order_id)).job_id}
"""


@pytest.fixture
def service(cli: Cli) -> Path:
    return cli.write("orders.py", SERVICE)


@pytest.mark.usefixtures("service")
def test_run_shows_what_runs_and_sigterm_ends_it_with_0(cli: Cli) -> None:
    run = cli.start("run", "orders.py", "--concurrency", "7")
    banner = run.until(STARTED)
    assert "orders · 5 functions: charge, daily_report, meet, refuse, wait_for" in banner
    assert "queue default, urgent x3 · 7 at a time" in banner
    assert "sqlite:///.conduit/queue.db" in banner
    assert "daily_report in " in banner
    assert "09:00:00 Europe/Zurich · 0 9 * * * Europe/Zurich" in banner
    assert "Ctrl-C" in banner
    assert "\x1b" not in banner
    assert run.stop() == 0


def test_run_says_how_many_jobs_run_at_once_in_worker_processes(cli: Cli) -> None:
    cli.write(
        "cpu.py",
        """
        import conduit

        worker = conduit.Worker("cpu", sync_executor="process", processes=3)

        @worker.task
        def burn() -> None: ...
        """,
    )
    run = cli.start("run", "cpu.py")
    assert "queue default · 3 at a time in worker processes" in run.until(STARTED)
    (shown,) = json.loads(cli("workers", "list", "--json").stdout)
    assert shown["concurrency"] == 3
    assert run.stop() == 0


@pytest.mark.usefixtures("service")
def test_submit_waits_for_the_value_or_the_error_of_its_job(cli: Cli) -> None:
    run = cli.start("run", "orders")
    run.until(STARTED)
    done = cli("submit", "charge", "--args", '["o1"]', "--kwargs", '{"cents": 5}', "--wait")
    assert (done.returncode, json.loads(done.stdout)) == (0, {"o1": 5})
    wrong = cli("submit", "charge", "--args", '["o1", "many"]')
    assert wrong.returncode == 2
    assert "argument 'cents' of function 'charge': expected int, got 'many'" in wrong.stderr
    failed = cli("submit", "refuse", "--wait")
    assert (failed.returncode, failed.stdout) == (1, "")
    assert "ValueError: card [declined]" in failed.stderr
    impatient = cli("submit", "wait_for", "--args", '["never"]', "--wait", "--timeout", "0")
    assert impatient.returncode == 1
    assert "it goes on" in impatient.stderr
    assert run.hurry() in (0, 130)
    assert "charging o1" in run.seen


@pytest.mark.usefixtures("service")
def test_sigterm_lets_a_running_job_finish(cli: Cli) -> None:
    run = cli.start("run", "orders.py", "--log-format", "json")
    run.until('"started: worker orders"')
    job_id = cli("submit", "wait_for", "--args", '["go"]').stdout.strip()
    line = json.loads(run.until('"waiting"').splitlines()[-1])
    assert line.keys() == {"ts", "level", "logger", "message", "job_id"}
    assert (line["level"], line["logger"], line["job_id"]) == ("info", "shop", job_id)
    run.send(signal.SIGTERM)
    (cli.folder / "go").touch()
    assert run.end() == 0
    (job,) = cli.with_queue(lambda queue: queue.get([job_id]))
    assert job is not None
    assert job.status is JobStatus.COMPLETED
    assert all(json.loads(line) for line in run.seen.splitlines())


@pytest.mark.usefixtures("service")
@pytest.mark.parametrize("processes", ["1", "2"])
def test_signals_that_come_while_it_ends_change_nothing(cli: Cli, processes: str) -> None:
    run = cli.start("run", "orders.py", "--log-format", "json", "--processes", processes)
    run.until('"started: worker orders"')
    while run.process.poll() is None:
        run.send(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):  # more often, and it does nothing but hear them
            run.process.wait(0.001)
    assert run.end() == 0


def test_one_more_signal_ends_a_process_whose_threads_hang(cli: Cli) -> None:
    cli.write(
        "stuck.py",
        """
        import asyncio, sys, threading, conduit
        worker = conduit.Worker("stuck")

        @worker.task
        async def hang() -> None:
            print("hangs", file=sys.stderr)
            await asyncio.to_thread(threading.Event().wait)
        """,
    )
    run = cli.start("run", "stuck.py", "--log-format", "json")
    run.until('"started: worker stuck"')
    cli("submit", "hang")
    run.until("hangs")
    run.send(signal.SIGINT)
    run.until("1 job still runs")
    run.send(signal.SIGINT)
    run.until('"stopped"')
    run.send(signal.SIGTERM)
    assert run.end() == 130


@pytest.mark.usefixtures("service")
def test_a_run_of_processes_that_logs_json_says_nothing_else(cli: Cli) -> None:
    run = cli.start("run", "orders.py", "--log-format", "json", "--processes", "2")
    run.until('"started: worker orders"')
    assert run.stop() == 0
    messages = [json.loads(line)["message"] for line in run.seen.splitlines()]
    assert messages[:2] == ["starting 2 processes", "started: worker orders"]


@pytest.mark.usefixtures("service")
def test_a_second_signal_hands_running_jobs_back_at_once(cli: Cli) -> None:
    run = cli.start("run", "orders.py")
    run.until(STARTED)
    job_id = cli("submit", "wait_for", "--args", '["never"]').stdout.strip()
    run.until("waiting")
    assert run.hurry() in (0, 130)
    (job,) = cli.with_queue(lambda queue: queue.get([job_id]))
    assert job is not None
    assert job.status is JobStatus.QUEUED
    assert "handed back 1 job\n" in run.seen
    assert run.seen.endswith("conduit.run  stopped\n")


@pytest.mark.usefixtures("service")
def test_a_run_that_stops_says_what_it_waits_for(cli: Cli) -> None:
    run = cli.start("run", "orders.py")
    run.until(STARTED)
    cli("submit", "wait_for", "--args", '["go"]')
    run.until("waiting")
    run.send(signal.SIGINT)
    run.until("stopping; once more hands back now what still runs")
    run.until("1 job still runs (wait_for), for up to 25 s")
    (cli.folder / "go").touch()
    assert run.end() == 130
    assert "handed back" not in run.seen
    assert run.seen.endswith("conduit.run  stopped\n")


@pytest.mark.usefixtures("service")
def test_only_filters_before_anything_connects_so_an_api_needs_no_queue_server(cli: Cli) -> None:
    cli.write("shop.py", API)
    nowhere = ("--queue-url", "redis://user:secret@127.0.0.1:1/0")
    run = cli.start("run", "orders.py", "shop.py", "--only", "shop", *nowhere)
    banner = run.until(STARTED)
    assert "shop · http://127.0.0.1:" in banner
    assert ":0\n" not in banner
    assert "orders" not in banner
    assert run.stop() == 0
    with_worker = cli("run", "orders.py", "shop.py", *nowhere, "--connect-timeout", "0.3")
    assert with_worker.returncode in (3, 4)
    assert "secret" not in with_worker.stderr


@pytest.mark.usefixtures("service")
def test_a_component_that_is_not_there_is_named_with_those_that_are(cli: Cli) -> None:
    wrong = cli("run", "orders.py", "--only", "order", "--queue-url", "redis://127.0.0.1:1/0")
    assert wrong.returncode == 2
    assert "did you mean 'orders'? known: orders" in wrong.stderr


def test_a_component_that_crashes_at_start_brings_all_down_with_its_traceback(cli: Cli) -> None:
    cli.write(
        "service.py",
        """
        from contextlib import asynccontextmanager
        import sys, conduit

        @asynccontextmanager
        async def steady():
            yield
            print("closed in order", file=sys.stderr)

        @asynccontextmanager
        async def broken():
            raise RuntimeError("no database")
            yield

        good = conduit.Worker("good", lifespan=steady)
        bad = conduit.Worker("bad", lifespan=broken)

        @good.task
        async def one() -> None: ...

        @bad.task
        async def two() -> None: ...
        """,
    )
    crashed = cli("run", "service.py")
    assert crashed.returncode == 1
    assert 'service.py", line 12, in broken' in crashed.stderr
    assert "error (bad crashed): RuntimeError: no database" in crashed.stderr
    assert "closed in order" in crashed.stderr
    assert STARTED not in crashed.stderr


def test_a_port_in_use_is_one_clear_error(cli: Cli) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        cli.write("shop.py", f'import conduit\napi = conduit.Api("shop", port={port})\n')
        refused = cli("run", "shop.py")
    assert refused.returncode == 3
    assert f"127.0.0.1:{port}" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (None, "there is no file service.py"),
        ("x = 1\n", 'worker = conduit.Worker("name")'),
        ("import nothing_of_the_kind\n", "nothing_of_the_kind"),
        ("def broken(:\n", "service.py, line 1"),
        ('import conduit\nworker = conduit.Worker("idle")\n', "@worker.task"),
        (
            'import conduit\na = conduit.Worker("a")\nb = conduit.Worker("a")\n'
            "@a.task\ndef f(): ...\n@b.task\ndef g(): ...\n",
            "two workers are called 'a'",
        ),
        ('import conduit\nw = conduit.Worker("w")\n@w.cron("61 * * * *")\ndef f(): ...\n', "61"),
    ],
    ids=["missing", "empty", "import", "syntax", "idle worker", "twins", "bad cron"],
)
def test_a_service_that_cannot_run_is_explained_without_a_traceback(
    cli: Cli, source: str | None, words: str
) -> None:
    if source is not None:
        cli.write("service.py", source)
    refused = cli("run", "service.py")
    assert refused.returncode == 3
    assert words in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (cli.folder / ".conduit").exists()


def test_a_folder_without_services_says_so(cli: Cli) -> None:
    (cli.folder / "adir").mkdir()
    refused = cli("run", "adir")
    assert refused.returncode == 3
    assert "'adir' is a folder" in refused.stderr
    assert "(it has no .py files)" in refused.stderr


def test_debug_shows_the_traceback_of_an_import(cli: Cli) -> None:
    cli.write("service.py", "1 / 0\n")
    assert "--debug shows the traceback" in cli("run", "service.py").stderr
    assert 'service.py", line 1' in cli("run", "service.py", "--debug").stderr


@pytest.mark.usefixtures("service")
def test_a_queue_that_cannot_be_reached_ends_with_4(cli: Cli) -> None:
    cli.write("file", "")
    refused = cli("run", "orders.py", "--queue-url", "sqlite:///file/queue.db")
    assert refused.returncode == 4
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize("option", ["--processes", "--concurrency"])
@pytest.mark.usefixtures("service")
def test_numbers_of_workers_start_at_1(cli: Cli, option: str) -> None:
    refused = cli("run", "orders.py", option, "0")
    assert refused.returncode == 2
    assert option in refused.stderr


@pytest.mark.usefixtures("service")
def test_processes_share_the_work_and_the_first_to_die_brings_the_others_down(cli: Cli) -> None:
    run = cli.start("run", "orders.py", "--processes", "2", "--concurrency", "1")
    assert "1 at a time in each of 2 processes" in run.until(STARTED)
    first = cli.start("submit", "meet", "--args", '["a", "b"]', "--wait")
    second = cli("submit", "meet", "--args", '["b", "a"]', "--wait")
    pids = {int(first.output()), int(second.stdout)}
    assert len(pids) == 2
    os.kill(pids.pop(), signal.SIGKILL)
    assert run.end() == 1
    assert "was killed by SIGKILL; stopping the others" in run.seen


@pytest.mark.usefixtures("service")
def test_sigterm_is_passed_on_to_every_process(cli: Cli) -> None:
    run = cli.start("run", "orders.py", "--processes", "2")
    run.until(STARTED)
    assert run.stop() == 0


@pytest.mark.usefixtures("service")
def test_a_signal_while_processes_are_being_started_reaches_those_to_come(cli: Cli) -> None:
    run = cli.start("run", "orders.py", "--processes", "8")
    run.until("starting 8 processes")
    while not psutil.Process(run.process.pid).children():
        pass
    assert run.stop() == 0
    assert STARTED not in run.seen


def test_debug_lines_of_jobs_are_shown_with_debug_only(cli: Cli) -> None:
    cli.write(
        "chatty.py",
        """
        import conduit

        worker = conduit.Worker("chatty")

        @worker.task
        async def talk() -> None:
            conduit.current_job().log.debug("in detail")
            conduit.current_job().log.info("in short")
        """,
    )
    for options, shown in (((), False), (("--debug",), True)):
        run = cli.start("run", "chatty.py", *options)
        run.until(STARTED)
        job_id = cli("submit", "talk").stdout.strip()
        run.until("in short")
        assert run.stop() == 0
        assert ("in detail" in run.seen) is shown
        assert "in detail" in cli("jobs", "show", job_id).stdout


@pytest.mark.usefixtures("service")
def test_processes_end_with_a_supervisor_that_was_killed(cli: Cli) -> None:
    run = cli.start("run", "orders.py", "--processes", "2")
    run.until(STARTED)
    children = psutil.Process(run.process.pid).children()
    run.send(signal.SIGKILL)
    _, alive = psutil.wait_procs(children, timeout=PATIENCE_S)
    assert (len(children), alive) == (2, [])


@pytest.mark.usefixtures("service")
def test_processes_without_a_worker_are_refused(cli: Cli) -> None:
    cli.write("shop.py", API)
    refused = cli("run", "shop.py", "--only", "shop", "--processes", "2")
    assert refused.returncode == 2
    assert "--processes" in refused.stderr


def test_watch_survives_a_broken_edit_and_runs_the_mended_one(cli: Cli) -> None:
    first = 'import conduit\nw = conduit.Worker("w")\n@w.task\ndef before(): ...\n'
    cli.write("service.py", first)
    run = cli.start("run", "service.py", "--watch")
    assert "1 function: before" in run.until(STARTED)
    cli.write("service.py", "def broken(:\n")
    assert "service.py, line 1" in run.until("waiting for a change")
    cli.write("service.py", first.replace("before", "after"))
    assert "1 function: after" in run.until(STARTED)
    assert run.stop() == 0


@pytest.mark.parametrize(
    ("shadow", "kind"), [("", "uvloop"), ('raise ImportError("not installed")', "asyncio")]
)
def test_jobs_run_on_uvloop_where_it_is_installed(cli: Cli, shadow: str, kind: str) -> None:
    if shadow:
        cli.write("uvloop.py", shadow)
    cli.write(
        "loops.py",
        """
        import asyncio
        import conduit

        worker = conduit.Worker("loops")

        @worker.task
        async def loop_of() -> str:
            return type(asyncio.get_running_loop()).__module__
        """,
    )
    run = cli.start("run", "loops.py", PYTHONPATH=os.pathsep.join((".", *sys.path)))
    run.until(STARTED)
    answer = cli("submit", "loop_of", "--wait")
    assert json.loads(answer.stdout).split(".")[0] == kind
    assert run.stop() == 0
