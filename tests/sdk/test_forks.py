"""Processes that fork after they have submitted: daemons, web servers, multiprocessing."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from conduit.queue import open_queue
from tests.queue.conftest import line_of
from tests.sdk.support import SHARED, check_accepted, run, run_script


async def test_a_daemon_that_forked_after_its_first_submit_loses_no_job(
    tmp_path: Path, store_url: str
) -> None:
    script = tmp_path / "daemon.py"
    script.write_text(
        f"""{SHARED}
submit()
if os.fork():
    os._exit(0)  # at once, as daemons do
os.setsid()
if os.fork():
    sys.exit()
for cents in range(300):
    submit(cents)
    if cents % 30 == 0:
        print(cents, flush=True)
"""
    )
    start = partial(subprocess.Popen, stdout=subprocess.PIPE, text=True)
    with await asyncio.to_thread(start, [sys.executable, script], cwd=tmp_path) as daemon:
        while await asyncio.to_thread(
            line_of, daemon
        ):  # others come and go meanwhile; the last to close tidies up
            async with open_queue(store_url) as queue:
                await queue.health()
    await check_accepted(tmp_path, store_url, 301)


async def test_a_process_forks_at_any_moment_while_its_threads_and_event_loops_submit(
    tmp_path: Path, store_url: str
) -> None:
    code = """
import asyncio

stopped = threading.Event()

def in_thread():
    while not stopped.wait(0.001):
        submit()

async def in_loop():
    while not stopped.is_set():
        for future in await asyncio.gather(*(charge.submit(n) for n in range(5))):
            accept(future)
        await asyncio.sleep(0.01)

def in_loop_of_the_child():
    submit()
    accept(asyncio.run(charge.submit(1)))

submitters = [threading.Thread(target=in_thread) for _ in range(2)]
submitters.append(threading.Thread(target=lambda: asyncio.run(in_loop())))
for submitter in submitters:
    submitter.start()
for turn in range(4):
    children = [in_child(in_loop_of_the_child, abruptly=n == 1) for n in range(2)]
    submit()
    assert all([ended_well(child) for child in children])
stopped.set()
for submitter in submitters:
    submitter.join()
"""
    run(tmp_path, code)
    await check_accepted(tmp_path, store_url)


async def test_a_parent_goes_on_after_a_child_that_came_to_its_own_end(
    tmp_path: Path, store_url: str
) -> None:
    """A child that ends by itself collects what it inherited, down to the event loop."""
    code = """
import asyncio

loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
for cents in range(3):
    submit(cents)
    accept(loop.run_until_complete(charge.submit(cents)))
    pid = os.fork()
    if not pid:
        break
    assert ended_well(pid)
if pid:
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
"""
    assert "never retrieved" not in run_script(tmp_path, SHARED + code).stderr
    await check_accepted(tmp_path, store_url, 6)


async def test_who_waits_at_a_fork_is_answered_in_the_parent(
    tmp_path: Path, store_url: str
) -> None:
    code = """
future = charge.submit_sync(1)

def wait():
    try:
        future.result_sync(timeout=30)
    except conduit.TaskCancelledError:
        os.write(1, b"heard of it\\n")

waiters = [threading.Thread(target=wait) for _ in range(3)]
for waiter in waiters:
    waiter.start()
for _ in range(5):
    assert ended_well(in_child(future.status_sync))
assert ended_well(in_child(future.cancel_sync))
for waiter in waiters:
    waiter.join()
"""
    assert run(tmp_path, code) == "heard of it\n" * 3


async def test_a_queue_that_was_opened_before_a_fork_is_refused_after_it(
    tmp_path: Path, store_url: str
) -> None:
    code = """
import asyncio
from conduit.queue import open_queue

async def use(queue):
    try:
        await queue.functions()
    except conduit.ConduitError as error:
        print(error, flush=True)
    finally:
        await queue.close()

async def main():
    queue = open_queue(os.environ["CONDUIT_QUEUE_URL"])
    await queue.open()
    assert ended_well(in_child(lambda: threading_run(use(queue))))
    assert await queue.functions() == []
    await queue.close()

def threading_run(coroutine):
    thread = threading.Thread(target=asyncio.run, args=[coroutine])
    thread.start()
    thread.join()

asyncio.run(main())
"""
    assert "was opened by the process that forked this one" in run(tmp_path, code)


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
async def test_processes_of_multiprocessing_submit(
    tmp_path: Path, store_url: str, method: str
) -> None:
    code = f"""
import multiprocessing

if __name__ == "__main__":
    submit()
    with multiprocessing.get_context("{method}").Pool(3) as pool:
        pool.map(submit, range(30), chunksize=1)
        pool.close()
        pool.join()
    submit()
"""
    run(tmp_path, code)
    await check_accepted(tmp_path, store_url, 32)


async def test_a_signal_handler_may_fork_and_submit_in_the_midst_of_a_submit(
    tmp_path: Path, store_url: str
) -> None:
    code = """
children = []

def handle(signum, frame):
    submit()
    children.append(in_child(submit))

signal.signal(signal.SIGALRM, handle)
submits = 0
while len(children) < 10:
    signal.setitimer(signal.ITIMER_REAL, 0.002)
    for _ in range(3):
        submit()
        submits += 1
signal.signal(signal.SIGALRM, signal.SIG_IGN)
assert all([ended_well(child) for child in children])
print(submits + 2 * len(children))
"""
    await check_accepted(tmp_path, store_url, int(run(tmp_path, code)))


async def test_a_signal_handler_may_submit_in_the_midst_of_a_fork(
    tmp_path: Path, store_url: str
) -> None:
    code = """
submit()
signal.signal(signal.SIGUSR1, lambda signum, frame: submit())
os.register_at_fork(
    before=lambda: signal.raise_signal(signal.SIGUSR1),  # before Conduit's own: it comes first
    after_in_parent=lambda: signal.raise_signal(signal.SIGUSR1),
)
parent = os.getpid()

def trace(frame, event, argument):  # a signal at each line of Conduit's own part of the fork
    if not frame.f_code.co_filename.endswith("queue/forks.py") or os.getpid() != parent:
        return None
    sys.settrace(None)
    signal.raise_signal(signal.SIGUSR1)
    sys.settrace(trace)
    return trace

sys.settrace(trace)
pid = in_child(lambda: sys.settrace(None) or submit())
sys.settrace(None)
assert ended_well(pid)
"""
    run(tmp_path, code)
    await check_accepted(tmp_path, store_url)
    assert len((tmp_path / "accepted").read_text().split()) > 10


async def test_a_child_that_returns_from_the_handler_that_forked_it_is_told_that_its_call_is_lost(
    tmp_path: Path, store_url: str
) -> None:
    code = """
forked = []

def handle(signum, frame):
    forked.append(os.fork())

future = charge.submit_sync(1)
signal.signal(signal.SIGALRM, handle)
signal.setitimer(signal.ITIMER_REAL, 0.2)
try:
    future.value_sync(timeout=2)
except TimeoutError:
    assert ended_well(forked[0])
    print("parent: waited to the end", flush=True)
except RuntimeError as error:
    print("child:", error, flush=True)
"""
    child, parent = run(tmp_path, code).splitlines()
    assert "which the parent gets" in child
    assert parent == "parent: waited to the end"


async def test_a_child_that_runs_on_in_its_parents_event_loop_is_told_what_to_do(
    tmp_path: Path, store_url: str
) -> None:
    code = """
import asyncio

async def main():
    accept(await charge.submit(1))
    pid = os.fork()
    if pid:
        return ended_well(pid)
    submit()  # this one can
    try:
        await charge.submit(2)
    except RuntimeError as error:
        print(error, flush=True)
    finally:
        os._exit(0)

assert asyncio.run(main())
"""
    assert "forked by a running loop, which is its parent's" in run(tmp_path, code)
    await check_accepted(tmp_path, store_url, 2)
