"""Making new jobs: what a function or a schedule declares, and what its submit says instead."""

from __future__ import annotations

from typing import Any, Protocol

from conduit.core.model import NewJob


class Declared(Protocol):
    """What declares how its jobs are submitted: a function or a schedule, here or registered."""

    @property
    def queue(self) -> str:
        """Where they wait."""
        ...

    @property
    def priority(self) -> int:
        """Which of them go first."""
        ...

    @property
    def max_deliveries(self) -> int:
        """How many workers one may take down."""
        ...


def new_job(job_id: str, function: str, declared: Declared, **said: Any) -> NewJob:
    """A job of a function: as declared, save for the fields of `NewJob` that are said.

    One that is said to be None is as declared, or absent.
    """
    fields: dict[str, Any] = {
        "queue": declared.queue,
        "priority": declared.priority,
        "max_deliveries": declared.max_deliveries,
    }
    fields |= {name: value for name, value in said.items() if value is not None}
    return NewJob(id=job_id, function=function, **fields)
