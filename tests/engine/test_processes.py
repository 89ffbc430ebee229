"""Jobs in worker processes: what comes back, what goes wrong, and that nothing is left over."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
import select
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from conduit.core.codec import Signature
from conduit.core.errors import (
    InvalidTaskError,
    LeaseLostError,
    PayloadError,
    PayloadTooLargeError,
    SerializationError,
    ServiceImportError,
)
from conduit.core.model import Lease, Level
from conduit.engine.context import Fail, JobView, Retry
from conduit.engine.executors.processes import (
    ProcessPool,
    ProcessTarget,
    RemoteError,
    RemoteTraceback,
    WorkerProcessDied,
)
from conduit.engine.process.loading import load_service
from conduit.queue.base import Note
from tests.engine.services import jobs

LEASE = Lease("job-1", "3:abc")


class Recorder:
    """A `Port` that keeps what comes through it, and lets a test wait for the first of it."""

    def __init__(self, error: Exception | None = None) -> None:
        self.told: list[Note] = []
        self.recorded: list[Note] = []
        self.began: list[float] = []
        self.heard = asyncio.Event()
        self.stop = False
        self._error = error

    def send(self, note: Note) -> None:
        self.told.append(note)
        self.heard.set()

    async def record(self, note: Note) -> None:
        await asyncio.sleep(0)
        if self._error is not None:
            raise self._error
        self.recorded.append(note)

    def record_sync(self, note: Note) -> None:
        raise AssertionError("the pool awaits `record`")

    def begun(self, at: float) -> None:
        self.began.append(at)

    def deadline(self) -> float | None:
        raise AssertionError("a worker process knows its own deadline")

    def cancelled(self) -> bool:
        return self.stop

    def wait_cancelled(self, timeout: float) -> bool:
        raise AssertionError("this would block the event loop")

    async def process_id(self) -> int:
        """The id that the job sent as its progress message."""
        await self.heard.wait()
        return int(self.told[0].progress_message or "")


def view(**changes: Any) -> JobView:
    facts: dict[str, Any] = {
        "lease": LEASE,
        "function": "shop.task",
        "queue": "default",
        "priority": 0,
        "max_deliveries": 3,
        "attempt": 2,
        "max_attempts": 4,
        "fence": 3,
        "key": "order-1",
        "timeout": None,
        "metadata": b"{}",
        "checkpoint": None,
        "steps": b"{}",
    }
    return JobView(**facts | changes)


class Runner:
    """A pool, and a short way to run a function in it."""

    def __init__(self, pool: ProcessPool) -> None:
        self.pool = pool

    async def __call__(
        self,
        fn: Callable[..., Any],
        *args: Any,
        port: Recorder | None = None,
        facts: JobView | None = None,
    ) -> Any:
        call = getattr(fn, "__conduit_function__", None)
        signature = Signature.of(fn if call is None else call.call, name="shop.task")
        encoded = await self.pool.run(
            ProcessTarget.of(fn), signature.encode(args, {}), facts or view(), port or Recorder()
        )
        return json.loads(encoded)


def children() -> set[psutil.Process]:
    return set(psutil.Process().children(recursive=True))


@pytest.fixture
async def run() -> AsyncIterator[Runner]:
    """One worker process, and the proof that it's gone afterwards."""
    before = children()
    async with ProcessPool(1) as pool:
        yield Runner(pool)
    assert children() == before


# --- what comes back --------------------------------------------------------------------------


async def test_arguments_and_results_keep_their_types(run: Runner) -> None:
    assert await run(jobs.add, 2, 40) == 42
    assert await run(jobs.add, 2) == 3
    assert await run(jobs.suffix_of, Path("a/b.png")) == ".png"
    days = await run(jobs.next_days, "2026-02-27", 2)
    assert days == ["2026-02-28", "2026-03-01"]


async def test_a_task_handle_runs_its_function_with_its_own_signature(run: Runner) -> None:
    assert await run(jobs.double, 21) == 42


async def test_one_process_serves_many_jobs(run: Runner) -> None:
    ids = {await run(jobs.process_id) for _ in range(5)}
    assert len(ids) == 1
    assert os.getpid() not in ids


async def test_processes_start_only_when_they_are_needed() -> None:
    before = children()
    async with ProcessPool(2) as pool:
        assert children() == before
        await Runner(pool)(jobs.add, 1)
        assert len(children() - before) == 1


async def test_jobs_run_side_by_side_up_to_the_size_of_the_pool(tmp_path: Path) -> None:
    async with ProcessPool(2) as pool:
        first, second, third = Recorder(), Recorder(), Recorder()
        tasks = [
            asyncio.create_task(Runner(pool)(jobs.run_until_cancelled, port=port))
            for port in (first, second, third)
        ]
        assert await first.process_id() != await second.process_id()
        assert not third.heard.is_set()
        first.stop = True
        assert await tasks[0] == "saw it"
        assert await third.process_id() == await first.process_id()
        second.stop = third.stop = True
        assert await asyncio.gather(*tasks) == ["saw it"] * 3


async def test_a_job_sees_the_facts_of_its_attempt(run: Runner) -> None:
    assert await run(jobs.describe) == {"id": "job-1", "attempt": 2, "fence": 3, "key": "order-1"}


async def test_output_of_a_job_goes_straight_through(
    run: Runner, capfd: pytest.CaptureFixture[str]
) -> None:
    await run(jobs.shout)
    assert capfd.readouterr().out == "straight to the terminal\n"


# --- news on the way --------------------------------------------------------------------------


async def test_logs_are_captured_from_info_up_and_those_of_the_job_at_every_level(
    run: Runner,
) -> None:
    port = Recorder()
    await run(jobs.log_at_every_level, port=port)
    lines = [(line.level, line.logger, line.message) for note in port.told for line in note.logs]
    assert lines == [
        (Level.INFO, "some.library", "library info"),
        (Level.WARNING, "some.library", "library warning"),
        (Level.DEBUG, "conduit.job.shop.task", "job debug"),
    ]
    assert {note.lease for note in port.told} == {LEASE}


async def test_progress_arrives_in_order(run: Runner) -> None:
    port = Recorder()
    await run(jobs.report_progress, port=port)
    assert [(note.progress, note.progress_message) for note in port.told] == [
        (0.25, "a quarter"),
        (1.0, None),
    ]


async def test_metadata_is_recorded_and_merged(run: Runner) -> None:
    port = Recorder()
    facts = view(metadata=b'{"size": 3}')
    assert await run(jobs.merge_metadata, port=port, facts=facts) == {"size": 3, "colour": "red"}
    assert [note.metadata for note in port.recorded] == [b'{"colour":"red"}']


async def test_a_checkpoint_is_recorded_and_the_last_one_is_there(run: Runner) -> None:
    port = Recorder()
    facts = view(checkpoint=b'{"page": 6}')
    assert await run(jobs.save_and_read_checkpoint, port=port, facts=facts) == [
        {"page": 6},
        {"page": 7},
    ]
    assert [note.checkpoint for note in port.recorded] == [b'{"page":7}']


async def test_a_remembered_step_is_not_run_again(run: Runner) -> None:
    port = Recorder()
    assert await run(jobs.two_steps, port=port, facts=view(steps=b'{"remembered": 99}')) == [5, 99]
    assert [note.steps for note in port.recorded] == [b'{"add":5}']


async def test_a_large_artifact_comes_through(run: Runner) -> None:
    port = Recorder()
    size = 8 * 1024 * 1024
    digest = await run(jobs.keep_artifact, size, port=port)
    (note,) = port.recorded
    assert note.data == bytes(size)
    assert note.artifact is not None
    assert note.artifact.sha256 == digest


async def test_a_job_may_record_from_its_threads_and_from_its_own_event_loop(run: Runner) -> None:
    port = Recorder()
    await run(jobs.record_from_threads, port=port)
    await run(jobs.record_from_an_event_loop, port=port)
    recorded = [note.metadata for note in port.recorded]
    assert sorted(recorded[:4], key=str) == [f'{{"k{n}":"{n}"}}'.encode() for n in "abcd"]
    assert recorded[4:] == [b'{"colour":"blue"}']


async def test_a_lost_lease_is_raised_where_the_job_records(run: Runner) -> None:
    port = Recorder(error=LeaseLostError("another worker has it"))
    with pytest.raises(LeaseLostError, match="another worker has it") as caught:
        await run(jobs.merge_metadata, port=port)
    assert "set_metadata_sync" in str(caught.value.__cause__)


# --- being stopped ----------------------------------------------------------------------------


async def test_a_job_sees_that_it_is_to_stop_and_the_next_one_does_not(run: Runner) -> None:
    port = Recorder()
    port.stop = True
    assert await run(jobs.run_until_cancelled, port=port) == "saw it"
    with pytest.raises(asyncio.CancelledError):
        await run(jobs.sleep_until_cancelled, port=port)
    assert await run(jobs.is_cancelled) is False


@pytest.mark.parametrize("job", [jobs.spin, jobs.ignore_sigterm_and_sleep])
async def test_cancelling_a_run_ends_its_process_and_the_slot_gets_a_fresh_one(
    run: Runner, job: Callable[[], None]
) -> None:
    port = Recorder()
    running = asyncio.create_task(run(job, port=port))
    pid = await port.process_id()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not psutil.pid_exists(pid)
    assert await run(jobs.process_id) != pid


async def test_impatient_cancelling_still_ends_the_process(run: Runner) -> None:
    port = Recorder()
    running = asyncio.create_task(run(jobs.ignore_sigterm_and_sleep, port=port))
    process = psutil.Process(await port.process_id())
    running.cancel()
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await run.pool.close()
    assert not process.is_running()


async def test_the_programs_of_a_cancelled_job_end_with_it(run: Runner, tmp_path: Path) -> None:
    fifo = tmp_path / "program"
    os.mkfifo(fifo)
    running = asyncio.create_task(run(jobs.run_a_program, str(fifo)))
    output = await asyncio.to_thread(fifo.open)
    with output:
        assert await asyncio.to_thread(output.readline) == "started\n"
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert await asyncio.to_thread(output.read) == ""  # the program's end closed it


async def test_a_cancelled_job_leaves_the_others_alone(tmp_path: Path) -> None:
    fifo = tmp_path / "gate"
    os.mkfifo(fifo)
    async with ProcessPool(2) as pool:
        doomed_port, other_port = Recorder(), Recorder()
        doomed = asyncio.create_task(Runner(pool)(jobs.spin, port=doomed_port))
        other = asyncio.create_task(Runner(pool)(jobs.read_fifo, str(fifo), port=other_port))
        await doomed_port.process_id()
        await other_port.process_id()
        doomed.cancel()
        with pytest.raises(asyncio.CancelledError):
            await doomed
        await asyncio.to_thread(fifo.write_text, "through")
        assert await other == "through"


# --- errors -----------------------------------------------------------------------------------


async def test_an_error_keeps_its_type_its_fields_and_the_traceback_of_the_process(
    run: Runner,
) -> None:
    with pytest.raises(jobs.CardDeclinedError) as caught:
        await run(jobs.decline)
    error = caught.value
    assert (str(error), error.order, error.code) == ("order A-1: declined with 51", "A-1", 51)
    cause = error.__cause__
    assert isinstance(cause, RemoteTraceback)
    assert cause.text == str(cause)
    assert 'jobs.py", line' in cause.text
    assert 'raise CardDeclinedError("A-1", code=51)' in cause.text
    assert "process_child.py" not in cause.text


async def test_errors_with_a_meaning_for_retries_come_back_as_they_were(run: Runner) -> None:
    with pytest.raises(Retry, match="come back") as retry:
        await run(jobs.fail_by, "retry")
    assert retry.value.delay == 2.5
    with pytest.raises(Fail, match="never again"):
        await run(jobs.fail_by, "fail")
    with pytest.raises(FileNotFoundError) as missing:
        await run(jobs.fail_by, "os")
    assert missing.value.filename == "/nowhere"


@pytest.mark.parametrize(
    ("kind", "type_name", "message"),
    [
        ("lock", "WithLockError", "holds a lock"),
        ("exit", "SystemExit", "3"),
        ("stop", "StopIteration", "over"),
    ],
)
async def test_an_error_that_cannot_travel_is_told_by_name(
    run: Runner, kind: str, type_name: str, message: str
) -> None:
    with pytest.raises(RemoteError) as caught:
        await run(jobs.fail_by, kind)
    assert (caught.value.type_name, str(caught.value)) == (type_name, message)
    assert "raise errors[kind]" in str(caught.value.__cause__)


async def test_an_error_of_a_local_class_is_told_by_name(run: Runner) -> None:
    with pytest.raises(RemoteError, match="only known here") as caught:
        await run(jobs.raise_a_local_class)
    assert caught.value.type_name == "LocalError"
    assert await run(jobs.add, 1) == 2


async def test_a_result_that_json_cannot_carry_is_named_by_its_path(run: Runner) -> None:
    with pytest.raises(SerializationError) as caught:
        await run(jobs.return_an_object)
    assert caught.value.path.startswith("result")
    assert "bad" in caught.value.path
    assert await run(jobs.add, 1) == 2


async def test_a_result_over_the_limit_is_refused() -> None:
    async with ProcessPool(1, result_limit=1000) as pool:
        with pytest.raises(PayloadTooLargeError) as caught:
            await Runner(pool)(jobs.return_much, 2000)
    assert (caught.value.size, caught.value.limit) == (2002, 1000)


async def test_arguments_that_do_not_fit_fail_the_job_and_not_the_process(run: Runner) -> None:
    with pytest.raises(PayloadError, match=r"shop\.task"):
        await run.pool.run(ProcessTarget.of(jobs.add), b'{"a":"x"}', view(), Recorder())
    assert await run(jobs.add, 1) == 2


async def test_a_service_that_fails_to_import_in_the_process_says_why(
    run: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    file = tmp_path / "shop_once.py"
    file.write_text("def ring() -> None: ...\n")
    module = load_service(str(file))
    file.write_text("raise RuntimeError('no till')\n")
    with pytest.raises(ServiceImportError, match=r"shop_once\.py, line 1: RuntimeError: no till"):
        await run(module.ring)


# --- processes that die -----------------------------------------------------------------------


async def test_a_process_that_exits_by_itself_is_reported_and_replaced(run: Runner) -> None:
    with pytest.raises(
        WorkerProcessDied, match=r"shop\.task \(job job-1\) died: exit code 3"
    ) as it:
        await run(jobs.exit_at_once, 3)
    assert (it.value.status, it.value.signal) == (3, None)
    assert await run(jobs.add, 1) == 2


async def test_a_process_that_is_killed_is_reported_with_the_signal(run: Runner) -> None:
    with pytest.raises(WorkerProcessDied, match=r"SIGKILL .*out of memory") as caught:
        await run(jobs.kill_self)
    assert caught.value.signal == "SIGKILL"
    assert await run(jobs.add, 1) == 2


async def test_the_death_of_a_process_is_noticed_although_its_fork_lives_on(
    run: Runner, tmp_path: Path
) -> None:
    fifo = tmp_path / "fork"
    os.mkfifo(fifo)
    running = asyncio.create_task(run(jobs.fork_and_die, str(fifo)))
    with await asyncio.to_thread(fifo.open) as forked:
        with pytest.raises(WorkerProcessDied, match="exit code 9"):
            await running
        assert await asyncio.to_thread(forked.read) == ""  # the fork was ended, too


async def test_a_process_that_died_while_idle_costs_no_job(run: Runner) -> None:
    pid = await run(jobs.process_id)
    os.kill(pid, signal.SIGKILL)
    assert await run(jobs.process_id) != pid


@pytest.mark.skipif(sys.platform != "linux", reason="awaits the end of a process by its pidfd")
async def test_a_process_whose_main_thread_fails_ends_although_a_job_has_left_a_thread(
    run: Runner,
) -> None:
    pid = await run(jobs.leave_a_thread_and_a_handler)
    end = os.pidfd_open(pid)
    os.kill(pid, signal.SIGUSR1)
    assert (await asyncio.to_thread(select.select, [end], [], [], 30))[0]
    os.close(end)
    assert await run(jobs.process_id) != pid


async def test_a_job_that_leaves_no_streams_of_python_is_as_good_as_any(run: Runner) -> None:
    pid = await run(jobs.leave_no_streams)
    assert await run(jobs.process_id) == pid


async def test_an_alarm_that_a_job_has_set_is_not_for_the_next_one(run: Runner) -> None:
    assert await run(jobs.leave_an_alarm) == 0
    assert await run(jobs.leave_an_alarm) == 0


async def test_closing_the_pool_ends_busy_processes_and_gives_back_all_it_held() -> None:
    before, files_before = children(), psutil.Process().num_fds()
    pool = ProcessPool(2)
    port = Recorder()
    running = asyncio.create_task(Runner(pool)(jobs.ignore_sigterm_and_sleep, port=port))
    await Runner(pool)(jobs.add, 1)
    await port.process_id()
    await pool.close()
    with pytest.raises(WorkerProcessDied):
        await running
    assert children() == before
    assert psutil.Process().num_fds() == files_before
    with pytest.raises(RuntimeError, match="closed"):
        await Runner(pool)(jobs.add, 1)
    await pool.close()


ORPHANING_WORKER = """
    import asyncio, sys
    from tests.engine.services import jobs
    from tests.engine.test_processes import Recorder, Runner
    from conduit.engine.executors.processes import ProcessPool

    async def main() -> None:
        async with ProcessPool(1) as pool:
            await Runner(pool)(jobs.print_id_and_sleep, {death_signal})

    asyncio.run(main())
"""


@pytest.mark.parametrize("death_signal", [True, False])
async def test_a_process_does_not_outlive_a_killed_worker(death_signal: bool) -> None:
    code = textwrap.dedent(ORPHANING_WORKER.format(death_signal=death_signal))
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=subprocess.PIPE, env=_environment()
    )
    assert worker.stdout is not None
    process = psutil.Process(int(await worker.stdout.readline()))
    assert process.ppid() == worker.pid
    worker.kill()
    await worker.wait()
    assert await worker.stdout.read() == b""  # the end of the last process that held it


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


async def test_ctrl_c_and_an_outside_interrupt_leave_the_job_running(run: Runner) -> None:
    port = Recorder()
    running = asyncio.create_task(run(jobs.run_until_cancelled, port=port))
    pid = await port.process_id()
    assert os.getpgid(pid) != os.getpgid(0)  # the terminal's Ctrl-C doesn't reach it
    os.kill(pid, signal.SIGINT)
    port.stop = True
    assert await running == "saw it"
    assert await run(jobs.process_id) == pid


# --- what isn't shipped -----------------------------------------------------------------------


async def test_context_variables_are_not_shipped_and_do_not_leak_between_jobs(run: Runner) -> None:
    jobs.tenant.set("acme")
    assert await run(jobs.read_tenant) == "nobody"
    await run(jobs.set_tenant, "globex")
    assert await run(jobs.read_tenant) == "nobody"


@pytest.mark.parametrize(
    ("fn", "reason"),
    [
        (jobs.anonymous, "a lambda has no name"),
        (jobs.make_nested(), "inside another function"),
        (jobs.Shop().open, "bound method"),
        (functools.partial(jobs.add, 1), "isn't a function that a module holds"),
    ],
)
def test_a_function_without_a_name_of_its_own_is_refused(
    fn: Callable[..., Any], reason: str
) -> None:
    with pytest.raises(InvalidTaskError, match=reason) as caught:
        ProcessTarget.of(fn)
    assert 'sync_executor="thread"' in str(caught.value)


@pytest.mark.parametrize("fn", [jobs.first_rebound, jobs.kept_under_another_name])
def test_a_function_whose_name_leads_to_another_is_refused(fn: Callable[..., Any]) -> None:
    with pytest.raises(InvalidTaskError, match="holds something else"):
        ProcessTarget.of(fn).check(fn)


def test_a_function_and_a_handle_whose_names_lead_back_to_them_are_accepted() -> None:
    ProcessTarget.of(jobs.add).check(jobs.add)
    ProcessTarget.of(jobs.double).check(jobs.double)


async def test_another_function_under_the_name_is_not_run_instead(run: Runner) -> None:
    with pytest.raises(InvalidTaskError, match="another function by now"):
        await run(jobs.kept_under_another_name)


async def test_a_function_typed_in_on_standard_input_is_refused() -> None:
    code = """
from conduit.engine.executors.processes import ProcessTarget
def typed(): ...
try:
    ProcessTarget.of(typed)
except Exception as error:
    print(f"{type(error).__name__}: {error}")
"""
    shell = await asyncio.create_subprocess_exec(
        sys.executable, "-", stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=_environment()
    )
    output, _ = await shell.communicate(code.encode())
    assert output.decode().startswith("InvalidTaskError: functions typed into a notebook")


SCRIPT = """
    from __future__ import annotations
    import asyncio, multiprocessing, os, sys
    import neighbour
    from conduit.engine.executors.processes import ProcessPool, ProcessTarget
    from tests.engine.test_processes import Recorder, view

    print("imported", os.getpid(), flush=True)

    class TillError(Exception): ...

    def multiply(n: int) -> int:
        if n < 0:
            raise TillError(n)
        return n * neighbour.FACTOR

    def multiply_in_a_pool(n: int) -> int:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            return pool.apply(multiply, (n,))

    async def main() -> None:
        async with ProcessPool(1) as pool:
            for fn, n in ((multiply, 2), (multiply_in_a_pool, 3), (multiply, -1)):
                payload = b'{"n": %d}' % n
                try:
                    print((await pool.run(ProcessTarget.of(fn), payload, view(), Recorder())))
                except TillError as error:
                    print("TillError", error)

    if __name__ == "__main__":
        asyncio.run(main())
        print("done")
"""


@pytest.mark.parametrize("command", [["shop/serve.py"], ["-m", "shop.serve"]])
async def test_the_functions_of_a_script_run_without_running_the_script_again(
    tmp_path: Path, command: list[str]
) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "serve.py").write_text(textwrap.dedent(SCRIPT))
    (tmp_path / "shop" / "neighbour.py").write_text("FACTOR = 100\n")
    environment = _environment()
    if command[0] == "-m":
        (tmp_path / "neighbour.py").write_text("FACTOR = 100\n")
    script = await asyncio.create_subprocess_exec(
        sys.executable, *command, stdout=subprocess.PIPE, cwd=tmp_path, env=environment
    )
    output, _ = await script.communicate()
    lines = output.decode().split("\n")
    said = [line for line in lines if line and not line.startswith("imported")]
    assert said == ["b'200'", "b'300'", "TillError -1", "done"]
    importers = [line for line in lines if line.startswith("imported")]
    assert len(importers) == len(set(importers)) == 3  # script, worker process, its own process


async def test_a_service_named_like_a_module_of_python_runs_in_a_process(
    run: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    file = tmp_path / "queue.py"
    file.write_text(
        "import json, queue, helper_of_queue\n"
        "class FullError(Exception): ...\n"
        "def ring(n: int) -> str:\n"
        "    if n < 0: raise FullError(n)\n"
        "    return queue.Queue.__name__ + helper_of_queue.WORD\n"
    )
    (tmp_path / "helper_of_queue.py").write_text("WORD = '!'\n")
    module = load_service(str(file))
    assert await run(module.ring, 1) == "Queue!"
    with pytest.raises(module.FullError):
        await run(module.ring, -1)
    with contextlib.suppress(KeyError):
        del sys.modules["helper_of_queue"]
