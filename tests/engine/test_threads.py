"""The pool of threads for plain functions."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from conduit.core.model import Job, JobStatus
from conduit.engine.executors.threads import ThreadPool


def a_job(number: int) -> Job:
    return Job(
        id=str(number),
        function="charge",
        queue="default",
        priority=0,
        max_deliveries=3,
        status=JobStatus.RUNNING,
        args=b"{}",
        submitted_at=0,
        run_at=0,
    )


async def test_a_function_that_got_no_thread_never_runs_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pool = ThreadPool("test", grace=30)
    ran: list[int] = []

    def refuse(_: Any) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            await pool.run(lambda: ran.append(1), a_job(1))
    await pool.run(lambda: ran.append(2), a_job(2))
    await pool.run(lambda: ran.append(3), a_job(3))
    assert ran == [2, 3]
    pool.close()
