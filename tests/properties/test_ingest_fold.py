"""Whatever way a real history's events come, the fold makes the same of them, and it is the truth.

`CONDUIT_TEST_EXAMPLES` sets how many histories are tried by each test: a quarter of it, which is
100 by default.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from msgspec import structs

from conduit.core.events import Event
from conduit.core.model import Job
from conduit.server.db.rows import ArtifactRow, AttemptRow, JobRow, LogRow
from conduit.server.ingest.fold import JobHistory, row_of
from conduit.server.ingest.soundness import fault_of
from tests.conformance.backends import Backend, server_for
from tests.server.ingest.lives import Lives, events_in

EXAMPLES = int(os.environ.get("CONDUIT_TEST_EXAMPLES", "100")) // 4 or 1
SETTINGS = settings(
    max_examples=EXAMPLES,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # a seed says it all, and can't be shrunk
    suppress_health_check=[HealthCheck.too_slow],
)
SEEDS = st.integers(0, 2**32)
BACKENDS = pytest.mark.parametrize("name", ["sqlite", "redis"])

pytestmark = pytest.mark.timeout(300)  # many lives, on a machine that may be slow and busy

Told = tuple[JobRow | None, dict[int, AttemptRow], dict[int, LogRow], dict[str, ArtifactRow]]


class Histories:
    """The histories of all jobs, as one server would keep them."""

    def __init__(self) -> None:
        self.of: dict[str, JobHistory] = {}

    def apply(self, events: list[Event]) -> Histories:
        for event in events:
            assert fault_of(event) is None
            self.of.setdefault(event.job_id, JobHistory(event.job_id, now=0)).apply(event)
        return self

    def told(self) -> dict[str, Told]:
        """Row, attempts, logs and artifacts of each job."""
        return {
            job_id: (each.row, each.attempts, each.logs, each.artifacts)
            for job_id, each in self.of.items()
        }

    def rows(self) -> dict[str, JobRow | None]:
        return {job_id: history.row for job_id, history in self.of.items()}


def rows_of(jobs: dict[str, Job | None]) -> dict[str, JobRow | None]:
    return {job_id: None if job is None else row_of(job, 0) for job_id, job in jobs.items()}


def a_history(
    name: str, server: str, random: Random, *, lives: int = 1, **how: Any
) -> tuple[list[list[Event]], list[dict[str, Job | None]]]:
    """The events of some random steps, several times, and what the queue had in the end of each."""

    async def live() -> tuple[list[list[Event]], list[dict[str, Job | None]]]:
        with TemporaryDirectory() as folder:
            backend = Backend(name, Path(folder), server)
            await backend.open()
            try:
                each = Lives(backend, random, **how)
                events: list[list[Event]] = []
                jobs: list[dict[str, Job | None]] = []
                for _ in range(lives):
                    await each.go_on(40)
                    events.append(events_in(await each.read()))
                    jobs.append(await each.jobs())
                return events, jobs
            finally:
                await backend.close()

    return asyncio.run(live())


def mixed(events: list[Event], random: Random) -> list[Event]:
    """The events in any order, some of them more than once."""
    often = events + random.choices(events, k=len(events) // 3) if events else []
    random.shuffle(often)
    return often


@BACKENDS
@pytest.mark.timeout(600)
def test_events_in_any_order_and_number_make_the_queues_own_jobs(
    name: str, request: pytest.FixtureRequest
) -> None:
    server = server_for(name, request)

    @SETTINGS
    @given(seed=SEEDS)
    def check(seed: int) -> None:
        random = Random(seed)
        (events,), (jobs,) = a_history(name, server, random, backwards=True)
        in_order = Histories().apply(events)
        assert in_order.rows() == rows_of(jobs)
        assert Histories().apply(mixed(events, random)).told() == in_order.told()
        assert in_order.apply(mixed(events, random)).rows() == rows_of(jobs)

    check()


@BACKENDS
@pytest.mark.timeout(600)
def test_an_id_that_lives_again_is_not_confused_by_what_is_left_of_its_earlier_lives(
    name: str, request: pytest.FixtureRequest
) -> None:
    server = server_for(name, request)

    @SETTINGS
    @given(seed=SEEDS)
    def check(seed: int) -> None:
        random = Random(seed)
        chapters, jobs = a_history(name, server, random, lives=3, again=True)
        histories, past = Histories(), list[Event]()
        for events, now in zip(chapters, jobs, strict=True):
            for event in events:
                histories.apply([event])
                if past and random.random() < 0.5:
                    histories.apply([random.choice(past)])
                past.append(event)
            for job_id, job in now.items():
                if job is not None:  # the queue forgets finished jobs, and says nothing of it
                    assert histories.of[job_id].row == row_of(job, 0)

    check()


@BACKENDS
@pytest.mark.timeout(600)
def test_where_events_are_lost_for_good_the_queues_word_heals_the_history(
    name: str, request: pytest.FixtureRequest
) -> None:
    server = server_for(name, request)

    @SETTINGS
    @given(seed=SEEDS, lost=st.floats(0.05, 1))
    def check(seed: int, lost: float) -> None:
        random = Random(seed)
        (events,), (jobs,) = a_history(name, server, random, backwards=True)
        kept = [event for event in events if random.random() >= lost]
        whole = Histories().apply(events)
        holey = Histories().apply(mixed(kept, random))
        for job_id, job in jobs.items():
            history = holey.of.setdefault(job_id, JobHistory(job_id, now=0))
            if job is None:
                history.give_up(at=1)
                assert history.row is None or history.row.status.finished
                continue
            before = history.row
            assert history.heal(job) == (before != row_of(job, 0))
            assert history.row == row_of(job, 0)
            assert not history.parked
            assert not history.heal(job)
            # No attempt that was told of is forgotten, and the latest is known in any case.
            true = whole.of[job_id].attempts
            assert history.attempts.keys() <= true.keys()
            if job.claimed_at is not None:
                latest = history.attempts[job.fence]
                assert structs.replace(
                    latest, outcome=None, ended_at=None, reason=None, error=None
                ) == (
                    structs.replace(
                        true[job.fence], outcome=None, ended_at=None, reason=None, error=None
                    )
                )

    check()
