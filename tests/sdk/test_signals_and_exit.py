"""`_sync` methods where other code may hardly run: in signal handlers, at exit, under trio."""

from __future__ import annotations

from pathlib import Path

import pytest

from conduit import Worker
from tests.sdk.support import SHARED, check_accepted, run, run_script


async def test_a_signal_handler_may_submit_in_the_midst_of_any_submit(
    tmp_path: Path, store_url: str
) -> None:
    code = """
handled = 0

def handle(signum, frame):
    global handled
    submit()
    handled += 1

signal.signal(signal.SIGALRM, handle)
submits = 0
while handled < 100:
    signal.setitimer(signal.ITIMER_REAL, 0.0007)
    submit()
    submits += 1
signal.signal(signal.SIGALRM, signal.SIG_IGN)
print(submits + handled)
"""
    await check_accepted(tmp_path, store_url, int(run(tmp_path, code)))


async def test_a_signal_handler_may_submit_at_each_line_of_the_first_submit(
    tmp_path: Path, store_url: str
) -> None:
    code = """
def trace(frame, event, argument):
    if not frame.f_code.co_filename.endswith(("sdk/blocking.py", "sdk/client.py", "forks.py")):
        return None
    sys.settrace(None)
    signal.raise_signal(signal.SIGUSR1)
    sys.settrace(trace)
    return trace

signal.signal(signal.SIGUSR1, lambda signum, frame: submit())
sys.settrace(trace)
future = charge.submit_sync(1)
sys.settrace(None)
accept(future)
"""
    run(tmp_path, code)
    await check_accepted(tmp_path, store_url)


async def test_an_error_that_a_signal_handler_raises_ends_the_wait_and_the_next_call_works(
    tmp_path: Path, store_url: str
) -> None:
    code = """
class Enough(Exception):
    pass

def handle(signum, frame):
    raise Enough

signal.signal(signal.SIGALRM, handle)
future = charge.submit_sync(1)
accept(future)
signal.setitimer(signal.ITIMER_REAL, 0.2)
try:
    future.value_sync()
except Enough:
    print(future.status_sync())
"""
    assert run(tmp_path, code) == "queued\n"


EXITS = {
    "a handler of the exit that was registered last": """
import atexit
from tests.sdk.forking_service import *
atexit.register(submit)
""",
    "a handler of the exit that was registered before the import": """
import atexit
atexit.register(lambda: submit())
from tests.sdk.forking_service import *
""",
    "a thread that outlives the main one": """
import threading
from tests.sdk.forking_service import *
main = threading.main_thread()
threading.Thread(target=lambda: (main.join(), submit())).start()
""",
    "a finaliser of an object that lives on": """
import weakref
from tests.sdk.forking_service import *
class Kept: ...
kept = Kept()
weakref.finalize(kept, submit)
""",
}


@pytest.mark.parametrize("before", [0, 1], ids=["the first submit", "a later submit"])
@pytest.mark.parametrize("caller", EXITS)
async def test_at_exit_a_submit_works_or_is_refused_in_words(
    tmp_path: Path, store_url: str, caller: str, before: int
) -> None:
    done = run_script(tmp_path, EXITS[caller] + "submit()\n" * before)
    assert done.returncode == 0
    if "interpreter is ending" not in done.stderr:
        assert done.stderr == ""
        await check_accepted(tmp_path, store_url, before + 1)


async def test_in_a_finaliser_after_the_exit_a_submit_is_refused_in_words(
    tmp_path: Path, store_url: str
) -> None:
    code = """
class Object:
    def __del__(self, submit=submit):
        submit()

submit()
kept = Object()
"""
    done = run_script(tmp_path, SHARED + code)
    assert "a _sync method can't be called any more, for the interpreter is ending" in done.stderr
    assert done.returncode == 0


def test_without_an_asyncio_loop_as_under_trio_a_submit_says_what_to_do(worker: Worker) -> None:
    """Trio drives a coroutine like this: it knows nothing of asyncio."""

    async def nothing() -> None: ...

    with pytest.raises(RuntimeError, match=r"trio\.to_thread\.run_sync\(task\.submit_sync"):
        worker.task(nothing).submit().send(None)
