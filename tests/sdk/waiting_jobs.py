"""Functions that wait for other jobs, for worker processes, which find them by module name."""

from __future__ import annotations

import conduit
from conduit import Future, current_job


def wait_for_oneself() -> int:
    return Future.of(current_job().job_id).value_sync()


def wait_for_parent() -> int:
    parent = current_job().parent_id
    assert parent is not None
    return Future.of(parent).value_sync()


def wait_for_child() -> int:
    return heavy_child.submit_sync().value_sync()


def double(number: int) -> int:
    return 2 * number


def wait_for_double(number: int) -> int:
    return heavy_double.submit_sync(number).value_sync()


worker = conduit.Worker("heavy", sync_executor="process", processes=2, shutdown_timeout=5)
heavy_itself = worker.task(wait_for_oneself)
heavy_child = worker.task(wait_for_parent)
heavy_parent = worker.task(wait_for_child)
heavy_double = worker.task(double)
parent_of_double = worker.task(wait_for_double)
