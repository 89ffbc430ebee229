"""Functions that the tests run in worker processes."""

from __future__ import annotations

import asyncio
import contextvars
import ctypes
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, NoReturn

from conduit.core.codec import Signature
from conduit.engine.context import Fail, Retry, current_job

tenant: contextvars.ContextVar[str] = contextvars.ContextVar("tenant", default="nobody")


def add(a: int, b: int = 1) -> int:
    return a + b


def next_days(day: date, count: int) -> list[date]:
    return [day + timedelta(days=n) for n in range(1, count + 1)]


def suffix_of(path: Path) -> str:
    return path.suffix


def process_id() -> int:
    return os.getpid()


def describe() -> dict[str, Any]:
    ctx = current_job()
    return {"id": ctx.job_id, "attempt": ctx.attempt, "fence": ctx.fencing_token, "key": ctx.key}


# --- news ------------------------------------------------------------------------------------


def log_at_every_level() -> None:
    library = logging.getLogger("some.library")
    library.debug("library debug")
    library.info("library info")
    library.warning("library warning")
    current_job().log.debug("job debug")


def report_progress() -> None:
    ctx = current_job()
    ctx.set_progress(0.25, "a quarter")
    ctx.set_progress(100)


def merge_metadata() -> dict[str, Any]:
    ctx = current_job()
    ctx.set_metadata_sync(colour="red")
    return ctx.metadata


def save_and_read_checkpoint() -> Any:
    ctx = current_job()
    before = ctx.checkpoint
    ctx.save_checkpoint_sync({"page": 7})
    return [before, ctx.checkpoint]


def two_steps() -> list[int]:
    ctx = current_job()
    return [ctx.step_sync("add", add, 2, 3), ctx.step_sync("remembered", add, 0, 0)]


def keep_artifact(size: int) -> str:
    return current_job().artifact_sync("noise.bin", bytes(size)).sha256


def record_from_an_event_loop() -> None:
    asyncio.run(current_job().set_metadata(colour="blue"))


def record_from_threads() -> None:
    ctx = current_job()
    threads = [threading.Thread(target=ctx.set_metadata_sync, kwargs={f"k{n}": n}) for n in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def shout() -> None:
    print("straight to the terminal")


# --- being stopped ---------------------------------------------------------------------------


def run_until_cancelled() -> str:
    ctx = current_job()
    ctx.set_progress(0, str(os.getpid()))
    while not ctx.cancelled:
        time.sleep(0.001)
    return "saw it"


def is_cancelled() -> bool:
    return current_job().cancelled


def sleep_until_cancelled() -> None:
    current_job().sleep_sync(600)


def spin() -> NoReturn:
    current_job().set_progress(0, str(os.getpid()))
    while True:
        pass


def ignore_sigterm_and_sleep() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    current_job().set_progress(0, str(os.getpid()))
    time.sleep(600)


def run_a_program(fifo: str) -> None:
    command = 'exec > "$1"; echo started; exec sleep 600'
    subprocess.run(["sh", "-c", command, "sh", fifo], check=True)


def read_fifo(fifo: str) -> str:
    current_job().set_progress(0, str(os.getpid()))
    return Path(fifo).read_text()


def print_id_and_sleep(death_signal: bool) -> None:
    if not death_signal and sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, 0)
    print(os.getpid(), flush=True)
    time.sleep(600)


# --- going wrong -----------------------------------------------------------------------------


class CardDeclinedError(Exception):
    """An error of the usual kind, whose arguments aren't those of its `__init__`."""

    def __init__(self, order: str, *, code: int) -> None:
        super().__init__(f"order {order}: declined with {code}")
        self.order = order
        self.code = code


class WithLockError(Exception):
    """Can't be pickled."""

    def __init__(self) -> None:
        super().__init__("holds a lock")
        self.lock = threading.Lock()


def decline() -> None:
    raise CardDeclinedError("A-1", code=51)


def fail_by(kind: str) -> None:
    errors: dict[str, BaseException] = {
        "os": FileNotFoundError(2, "No such file or directory", "/nowhere"),
        "retry": Retry("come back", delay=2.5),
        "fail": Fail("never again"),
        "lock": WithLockError(),
        "exit": SystemExit(3),
        "stop": StopIteration("over"),
    }
    raise errors[kind]


def raise_a_local_class() -> None:
    class LocalError(Exception):
        pass

    raise LocalError("only known here")


def return_an_object() -> Any:
    return {"fine": 1, "bad": object()}


def return_much(size: int) -> str:
    return "x" * size


def leave_no_streams() -> int:
    """End with nothing to print to."""
    sys.stdout = sys.stderr = sys.__stdout__ = sys.__stderr__ = None  # type: ignore[assignment]
    return os.getpid()


def leave_an_alarm() -> float:
    """End before an alarm that would end the process; how long one had still to go before it."""
    return signal.setitimer(signal.ITIMER_REAL, 600)[0]


def leave_a_thread_and_a_handler() -> int:
    """End with a thread that goes on, and a handler that raises."""

    def refuse(*_: object) -> None:
        raise TimeoutError("too late")

    threading.Thread(target=time.sleep, args=(600,)).start()
    signal.signal(signal.SIGUSR1, refuse)
    return os.getpid()


def exit_at_once(code: int) -> None:
    os._exit(code)


def fork_and_die(fifo: str) -> None:
    os.open(fifo, os.O_WRONLY)
    if os.fork() == 0:  # holds the line to the worker open
        time.sleep(600)
    os._exit(9)


def kill_self() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


# --- context variables -----------------------------------------------------------------------


def read_tenant() -> str:
    return tenant.get()


def set_tenant(name: str) -> None:
    tenant.set(name)


# --- handles and what can't be found ---------------------------------------------------------


@dataclass
class FunctionStub:
    call: Callable[..., Any]
    signature: Signature


class Handle:
    def __init__(self, call: Callable[..., Any]) -> None:
        self.__conduit_function__ = FunctionStub(call, Signature.of(call, name="shop.double"))

    def __call__(self, *args: Any) -> Any:
        return self.__conduit_function__.call(*args)


@Handle
def double(n: int) -> int:
    return n * 2


def rebound() -> str:  # pyright: ignore[reportRedeclaration]
    return "first"


first_rebound = rebound


def rebound() -> str:
    return "second"


def renamed() -> None: ...


kept_under_another_name = renamed
renamed = add  # pyright: ignore[reportAssignmentType]


def make_nested() -> Callable[[], None]:
    def nested() -> None: ...

    return nested


class Shop:
    def open(self) -> None: ...


anonymous = lambda: None  # noqa: E731
